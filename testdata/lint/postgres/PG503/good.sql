ALTER TABLE orders ADD COLUMN note text;
-- next file
ALTER TABLE orders ADD COLUMN more text;
