-- +migrate Up
SELECT 'without a number it comes last';
