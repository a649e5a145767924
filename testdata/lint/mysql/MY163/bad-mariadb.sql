-- on: mariadb
ALTER TABLE users ADD COLUMN lower_email varchar(40) AS (lower(email)) VIRTUAL;
ALTER TABLE users ADD COLUMN title varchar(20) AFTER email; -- expect: MY163 warning
