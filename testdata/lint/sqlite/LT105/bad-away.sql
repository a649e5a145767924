CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT, hits INTEGER);
CREATE INDEX tags_name ON tags (name);
CREATE TRIGGER tags_added AFTER INSERT ON tags BEGIN UPDATE tags SET hits = 0 WHERE id = new.id; END;
-- next file
ALTER TABLE tags RENAME TO old_tags;
CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL, hits INTEGER);
INSERT INTO tags (id, name, hits) SELECT id, coalesce(name, ''), hits FROM old_tags;
DROP TABLE old_tags; -- expect: LT105 error
