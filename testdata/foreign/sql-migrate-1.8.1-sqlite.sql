PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "gorp_migrations" ("id" varchar(255) not null primary key, "applied_at" datetime);
INSERT INTO gorp_migrations VALUES('1_author.sql','2026-11-23 04:15:55.610802515+00:00');
INSERT INTO gorp_migrations VALUES('2_book.sql','2026-11-23 04:15:55.612056329+00:00');
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
COMMIT;
