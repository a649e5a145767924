-- +goose Up
-- +goose StatementBegin
SET LOCAL lock_timeout = '3s';
ALTER TABLE users ADD COLUMN mail text;

COMMIT;
-- +goose StatementEnd
-- +goose Down
ALTER TABLE users DROP COLUMN mail;
