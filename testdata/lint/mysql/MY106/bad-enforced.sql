-- on: mysql
ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0) NOT ENFORCED;
ALTER TABLE orders ALTER CHECK orders_amount ENFORCED; -- expect: MY106 warning
