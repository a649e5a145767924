DROP TABLE orders; -- expect: PG401 warning
