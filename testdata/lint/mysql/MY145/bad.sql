CREATE TABLE users_copy AS SELECT * FROM users; -- expect: MY145 warning
