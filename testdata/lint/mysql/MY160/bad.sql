-- on: mysql
-- server: error 1064
ALTER TABLE users ADD COLUMN IF NOT EXISTS nickname varchar(40); -- expect: MY160 error
