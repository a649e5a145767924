ALTER TABLE orders ADD COLUMN currency char(3); -- expect: PG315 notice
