ALTER TABLE orders ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id);
CREATE TABLE likes (user_id bigint REFERENCES users, order_id bigint REFERENCES orders, PRIMARY KEY (user_id, order_id));
CREATE INDEX likes_order_id ON likes (order_id);
CREATE INDEX orders_user_id ON orders (user_id);
