ALTER TABLE orders ADD COLUMN cents bigint AS (amount * 100) VIRTUAL;
ALTER TABLE orders ADD INDEX orders_cents (cents);
