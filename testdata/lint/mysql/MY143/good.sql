-- on: mariadb
-- tldwdb: assured MY139 nobody has read them for a year
DROP TABLE old_a;
DROP TABLE old_b;
