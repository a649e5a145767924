VACUUM FULL orders; -- expect: PG404 warning
