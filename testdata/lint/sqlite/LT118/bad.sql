CREATE TABLE new_users (id INTEGER PRIMARY KEY, name TEXT, email TEXT NOT NULL);
INSERT INTO new_users SELECT * FROM users; -- expect: LT118 error
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
