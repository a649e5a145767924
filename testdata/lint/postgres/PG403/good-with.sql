WITH late AS (SELECT id FROM orders WHERE state = 'late') UPDATE orders SET state = 'lost' FROM late WHERE orders.id = late.id;
