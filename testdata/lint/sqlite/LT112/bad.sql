CREATE INDEX users_mail ON users ("mail"); -- expect: LT112 error
ALTER TABLE orders ADD COLUMN kind TEXT DEFAULT "normal"; -- expect: LT112 notice
