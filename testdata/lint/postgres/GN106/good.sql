INSERT INTO users (email) VALUES ('a@example.org');
-- tldwdb: assured PG101 the table has ten rows, and is written once a day
CREATE INDEX orders_user_id ON orders (user_id);
