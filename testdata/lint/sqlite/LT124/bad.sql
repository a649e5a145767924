ALTER TABLE orders DROP COLUMN state; -- expect: LT124 warning
DROP TABLE orders; -- expect: LT124 warning
