-- ask: MY138=notice
-- on: mariadb
-- target: 10.6
ALTER TABLE orders ALTER INDEX orders_state IGNORED;
