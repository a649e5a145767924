CREATE INDEX CONCURRENTLY orders_user_state ON orders (user_id, state) INCLUDE (amount);
