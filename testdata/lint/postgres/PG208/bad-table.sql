-- tldwdb: assured PG401 not used since release 4
DROP TABLE likes; -- expect: PG208 warning
