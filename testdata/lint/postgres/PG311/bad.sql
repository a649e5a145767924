ALTER TABLE orders ADD COLUMN extra json; -- expect: PG311 warning
