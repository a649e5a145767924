ALTER TABLE orders DROP COLUMN state; -- expect: PG308 warning
