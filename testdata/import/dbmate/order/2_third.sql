-- migrate:up
ALTER TABLE b ADD COLUMN y int;
-- migrate:down
ALTER TABLE b DROP COLUMN y;
