ALTER TABLE orders ADD COLUMN code varchar(36);
ALTER TABLE orders ALTER COLUMN code SET DEFAULT (uuid());
