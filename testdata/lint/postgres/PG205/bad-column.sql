ALTER TABLE users ADD COLUMN login text UNIQUE; -- expect: PG205 warning
