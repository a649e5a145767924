DELETE FROM orders WHERE state = 'gone';
PRAGMA journal_mode = DELETE; -- expect: LT110 error
