ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
-- next file
ALTER TABLE orders VALIDATE CONSTRAINT orders_user;
