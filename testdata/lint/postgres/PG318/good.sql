-- ask: PG318=notice
ALTER TABLE orders ADD COLUMN note text;
