ALTER TABLE orders ADD COLUMN amount_new decimal(12, 2) NULL, ALGORITHM=INSTANT;
UPDATE orders SET amount_new = amount WHERE id BETWEEN 1 AND 10000;
