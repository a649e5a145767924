ALTER TABLE orders ADD CONSTRAINT orders_known CHECK (state IS NOT NULL) NOT VALID;
-- next file
ALTER TABLE orders VALIDATE CONSTRAINT orders_known;
-- next file
-- the server drops the constraint first, and then has to look
ALTER TABLE orders
    ALTER COLUMN state SET NOT NULL, -- expect: PG204 warning
    DROP CONSTRAINT orders_known;
