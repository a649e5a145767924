CREATE INDEX CONCURRENTLY visits_page ON visits (page);
-- next file
ALTER TABLE visits ALTER COLUMN page TYPE text;
