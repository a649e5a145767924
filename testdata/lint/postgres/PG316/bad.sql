ALTER TABLE orders ADD COLUMN paid_at timestamp; -- expect: PG316 notice
