package ddl_test

import (
	"testing"

	"github.com/tldw/tldwdb/internal/ddl"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

func TestLeftOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d          sqlscan.Dialect
		text, want string
	}{
		{sqlscan.Postgres, "GRANT SELECT ON t TO r", "rights"},
		{sqlscan.Postgres, "/* x */ revoke all on t from public", "rights"},
		{sqlscan.Postgres, "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO r", "rights"},
		{sqlscan.Postgres, "ALTER TABLE t OWNER TO r", "owners"},
		{sqlscan.Postgres, "ALTER TABLE t ADD owner text", ""},
		{sqlscan.Postgres, `ALTER TABLE t ADD "owner" "to"`, ""},
		{sqlscan.Postgres, "CREATE SCHEMA s AUTHORIZATION r", "owners"},
		{sqlscan.Postgres, "CREATE SCHEMA s", ""},
		{sqlscan.Postgres, "SET ROLE r", "owners"},
		{sqlscan.Postgres, "SET search_path = s", ""},
		{sqlscan.Postgres, "REASSIGN OWNED BY a TO b", "owners"},
		{sqlscan.Postgres, "CREATE ROLE r", "accounts"},
		{sqlscan.Postgres, "ALTER USER r SET search_path = s", "accounts"},
		{sqlscan.Postgres, "CREATE USER MAPPING FOR r SERVER s", ""},
		{sqlscan.Postgres, "ALTER DATABASE d SET work_mem = '1MB'", "the database as such"},
		{sqlscan.Postgres, "COMMENT ON DATABASE d IS 'x'", "the database as such"},
		{sqlscan.Postgres, "COMMENT ON TABLE t IS 'GRANT'", ""},
		{sqlscan.Postgres, "SECURITY LABEL FOR p ON ROLE r IS 'x'", "the server"},
		{sqlscan.Postgres, "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "the server"},
		{sqlscan.Postgres, "DO $$ BEGIN EXECUTE format('GRANT SELECT ON %I TO r', 't'); END $$", "rights"},
		{sqlscan.Postgres, "DO $$ BEGIN CREATE TABLE granted (id int); END $$", ""},
		{sqlscan.Postgres, "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'GRANT SELECT ON t TO r'", ""},
		{sqlscan.Postgres, "CREATE EXTENSION pgcrypto", ""},
		{sqlscan.MySQL, "GRANT SELECT ON t TO r", "rights"},
		{sqlscan.MySQL, "CREATE USER IF NOT EXISTS 'a'@'%'", "accounts"},
		{sqlscan.MySQL, "CREATE OR REPLACE ROLE r", "accounts"},
		{sqlscan.MySQL, "SET PASSWORD FOR a = 'x'", "accounts"},
		{sqlscan.MySQL, "SET GLOBAL max_connections = 5", "the server"},
		{sqlscan.MySQL, "SET sql_mode = '', GLOBAL max_connections = 5", "the server"},
		{sqlscan.MySQL, "SET @@GLOBAL.max_connections = 5", "the server"},
		{sqlscan.MySQL, "SET @@SESSION.sql_mode = ''", ""},
		{sqlscan.MySQL, "ALTER DATABASE CHARACTER SET utf8mb4", "the database as such"},
		{sqlscan.MySQL, "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'", "the server"},
		{sqlscan.MySQL, "CREATE DEFINER = 'a'@'%' VIEW v AS SELECT 1", "owners"},
		{sqlscan.MySQL, "CREATE DEFINER = CURRENT_USER VIEW v AS SELECT 1", ""},
		{sqlscan.MySQL, "PREPARE s FROM 'GRANT SELECT ON t TO r'", "rights"},
		{sqlscan.MySQL, "CREATE TABLE t (definer int, `role` int)", ""},
		{sqlscan.SQLite, "ATTACH 'x' AS x", "the database's file"},
		{sqlscan.SQLite, "PRAGMA main.journal_mode = WAL", "the database's file"},
		{sqlscan.SQLite, "PRAGMA journal_mode", ""},
		{sqlscan.SQLite, "PRAGMA user_version = 3", ""},
		{sqlscan.SQLite, "CREATE TABLE t (id int)", ""},
	} {
		if got := ddl.LeftOut(sqlscan.Statement{Text: c.text}, sqlscan.Options{Dialect: c.d}); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

// What is shown of a statement has no password in it.
func TestMasked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d          sqlscan.Dialect
		text, want string
	}{
		{sqlscan.Postgres, `CREATE ROLE "r" PASSWORD 'a''b' VALID UNTIL E'x\'y'`, `CREATE ROLE "r" PASSWORD '***' VALID UNTIL '***'`},
		{sqlscan.Postgres, "CREATE ROLE r PASSWORD $$secret$$", "CREATE ROLE r PASSWORD '***'"},
		{sqlscan.Postgres, "DO $x$ BEGIN\nCREATE ROLE r PASSWORD 'secret';\nEND $x$", "DO $x$ BEGIN\nCREATE ROLE r PASSWORD '***';\nEND $x$"},
		{sqlscan.MySQL, "CREATE USER u@'%' IDENTIFIED BY \"secret\", v IDENTIFIED BY 'x'", "CREATE USER u@'***' IDENTIFIED BY '***', v IDENTIFIED BY '***'"},
		{sqlscan.MySQL, "GRANT ALL ON `d`.* TO u", "GRANT ALL ON `d`.* TO u"},
	} {
		if got := ddl.Masked(c.text, sqlscan.Options{Dialect: c.d}); got != c.want {
			t.Errorf("%s\n gives %s\n want  %s", c.text, got, c.want)
		}
	}
}
