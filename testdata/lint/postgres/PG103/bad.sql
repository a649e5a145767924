-- server: error cannot run inside a transaction block
ALTER TABLE orders ADD COLUMN note text;
CREATE INDEX CONCURRENTLY orders_note ON orders (note); -- expect: PG103 error
