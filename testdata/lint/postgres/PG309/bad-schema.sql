CREATE SCHEMA shop;
ALTER TABLE orders SET SCHEMA shop; -- expect: PG309 warning
