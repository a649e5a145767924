-- ask: PG314=notice
CREATE TABLE order_states (state text PRIMARY KEY);
