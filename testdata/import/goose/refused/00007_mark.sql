-- +goose Up
 -- +goose StatementBegin
-- +goose StatementFinish
SELECT 1;
-- +goose StatementEnd
