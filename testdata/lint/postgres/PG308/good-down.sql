-- down
ALTER TABLE orders DROP COLUMN state;
