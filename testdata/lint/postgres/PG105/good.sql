-- target: 14.4
CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);
