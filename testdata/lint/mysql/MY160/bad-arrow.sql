-- on: mariadb
-- server: error 1064
CREATE VIEW labels AS SELECT name->>'$.label' AS label FROM users; -- expect: MY160 error
