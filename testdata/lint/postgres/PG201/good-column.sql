ALTER TABLE orders ADD COLUMN seller_id bigint REFERENCES users;
-- next file
CREATE INDEX CONCURRENTLY orders_seller_id ON orders (seller_id);
