-- tldwdb: no-transaction
CREATE INDEX CONCURRENTLY orders_state_user ON orders (state, user_id);
DROP INDEX CONCURRENTLY orders_state;
