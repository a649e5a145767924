ALTER TABLE person ADD COLUMN mail text;
