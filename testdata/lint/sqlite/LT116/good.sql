CREATE TABLE users_copy (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT);
INSERT INTO users_copy (id, email, name) SELECT id, email, name FROM users;
