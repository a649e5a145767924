-- server: error cannot run inside a transaction block
UPDATE orders SET state = 'new' WHERE state IS NULL;
VACUUM orders; -- expect: PG103 error
