-- tldwdb: assured PG310 all versions since release 4 read nulls
ALTER TABLE orders ALTER COLUMN amount DROP NOT NULL;
