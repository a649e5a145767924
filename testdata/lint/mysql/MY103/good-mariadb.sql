-- on: mariadb
-- target: 11.2
-- server: not run, it needs MariaDB 11.2
ALTER TABLE orders MODIFY amount decimal(12, 2) NOT NULL;
