package tldwdb_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// scriptClients are the programs that run a script, in the order in which they
// are looked for, and the variable that names another one.
var scriptClients = map[testdb.Engine]struct {
	programs []string
	variable string
}{
	testdb.SQLite:   {[]string{"sqlite3"}, "TLDWDB_TEST_SQLITE3"},
	testdb.Postgres: {[]string{"psql"}, "TLDWDB_TEST_PSQL"},
	testdb.MariaDB:  {[]string{"mariadb", "mysql"}, "TLDWDB_TEST_MARIADB_CLIENT"},
	testdb.MySQL:    {[]string{"mysql", "mariadb"}, "TLDWDB_TEST_MYSQL_CLIENT"},
}

// clientRuns gives a script to the engine's own client, in the way that its header
// says, and returns what that prints.
func clientRuns(t *testing.T, tdb *testdb.Database, script string) (string, error) {
	t.Helper()
	client := scriptClients[tdb.Engine]
	program := os.Getenv(client.variable)
	for _, name := range client.programs {
		if found, err := exec.LookPath(name); program == "" && err == nil {
			program = found
		}
	}
	if program == "" {
		t.Skipf("no %s in PATH, and %s is not set: scripts are not tested on %s", strings.Join(client.programs, " or "), client.variable, tdb.Engine)
	}
	u, err := url.Parse(tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "script.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	switch tdb.Engine {
	case testdb.SQLite:
		args = []string{"-bail", u.Path}
	case testdb.Postgres:
		args = []string{"-X", "-v", "ON_ERROR_STOP=1", "-d", withoutPassword(u), "-f", file}
	default:
		args = []string{"--no-defaults", "--protocol=tcp", "--host=" + u.Hostname(), "--port=" + u.Port(), "--user=" + u.User.Username(),
			"--binary-mode", "--comments", "--show-warnings", strings.TrimPrefix(u.Path, "/")}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	password, _ := u.User.Password()
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+password, "PGPASSWORD="+password)
	cmd.Stdin = strings.NewReader(script)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	return output.String(), err
}

// scriptOf writes a script without a database.
func scriptOf(t *testing.T, tdb *testdb.Database, f files, from int64, req tldwdb.Request, edits ...func(*tldwdb.Config)) string {
	t.Helper()
	var text strings.Builder
	err := tldwdb.Script(&text, configFor(tdb, f, edits...), tldwdb.ScriptRequest{Dialect: string(tdb.Engine), From: from, Request: req})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
	return text.String()
}

// run runs a script that must succeed.
func (s scripted) run(t *testing.T, tdb *testdb.Database) {
	t.Helper()
	if output, err := clientRuns(t, tdb, string(s)); err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, s)
	}
}

type scripted string

// sameHistory is the history without what no two runs have in common.
func sameHistory(t *testing.T, tdb *testdb.Database) string {
	t.Helper()
	return rowsOf(t, tdb.AdminDB(t), "SELECT set_name, version, repeatable, CASE WHEN repeatable = 'lock' THEN '' ELSE name END, checksum, state, direction, done, steps, intent,"+
		" CASE WHEN finished_at IS NULL OR finished_at < started_at THEN 'no end' ELSE 'ended' END, CASE WHEN duration_ms >= 0 THEN 1 END, tool_version, error, down_sql FROM "+historyTable+" ORDER BY set_name, version, repeatable")
}

// scriptFiles have something of everything that a client could read otherwise
// than the server, and of everything that a file can leave in its session.
func scriptFiles(tdb *testdb.Database) files {
	f := library.with(files{
		"0004_it's `id` \\q :HOST $$; .up.sql": "CREATE TABLE texts (id integer NOT NULL PRIMARY KEY, s varchar(200));\n" +
			"INSERT INTO texts VALUES (1, 'a;b -- c'), (2, 'it''s /* no comment */'), (3, 'line\n\none\r\ntwo  ');\n-- a comment; with 'a quote\n" +
			"INSERT INTO texts /* here; too */ VALUES (4, 'żółw 🐢 ä'), (5, '\n.quit\n\\q\nDELIMITER //\ngo\n/\n');\nUPDATE texts SET s = 'no' WHERE id > 5;",
		"0004_it's `id` \\q :HOST $$; .down.sql": "DELETE FROM texts;\nDROP TABLE texts;",
	})
	switch tdb.Engine {
	case testdb.SQLite:
		return f.with(files{
			"0005_hard.up.sql": "CREATE TABLE parent (id integer PRIMARY KEY, v text);\nCREATE TABLE child (id integer PRIMARY KEY, p integer NOT NULL REFERENCES parent ON DELETE CASCADE);\n" +
				"INSERT INTO parent VALUES (1, 'x');\nINSERT INTO child VALUES (1, 1);\n" +
				"CREATE TRIGGER tr AFTER UPDATE ON parent BEGIN UPDATE child SET p = NEW.id WHERE p = OLD.id; INSERT INTO texts VALUES (90 + NEW.id, 'begin; end'); END;\n",
			"0005_hard.down.sql": "DROP TABLE child;\nDROP TABLE parent;",
			"0006_rebuild.up.sql": "CREATE TEMP TABLE keep AS SELECT * FROM parent;\nCREATE TABLE new_parent (id integer PRIMARY KEY, v text NOT NULL);\nINSERT INTO new_parent SELECT id, v FROM temp.keep;\n" +
				"DROP TABLE parent;\nALTER TABLE new_parent RENAME TO parent;\nCREATE TABLE positive (n integer CHECK (n > 0));\nPRAGMA ignore_check_constraints = ON;",
			"0006_rebuild.down.sql": "UPDATE parent SET v = 'back';\nDROP TABLE positive;",
			"0007_keys.up.sql": "-- tldwdb: foreign-keys=on\nCREATE TEMP TABLE keep (id integer);\nDELETE FROM parent;\nINSERT INTO parent VALUES (2, 'y');\n" +
				"INSERT OR IGNORE INTO positive VALUES (-1);\nINSERT INTO texts SELECT 70, count(*) FROM positive;",
			"0008_alone.up.sql":   "-- tldwdb: no-transaction\nINSERT INTO child VALUES (7, 2);\nVACUUM;\nINSERT INTO child VALUES (8, 2);",
			"0008_alone.down.sql": "-- tldwdb: no-transaction\nDELETE FROM child WHERE id > 6;\nVACUUM;",
		})
	case testdb.Postgres:
		return f.with(files{
			"0005_hard.up.sql": "CREATE SCHEMA other;\nSET search_path = other, public;\nCREATE TABLE far (id integer, a integer[]);\nSET client_encoding = 'LATIN1';\nSET client_encoding = 'UTF8';\n" +
				"INSERT INTO far SELECT 1, (ARRAY[1,2,3])[1:ENCODING] FROM (SELECT 2 AS encoding) e;\n" +
				"CREATE FUNCTION plain(a integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN -- ; :ENCODING \\q\n\n RETURN a; END $$;\n" +
				"CREATE FUNCTION named(a integer, b integer DEFAULT 2) RETURNS integer LANGUAGE sql AS 'SELECT a - b; SELECT a + b';\n" +
				"SELECT named(b:=1, a := 2), 'x'::text, E'\\'; \\\\', U&'d\\0061t', 'one'\n 'two';\n" +
				"COPY far FROM stdin;\n7\t{1,2}\n8\t\\N\n\\.\nINSERT INTO far VALUES (9, '{}');\nCREATE TEMP TABLE scratch (id integer);",
			"0005_hard.down.sql": "DROP SCHEMA other CASCADE;",
			"0006_scratch.up.sql": "-- tldwdb: lock-timeout=5s\n-- tldwdb: statement-timeout=1m\nCREATE TEMP TABLE scratch (id integer);\n" +
				"INSERT INTO texts VALUES (60, 'a\\');\nSET ROLE NONE;\nDO $tldwdb$ BEGIN PERFORM 1; END $tldwdb$;",
			"0006_scratch.down.sql": "DELETE FROM texts WHERE id = 60;",
			"0007_alone.up.sql": "-- tldwdb: no-transaction\nSET work_mem = '1MB';\nINSERT INTO texts VALUES (70, 'a;b');\nCREATE INDEX CONCURRENTLY texts_s ON texts (s);\n" +
				"ALTER TABLE texts ADD COLUMN n integer;\nVACUUM texts;\nSELECT count(*) FROM texts;\nCREATE PROCEDURE pr() LANGUAGE sql AS 'SELECT 1';\nCALL pr();\nDROP PROCEDURE pr();",
			"0007_alone.down.sql":  "-- tldwdb: no-transaction\nALTER TABLE texts DROP COLUMN n;\nDROP INDEX CONCURRENTLY texts_s;\nDELETE FROM texts WHERE id = 70;",
			"0008_settings.up.sql": "-- tldwdb: no-transaction\nSET work_mem = '1MB';",
		})
	}
	return f.with(files{
		"0005_hard.up.sql": "SET @n = 5, sql_mode = 'ANSI_QUOTES,NO_AUTO_VALUE_ON_ZERO';\nCREATE TABLE \"quoted\" (id integer AUTO_INCREMENT PRIMARY KEY,\ndelimiter varchar(9),\n  delimiter_two varchar(9) -- a comment; here\n);\n" +
			"SET NAMES latin1;\nSET NAMES utf8mb4;\nINSERT INTO quoted (id, delimiter) VALUES (0, 'a;b'), (@n, 'c');\n" +
			"CREATE PROCEDURE pr(IN a integer) BEGIN DECLARE i integer DEFAULT 0; /* body; comment */ WHILE i < a DO INSERT INTO texts VALUES (100 + i, 'it; is'); SET i = i + 1; END WHILE; END;\n" +
			"CREATE TRIGGER tr BEFORE INSERT ON quoted FOR EACH ROW BEGIN SET NEW.delimiter_two = '//'; END;\nCALL pr(2);\n" +
			"CREATE TEMPORARY TABLE scratch (id integer);\nINSERT INTO scratch VALUES (1);",
		"0005_hard.down.sql": "DROP TABLE quoted;\nDROP PROCEDURE pr;\nDELETE FROM texts WHERE id >= 100;",
		"0006_locks.up.sql": "-- tldwdb: lock-timeout=5s\n-- tldwdb: statement-timeout=1m\nCREATE TEMPORARY TABLE scratch (id integer);\nLOCK TABLES texts WRITE;\nINSERT INTO texts VALUES (60, \"double\");\n" +
			"UPDATE texts SET s = COALESCE(@n, 'unset') WHERE id = 60;\nUNLOCK TABLES;\nANALYZE TABLE texts;\n/*!50503 CREATE VIEW v AS SELECT id /*+ hint */ FROM texts */;\n" +
			"CREATE FUNCTION f() RETURNS integer DETERMINISTIC RETURN 1;\nTRUNCATE TABLE quoted;\nINSERT INTO texts VALUES (61, 'end')",
		"0006_locks.down.sql":  "DROP VIEW v;\nDROP FUNCTION f;\nDELETE FROM texts WHERE id IN (60, 61);",
		"0007_settings.up.sql": "SET time_zone = '+03:00';",
	})
}

// scriptRows are the rows of all tables that the files make.
func scriptRows(t *testing.T, tdb *testdb.Database) string {
	t.Helper()
	tables := []string{"author", "book", "texts"}
	switch tdb.Engine {
	case testdb.SQLite:
		tables = append(tables, "parent", "child")
	case testdb.Postgres:
		tables = append(tables, "other.far")
	default:
		tables = append(tables, "quoted")
	}
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(table + "\n" + rowsOf(t, tdb.AdminDB(t), "SELECT * FROM "+table+" ORDER BY 1") + "\n")
	}
	return all.String()
}

// TestScript runs a script with the engine's own client, and compares the database
// with one that this package has migrated: all at once, from half-way, and back.
func TestScript(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, f := t.Context(), scriptFiles(tdb)
		reference := testdb.New(t, tdb.Engine)
		up := open(t, reference, f)
		if _, err := up.Up(ctx); err != nil {
			t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
		}
		schema, rows, history := reference.Dump(t), scriptRows(t, reference), sameHistory(t, reference)
		same := func(t *testing.T, tdb *testdb.Database) {
			t.Helper()
			if got := tdb.Dump(t); got != schema {
				t.Errorf("the schema is\n%s\nwant\n%s", got, schema)
			}
			if got := scriptRows(t, tdb); got != rows {
				t.Errorf("the rows are\n%s\nwant\n%s", got, rows)
			}
			if got := sameHistory(t, tdb); got != history {
				t.Errorf("the history is\n%s\nwant\n%s", got, history)
			}
			db := open(t, tdb, f)
			if err := db.Check(ctx); err != nil {
				t.Error(err)
			}
			succeed(t, strings.Replace(outcome(&tldwdb.Result{}), "0 → 0", lastVersion(tdb)+" → "+lastVersion(tdb), 1))(db.Up(ctx))
		}
		whole := scriptOf(t, tdb, f, 0, tldwdb.Request{})
		scripted(whole).run(t, tdb)
		same(t, tdb)

		t.Run("the same again", func(t *testing.T) {
			output, err := clientRuns(t, tdb, whole)
			if err == nil || !strings.Contains(output, "tldwdb: there are migrations in this database already") {
				t.Errorf("a second run: %v\n%s", err, output)
			}
			same(t, tdb)
			if again := scriptOf(t, tdb, f, 0, tldwdb.Request{}); again != whole {
				t.Error("the same files make another script")
			}
		})
		t.Run("from half-way", func(t *testing.T) {
			tdb := testdb.New(t, tdb.Engine)
			if _, err := open(t, tdb, f).MigrateTo(ctx, 3); err != nil {
				t.Fatal(err)
			}
			early := scripted(scriptOf(t, tdb, f, 4, tldwdb.Request{}))
			if output, err := clientRuns(t, tdb, string(early)); err == nil || !strings.Contains(output, "tldwdb: this database is not at version 4, with 4 applied") {
				t.Errorf("from another version: %v\n%s", err, output)
			}
			script := scriptOf(t, tdb, f, 3, tldwdb.Request{})
			var online strings.Builder
			if err := open(t, tdb, f).Script(ctx, &online, tldwdb.Request{}); err != nil {
				t.Fatal(err)
			}
			// It knows that the repeatable migration has not run, or that it has.
			if got := online.String(); !strings.Contains(got, "for a database at version 3,") || strings.Count(got, "\n-- up ") != strings.Count(script, "\n-- up ") {
				t.Errorf("the script for this database is\n%s", got)
			}
			scripted(script).run(t, tdb)
			same(t, tdb)
		})
		t.Run("for this database", func(t *testing.T) {
			tdb := testdb.New(t, tdb.Engine)
			db := open(t, tdb, f)
			if _, err := db.MigrateTo(ctx, 4); err != nil {
				t.Fatal(err)
			}
			var script strings.Builder
			if err := db.Script(ctx, &script, tldwdb.Request{}); err != nil {
				t.Fatal(err)
			}
			scripted(script.String()).run(t, tdb)
			same(t, tdb)
			script.Reset()
			if err := db.Script(ctx, &script, tldwdb.Request{}); err != nil || !strings.Contains(script.String(), "nothing to do") {
				t.Errorf("with nothing to do: %v\n%s", err, script.String())
			}
			scripted(script.String()).run(t, tdb)
		})
		t.Run("repeatable", func(t *testing.T) {
			for _, text := range []string{"CREATE VIEW titles AS SELECT title, year FROM book;", "CREATE VIEW titles AS SELECT year FROM book;"} {
				f := f.with(files{"R__titles.sql": "DROP VIEW IF EXISTS titles;\n" + text})
				db := open(t, tdb, f)
				var script strings.Builder
				err := db.Script(ctx, &script, tldwdb.Request{})
				if strings.Contains(text, "title,") { // without the database too
					script.Reset()
					script.WriteString(scriptOf(t, tdb, f, atoi(lastVersion(tdb)), tldwdb.Request{}))
				}
				if err != nil {
					t.Fatal(err)
				}
				scripted(script.String()).run(t, tdb)
				if err := db.Check(ctx); err != nil {
					t.Error(err)
				}
			}
			if got := rowsOf(t, tdb.AdminDB(t), "SELECT * FROM titles"); got != "1843" {
				t.Errorf("the view has %q", got)
			}
			scripted(scriptOf(t, tdb, f, atoi(lastVersion(tdb)), tldwdb.Request{})).run(t, tdb)
			same(t, tdb)
		})
		t.Run("back", func(t *testing.T) {
			back := tldwdb.Request{Goal: tldwdb.GoalVersion, Version: 4}
			if tdb.Engine == testdb.SQLite {
				f = f.with(files{"0007_keys.down.sql": "SELECT 1;"})
			}
			if tdb.Engine == testdb.Postgres {
				f = f.with(files{"0008_settings.down.sql": "SELECT 1;"})
			}
			if isMySQL(tdb) {
				f = f.with(files{"0007_settings.down.sql": "SELECT 1;"})
			}
			succeedDown(t, open(t, reference, f), back)
			schema, history = reference.Dump(t), sameHistory(t, reference)
			script := scriptOf(t, tdb, f, atoi(lastVersion(tdb)), back)
			scripted(script).run(t, tdb)
			if got := tdb.Dump(t); got != schema {
				t.Errorf("the schema is\n%s\nwant\n%s", got, schema)
			}
			if got := sameHistory(t, tdb); got != history {
				t.Errorf("the history is\n%s\nwant\n%s", got, history)
			}
			// And the rest by Down, with what the script has stored, without the files.
			if _, err := open(t, tdb, files{"9_later.up.sql": "SELECT 1;"}).Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalDown, Steps: 2}); err != nil {
				t.Error(err)
			}
		})
	})
}

func succeedDown(t *testing.T, db *tldwdb.DB, req tldwdb.Request) {
	t.Helper()
	if _, err := db.Migrate(t.Context(), req); err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
}

func lastVersion(tdb *testdb.Database) string {
	if isMySQL(tdb) {
		return "7"
	}
	return "8"
}

func atoi(s string) int64 { return int64(s[0] - '0') }

// TestScriptCutAnywhere ends the client after each statement of a script's second
// and third migration, as if it had been killed there. The next Up ends at the same schema, with every statement
// having taken effect once.
func TestScriptCutAnywhere(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{
			"1_log.up.sql":   "CREATE TABLE log (what varchar(20));\nINSERT INTO log VALUES ('made');",
			"1_log.down.sql": "DROP TABLE log;",
			"2_b.up.sql": "INSERT INTO log VALUES ('two');\nCREATE TABLE b (id integer NOT NULL PRIMARY KEY, v integer);\nINSERT INTO b VALUES (1, 1);\n" +
				"ALTER TABLE b ADD COLUMN w integer;\nUPDATE b SET v = v + 1;\nCREATE INDEX b_v ON b (v);\nINSERT INTO log VALUES ('end of two');",
			"3_alone.up.sql": "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('three');\nCREATE TABLE c (id integer);\nUPDATE b SET v = v + 1;\n" +
				pick(tdb, "VACUUM;\n", "CREATE INDEX CONCURRENTLY c_id ON c (id);\n", "") + "INSERT INTO log VALUES ('end of three');",
		}
		check := "SELECT what, count(*) FROM log GROUP BY what ORDER BY what"
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSchema, wantRows := tdb.Dump(t), rowsOf(t, tdb.AdminDB(t), check)
		script := scriptOf(t, tdb, f, 0, tldwdb.Request{})
		step := 2
		if testing.Short() {
			step = 7
		}
		lines := strings.SplitAfter(script, "\n")
		halfApplied, ends := 0, 0
		for n := slices.Index(lines, "-- up 0002_b\n") + 1; n < slices.Index(lines, "-- The end\n"); n++ {
			if !strings.HasSuffix(lines[n-1], ";\n") {
				continue
			}
			if ends++; ends%step != 0 {
				continue
			}
			cut := strings.Join(lines[:n], "")
			tdb := testdb.New(t, tdb.Engine)
			if output, err := clientRuns(t, tdb, cut); err != nil {
				t.Fatalf("%v\n%s\n%s", err, output, cut)
			}
			db := open(t, tdb, f)
			findings, err := db.Repair(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range findings {
				halfApplied++
				if !finding.Automatic {
					t.Errorf("cut behind %q: %+v", lines[n-1], finding)
				}
			}
			if _, err := db.Up(t.Context()); err != nil {
				t.Fatalf("cut behind %q: %v\nhint: %s", lines[n-1], err, tldwdb.Hint(err))
			}
			if got := tdb.Dump(t); got != wantSchema {
				t.Errorf("cut behind %q the schema is\n%s\nwant\n%s", lines[n-1], got, wantSchema)
			}
			admin := tdb.AdminDB(t)
			if got := rowsOf(t, admin, check); got != wantRows {
				t.Errorf("cut behind %q the log is\n%s\nwant\n%s", lines[n-1], got, wantRows)
			}
			if got := rowsOf(t, admin, "SELECT * FROM b"); got != "1|3|NULL" {
				t.Errorf("cut behind %q the row is %s", lines[n-1], got)
			}
			if t.Failed() {
				return
			}
		}
		if halfApplied < 3/step {
			t.Errorf("only %d cuts left something half applied: they are in the wrong places", halfApplied)
		}
	})
}

// TestScriptRefuses runs scripts on databases that they are not for.
func TestScriptRefuses(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := library.with(files{"R__titles.sql": ""})
		if _, err := open(t, tdb, f).MigrateTo(ctx, 2); err != nil {
			t.Fatal(err)
		}
		up, down := tldwdb.Request{}, tldwdb.Request{Goal: tldwdb.GoalDown}
		meta := func(key, value string) string {
			return "UPDATE " + historyTable + " SET name = '" + value + "' WHERE set_name = '' AND repeatable = '" + key + "'"
		}
		before := ""
		for _, c := range []struct {
			name, change, back string
			req                tldwdb.Request
			want               string
		}{
			{"half applied", "UPDATE " + historyTable + " SET state = 'running' WHERE version = 1", "UPDATE " + historyTable + " SET state = 'applied' WHERE version = 1", up, "a migration is half applied"},
			{"a newer layout", meta("format", "2"), meta("format", "1"), up, "the history table has another layout"},
			{"a lease", meta("lock", "lease: a pooler"), meta("lock", "session: none"), up, "the migration lock is a lease here"},
			{"production", meta("environment", "production"), meta("environment", "development"), down, "this is a production database"},
			{"one is missing", "UPDATE " + historyTable + " SET version = 7 WHERE version = 1", "UPDATE " + historyTable + " SET version = 1 WHERE version = 7", up, "this database is not at version 2, with 2 applied"},
		} {
			script := scriptOf(t, tdb, f, 2, c.req)
			execute(t, admin, c.change)
			before = everything(t, admin)
			output, err := clientRuns(t, tdb, script)
			if err == nil || !strings.Contains(output, "tldwdb: "+c.want) {
				t.Errorf("%s: %v\n%s", c.name, err, output)
			}
			if c.name == "a lease" {
				if err := open(t, tdb, f).Script(ctx, io.Discard, c.req); err == nil || !strings.Contains(err.Error(), "lease") {
					t.Errorf("a script for a database with a lease: %v", err)
				}
			}
			if got := everything(t, admin); got != before {
				t.Errorf("%s: the history is\n%s\nwant\n%s", c.name, got, before)
			}
			execute(t, admin, c.back)
		}

		// Production is open to whoever names the database.
		execute(t, admin, meta("environment", "production"))
		name := tdb.URL[strings.LastIndex(tdb.URL, "/")+1:]
		name, _, _ = strings.Cut(name, "?")
		production := func(c *tldwdb.Config) { c.Environment = tldwdb.Production }
		wrong := scriptOf(t, tdb, f, 2, down, production, func(c *tldwdb.Config) { c.Confirm = "x" + name })
		if output, err := clientRuns(t, tdb, wrong); err == nil || !strings.Contains(output, "this is a production database") {
			t.Errorf("another database's name: %v\n%s", err, output)
		}
		if err := open(t, tdb, f).Script(ctx, io.Discard, down); !errors.Is(err, tldwdb.ErrProtected) {
			t.Errorf("a script for a production database: %v", err)
		}
		scripted(scriptOf(t, tdb, f, 2, down, production, func(c *tldwdb.Config) { c.Confirm = name })).run(t, tdb)
		if got := historyRows(t, admin); got != "1|applied|up|1|1" {
			t.Errorf("the history is %s", got)
		}
	})
}

// TestScriptWaitsForTheLock: a script and a run want one lock.
func TestScriptWaitsForTheLock(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("the shell cannot take a lock on another file")
		}
		inside, leave := make(chan struct{}), make(chan struct{})
		db := open(t, tdb, library, func(c *tldwdb.Config) {
			c.GoMigrations = []tldwdb.GoMigration{{Version: 9, Name: "slow", Up: func(context.Context, tldwdb.Conn) error {
				close(inside)
				<-leave
				return nil
			}}}
		})
		if _, err := db.MigrateTo(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		script := scriptOf(t, tdb, library, 2, tldwdb.Request{}, func(c *tldwdb.Config) { c.LockWait = -1 })
		done := make(chan error, 1)
		go func() {
			_, err := db.Up(context.WithoutCancel(t.Context()))
			done <- err
		}()
		select {
		case <-inside:
		case err := <-done:
			t.Fatal(err)
		}
		output, err := clientRuns(t, tdb, script)
		close(leave)
		if err == nil || !strings.Contains(output, "tldwdb: another process has the migration lock") {
			t.Errorf("while a run has the lock: %v\n%s", err, output)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestScriptFails stops at a fault in the second of three migrations.
func TestScriptFails(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		broken := library.with(files{"R__titles.sql": "", "0003_year.up.sql": "ALTER TABLE book ADD COLUMN year integer;\nCREATE TABLE author (id integer);\nUPDATE book SET year = 1843;"})
		one := func(c *tldwdb.Config) { c.SingleTransaction = !isMySQL(tdb) }
		output, err := clientRuns(t, tdb, scriptOf(t, tdb, broken, 0, tldwdb.Request{}, one))
		if err == nil || !strings.Contains(output, "already exists") {
			t.Fatalf("%v\n%s", err, output)
		}
		if !isMySQL(tdb) {
			if got := objects(t, tdb, historyTable); got != "" || historyRows(t, admin) != "" {
				t.Errorf("of one transaction there is left\n%s\n%s", got, historyRows(t, admin))
			}
			if output, err = clientRuns(t, tdb, scriptOf(t, tdb, broken, 0, tldwdb.Request{})); err == nil {
				t.Fatal(output)
			}
		}
		want := "1|applied|up|1|1\n2|applied|up|4|4"
		if isMySQL(tdb) {
			want += "\n3|running|up|1|3"
		}
		if got := historyRows(t, admin); got != want {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
		var script strings.Builder
		if err := open(t, tdb, broken).Script(t.Context(), &script, tldwdb.Request{}); isMySQL(tdb) != errors.Is(err, tldwdb.ErrHalfApplied) || (script.Len() > 0) != (err == nil) {
			t.Errorf("the next script: %v", err)
		}
		mended := open(t, tdb, library.with(files{"R__titles.sql": ""}))
		if isMySQL(tdb) { // the client has told only its user that the statement had no effect
			if _, err := mended.Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Version: 3}, Kind: tldwdb.FixRetry}); err != nil {
				t.Fatal(err)
			}
		}
		succeed(t, "up 0003_year; 2 → 3")(mended.Up(t.Context()))
	})
}

// TestScriptCutBehindRoutine: what a routine did to its session nobody knows who
// has only the script's history.
func TestScriptCutBehindRoutine(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("SQLite has no routines")
		}
		procedure := "CREATE PROCEDURE pr() BEGIN INSERT INTO log VALUES ('called'); END;\n"
		if tdb.Engine == testdb.Postgres {
			procedure = "CREATE PROCEDURE pr() LANGUAGE sql AS 'INSERT INTO log VALUES (''called'')';\n"
		}
		f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE log (what varchar(20));\n" + procedure + "CALL pr();\nINSERT INTO log VALUES ('end');"}
		script := scriptOf(t, tdb, f, 0, tldwdb.Request{})
		cut, _, found := strings.Cut(script, "INSERT INTO log VALUES ('end')")
		if !found {
			t.Fatal(script)
		}
		cut = cut[:strings.LastIndex(cut[:strings.LastIndex(cut, "UPDATE")], ";")+2] // in front of the entry
		scripted(cut).run(t, tdb)
		db := open(t, tdb, f)
		if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrHalfApplied) {
			t.Errorf("Up says %v", err)
		}
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM log"); got != "called" {
			t.Errorf("the log has %q", got)
		}
		fix := tldwdb.Fix{Migration: tldwdb.ID{Version: 1}, Kind: tldwdb.FixApplied}
		if _, err := db.Repair(t.Context(), fix); err != nil {
			t.Error(err)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestScriptSealed: a script that ends behind a TRUNCATE has said that it is done.
func TestScriptSealed(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE log (what varchar(20));\nTRUNCATE TABLE log;\nINSERT INTO log VALUES ('end');"}
		cut, _, found := strings.Cut(scriptOf(t, tdb, f, 0, tldwdb.Request{}), "INSERT INTO log VALUES ('end')")
		if !found {
			t.Fatal("no such statement")
		}
		scripted(cut).run(t, tdb)
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM log"); got != "end" {
			t.Errorf("the log has %q", got)
		}
	})
}

// TestScriptForeignKeys: a file that leaves rows without their parents is rolled
// back.
func TestScriptForeignKeys(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	f := files{
		"1_a.up.sql": "CREATE TABLE p (id integer PRIMARY KEY);\nCREATE TABLE c (id integer PRIMARY KEY, p integer REFERENCES p);\nINSERT INTO p VALUES (1);\nINSERT INTO c VALUES (1, 1);",
		"2_b.up.sql": "DELETE FROM p;",
	}
	output, err := clientRuns(t, tdb, scriptOf(t, tdb, f, 0, tldwdb.Request{}))
	if err == nil || !strings.Contains(output, "rows would break a foreign key") {
		t.Errorf("%v\n%s", err, output)
	}
	if got := rowsOf(t, tdb.AdminDB(t), "SELECT count(*) FROM p") + historyRows(t, tdb.AdminDB(t)); got != "11|applied|up|4|4" {
		t.Errorf("left: %s", got)
	}
}

// TestScriptUse: a file for MySQL that changes the database binds its script to one.
func TestScriptUse(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if !isMySQL(tdb) {
			t.Skip("USE is MySQL's")
		}
		other := testdb.New(t, tdb.Engine)
		name := func(db *testdb.Database) string { return db.URL[strings.LastIndex(db.URL, "/")+1:] }
		f := library.with(files{"0004_use.up.sql": "CREATE TABLE here (id integer);\nUSE " + name(other) + ";\nCREATE TABLE there (id integer);\nCREATE TEMPORARY TABLE tt (id integer);"})
		var script strings.Builder
		req := tldwdb.ScriptRequest{Dialect: string(tdb.Engine)}
		if err := tldwdb.Script(&script, configFor(tdb, f), req); err == nil || !strings.Contains(tldwdb.Hint(err), "ScriptRequest.Database") {
			t.Errorf("without the name of the database: %v", err)
		}
		req.Database = name(tdb)
		if err := tldwdb.Script(&script, configFor(tdb, f), req); err != nil {
			t.Fatal(err)
		}
		if output, err := clientRuns(t, other, script.String()); err == nil || !strings.Contains(output, "this is not the database of the script") {
			t.Errorf("in another database: %v\n%s", err, output)
		}
		scripted(script.String()).run(t, tdb)
		if err := open(t, tdb, f).Check(t.Context()); err != nil {
			t.Error(err)
		}
		if got := rowsOf(t, other.AdminDB(t), "SHOW TABLES LIKE 'there'"); got != "there" {
			t.Errorf("in the other database there is %q", got)
		}
		execute(t, other.AdminDB(t), "DROP TABLE IF EXISTS "+historyTable)
	})
}

// TestScriptOfTheOther: MariaDB and MySQL do not read each other's scripts.
func TestScriptOfTheOther(t *testing.T) {
	t.Parallel()
	for engine, other := range map[testdb.Engine]testdb.Engine{testdb.MariaDB: testdb.MySQL, testdb.MySQL: testdb.MariaDB} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			var script strings.Builder
			if err := tldwdb.Script(&script, tldwdb.Config{Migrations: library.fs()}, tldwdb.ScriptRequest{Dialect: string(other)}); err != nil {
				t.Fatal(err)
			}
			if output, err := clientRuns(t, tdb, script.String()); err == nil || !strings.Contains(output, "tldwdb: this script is for M") {
				t.Errorf("%v\n%s", err, output)
			}
			if got := tdb.Dump(t); strings.Contains(got, historyTable) {
				t.Errorf("it has made\n%s", got)
			}
		})
	}
}

// TestScriptErrors: what cannot be in a script is said before a byte of it.
func TestScriptErrors(t *testing.T) {
	t.Parallel()
	code := func(c *tldwdb.Config) {
		c.GoMigrations = []tldwdb.GoMigration{{Version: 5, Name: "five", Up: nothing}, {Version: 6, Name: "six", Up: nothing}}
	}
	for _, c := range []struct {
		name string
		f    files
		edit func(*tldwdb.Config)
		req  tldwdb.ScriptRequest
		kind error
		want string
	}{
		{"Go", library, code, tldwdb.ScriptRequest{}, nil, "written in Go: 0005_five, 0006_six"},
		{"Go that is applied", library, code, tldwdb.ScriptRequest{From: 6}, nil, ""},
		{"an unknown version", library, nil, tldwdb.ScriptRequest{From: 7}, tldwdb.ErrUnknownVersion, "version 7"},
		{"an unknown goal", library, nil, tldwdb.ScriptRequest{Request: tldwdb.Request{Goal: tldwdb.GoalVersion, Version: 7}}, tldwdb.ErrUnknownVersion, "version 7"},
		{"an unknown dialect", library, nil, tldwdb.ScriptRequest{Dialect: "oracle"}, nil, "mariadb"},
		{"a faulty file", library.with(files{"0004_x.up.sql": "SELECT 'a"}), nil, tldwdb.ScriptRequest{}, nil, "0004_x.up.sql:1:8"},
		{"no way back", library.with(files{"0003_year.down.sql": ""}), nil, tldwdb.ScriptRequest{From: 3, Request: tldwdb.Request{Goal: tldwdb.GoalBase}}, tldwdb.ErrIrreversible, "no down script"},
		{"production", library, func(c *tldwdb.Config) { c.Environment = tldwdb.Production }, tldwdb.ScriptRequest{From: 3, Request: tldwdb.Request{Goal: tldwdb.GoalDown}}, tldwdb.ErrProtected, ""},
		{"a lease", library, func(c *tldwdb.Config) { c.Lock = tldwdb.LockLease }, tldwdb.ScriptRequest{Dialect: "postgres"}, nil, "a script cannot keep one alive"},
		{"one transaction on MySQL", library, func(c *tldwdb.Config) { c.SingleTransaction = true }, tldwdb.ScriptRequest{Dialect: "mysql"}, nil, "SingleTransaction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := tldwdb.Config{Migrations: c.f.fs()}
			if c.edit != nil {
				c.edit(&cfg)
			}
			if c.req.Dialect == "" {
				c.req.Dialect = "sqlite"
			}
			var script strings.Builder
			err := tldwdb.Script(&script, cfg, c.req)
			if c.want == "" && c.kind == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) || script.Len() > 0 {
				t.Errorf("got %v and %d bytes", err, script.Len())
			}
		})
	}
}
