ALTER TABLE visits ADD COLUMN id_new bigint;
-- the program writes both; a job fills the old rows; the program reads the new one
-- next file
-- tldwdb: assured PG308 not used since release 4
ALTER TABLE visits DROP COLUMN id;
