ALTER TABLE users RENAME TO old_users; -- expect: LT104 error
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT);
INSERT INTO users (id, email, name) SELECT id, email, name FROM old_users;
DROP TABLE old_users;
