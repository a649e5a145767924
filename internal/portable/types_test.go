package portable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// loaded makes two databases of a schema, puts rows into the one, and its archive
// into the other.
func loaded(t *testing.T, e testdb.Engine, schema []string, rows ...string) *testdb.Database {
	t.Helper()
	a, b := testdb.New(t, e), testdb.New(t, e)
	fill(t, a, append(schema, rows...)...)
	fill(t, b, schema...)
	text, _ := dump(t, side(t, a))
	archive, err := portable.Open(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	to := side(t, b)
	if _, err := archive.Load(t.Context(), to.Dialect, to.Conn, portable.Options{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// textOf is what a query of one value finds.
func textOf(t *testing.T, db *testdb.Database, query string) (text string) {
	t.Helper()
	if err := db.AdminDB(t).QueryRowContext(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// Types that migrations make are the same types on both sides: the search path by
// which one of them is called something else is not part of them.
func TestOwnTypes(t *testing.T) {
	t.Parallel()
	schema := []string{
		`CREATE TYPE mood AS ENUM ('sad', 'ok')`, `CREATE TYPE "a Pair" AS (a integer, b text)`, `CREATE DOMAIN small AS integer`, `CREATE DOMAIN smaller AS small`, `CREATE SCHEMA far`, `CREATE TYPE far.mood AS ENUM ('far')`,
		`CREATE TABLE own (id integer PRIMARY KEY, m mood, list mood[], p "a Pair", s smaller, f far.mood[])`,
	}
	b := loaded(t, testdb.Postgres, schema, `INSERT INTO own VALUES (1, 'ok', '{sad,ok}', ROW(1, 'x'), 3, '{far}')`)
	if got, want := textOf(t, b, "SELECT own::text FROM own"), `(1,ok,"{sad,ok}","(1,x)",3,{far})`; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}

// Every sequence goes on where it was: of several in one table, and one that counts
// downwards.
func TestNumbers(t *testing.T) {
	t.Parallel()
	schema := []string{
		"CREATE TABLE two (id bigserial PRIMARY KEY, place bigserial, word text)",
		"CREATE TABLE down (id integer GENERATED ALWAYS AS IDENTITY (INCREMENT -1) PRIMARY KEY, word text)",
	}
	rows := []string{
		"INSERT INTO two (word) VALUES ('a'), ('b'), ('c')", "DELETE FROM two WHERE id = 3", "SELECT setval('two_place_seq', 20)",
		"INSERT INTO down (word) VALUES ('a'), ('b'), ('c')", "DELETE FROM down WHERE id = -3",
	}
	b := loaded(t, testdb.Postgres, schema, rows...)
	for query, want := range map[string]string{
		"INSERT INTO two (word) VALUES ('d') RETURNING id || ' ' || place": "4 21",
		"INSERT INTO down (word) VALUES ('d') RETURNING id":                "-4",
	} {
		if got := textOf(t, b, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
	lite := testdb.New(t, testdb.SQLite)
	fill(t, lite, "CREATE TABLE two (id INTEGER PRIMARY KEY, place INTEGER, word TEXT)", "CREATE TABLE down (id INTEGER PRIMARY KEY, word TEXT)", "INSERT INTO two VALUES (40, 50, 'x')")
	if _, err := portable.Copy(t.Context(), side(t, lite), side(t, b)); err != nil {
		t.Fatal(err)
	}
	if got, want := textOf(t, b, "INSERT INTO two (word) VALUES ('d') RETURNING id || ' ' || place"), "41 51"; got != want {
		t.Errorf("behind a copy from SQLite the next numbers are %s, want %s", got, want)
	}
}

// A table that others inherit from is loaded again without theirs, when a copy goes
// on that was cut short in it.
func TestGoOnWithParent(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.Postgres), testdb.New(t, testdb.Postgres)
	for _, db := range []*testdb.Database{a, b} {
		fill(t, db, "CREATE TABLE parent (id integer PRIMARY KEY, n integer)", "CREATE TABLE child () INHERITS (parent)")
	}
	fill(t, a, "INSERT INTO parent VALUES (1, 1)", "INSERT INTO child VALUES (2, 2)")
	fill(t, b, "ALTER TABLE parent ADD CONSTRAINT more CHECK (n > 1) NO INHERIT")
	if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); err == nil {
		t.Fatal("a row went in against a CHECK")
	}
	fill(t, b, "ALTER TABLE parent DROP CONSTRAINT more")
	if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); err != nil {
		t.Error(err)
	}
}

// A backslash before u0000 is text.
func TestBackslashInJSON(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.SQLite), testdb.New(t, testdb.Postgres)
	fill(t, a, "CREATE TABLE doc (id INTEGER PRIMARY KEY, body JSON)", `INSERT INTO doc VALUES (1, '"\\u0000"')`)
	fill(t, b, "CREATE TABLE doc (id integer PRIMARY KEY, body jsonb)")
	if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); err != nil {
		t.Error(err)
	}
	fill(t, a, `INSERT INTO doc VALUES (2, '"\\\u0000"')`)
	if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); !errors.As(err, new(*portable.ValueError)) {
		t.Errorf("NUL: %v", err)
	}
}

// Names that the server's catalogue takes for one are two tables, and a table that
// keeps its past gets the rows of the present.
func TestNamesAlike(t *testing.T) {
	t.Parallel()
	schema := []string{"CREATE TABLE Word (id integer PRIMARY KEY, a integer)", "CREATE TABLE word (id integer PRIMARY KEY, b integer)", "CREATE TABLE `cafe` (id integer)", "CREATE TABLE `café` (id integer)", "CREATE VIEW seen AS SELECT * FROM word"}
	rows := []string{"INSERT INTO Word VALUES (1, 2)", "INSERT INTO word VALUES (3, 4), (5, 6)", "INSERT INTO cafe VALUES (7)", "INSERT INTO `café` VALUES (8)"}
	const have = "SELECT CONCAT((SELECT GROUP_CONCAT(id, a) FROM Word), ' ', (SELECT GROUP_CONCAT(id, b) FROM word), ' ', (SELECT GROUP_CONCAT(id) FROM cafe), ' ', (SELECT GROUP_CONCAT(id) FROM `café`))"
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			schema, rows := slices.Clone(schema), slices.Clone(rows)
			if e == testdb.MariaDB {
				schema = append(schema, "CREATE TABLE past (id integer PRIMARY KEY, a integer, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING")
				rows = append(rows, "INSERT INTO past (id, a) VALUES (1, 1)", "UPDATE past SET a = 2")
			}
			b := loaded(t, e, schema, rows...)
			if got, want := textOf(t, b, have), "12 34,56 7 8"; got != want {
				t.Errorf("the tables have %s, want %s", got, want)
			}
			if e == testdb.MariaDB {
				if got := textOf(t, b, "SELECT a FROM past"); got != "2" {
					t.Errorf("the row of the present has %s, want 2", got)
				}
			}
		})
	}
}

// Two tables do not go into one, whatever the target makes of their names.
func TestTwoIntoOne(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.Postgres), testdb.New(t, testdb.SQLite)
	fill(t, a, `CREATE TABLE "Users" (id integer)`, `CREATE TABLE users (id integer)`, `INSERT INTO "Users" VALUES (1)`)
	fill(t, b, "CREATE TABLE users (id INTEGER)", "INSERT INTO users VALUES (7)")
	if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); !errors.As(err, new(*portable.MappingError)) {
		t.Errorf("a copy: %v", err)
	}
	if got := textOf(t, b, "SELECT id FROM users"); got != "7" {
		t.Errorf("the target has %s", got)
	}
	text, _ := dump(t, side(t, a))
	archive, err := portable.Open(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	to := side(t, b)
	if _, err := archive.Load(t.Context(), to.Dialect, to.Conn, portable.Options{}); !errors.As(err, new(*portable.MappingError)) {
		t.Errorf("an archive: %v", err)
	}
}

// What a copy remembers in the target does not depend on the target's own characters.
func TestNamesInJournal(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, testdb.SQLite), testdb.New(t, e)
			const name = "語"
			fill(t, a, "CREATE TABLE "+name+" (id INTEGER PRIMARY KEY)", "INSERT INTO "+name+" VALUES (1)")
			fill(t, b, "ALTER DATABASE CHARACTER SET latin1", "CREATE TABLE "+name+" (id integer PRIMARY KEY)")
			if _, err := portable.Copy(t.Context(), side(t, a), side(t, b)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The numbers of rows that have no other key are kept: an index for full-text search
// finds them by those.
func TestRowids(t *testing.T) {
	t.Parallel()
	schema := []string{"CREATE TABLE doc (word TEXT, rowid TEXT)", "CREATE TABLE note (id TEXT PRIMARY KEY, word TEXT)", "CREATE VIRTUAL TABLE found USING fts4 (content='note', word)"}
	rows := []string{
		"INSERT INTO doc VALUES ('a', 'x'), ('b', 'y')", "DELETE FROM doc WHERE word = 'a'",
		"INSERT INTO note VALUES ('i', 'one'), ('j', 'two'), ('k', 'three')", "DELETE FROM note WHERE id = 'i'", "INSERT INTO found (found) VALUES ('rebuild')",
	}
	b := loaded(t, testdb.SQLite, schema, rows...)
	if got := textOf(t, b, "SELECT word FROM found WHERE found MATCH 'three'"); got != "three" {
		t.Errorf("the index finds %s", got)
	}
	if got := textOf(t, b, "SELECT word || _rowid_ || rowid FROM doc"); got != "b2y" {
		t.Errorf("the row is %s, want b2y", got)
	}
	other := testdb.New(t, testdb.Postgres)
	fill(t, other, "CREATE TABLE doc (word text, rowid text)", "CREATE TABLE note (id text PRIMARY KEY, word text, rowid bigint)")
	if _, err := portable.Copy(t.Context(), side(t, b), side(t, other)); err != nil {
		t.Fatal(err)
	}
	_, want := dump(t, side(t, b))
	_, got := dump(t, side(t, other))
	if fmt.Sprint(got.Tables[0]) != fmt.Sprint(want.Tables[0]) {
		t.Errorf("the digest in an archive is %v, and elsewhere %v", want.Tables[0], got.Tables[0])
	}
	if got := textOf(t, other, "SELECT word || (SELECT count(rowid) FROM note) || rowid FROM doc"); got != "b0y" {
		t.Errorf("the other engine has %s, want b0y", got)
	}
	if _, err := portable.Copy(t.Context(), side(t, other), side(t, b)); !errors.As(err, new(*portable.MappingError)) {
		t.Errorf("a column that is called rowid is not the number of a row: %v", err)
	}
}

// Rows that break a foreign key at the source, which SQLite and MySQL allow in some
// sessions, come back with a note, and do not go to another engine.
func TestOrphans(t *testing.T) {
	t.Parallel()
	schema := []string{"CREATE TABLE owner (id integer PRIMARY KEY)", "CREATE TABLE thing (id integer PRIMARY KEY, owner integer, FOREIGN KEY (owner) REFERENCES owner (id))"}
	for _, e := range []testdb.Engine{testdb.SQLite, testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, e), testdb.New(t, e)
			for _, db := range []*testdb.Database{a, b} {
				fill(t, db, schema...)
				if e == testdb.SQLite {
					db.ExpectFindings("rows of thing have no parent in owner")
				}
			}
			unwatched := "SET foreign_key_checks = 0; "
			if e == testdb.SQLite {
				unwatched = "PRAGMA foreign_keys = OFF; "
			}
			fill(t, a, unwatched+"INSERT INTO thing VALUES (1, 5)")
			sum, err := portable.Copy(t.Context(), side(t, a), side(t, b))
			if err != nil || len(sum.Notes) != 1 || !strings.Contains(sum.Notes[0], "1 rows have no partner in table owner") {
				t.Errorf("notes %q, %v", sum.Notes, err)
			}
			fill(t, a, unwatched+"DELETE FROM thing; INSERT INTO owner VALUES (6); INSERT INTO thing VALUES (2, 6)")
			to := side(t, b)
			to.Options.Skip = []string{"owner"}
			from := side(t, a)
			from.Options.Skip = to.Options.Skip
			if _, err := portable.Copy(t.Context(), from, to); err == nil {
				t.Error("rows were copied without those that they refer to")
			}
			other := testdb.New(t, testdb.Postgres)
			fill(t, other, schema...)
			fill(t, a, unwatched+"DELETE FROM owner")
			if _, err := portable.Copy(t.Context(), side(t, a), side(t, other)); err == nil {
				t.Error("another engine has taken them")
			}
		})
	}
}

// Large objects are in no table: an archive without them is none.
func TestLargeObjects(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.Postgres), testdb.New(t, testdb.Postgres)
	for _, db := range []*testdb.Database{a, b} {
		fill(t, db, "CREATE TABLE doc (id integer PRIMARY KEY, body oid)")
	}
	fill(t, a, "INSERT INTO doc VALUES (1, lo_from_bytea(0, 'abc'))")
	from := side(t, a)
	if _, err := portable.Dump(t.Context(), from.Dialect, from.Conn, io.Discard, portable.Options{}); !errors.Is(err, portable.ErrIncomplete) {
		t.Errorf("an archive: %v", err)
	}
	sum, err := portable.Copy(t.Context(), from, side(t, b))
	if err != nil || len(sum.Notes) != 1 || !strings.Contains(sum.Notes[0], "1 large objects") {
		t.Errorf("a copy: notes %q, %v", sum.Notes, err)
	}
}

// A trigger that was made by a client of another character set comes back with the
// text that it had.
func TestTriggerText(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			schema := []string{"CREATE TABLE word (id integer PRIMARY KEY, a varchar(10)) CHARACTER SET utf8mb4", "SET NAMES latin1; CREATE TRIGGER t BEFORE INSERT ON word FOR EACH ROW SET NEW.a = '\xe9'; SET NAMES utf8mb4"}
			b := loaded(t, e, schema)
			fill(t, b, "INSERT INTO word VALUES (1, '')")
			if got := textOf(t, b, "SELECT HEX(a) FROM word"); got != "C3A9" {
				t.Errorf("the trigger writes %s, want é, which is C3A9", got)
			}
		})
	}
}

// A limit on answers that the session has does not end a table early.
func TestLimitOfSession(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			fill(t, db, "CREATE TABLE word (id integer PRIMARY KEY)", "INSERT INTO word VALUES (1), (2), (3)")
			from := side(t, db)
			if _, err := from.Conn.ExecContext(t.Context(), "SET SESSION sql_select_limit = 2"); err != nil {
				t.Fatal(err)
			}
			if _, sum := dump(t, from); len(sum.Tables) != 1 || sum.Tables[0].Rows != 3 {
				t.Errorf("the archive has %+v, want 3 rows", sum.Tables)
			}
		})
	}
}

// What is no value of its column's kind is damage, before anything takes it apart.
func TestMalformedValues(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	fill(t, db, "CREATE TABLE odd (v BLOB)", "CREATE TABLE yes (v INTEGER)")
	for line, text := range map[string]string{
		`{"table":"odd","columns":[{"name":"v","kind":"bytes","type":"x"}]}`: "",
		`{"table":"yes","columns":[{"name":"v","kind":"bool","type":"x"}]}`:  "",
		`{"table":"odd","columns":[{"name":"v","kind":"text","type":"x"}]}`:  `\B`,
	} {
		archive, err := portable.Open(strings.NewReader(`{"format":"tldwdb rows","version":1,"engine":"postgres"}` + "\n" + line + "\n" + text + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		to := side(t, db)
		if _, err := archive.Load(t.Context(), to.Dialect, to.Conn, portable.Options{}); !errors.Is(err, portable.ErrDamaged) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Two keys that are one under the collation of MySQL are refused by the row's name.
func TestKeysAlike(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, testdb.SQLite), testdb.New(t, e)
			fill(t, a, "CREATE TABLE word (id INTEGER PRIMARY KEY, w VARCHAR(40) UNIQUE)", "INSERT INTO word VALUES (1, 'a'), (2, 'A'), (3, 'b')")
			fill(t, b, "CREATE TABLE word (id integer PRIMARY KEY, w varchar(40) UNIQUE)")
			_, err := portable.Copy(t.Context(), side(t, a), side(t, b))
			bad, ok := errors.AsType[*portable.ValueError](err)
			if !ok || bad.Key != "id=2" {
				t.Errorf("%v, want the row id=2", err)
			}
		})
	}
}
