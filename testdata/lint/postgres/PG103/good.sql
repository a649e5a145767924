ALTER TABLE orders ADD COLUMN note text;
-- next file
CREATE INDEX CONCURRENTLY orders_note ON orders (note);
