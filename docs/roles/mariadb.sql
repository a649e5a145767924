-- Four accounts for one database on MariaDB 10.5 or newer: what each may do, and
-- nothing else. ../security.md says why each right is there.
--
-- Two words are to be replaced: the name of the database, which the accounts' names
-- begin with, and the addresses that they may come from. Run it as an administrator:
--
--   sed "s/notes/mydb/g; s/10\.%/192.168.7.%/g" docs/roles/mariadb.sql | mariadb --binary-mode
--
-- Where Config.Table (TLDWDB_TABLE) names another history table, s/tldwdb_history/its_name/g
-- belongs into the same sed: without it the application could write the history.
--
-- Run it once before the first migration and once after it, when there are tables to
-- give rights on. It may be run at any time again. The accounts come locked and without a
-- password; ALTER USER 'notes_app'@'10.%' IDENTIFIED BY '...' ACCOUNT UNLOCK opens
-- one. REQUIRE SSL is to be left out on a server without TLS.

CREATE DATABASE IF NOT EXISTS notes CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'notes_migrator'@'10.%' REQUIRE SSL ACCOUNT LOCK;
CREATE USER IF NOT EXISTS 'notes_app'@'10.%' REQUIRE SSL ACCOUNT LOCK;
CREATE USER IF NOT EXISTS 'notes_monitor'@'10.%' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 ACCOUNT LOCK;
CREATE USER IF NOT EXISTS 'notes_backup'@'10.%' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 ACCOUNT LOCK;

-- Migrator: all of this database, no other, and no GRANT OPTION. An underscore in
-- a name after ON stands for any character: write my\_db there.
GRANT ALL PRIVILEGES ON notes.* TO 'notes_migrator'@'10.%';

-- Application: routines. Its rights on tables come below, table by table: a right on
-- notes.* would be one on the history too, which cannot be taken back for one table.
GRANT EXECUTE ON notes.* TO 'notes_app'@'10.%';

-- Monitor: SHOW VIEW lets it see that a table is there and how large it is, and no
-- row of it. REPLICA MONITOR is for the lag of a replica. With the commented line it would
-- see everybody's sessions, and with that the text of their statements, values included.
GRANT SHOW VIEW ON notes.* TO 'notes_monitor'@'10.%';
GRANT REPLICA MONITOR ON *.* TO 'notes_monitor'@'10.%';
-- GRANT PROCESS ON *.* TO 'notes_monitor'@'10.%';

-- Backup: reads all that a dump has in it, and writes no row. It could make triggers
-- and events, or drop them: who may not, does not see them, and leaves them out without
-- a word. Without the last right the dump is well and has no routines.
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON notes.* TO 'notes_backup'@'10.%';
GRANT SELECT ON mysql.proc TO 'notes_backup'@'10.%';

-- The rights on tables. A migration that makes a table is followed by a call of this
-- procedure, which the migrator may make though it may not grant: it runs with the
-- rights of whoever has run this file. It stands in a database of its own, where the
-- migrator cannot replace it.
CREATE DATABASE IF NOT EXISTS notes_roles CHARACTER SET utf8mb4;
DROP PROCEDURE IF EXISTS notes_roles.grant_tables;
DELIMITER //
CREATE PROCEDURE notes_roles.grant_tables() SQL SECURITY DEFINER MODIFIES SQL DATA
BEGIN
    DECLARE statement_text text;
    DECLARE ended boolean DEFAULT FALSE;
    -- Only what is missing: each GRANT is an entry in the binary log.
    DECLARE missing CURSOR FOR
        SELECT CONCAT('GRANT ', wanted.rights, ' ON notes.`', REPLACE(t.table_name, '`', '``'), '` TO ''', wanted.account, '''@''10.%''')
        FROM information_schema.tables t
        JOIN (
            SELECT 'notes_app' AS account, 'SELECT, INSERT, UPDATE, DELETE' AS rights, 4 AS number, FALSE AS history
            UNION ALL SELECT 'notes_app', 'SELECT', 1, TRUE
            UNION ALL SELECT 'notes_monitor', 'SELECT', 1, TRUE
        ) wanted ON wanted.history = (t.table_name IN ('tldwdb_history', 'tldwdb_history_lease'))
        WHERE t.table_schema = 'notes' AND wanted.number > (
            SELECT COUNT(*) FROM information_schema.table_privileges p
            WHERE p.table_schema = t.table_schema AND p.table_name = t.table_name
                AND p.grantee = CONCAT('''', wanted.account, '''@''10.%'''));
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET ended = TRUE;
    OPEN missing;
    each_one: LOOP
        FETCH missing INTO statement_text;
        IF ended THEN
            LEAVE each_one;
        END IF;
        SET @notes_statement = statement_text;
        PREPARE grant_statement FROM @notes_statement;
        EXECUTE grant_statement;
        DEALLOCATE PREPARE grant_statement;
    END LOOP;
    CLOSE missing;
    SET @notes_statement = NULL;
END//
DELIMITER ;
GRANT EXECUTE ON PROCEDURE notes_roles.grant_tables TO 'notes_migrator'@'10.%';
CALL notes_roles.grant_tables();
