-- server: error near "TYPE": syntax error
ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(100); -- expect: LT120 error
