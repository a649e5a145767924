ALTER TABLE orders ALTER CONSTRAINT orders_user_id_fkey DEFERRABLE;
-- next file
SET CONSTRAINTS orders_user_id_fkey DEFERRED;
INSERT INTO orders (id, user_id, amount) OVERRIDING SYSTEM VALUE VALUES (4711, 4711, 1);
INSERT INTO users (id, email) OVERRIDING SYSTEM VALUE VALUES (4711, 'a@example.org');
