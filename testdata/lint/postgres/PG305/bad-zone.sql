ALTER TABLE visits ALTER COLUMN at TYPE timestamptz; -- expect: PG305 notice
