ALTER TABLE users RENAME COLUMN name TO full_name; -- expect: MY140 warning
RENAME TABLE orders TO purchases; -- expect: MY140 warning
