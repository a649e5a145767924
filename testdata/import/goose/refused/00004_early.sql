CREATE TABLE never (x int);
-- +goose Up
CREATE TABLE f (x int);
