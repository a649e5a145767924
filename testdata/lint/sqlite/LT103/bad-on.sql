-- tldwdb: foreign-keys=on
PRAGMA foreign_keys = OFF; -- expect: LT103 error
DELETE FROM users WHERE id = 1;
