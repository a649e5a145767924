UPDATE orders SET state = 'new'; -- expect: PG403 warning
