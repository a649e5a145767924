CREATE TABLE tags_new (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, name varchar(40) NOT NULL UNIQUE);
INSERT INTO tags_new (name) SELECT name FROM tags ORDER BY name;
