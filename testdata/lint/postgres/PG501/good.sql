ALTER TABLE orders ADD COLUMN currency text;
-- next file
UPDATE orders SET currency = 'EUR' WHERE id BETWEEN 1 AND 1000;
