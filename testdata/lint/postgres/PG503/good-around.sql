-- server: not run, it would end the transaction of the test
BEGIN;
ALTER TABLE orders ADD COLUMN note text;
COMMIT;
