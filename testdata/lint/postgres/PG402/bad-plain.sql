TRUNCATE TABLE orders; -- expect: PG402 warning
