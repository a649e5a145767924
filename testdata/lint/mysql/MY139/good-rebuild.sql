CREATE TABLE users_new LIKE users;
INSERT INTO users_new SELECT * FROM users WHERE id BETWEEN 1 AND 10000;
RENAME TABLE users TO users_old, users_new TO users;
