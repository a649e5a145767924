-- server: error error in index users_name
-- tldwdb: assured LT124 it is shown that SQLite refuses it
ALTER TABLE users DROP COLUMN name; -- expect: LT108 error
