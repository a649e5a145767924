-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION touch() RETURNS trigger AS $body$
BEGIN
    -- a comment of the body; it stays
    IF NEW.body = 'x' THEN
        NEW.body := 'up;down';
    END IF;
    RETURN NEW;
END;
$body$ LANGUAGE plpgsql
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER touch BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION touch(); -- it ends twice
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP TRIGGER touch ON note;
DROP FUNCTION touch() -- no semicolon here
-- +goose StatementEnd
