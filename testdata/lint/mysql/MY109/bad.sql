ALTER TABLE orders ADD COLUMN weight int DEFAULT (1 + 1); -- expect: MY109 warning
