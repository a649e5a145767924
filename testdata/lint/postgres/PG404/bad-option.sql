VACUUM (FULL, ANALYZE) orders; -- expect: PG404 warning
