UPDATE orders SET state = 'new' WHERE true; -- expect: PG403 warning
