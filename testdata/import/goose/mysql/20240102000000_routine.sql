-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER post_title BEFORE INSERT ON post FOR EACH ROW
BEGIN
    IF NEW.title IS NULL THEN
        SET NEW.title = 'none';
    END IF;
END
-- +goose StatementEnd
INSERT INTO post (title) VALUES (NULL);

-- +goose Down
DELETE FROM post WHERE title = 'none';
DROP TRIGGER post_title;
