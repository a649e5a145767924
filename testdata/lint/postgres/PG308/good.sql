-- tldwdb: assured PG308 not used since release 4
ALTER TABLE orders DROP COLUMN state;
