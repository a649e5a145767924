ALTER TABLE orders ALTER COLUMN amount DROP NOT NULL; -- expect: PG310 notice
