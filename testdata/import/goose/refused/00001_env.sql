-- +goose Up
-- +goose ENVSUB ON
CREATE USER ${APP_USER};
