DROP VIEW names;
CREATE VIEW names AS SELECT id, name, email FROM users;
