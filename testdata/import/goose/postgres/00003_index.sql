-- +goose NO TRANSACTION
-- +goose up
CREATE INDEX CONCURRENTLY note_author ON note (author);
-- +goose down
DROP INDEX CONCURRENTLY note_author;
