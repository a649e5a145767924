ALTER TABLE orders ADD COLUMN tip numeric(10, 2);
