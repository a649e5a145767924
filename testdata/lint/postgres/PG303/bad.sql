ALTER TABLE users ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) STORED; -- expect: PG303 warning
