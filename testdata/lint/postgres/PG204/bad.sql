ALTER TABLE orders ALTER COLUMN state SET NOT NULL; -- expect: PG204 warning
