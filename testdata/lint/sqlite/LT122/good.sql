-- tldwdb: assured LT124 nobody signs in any more
DROP TABLE orders;
DROP TABLE users;
