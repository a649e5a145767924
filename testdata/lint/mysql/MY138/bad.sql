-- ask: MY138=notice
DROP INDEX orders_state ON orders; -- expect: MY138 notice
