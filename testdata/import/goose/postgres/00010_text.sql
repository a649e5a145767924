-- +goose Up
INSERT INTO users (name) VALUES ('line one
-- +goose Down
line three');
/*
-- +goose Down
*/
INSERT INTO users (name) VALUES ('last');
