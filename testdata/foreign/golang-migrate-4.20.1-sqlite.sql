PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_migrations (version uint64,dirty bool);
INSERT INTO schema_migrations VALUES(2,0);
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
CREATE UNIQUE INDEX version_unique ON schema_migrations (version);
COMMIT;
