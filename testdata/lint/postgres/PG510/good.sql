UPDATE orders SET state = 'new', amount = 0 WHERE id = 1;
