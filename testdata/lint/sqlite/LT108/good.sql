-- tldwdb: assured LT124 nobody has read the names for a year
DROP INDEX users_name;
ALTER TABLE users DROP COLUMN name;
