-- server: error multiple assignments to same column
UPDATE orders SET state = 'new', amount = 0, state = 'old' WHERE id = 1; -- expect: PG510 error
