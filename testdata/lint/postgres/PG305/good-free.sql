ALTER TABLE visits ALTER COLUMN page TYPE varchar(100);
ALTER TABLE visits ALTER COLUMN page TYPE text;
ALTER TABLE visits ALTER COLUMN price TYPE numeric(12, 2);
