-- a comment that is nowhere
-- +migrate Up
CREATE TABLE people (id int, name text DEFAULT 'a
-- b
c');
-- +migrate Down
DROP TABLE people;
-- +migrate Up
CREATE TABLE more (id int);
