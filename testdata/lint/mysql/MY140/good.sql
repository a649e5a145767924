ALTER TABLE users ADD COLUMN full_name varchar(200), ALGORITHM=INSTANT;
RENAME TABLE orders TO purchases;
CREATE VIEW orders AS SELECT * FROM purchases;
