-- server: error cannot alter type of a column used by a view or rule
ALTER TABLE users ALTER COLUMN email TYPE text; -- expect: PG307 error
