-- +goose Up
CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT);
CREATE TABLE log (what TEXT);
-- +goose StatementBegin
CREATE TRIGGER note_log AFTER INSERT ON note BEGIN
  INSERT INTO log VALUES ('new');
  INSERT INTO log VALUES (NEW.title);
END
-- +goose StatementEnd
INSERT INTO note (title) VALUES ('first');
-- +goose Down
DROP TABLE note;
DROP TABLE log;
