package tldwdb_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A dump in plain SQL is a migration like any other. These tests fill a database
// with something of everything, write it out with the engine's own tool, run the
// file as migration 0001 on an empty database, and compare schemas and rows.

// dumpTool is a program that writes a database out, and how to call it.
type dumpTool struct {
	name     string // in PATH
	variable string // the environment variable that names another one
	accept   func(version string) bool
	args     func(*url.URL) []string
}

func (d dumpTool) run(t *testing.T, db *testdb.Database, extra ...string) string {
	t.Helper()
	program := os.Getenv(d.variable)
	if program == "" {
		found, err := exec.LookPath(d.name)
		if err != nil {
			t.Skipf("no %s in PATH, and %s is not set: this dump is not tested", d.name, d.variable)
		}
		program = found
	}
	if version, err := exec.CommandContext(t.Context(), program, "--version").Output(); err != nil {
		t.Fatalf("%s --version: %v", program, err)
	} else if !d.accept(string(version)) {
		t.Skipf("%s is another product (%s); %s can name the right one: this dump is not tested", program, bytes.TrimSpace(version), d.variable)
	}
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append(d.args(u), extra...)...)
	password, _ := u.User.Password()
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+password, "PGPASSWORD="+password)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil && strings.Contains(stderr.String(), "server version mismatch") {
		t.Skipf("%s is older than the server: this dump is not tested: %s", program, stderr.String())
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	return string(text)
}

func mysqlArgs(u *url.URL) []string {
	return []string{
		"--no-defaults", "--host=" + u.Hostname(), "--port=" + u.Port(), "--user=" + u.User.Username(),
		"--routines", "--triggers", "--events", "--no-tablespaces", strings.TrimPrefix(u.Path, "/"),
	}
}

// withoutPassword keeps it out of the list of processes.
func withoutPassword(u *url.URL) string {
	bare := *u
	bare.User = url.User(u.User.Username())
	return bare.String()
}

var (
	pgDump = dumpTool{"pg_dump", "TLDWDB_TEST_PGDUMP",
		func(string) bool { return true },
		func(u *url.URL) []string { return []string{"--no-password", "--dbname=" + withoutPassword(u)} }}
	mariadbDump = dumpTool{"mariadb-dump", "TLDWDB_TEST_MARIADBDUMP",
		func(version string) bool { return strings.Contains(version, "MariaDB") }, mysqlArgs}
	mysqlDump = dumpTool{"mysqldump", "TLDWDB_TEST_MYSQLDUMP",
		func(version string) bool { return !strings.Contains(version, "MariaDB") }, mysqlArgs}
	sqliteShell = dumpTool{"sqlite3", "TLDWDB_TEST_SQLITE3",
		func(string) bool { return true },
		func(u *url.URL) []string { return []string{u.Path, ".dump"} }}
)

func TestDumpPostgres(t *testing.T) {
	t.Parallel()
	t.Run("copy", func(t *testing.T) { t.Parallel(); postgresRoundTrip(t) })
	t.Run("inserts", func(t *testing.T) { t.Parallel(); postgresRoundTrip(t, "--inserts") })
	t.Run("column-inserts", func(t *testing.T) { t.Parallel(); postgresRoundTrip(t, "--column-inserts", "--quote-all-identifiers") })
	t.Run("many rows", func(t *testing.T) {
		t.Parallel()
		postgresRoundTrip(t, "--inserts", "--rows-per-insert=100", "--no-owner", "--disable-dollar-quoting")
	})
}

func postgresRoundTrip(t *testing.T, args ...string) {
	t.Helper()
	original := testdb.New(t, testdb.Postgres)
	admin := original.AdminDB(t)
	fill(t, admin, "rich_postgres.sql")
	var version int
	if err := admin.QueryRowContext(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version >= 140000 {
		fill(t, admin, "rich_postgres14.sql")
	} else if len(args) > 1 {
		t.Skip("before version 14 pg_dump's own client cannot load what these options write")
	}
	// A trusted extension is the database owner's to create, from version 13 on.
	if version >= 130000 {
		for _, name := range []string{"citext", "hstore"} {
			if len(column(t, admin, "SELECT name FROM pg_available_extensions WHERE name = '"+name+"'")) == 1 {
				mustExec(t, admin, "CREATE EXTENSION "+name+" SCHEMA app; ALTER TABLE app.types ADD COLUMN "+name+" app."+name+"; UPDATE app.types SET "+name+" = 'a=>1'")
			}
		}
	}
	roundTrip(t, original, pgDump.run(t, original, args...))
}

func TestDumpMariaDB(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"plain":           nil,
		"hex-blob":        {"--hex-blob"},
		"row by row":      {"--skip-extended-insert", "--complete-insert"},
		"no-autocommit":   {"--no-autocommit"},
		"transaction":     {"--single-transaction", "--hex-blob", "--add-drop-trigger"},
		"without options": {"--skip-opt", "--create-options"},
		"replace, tz off": {"--replace", "--skip-tz-utc", "--skip-comments", "--hex-blob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := testdb.New(t, testdb.MariaDB)
			admin := original.AdminDB(t)
			fill(t, admin, "rich_mysql.sql", "rich_mariadb.sql")
			var major, minor int
			if _, err := fmt.Sscanf(column(t, admin, "SELECT VERSION()")[0], "%d.%d", &major, &minor); err != nil {
				t.Fatal(err)
			}
			if major > 10 || minor >= 7 {
				fill(t, admin, "rich_mariadb107.sql")
			}
			roundTrip(t, original, mariadbDump.run(t, original, args...))
		})
	}
}

func TestDumpMySQL(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"plain":           nil,
		"hex-blob":        {"--hex-blob"},
		"row by row":      {"--skip-extended-insert", "--complete-insert"},
		"no-autocommit":   {"--no-autocommit"},
		"without options": {"--skip-opt", "--create-options", "--hex-blob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := testdb.New(t, testdb.MySQL)
			fill(t, original.AdminDB(t), "rich_mysql.sql", "rich_mysql9.sql")
			roundTrip(t, original, mysqlDump.run(t, original, append([]string{"--set-gtid-purged=OFF"}, args...)...))
		})
	}
}

func TestDumpSQLite(t *testing.T) {
	t.Parallel()
	original := testdb.New(t, testdb.SQLite)
	admin := original.AdminDB(t)
	fill(t, admin, "rich_sqlite.sql")
	if len(column(t, admin, "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")) == 1 {
		mustExec(t, admin, "CREATE VIRTUAL TABLE five USING fts5 (title, body); INSERT INTO five VALUES ('one; two', 'it''s')")
	}
	dump := sqliteShell.run(t, original)
	roundTrip(t, original, dump)

	// The dump writes virtual tables straight into the catalogue, which SQLite
	// does not notice by itself: the next migration, and the pool, must see them.
	handle := openAndUp(t, testdb.New(t, testdb.SQLite), map[string]string{
		"0001_dump.up.sql": dump, "0002_words.up.sql": "INSERT INTO words VALUES ('later', 'a lazy dog');",
	})
	var title string
	if err := handle.Pool().GetContext(t.Context(), &title, "SELECT title FROM words WHERE words MATCH 'dogs'"); err != nil || title != "later" {
		t.Errorf("the full-text table answers %q, %v", title, err)
	}
}

// afterDump is an ordinary migration. What it leaves behind tells whether it ran
// in a session like any other.
var afterDump = map[testdb.Engine]string{
	testdb.SQLite: `CREATE TABLE after_dump AS SELECT foreign_keys, (SELECT writable_schema FROM pragma_writable_schema), (SELECT recursive_triggers FROM pragma_recursive_triggers) FROM pragma_foreign_keys;`,
	testdb.Postgres: `CREATE TABLE after_dump AS SELECT name, setting FROM pg_settings WHERE name IN ('search_path', 'client_encoding', 'standard_conforming_strings',
		'check_function_bodies', 'xmloption', 'client_min_messages', 'row_security', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
		'default_tablespace', 'default_table_access_method');`,
	testdb.MariaDB: mysqlAfterDump,
	testdb.MySQL:   mysqlAfterDump,
}

const mysqlAfterDump = `CREATE TABLE after_dump AS SELECT @@sql_mode, @@foreign_key_checks, @@unique_checks, @@sql_notes, @@time_zone, @@character_set_client,
	@@character_set_results, @@collation_connection, @@autocommit, @@lock_wait_timeout;`

// roundTrip runs a dump as migration 0001 and compares the database that it
// makes with the one it was made from. It does so by a script of the migration too.
func roundTrip(t *testing.T, original *testdb.Database, dump string) {
	t.Helper()
	copied, control := testdb.New(t, original.Engine), testdb.New(t, original.Engine)
	second := afterDump[original.Engine]
	f := files{"0001_dump.up.sql": dump, "0002_after.up.sql": second}
	openAndUp(t, copied, f)
	openAndUp(t, control, map[string]string{"0002_after.up.sql": second})
	sameAsDumped(t, original, copied, control)

	scripts, control := testdb.New(t, original.Engine), testdb.New(t, original.Engine)
	scripted(scriptOf(t, scripts, f, 0, tldwdb.Request{})).run(t, scripts)
	scripted(scriptOf(t, control, files{"0002_after.up.sql": second}, 0, tldwdb.Request{})).run(t, control)
	sameAsDumped(t, original, scripts, control)
}

// sameAsDumped compares a database with the original, and what the session was
// behind the dump with what it is without one.
func sameAsDumped(t *testing.T, original, copied, control *testdb.Database) {
	t.Helper()
	ours := []string{"tldwdb_history", "after_dump"}
	if got, want := copied.Dump(t, ours...), original.Dump(t, ours...); got != want {
		t.Errorf("the schema differs:\n%s", difference(got, want))
	}
	pool, before := copied.AdminDB(t), original.AdminDB(t)
	tables := relations(t, original.Engine, before)
	if original.Engine == testdb.Postgres {
		tables = append(tables, "pg_largeobject_metadata")
	}
	if len(tables) < 5 {
		t.Fatalf("the original has few tables: %v", tables)
	}
	for _, table := range tables {
		if got, want := contents(t, pool, original.Engine, table), contents(t, before, original.Engine, table); got != want {
			t.Errorf("the rows of %s differ:\n%s", table, difference(got, want))
		}
	}
	table := "after_dump"
	if got, want := contents(t, pool, original.Engine, table), contents(t, control.AdminDB(t), original.Engine, table); got != want {
		t.Errorf("the session after the dump differs from a fresh one:\n%s", difference(got, want))
	}
}

// openAndUp applies all files, and says so when fewer ran.
func openAndUp(t *testing.T, db *testdb.Database, files map[string]string) *tldwdb.DB {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	handle, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: db.URL, Migrations: fsys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if _, err := handle.Up(t.Context()); err != nil {
		t.Fatalf("up: %v\nhint: %s", err, tldwdb.Hint(err))
	}
	if err := handle.Check(t.Context()); err != nil {
		t.Fatalf("check after up: %v", err)
	}
	return handle
}

func fill(t *testing.T, pool *sql.DB, files ...string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("testdata", "foreign", file))
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, pool, string(text))
	}
}

// mustExec runs statements on one connection, which it does not give back: they
// may set its mode.
func mustExec(t *testing.T, pool *sql.DB, text string) {
	t.Helper()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.ExecContext(t.Context(), text)
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // this is how database/sql is told to close it
	if err != nil {
		t.Fatal(err)
	}
}

// relations lists everything that has rows.
func relations(t *testing.T, engine testdb.Engine, pool *sql.DB) []string {
	t.Helper()
	switch engine {
	case testdb.SQLite:
		return column(t, pool, `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY 1`)
	case testdb.Postgres:
		// Of a sequence, log_cnt is the server's own account.
		return column(t, pool, `SELECT CASE c.relkind WHEN 'S' THEN '(SELECT last_value, is_called FROM ' || c.oid::regclass || ') sequence' ELSE c.oid::regclass::text END FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1`)
	}
	return column(t, pool, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")
}

// contents reads all rows of a table as text, sorted.
func contents(t *testing.T, pool *sql.DB, engine testdb.Engine, table string) string {
	t.Helper()
	var lines []string
	switch {
	case table == "pg_largeobject_metadata":
		lines = column(t, pool, "SELECT oid || ' ' || lo_get(oid) FROM pg_largeobject_metadata")
	case engine == testdb.Postgres:
		lines = column(t, pool, "SELECT whole_row::text FROM (SELECT * FROM "+table+") whole_row")
	case engine == testdb.SQLite:
		// One column for each, so that a number and its text differ.
		columns := column(t, pool, `SELECT 'typeof("' || replace(name, '"', '""') || '") || '' '' || quote("' || replace(name, '"', '""') || '")' FROM pragma_table_xinfo('`+strings.ReplaceAll(table, "'", "''")+`') WHERE hidden <> 1`)
		lines = column(t, pool, "SELECT "+strings.Join(columns, " || ' | ' || ")+` FROM "`+strings.ReplaceAll(table, `"`, `""`)+`"`)
	default:
		lines = mysqlRows(t, pool, "`"+strings.ReplaceAll(table, "`", "``")+"`")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func mysqlRows(t *testing.T, pool *sql.DB, table string) (lines []string) {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatalf("%s: %v", table, err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, targets := make([]sql.RawBytes, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		var line strings.Builder
		for i, v := range values {
			if v == nil {
				fmt.Fprintf(&line, "%s=NULL ", names[i])
			} else {
				fmt.Fprintf(&line, "%s=%q ", names[i], v)
			}
		}
		lines = append(lines, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func column(t *testing.T, pool *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return values
}

// difference lists the lines that only one of two texts has.
func difference(got, want string) string {
	only := func(sign, a, b string) (list []string) {
		other := strings.Split(b, "\n")
		for _, line := range strings.Split(a, "\n") {
			if !slices.Contains(other, line) {
				list = append(list, sign+line)
			}
		}
		return list
	}
	list := append(only("want ", want, got), only("got  ", got, want)...)
	if len(list) == 0 {
		return "the same lines, in another order or number"
	}
	return strings.Join(list, "\n")
}
