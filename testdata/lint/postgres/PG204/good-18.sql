-- target: 18
-- server: not run, it needs PostgreSQL 18
ALTER TABLE orders ADD CONSTRAINT orders_state_not_null NOT NULL state NOT VALID;
-- next file
ALTER TABLE orders VALIDATE CONSTRAINT orders_state_not_null;
