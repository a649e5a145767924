CREATE INDEX users_name ON users (name);
CREATE TRIGGER users_named AFTER UPDATE OF name ON users BEGIN UPDATE orders SET state = 'seen' WHERE user_id = new.id; END;
CREATE VIEW names AS SELECT name FROM users;
