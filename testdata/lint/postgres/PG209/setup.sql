CREATE TABLE shops (id bigint PRIMARY KEY);
ALTER TABLE orders ADD COLUMN shop_id bigint;
CREATE INDEX orders_user_id ON orders (user_id);
CREATE INDEX orders_shop_id ON orders (shop_id);
