CREATE INDEX users_name ON users (name);
CREATE VIEW states AS SELECT state FROM orders;
