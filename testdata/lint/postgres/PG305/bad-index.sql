CREATE INDEX CONCURRENTLY visits_paged ON visits (at) WHERE page IS NULL;
-- next file
ALTER TABLE visits ALTER COLUMN page TYPE varchar(100); -- expect: PG305 warning
