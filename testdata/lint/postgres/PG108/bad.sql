CREATE INDEX CONCURRENTLY orders_all ON orders (user_id, state, amount, id); -- expect: PG108 notice
