-- on: mariadb
-- server: error 1064
CREATE INDEX users_lower ON users ((lower(email))); -- expect: MY160 error -- expect: MY131 warning
