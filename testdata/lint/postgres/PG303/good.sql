-- target: 18
-- server: not run, it needs PostgreSQL 18
ALTER TABLE users ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) VIRTUAL;
