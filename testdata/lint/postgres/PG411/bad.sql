LOCK TABLE orders; -- expect: PG411 warning
UPDATE users SET name = 'x' WHERE id = 1; -- expect: PG501 warning
