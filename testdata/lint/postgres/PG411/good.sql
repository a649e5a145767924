UPDATE orders SET state = 'new' WHERE id BETWEEN 1 AND 1000;
