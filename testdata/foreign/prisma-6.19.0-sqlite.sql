PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id"                    TEXT PRIMARY KEY NOT NULL,
    "checksum"              TEXT NOT NULL,
    "finished_at"           DATETIME,
    "migration_name"        TEXT NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        DATETIME,
    "started_at"            DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count"   INTEGER UNSIGNED NOT NULL DEFAULT 0
);
INSERT INTO _prisma_migrations VALUES('83375ddb-2fbc-4d2f-ae27-c3dd1d5b4153','958a4603863a3ae9631fcc25c74415eed450e518c4cbe0ed1b04e7b1642c41ab','2026-11-23T04:44:04.270+00:00','20240101000001_author',NULL,NULL,'2026-11-23T04:44:04.263+00:00',1);
INSERT INTO _prisma_migrations VALUES('e41e4226-b565-4e8e-8210-b81d564f5752','9cff52769b64f0255da4560c3cc45f772b5fcbf8c357fe7ffaae169edeff62f8','2026-11-23T04:44:04.278+00:00','20240101000002_book',NULL,NULL,'2026-11-23T04:44:04.272+00:00',1);
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
COMMIT;
