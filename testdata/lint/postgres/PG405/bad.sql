ALTER TABLE orders SET UNLOGGED; -- expect: PG405 warning
