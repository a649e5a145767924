-- tldwdb: no-transaction
DROP INDEX CONCURRENTLY orders_state; -- expect: PG107 warning
CREATE INDEX CONCURRENTLY orders_state_user ON orders (state, user_id);
