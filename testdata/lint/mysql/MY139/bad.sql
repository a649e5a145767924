ALTER TABLE orders DROP COLUMN state; -- expect: MY139 warning
DROP TABLE users; -- expect: MY139 warning
