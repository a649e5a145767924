ALTER TABLE orders RENAME TO purchases; -- expect: PG309 warning
