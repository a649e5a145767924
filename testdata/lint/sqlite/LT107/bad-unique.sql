-- server: error Cannot add a UNIQUE column
ALTER TABLE users ADD COLUMN nickname TEXT UNIQUE; -- expect: LT107 error
