PRAGMA foreign_keys = OFF; -- expect: LT103 warning
DELETE FROM users WHERE id = 1;
