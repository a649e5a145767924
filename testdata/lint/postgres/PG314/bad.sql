-- ask: PG314=notice
CREATE TYPE order_state AS ENUM ('new', 'sent'); -- expect: PG314 notice
