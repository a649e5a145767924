-- A database with something of everything that mysqldump and mariadb-dump write.
CREATE TABLE `user` (
	id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'semi;colon',
	`Full Name` varchar(200) NOT NULL DEFAULT 'it''s; fine',
	`select` text CHARACTER SET latin1,
	feeling enum('happy', 'it''s; fine', '-- no comment') DEFAULT 'happy',
	traits set('a', 'b;c', '') DEFAULT NULL,
	favourite bigint DEFAULT NULL,
	changed timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
	KEY `by ``name``;` (`Full Name`(20)),
	FULLTEXT KEY words (`Full Name`)
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COMMENT='quotes '' " ` and \\ backslash; /* no comment */';
CREATE TABLE `Order ``Lines``;` (
	id bigint NOT NULL AUTO_INCREMENT,
	owner int unsigned NOT NULL,
	net decimal(10,2) NOT NULL,
	gross decimal(12,4) GENERATED ALWAYS AS (net * 1.2) STORED,
	label varchar(60) GENERATED ALWAYS AS (CONCAT('a;b', net)) VIRTUAL,
	PRIMARY KEY (id),
	CONSTRAINT `own;er` FOREIGN KEY (owner) REFERENCES `user` (id) ON DELETE CASCADE,
	CONSTRAINT positive CHECK (net >= 0 AND label <> ';')
);
ALTER TABLE `user` ADD CONSTRAINT favours FOREIGN KEY (favourite) REFERENCES `Order ``Lines``;` (id);
CREATE TABLE types (
	id int NOT NULL PRIMARY KEY,
	a tinyint, b smallint, c mediumint, d bigint unsigned, e float, f double, g decimal(65,30), h bit(9), i boolean,
	j char(5), k varchar(100), l tinytext, m mediumtext, n longtext, o binary(4), p varbinary(40), q tinyblob, r blob, s longblob,
	t date, u time(6), v datetime(3), w timestamp NULL, x year, y json, z point, aa geometry,
	ab varchar(20) CHARACTER SET utf16, ac varchar(20) CHARACTER SET latin1 COLLATE latin1_bin
);
CREATE TABLE parted (id int NOT NULL, at date NOT NULL, PRIMARY KEY (id, at))
	PARTITION BY RANGE (YEAR(at)) (PARTITION `old;` VALUES LESS THAN (2000), PARTITION later VALUES LESS THAN MAXVALUE);
CREATE TABLE flat (id int, note text) ENGINE=MyISAM;
CREATE TABLE `Größe` (`Länge` int);

INSERT INTO `user` (id, `Full Name`, `select`, feeling, traits, changed) VALUES
	(1, 'O''Brien; DROP', 'tab\there', 'it''s; fine', 'a,b;c', '2024-02-29 12:34:56.789012'),
	(2, 'back\\slash \\N', NULL, '-- no comment', '', '2024-01-01 00:00:00'),
	(3, 'two\nlines\r\nand \Z and %', 'caf\é', NULL, NULL, '2024-01-01 00:00:00'),
	(4, '', '', 'happy', NULL, '2024-01-01 00:00:00');
INSERT INTO `user` (id, `Full Name`, changed) VALUES (9, 'emoji 🦆 and 漢字 -- # /* */ $$ ;;', '2024-01-01 00:00:00');
INSERT INTO `Order ``Lines``;` (owner, net) VALUES (1, 10.25), (2, 0), (4, 9999999.99);
UPDATE `user` SET favourite = 2, changed = '2024-03-01 00:00:00' WHERE id = 1;
INSERT INTO types VALUES
	(1, -128, -32768, 8388607, 18446744073709551615, 1.5e-10, -1.7976931348623157e308, 12345678901234567890123456789.000000000000000000000000000001, b'101010101', true,
	 'ab', 'quote '' and "', 'x', 'y', 'all: \\ '' " ` ; -- # /* \t \r \n \b \Z \0 end', x'00ff275c', x'c328ff00275c0a0d1a22', x'00', x'89504e470d0a1a0a00000000ff27225c3b', REPEAT(x'ff00275c0a', 500),
	 '1000-01-01', '-838:59:59.000000', '9999-12-31 23:59:59.999', '2001-09-09 01:46:40', 2155, '{"a": "\\u0041\\n;''", "b": [null, 1.5]}', ST_GeomFromText('POINT(1 -2.5)'), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'),
	 '🦆漢', 'é;'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 0, 0, 0, 0, 0, 0, 0, b'0', false, '', '', '', '', '', '', '', '', '', '', '0001-01-01', '0', '0001-01-01', '1970-01-02', 1901, 'null', NULL, NULL, '', '');
INSERT INTO parted VALUES (1, '1999-12-31'), (2, '2024-01-01');
INSERT INTO flat VALUES (1, ';'), (NULL, NULL);
INSERT INTO `Größe` VALUES (1), (NULL);

CREATE FUNCTION shout(what varchar(200) CHARSET utf8mb4) RETURNS varchar(200) CHARSET utf8mb4 DETERMINISTIC NO SQL
	COMMENT 'says; it'
	RETURN CONCAT(UPPER(what), ';');
CREATE PROCEDURE `walk; it`(IN top int, OUT total int)
	MODIFIES SQL DATA
BEGIN
	-- a comment; with a semicolon and a ' quote
	DECLARE done int DEFAULT 0; # another; '
	DECLARE one int;
	DECLARE cur CURSOR FOR SELECT id FROM `user` WHERE id <= top;
	DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
	SET total = 0;
	OPEN cur;
	`loop`: LOOP
		FETCH cur INTO one;
		IF done THEN LEAVE `loop`; END IF;
		SET total = total + CASE WHEN one > 2 THEN 10 ELSE 1 END;
		CASE one WHEN 1 THEN SET total = total; ELSE BEGIN END; END CASE;
	END LOOP;
	CLOSE cur;
	WHILE total > 100 DO SET total = total - 1; END WHILE;
	REPEAT SET total = total + 1; UNTIL total > 5 END REPEAT;
END;
CREATE TRIGGER `stamp; it` BEFORE INSERT ON `user` FOR EACH ROW
BEGIN
	IF NEW.`select` IS NULL THEN
		SET NEW.`select` = 'stamped; ''it''';
	END IF;
END;
CREATE TRIGGER second_one BEFORE INSERT ON `user` FOR EACH ROW FOLLOWS `stamp; it` SET NEW.`Full Name` = CONCAT(NEW.`Full Name`, '');
CREATE TRIGGER upd AFTER UPDATE ON parted FOR EACH ROW INSERT INTO flat VALUES (NEW.id, 'moved;');
CREATE EVENT `every; day` ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ENABLE COMMENT 'at; night' DO BEGIN DELETE FROM flat WHERE id < 0; DELETE FROM flat WHERE id < -1; END;
CREATE EVENT once ON SCHEDULE AT '2037-12-31 00:00:00' ON COMPLETION PRESERVE DISABLE DO SET @x = ';';
CREATE VIEW names AS SELECT id, `Full Name` AS name, ';' AS semi FROM `user`;
CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW `names later` AS SELECT n.id, shout(n.name) AS shout FROM names n WHERE n.id > 1 WITH LOCAL CHECK OPTION;
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT';
CREATE PROCEDURE "other quotes"() SELECT "id" || '\' || ';' FROM "user";
