-- target: 3.45
ALTER TABLE users ADD COLUMN nickname TEXT;
DELETE FROM users WHERE email = 'a@example.org' RETURNING id;
