-- server: not run, it would end the transaction of the test
ALTER TABLE orders ADD COLUMN note text;
COMMIT; -- expect: PG503 error
ALTER TABLE orders ADD COLUMN more text;
