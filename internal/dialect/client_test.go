package dialect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// TestClientStatements: what a client would read otherwise than the server is
// written in another way; the rest stands as it is.
func TestClientStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, statement, want string }{
		{"postgres", "SELECT 1", "SELECT 1;"},
		{"postgres", "SELECT ':a', $$ :a $$, b::text, f(x := 1), \":c\"", "SELECT ':a', $$ :a $$, b::text, f(x := 1), \":c\";"},
		{"postgres", "SELECT a[1:n]", `SELECT $tldwdb$SELECT a[1:n]$tldwdb$ \gexec`},
		{"postgres", "SELECT a[1:n], '$tldwdb$'", `SELECT $tldwdb1$SELECT a[1:n], '$tldwdb$'$tldwdb1$ \gexec`},
		{"postgres", "SELECT a[1:'2']", `SELECT $tldwdb$SELECT a[1:'2']$tldwdb$ \gexec`},
		{"postgres", "SELECT 'a'\n'b'", "SELECT $tldwdb$SELECT 'a'\n'b'$tldwdb$ \\gexec"},
		{"postgres", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END", `SELECT $tldwdb$CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END$tldwdb$ \gexec`},
		{"postgres", "COPY t FROM stdin;\n1\ta\n\\.\n", "COPY t FROM stdin;\n1\ta\n\\."},
		{"mysql", "SELECT 1", "SELECT 1;"},
		{"mysql", "SELECT ';'", "DELIMITER //\nSELECT ';'\n//\nDELIMITER ;"},
		{"mysql", "SELECT 'http://;'", "DELIMITER //1//\nSELECT 'http://;'\n//1//\nDELIMITER ;"},
		{"mysql", "/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1; */", "/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */;"},
		{"sqlite", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END;"},
	} {
		d := offline(t, c.dialect)
		list, err := sqlscan.Split(c.statement, d.ScanOptions())
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %d statements, %v", c.statement, len(list), err)
		}
		if got := d.Client(ClientOptions{Table: "h"}).Statement(list[0]); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.dialect, got, c.want)
		}
	}
}

func offline(t *testing.T, name string) Dialect {
	t.Helper()
	d, err := Offline(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestClientSession: what a file sets is set back, and what it made is taken away.
func TestClientSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, file, before, after string }{
		{"mysql", "SELECT 1; SET @a = 1, @`b` = (SELECT 2, 3)", "", "SET @`a` = NULL, @`b` = NULL;"},
		{"mysql", "SET @OLD=@@SQL_MODE, SQL_MODE='', SESSION time_zone = '+00:00', @@unique_checks = 0, @@LOCAL.foreign_key_checks=0, GLOBAL max_connections = 5, @@GLOBAL.x = 1",
			"SET @tldwdb_foreign_key_checks = @@SESSION.foreign_key_checks, @tldwdb_sql_mode = @@SESSION.sql_mode, @tldwdb_time_zone = @@SESSION.time_zone, @tldwdb_unique_checks = @@SESSION.unique_checks;",
			"SET SESSION foreign_key_checks = @tldwdb_foreign_key_checks, SESSION sql_mode = @tldwdb_sql_mode, SESSION time_zone = @tldwdb_time_zone, SESSION unique_checks = @tldwdb_unique_checks; SET @`old` = NULL;"},
		{"mysql", "/*!40101 SET NAMES utf8 */; SET timestamp = 7, insert_id = 3",
			"SET @tldwdb_character_set_client = @@SESSION.character_set_client, @tldwdb_character_set_results = @@SESSION.character_set_results, @tldwdb_collation_connection = @@SESSION.collation_connection;",
			"SET SESSION character_set_client = @tldwdb_character_set_client, SESSION character_set_results = @tldwdb_character_set_results, SESSION collation_connection = @tldwdb_collation_connection, SESSION timestamp = DEFAULT;"},
		{"mysql", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET TRANSACTION READ ONLY",
			"SET @tldwdb_transaction_isolation = @@SESSION.transaction_isolation, @tldwdb_transaction_read_only = @@SESSION.transaction_read_only;",
			"SET SESSION transaction_isolation = @tldwdb_transaction_isolation, SESSION transaction_read_only = @tldwdb_transaction_read_only;"},
		{"mariadb", "SET STATEMENT max_statement_time = 1 FOR SELECT 1; SET ROLE r; LOCK TABLES t WRITE; USE other; CREATE TEMPORARY TABLE x (id int)", "",
			"UNLOCK TABLES; SET ROLE DEFAULT; DROP TEMPORARY TABLE IF EXISTS `x`; USE `db`; DROP TEMPORARY TABLE IF EXISTS `x`;"},
		{"sqlite", "PRAGMA main.legacy_alter_table = ON; PRAGMA cache_size = 5; ATTACH 'f' AS \"o\"; CREATE TEMP TABLE a(x); CREATE TEMPORARY VIEW IF NOT EXISTS temp.b AS SELECT 1", "",
			`DROP VIEW IF EXISTS temp."b"; DROP TABLE IF EXISTS temp."a"; DETACH "o"; PRAGMA legacy_alter_table = OFF;`},
		{"postgres", "SET search_path = x", "", "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP; UNLISTEN *; CLOSE ALL; SET client_encoding = 'UTF8';"},
	} {
		d := offline(t, c.dialect)
		list, err := sqlscan.Split(c.file, d.ScanOptions())
		if err != nil {
			t.Fatal(err)
		}
		client := d.Client(ClientOptions{Table: "h", Database: "db"})
		if got := strings.Join(client.Before(list), " "); got != c.before {
			t.Errorf("before %s\n%s\nwant\n%s", c.file, got, c.before)
		}
		if got := strings.Join(client.After(list), " "); got != c.after {
			t.Errorf("after %s\n%s\nwant\n%s", c.file, got, c.after)
		}
	}
}

// TestClientText: no text can end its line, or run something.
func TestClientText(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"postgres": "\\echo 'it''s `id` :HOST \\\\q'",
		"sqlite":   "SELECT 'it''s `id` :HOST \\q';",
		"mariadb":  "SELECT _utf8mb4 x'6974277320606964602" + "03a484f5354205c71' AS tldwdb;",
	} {
		if got := offline(t, name).Client(ClientOptions{Table: "h"}).Say("it's `id` :HOST \\q"); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	u, err := dburl.Parse("mysql://u@h/db?collation=utf8mb4_bin&sql_mode='ANSI'")
	if err != nil {
		t.Fatal(err)
	}
	open := offline(t, "mysql").Client(ClientOptions{Table: "h", URL: u}).Open()
	for _, want := range []string{"SET NAMES utf8mb4 COLLATE utf8mb4_bin;", "SET SESSION sql_mode = 'ANSI';"} {
		if !slices.Contains(open, want) {
			t.Errorf("the session begins with %q: %q is missing", open, want)
		}
	}
	maria := offline(t, "mariadb").Client(ClientOptions{Table: "h"})
	if got := append(maria.Limit(90*time.Second), maria.Limit(0)...); !slices.Equal(got, []string{"SET SESSION max_statement_time = 90.000;", "SET SESSION max_statement_time = DEFAULT;"}) {
		t.Errorf("the limits are %q", got)
	}
}
