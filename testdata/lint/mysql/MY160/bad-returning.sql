-- on: mysql
-- server: error 1064
INSERT INTO users (email) VALUES ('a@example.org') RETURNING id; -- expect: MY160 error
