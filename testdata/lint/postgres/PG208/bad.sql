ALTER TABLE orders ADD COLUMN note text;
ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey; -- expect: PG208 warning
