ALTER TABLE users ADD CONSTRAINT users_email CHECK (email LIKE '%@%');
