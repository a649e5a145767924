ALTER TABLE users ADD COLUMN settings json NULL;
UPDATE users SET settings = '{}' WHERE id <= 10000;
