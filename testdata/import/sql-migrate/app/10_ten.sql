-- +migrate Up
SELECT 10;
-- +migrate Down
-- nothing to do
