-- Four roles for one database on PostgreSQL 12 or newer: what each may do, and
-- nothing else. ../security.md says why each right is there.
--
-- One word is to be replaced, the name of the database, which the roles' names
-- begin with. Run it as a superuser, connected to that database:
--
--   sed 's/notes/mydb/g' docs/roles/postgres.sql | psql -X -v ON_ERROR_STOP=1 -d mydb
--
-- Where Config.Table (TLDWDB_TABLE) names another history table, s/tldwdb_history/its_name/g
-- belongs into the same sed: without it the application could write the history.
--
-- Run it once before the first migration and once after it, when there is a history
-- table to give rights on. It may be run at any time again. The roles come without
-- passwords, and so cannot sign in with one: \password notes_app sets it.

SET client_min_messages = warning;

-- Roles. notes_owner and notes_rw cannot sign in: they hold rights, so that a
-- second account for the same work (notes_app_b, while a password is rotated) is
-- GRANT notes_rw TO notes_app_b.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['notes_owner', 'notes_rw'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['notes_migrator', 'notes_app', 'notes_monitor', 'notes_backup'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END
$$;

-- The database. PUBLIC is every role of the server, those of other databases too.
REVOKE ALL ON DATABASE notes FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE notes TO notes_migrator, notes_rw, notes_monitor, notes_backup;

-- Owner and migrator. What a migration makes belongs to notes_owner, whoever signs
-- in: without the SET, the default rights below would not apply.
ALTER SCHEMA public OWNER TO notes_owner;
GRANT notes_owner TO notes_migrator;
ALTER ROLE notes_migrator IN DATABASE notes SET role = 'notes_owner';

-- Application: the rows of all tables, those of tomorrow's migrations included.
GRANT notes_rw TO notes_app;
GRANT USAGE ON SCHEMA public TO notes_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO notes_rw;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO notes_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO notes_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO notes_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner GRANT EXECUTE ON FUNCTIONS TO notes_rw;

-- Monitor: it sees that a table is there and how large it is, and no row of it.
-- With the last line it would also see who waits for whom and how far a standby is
-- behind, and with that the text of everybody's statements, values included.
ALTER ROLE notes_monitor CONNECTION LIMIT 5;
GRANT USAGE ON SCHEMA public TO notes_monitor;
-- GRANT pg_read_all_stats TO notes_monitor;

-- Backup: reads all rows, also those that row-level security hides, and writes
-- nothing. PostgreSQL's own pg_read_all_data would be too much: it reads every
-- database of the server that lets PUBLIC connect, and the verifiers of all passwords.
-- Schemas beside public need the same lines, and large objects, which have no default
-- rights, GRANT SELECT ON LARGE OBJECT each: a dump that meets one fails, and says so.
ALTER ROLE notes_backup BYPASSRLS CONNECTION LIMIT 5;
ALTER ROLE notes_backup IN DATABASE notes SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO notes_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO notes_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO notes_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner IN SCHEMA public GRANT SELECT ON TABLES TO notes_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner IN SCHEMA public GRANT SELECT ON SEQUENCES TO notes_backup;
DO $$
BEGIN
    IF to_regrole('pg_read_all_data') IS NOT NULL THEN -- there since PostgreSQL 14; an older copy of this file gave it
        SET LOCAL client_min_messages = error;
        REVOKE pg_read_all_data FROM notes_backup;
    END IF;
END
$$;

-- The history of the migrations is written by whoever migrates, and by nobody else.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tldwdb_history', 'tldwdb_history_lease'] LOOP
        IF to_regclass('public.' || name) IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON public.%I FROM notes_rw', name);
            EXECUTE format('GRANT SELECT ON public.%I TO notes_rw, notes_monitor', name);
        END IF;
    END LOOP;
END
$$;
