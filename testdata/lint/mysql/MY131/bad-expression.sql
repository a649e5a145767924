-- on: mysql
ALTER TABLE users ADD INDEX users_lower ((lower(email))); -- expect: MY131 warning
