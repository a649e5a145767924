-- server: error near "UNIQUE": syntax error
ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email); -- expect: LT120 error
