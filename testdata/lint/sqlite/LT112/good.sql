CREATE INDEX users_mail ON users ("email" COLLATE "NOCASE") WHERE "name" <> 'x';
ALTER TABLE orders ADD COLUMN kind TEXT DEFAULT 'normal';
