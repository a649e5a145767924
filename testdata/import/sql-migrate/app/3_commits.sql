-- +migrate Up
CREATE TABLE late (id int);
COMMIT;
CREATE INDEX CONCURRENTLY late_id ON late (id);
BEGIN;
-- +migrate Down
ALTER TABLE late ADD COLUMN y int;
COMMIT;
BEGIN;
UPDATE late SET y = 1;
DROP TABLE late;
