-- What only Oracle's MySQL has.
CREATE TABLE kinds (id int NOT NULL PRIMARY KEY, visible int, hidden_one int INVISIBLE DEFAULT 7, doc json DEFAULT (JSON_OBJECT('a', ';')), spot point NOT NULL SRID 0, KEY gone (visible) INVISIBLE, SPATIAL KEY (spot), KEY up ((lower(visible))));
INSERT INTO kinds (id, visible, hidden_one, spot) VALUES (1, 1, 2, POINT(1, 2));
INSERT INTO kinds (id, visible, spot) VALUES (2, NULL, POINT(0, 0));
CREATE FUNCTION summed(a int) RETURNS int READS SQL DATA RETURN (SELECT COUNT(*) FROM `user` WHERE id > a);
