-- target: 14.2
CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id); -- expect: PG105 error
