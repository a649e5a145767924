-- +migrate Up
SELECT 1;
-- +migrate Dwon
SELECT 2;
