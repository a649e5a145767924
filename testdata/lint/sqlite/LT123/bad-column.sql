ALTER TABLE orders ADD COLUMN reviewer TEXT REFERENCES users (name); -- expect: LT123 error
