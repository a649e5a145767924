CREATE TYPE order_state AS ENUM ('new', 'sent');
CREATE TABLE parcels (id bigint PRIMARY KEY, state order_state);
