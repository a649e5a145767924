PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES('a91b6cd24e07');
INSERT INTO alembic_version VALUES('7d2b04c8e6aa');
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
CREATE TABLE shelf (id integer);
COMMIT;
