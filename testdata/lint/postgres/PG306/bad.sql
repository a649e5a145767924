ALTER TABLE users ALTER COLUMN email TYPE text; -- expect: PG306 warning
