ALTER TABLE users
    DROP CONSTRAINT users_email,
    ALTER COLUMN email TYPE text,
    ADD CONSTRAINT users_email CHECK (email LIKE '%@%') NOT VALID;
-- next file
ALTER TABLE users VALIDATE CONSTRAINT users_email;
