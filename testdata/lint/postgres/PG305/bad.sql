ALTER TABLE visits ALTER COLUMN id TYPE bigint; -- expect: PG305 warning
