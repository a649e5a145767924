-- Users and their notes.
-- +goose Up
CREATE TABLE users (
    id bigserial PRIMARY KEY,
    name text NOT NULL -- shown; not unique
);
CREATE TABLE note (id bigserial PRIMARY KEY, author bigint REFERENCES users (id), body text DEFAULT 'a;b');

-- +goose Down
DROP TABLE note;
DROP TABLE users;
