-- server: error error in view states
-- tldwdb: assured LT124 it is shown that SQLite refuses it
ALTER TABLE orders DROP COLUMN state; -- expect: LT108 error
