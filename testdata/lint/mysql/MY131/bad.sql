CREATE FULLTEXT INDEX users_name ON users (name); -- expect: MY131 warning
