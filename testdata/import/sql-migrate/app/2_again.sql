-- +migrate Up
SELECT 'its number is taken, its name is not';
