-- +goose Up
SET LOCAL lock_timeout = '3s';
COMMIT;
ALTER TABLE users ADD COLUMN mail text;
