-- server: error Cannot add a column with non-constant default
INSERT INTO users (email) VALUES ('a@example.org');
ALTER TABLE users ADD COLUMN score INTEGER DEFAULT (1 + 1); -- expect: LT107 error
