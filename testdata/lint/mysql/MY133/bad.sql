ALTER TABLE orders ADD INDEX orders_user (user_id), LOCK=EXCLUSIVE; -- expect: MY133 warning
CREATE INDEX orders_state ON orders (state) ALGORITHM=COPY; -- expect: MY133 warning
