ALTER TABLE orders RENAME COLUMN state TO status; -- expect: PG309 warning
