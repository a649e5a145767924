-- who uses it
-- migrate:up
CREATE TABLE users (id serial PRIMARY KEY);
  -- migrate:down is no mark here: it does not begin in the first column
CREATE FUNCTION f() RETURNS text AS $$
SELECT 'x; -- y'::text;
$$ LANGUAGE sql;
INSERT INTO users DEFAULT VALUES

-- migrate:down
DROP FUNCTION f();
DROP TABLE users;
