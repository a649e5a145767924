-- +goose Up
CREATE TABLE users (id serial, name text);
INSERT INTO users (name) VALUES ('line one
-- +goose Down
line three');
/*
-- +goose Down
*/
INSERT INTO users (name) VALUES ('last');
