-- before it: SELECT o.id FROM orders o LEFT JOIN users u ON u.id = o.user_id WHERE u.id IS NULL
SET foreign_key_checks = 0;
ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id), LOCK=NONE;
SET foreign_key_checks = 1;
