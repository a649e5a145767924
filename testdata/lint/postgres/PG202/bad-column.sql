ALTER TABLE orders ADD COLUMN pieces int CHECK (pieces > 0); -- expect: PG202 warning
