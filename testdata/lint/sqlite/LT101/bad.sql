CREATE TABLE new_users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL
);
INSERT INTO new_users (id, email, name) SELECT id, email, name FROM users; -- expect: LT101 warning
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
