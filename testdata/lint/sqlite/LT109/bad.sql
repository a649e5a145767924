-- target: 3.45
ALTER TABLE users ALTER COLUMN name SET NOT NULL; -- expect: LT109 error
ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0); -- expect: LT109 error
