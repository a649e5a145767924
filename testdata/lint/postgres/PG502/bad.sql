SET lock_timeout = 0; -- expect: PG502 warning
ALTER TABLE orders ADD COLUMN note text;
