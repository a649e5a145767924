-- server: error no such table: main.users
CREATE TABLE new_users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT);
INSERT INTO new_users (id, email, name) SELECT id, email, name FROM users;
DROP TABLE users; -- expect: LT105 error
ALTER TABLE new_users RENAME TO users;
CREATE INDEX users_name ON users (name);
CREATE TRIGGER users_named AFTER UPDATE OF name ON users BEGIN UPDATE orders SET state = 'seen' WHERE user_id = new.id; END;
