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
INSERT INTO _prisma_migrations VALUES('796cd11f-5608-4d8f-bbcc-f7cda1a906d7','958a4603863a3ae9631fcc25c74415eed450e518c4cbe0ed1b04e7b1642c41ab','2026-11-23T04:44:05.853+00:00','20240101000001_author',NULL,NULL,'2026-11-23T04:44:05.809+00:00',1);
INSERT INTO _prisma_migrations VALUES('c2949584-eff7-4a3b-b3bd-c9cb54e9cbff','9cff52769b64f0255da4560c3cc45f772b5fcbf8c357fe7ffaae169edeff62f8','2026-11-23T04:44:05.916+00:00','20240101000002_book',NULL,NULL,'2026-11-23T04:44:05.866+00:00',1);
INSERT INTO _prisma_migrations VALUES('c59a9626-2f61-4ae9-a2c0-e5c6bbc2a91d','c71d2e4015664961b213037c08f3e393865347b71ba771bcee670411f3ad4dff',NULL,'20240101000003_year',replace('SQLITE_ERROR: near "nothing": syntax error\n   0: sql_schema_connector::apply_migration::apply_script\n           with migration_name="20240101000003_year"\n             at schema-engine/connectors/sql-schema-connector/src/apply_migration.rs:113\n   1: schema_commands::commands::apply_migrations::Applying migration\n           with migration_name="20240101000003_year"\n             at schema-engine/commands/src/commands/apply_migrations.rs:95\n   2: schema_engine_wasm::wasm::engine::ApplyMigrations\n             at schema-engine/schema-engine-wasm/src/wasm/engine.rs:167','\n',char(10)),NULL,'2026-11-23T04:44:05.933+00:00',0);
CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);
INSERT INTO author VALUES(1,'Ada');
CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));
COMMIT;
