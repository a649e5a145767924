-- on: mariadb
-- it succeeds, and no row of orders can be changed after it
INSERT INTO orders (user_id, amount) VALUES (1, 1);
ALTER TABLE orders ADD COLUMN weight int NOT NULL DEFAULT 0 CHECK (weight > 0); -- expect: MY116 warning
