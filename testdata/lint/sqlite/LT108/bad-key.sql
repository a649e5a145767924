-- server: error cannot drop PRIMARY KEY column
-- tldwdb: assured LT124 it is shown that SQLite refuses it
ALTER TABLE users DROP COLUMN id; -- expect: LT108 error
