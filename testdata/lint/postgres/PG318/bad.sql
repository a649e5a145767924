-- ask: PG318=notice
ALTER TABLE orders ADD COLUMN note varchar(200); -- expect: PG318 notice
