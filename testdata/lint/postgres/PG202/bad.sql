ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0); -- expect: PG202 warning
