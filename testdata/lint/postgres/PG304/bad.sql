ALTER TABLE orders ADD COLUMN currency text NOT NULL; -- expect: PG304 error
