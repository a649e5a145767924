-- migrate:up
CREATE TABLE a (x int);
-- migrate:down
DROP TABLE a;
-- migrate:up
CREATE TABLE b (x int);
-- migrate:down
DROP TABLE b;
