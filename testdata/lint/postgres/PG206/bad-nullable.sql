CREATE UNIQUE INDEX CONCURRENTLY visits_page ON visits (page);
-- next file
ALTER TABLE visits ADD CONSTRAINT visits_pkey PRIMARY KEY USING INDEX visits_page; -- expect: PG206 warning
