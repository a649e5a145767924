ALTER TABLE orders ADD COLUMN tip money; -- expect: PG317 notice
