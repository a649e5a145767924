-- server: error near ",": syntax error
ALTER TABLE users ADD COLUMN a TEXT, ADD COLUMN b TEXT; -- expect: LT120 error
