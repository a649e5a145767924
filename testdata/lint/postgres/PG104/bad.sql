CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_user_id ON orders (user_id); -- expect: PG104 warning
