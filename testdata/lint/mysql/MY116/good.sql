-- on: mariadb
ALTER TABLE orders ADD COLUMN weight int CHECK (weight > 0);
