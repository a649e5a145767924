-- tldwdb: assured PG305 a thousand rows
ALTER TABLE visits ALTER COLUMN id TYPE bigint, ALTER COLUMN page TYPE bigint;
