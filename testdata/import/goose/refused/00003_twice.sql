-- +goose Up
CREATE TABLE c (x int);
-- +goose Up
CREATE TABLE d (x int);
