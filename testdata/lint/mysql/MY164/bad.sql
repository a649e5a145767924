ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0); -- expect: MY106 warning
ALTER TABLE orders ADD CONSTRAINT orders_state CHECK (state <> ''); -- expect: MY106 warning -- expect: MY164 notice
