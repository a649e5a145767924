CREATE TABLE users_copy AS SELECT * FROM users; -- expect: LT116 warning
