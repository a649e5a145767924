-- server: not run, the driver refuses to write there
PRAGMA writable_schema = ON; -- expect: LT111 error
UPDATE sqlite_schema SET sql = replace(sql, 'name TEXT', 'name TEXT NOT NULL') WHERE name = 'users';
