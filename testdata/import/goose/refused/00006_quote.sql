-- +goose Up
INSERT INTO g VALUES (1);
INSERT INTO g VALUES ('open);
