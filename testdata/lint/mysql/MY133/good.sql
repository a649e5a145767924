ALTER TABLE orders ADD INDEX orders_user (user_id), LOCK=NONE;
CREATE INDEX orders_state ON orders (state) ALGORITHM=INPLACE LOCK=NONE;
