ALTER TABLE orders ADD COLUMN seller_id bigint DEFAULT 1 REFERENCES users; -- expect: PG201 warning
-- next file
CREATE INDEX CONCURRENTLY orders_seller_id ON orders (seller_id);
