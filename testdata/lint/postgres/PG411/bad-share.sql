LOCK TABLE users, orders IN SHARE MODE; -- expect: PG411 warning
UPDATE orders SET state = 'new' WHERE id BETWEEN 1 AND 1000; -- expect: PG501 warning
