-- target: 17
-- server: not run, it needs PostgreSQL 17
ALTER TABLE users ALTER COLUMN email SET EXPRESSION AS (lower(name)); -- expect: PG303 warning
