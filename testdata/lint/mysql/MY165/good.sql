UPDATE orders SET state = 'open' WHERE id BETWEEN 1 AND 10000;
UPDATE orders SET state = 'open' WHERE id BETWEEN 10001 AND 20000;
