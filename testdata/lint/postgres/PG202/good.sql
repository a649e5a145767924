ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0) NOT VALID;
-- next file
ALTER TABLE orders VALIDATE CONSTRAINT orders_amount;
