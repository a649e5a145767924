DELETE FROM orders; -- expect: PG403 warning
