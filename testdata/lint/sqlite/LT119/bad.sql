PRAGMA legacy_alter_table = ON;
ALTER TABLE users RENAME TO people; -- expect: LT119 warning
