-- tldwdb: lock-timeout=5s
-- migrate:up
CREATE TABLE users (id serial PRIMARY KEY);
  -- migrate:down is no mark here: it does not begin in the first column
CREATE FUNCTION f() RETURNS text AS $$
-- migrate:down
SELECT 'x';
$$ LANGUAGE sql;

-- migrate:down
DROP FUNCTION f();
DROP TABLE users;
