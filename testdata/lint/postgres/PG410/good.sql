CREATE POLICY orders_own ON orders USING (user_id = current_setting('app.user_id')::bigint);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
