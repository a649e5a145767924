ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0); -- expect: MY106 warning
