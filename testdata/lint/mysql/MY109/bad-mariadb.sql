-- on: mariadb
-- MariaDB gives all rows the same number
ALTER TABLE orders ADD COLUMN sample double DEFAULT (rand()); -- expect: MY109 error
