-- server: error cannot VACUUM from within a transaction
DELETE FROM orders WHERE state = 'gone';
VACUUM; -- expect: LT110 error
