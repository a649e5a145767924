PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE `atlas_schema_revisions` (`version` text NOT NULL, `description` text NOT NULL, `type` integer NOT NULL DEFAULT (2), `applied` integer NOT NULL DEFAULT (0), `total` integer NOT NULL DEFAULT (0), `executed_at` datetime NOT NULL, `execution_time` integer NOT NULL, `error` text NULL, `error_stmt` text NULL, `hash` text NOT NULL, `partial_hashes` json NULL, `operator_version` text NOT NULL, PRIMARY KEY (`version`));
INSERT INTO atlas_schema_revisions VALUES('1','author',2,1,1,'2026-11-23 04:17:01.945780148+00:00',81324,'','','u5HfIzLY2+oYl/YhrD/p07fsuxeH/P7lGCDram8CGDE=',X'6e756c6c','Atlas CLI - development');
INSERT INTO atlas_schema_revisions VALUES('2','book',2,2,2,'2026-11-23 04:17:01.949062956+00:00',171769,'','','0KhaoqNb99mb8C2TvFPJUrL116t2B1HztpgcwgnKglE=',X'6e756c6c','Atlas CLI - development');
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
COMMIT;
