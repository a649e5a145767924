ALTER TABLE orders ADD CONSTRAINT orders_state_not_null CHECK (state IS NOT NULL) NOT VALID;
-- next file
ALTER TABLE orders VALIDATE CONSTRAINT orders_state_not_null;
-- next file
ALTER TABLE orders ALTER COLUMN state SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_state_not_null;
