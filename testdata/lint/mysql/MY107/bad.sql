ALTER TABLE orders ADD COLUMN cents bigint AS (amount * 100) STORED; -- expect: MY107 warning
