DROP VIEW addresses;
ALTER TABLE users ALTER COLUMN email TYPE text;
CREATE VIEW addresses AS SELECT id, email FROM users;
