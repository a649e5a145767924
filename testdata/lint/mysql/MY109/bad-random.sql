-- on: mysql
-- server: error 1674
ALTER TABLE orders ADD COLUMN code varchar(36) DEFAULT (uuid()); -- expect: MY109 error
