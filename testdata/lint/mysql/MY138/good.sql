-- ask: MY138=notice
-- on: mysql
ALTER TABLE orders ALTER INDEX orders_state INVISIBLE;
