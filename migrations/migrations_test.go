package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/migrations"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// head is the newest version.
const head = 2

// notOurs are the tables that a comparison of schemas leaves out: the two tools'
// own books.
var notOurs = []string{"tldwdb_history", "alembic_version"}

func open(t *testing.T, d *testdb.Database) *tldwdb.DB {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Environment: tldwdb.Test, Migrations: migrations.FS})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// user is one row of the table, every column of it.
type user struct {
	ID           int64          `db:"id"`
	Username     string         `db:"username"`
	Email        string         `db:"email"`
	GoogleID     string         `db:"google_id"`
	AccessToken  sql.NullString `db:"access_token"`
	RefreshToken sql.NullString `db:"refresh_token"`
	Playlist     sql.NullString `db:"selected_playlist_id"`
}

// table is how an engine wants the reserved word to be written.
func table(e testdb.Engine) string {
	if e == testdb.Postgres {
		return `"user"`
	}
	return "user"
}

// users reads every value of every row. It fails at a column that user lacks.
func users(t *testing.T, db *tldwdb.DB, e testdb.Engine) []user {
	t.Helper()
	var list []user
	if err := db.Pool().SelectContext(t.Context(), &list, "SELECT * FROM "+table(e)+" ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	return list
}

func versions(res *tldwdb.Result) []int64 {
	list := []int64{}
	for _, a := range res.Applied {
		list = append(list, a.Migration.Version)
	}
	return list
}

// step runs one call and compares the versions that it applied or took back.
func step(t *testing.T, call func(context.Context) (*tldwdb.Result, error), want ...int64) {
	t.Helper()
	res, err := call(t.Context())
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
	if got := versions(res); !slices.Equal(got, want) {
		t.Fatalf("versions that ran: %v, want %v", got, want)
	}
}

func downOne(db *tldwdb.DB) func(context.Context) (*tldwdb.Result, error) {
	return func(ctx context.Context) (*tldwdb.Result, error) { return db.Down(ctx, 1) }
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		db := open(t, d)
		empty := d.Dump(t, notOurs...)
		step(t, db.Up, 1, 2)
		full := d.Dump(t, notOurs...)
		step(t, downOne(db), 2)
		step(t, downOne(db), 1)
		if got := d.Dump(t, notOurs...); got != empty {
			t.Errorf("left after taking everything back:\n%s", got)
		}
		step(t, db.Up, 1, 2)
		if got := d.Dump(t, notOurs...); got != full {
			t.Errorf("the second Up made another schema:\n%s\nthan the first:\n%s", got, full)
		}
		step(t, db.Up)
	})
}

// Each file and each column stays what the application relies on: nulls,
// duplicates and lengths are refused as the models say.
func TestConstraints(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		db := open(t, d)
		step(t, db.Up, 1, 2)
		insert := db.Pool().Rebind("INSERT INTO " + table(d.Engine) + " (username, email, google_id) VALUES (?, ?, ?)")
		for _, c := range []struct {
			name   string
			values []any
			ok     bool
		}{
			{"first", []any{"a", "a@example.com", "1"}, true},
			{"second", []any{"b", "b@example.com", "2"}, true},
			{"no username", []any{nil, "c@example.com", "3"}, false},
			{"no email", []any{"c", nil, "3"}, false},
			{"no google_id", []any{"c", "c@example.com", nil}, false},
			{"username twice", []any{"a", "c@example.com", "3"}, false},
			{"email twice", []any{"c", "a@example.com", "3"}, false},
			{"google_id twice", []any{"c", "c@example.com", "1"}, false},
		} {
			if _, err := db.Pool().ExecContext(t.Context(), insert, c.values...); (err == nil) != c.ok {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if n := len(users(t, db, d.Engine)); n != 2 {
			t.Errorf("%d rows, want 2", n)
		}
	})
}

// fixtures are databases that the Flask application made, and the version that
// each of them is at.
var fixtures = []struct {
	file    string
	version int64
	only    testdb.Engine // empty: there is one for each dialect
}{
	{file: "create_all_before_playlist.sql", version: 1},
	{file: "create_all.sql", version: 2},
	{file: "flask_db_upgrade.sql", version: 2},
	{file: "flask_migrate.dump.sql", version: 2, only: testdb.SQLite},
}

// load runs a fixture as the Flask application did: on a connection of its own.
func load(t *testing.T, d *testdb.Database, file string) {
	t.Helper()
	dialect := string(d.Engine)
	if d.Engine == testdb.MariaDB {
		dialect = "mysql"
	}
	text, err := os.ReadFile(filepath.Join("..", "testdata", "flask", dialect, file))
	if err != nil {
		t.Fatal(err)
	}
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v in %s", file, err, statement)
		}
	}
}

// rows reads the table without knowing its columns, for a comparison before
// and after that no column can escape.
func rows(t *testing.T, db *tldwdb.DB, name string) []string {
	t.Helper()
	found, err := db.Pool().QueryxContext(t.Context(), "SELECT * FROM "+name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }() // Err below has told everything that Close could
	var list []string
	for found.Next() {
		values := map[string]any{}
		if err := found.MapScan(values); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, column := range slices.Sorted(maps.Keys(values)) {
			value := values[column]
			if raw, ok := value.([]byte); ok {
				value = string(raw)
			}
			fmt.Fprintf(&b, "%s=%#v ", column, value)
		}
		list = append(list, b.String())
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestAdoptFlask(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures {
		t.Run(f.file, func(t *testing.T) {
			t.Parallel()
			for _, e := range testdb.Engines() {
				if f.only != "" && f.only != e {
					continue
				}
				t.Run(string(e), func(t *testing.T) {
					t.Parallel()
					adopt(t, e, f.file, f.version)
				})
			}
		})
	}
}

func adopt(t *testing.T, e testdb.Engine, file string, version int64) {
	d := testdb.New(t, e)
	load(t, d, file)
	db := open(t, d)

	schema, before := d.Dump(t), rows(t, db, table(e))
	if len(before) != 4 {
		t.Fatalf("the fixture has %d users, want 4", len(before))
	}
	res, err := db.Baseline(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Applied) != 0 || res.After != version {
		t.Errorf("Baseline: applied %v, version %d; want nothing and %d", versions(res), res.After, version)
	}
	if got := d.Dump(t, "tldwdb_history"); got != schema {
		t.Errorf("Baseline changed the schema to\n%s\nfrom\n%s", got, schema)
	}
	if got := rows(t, db, table(e)); !slices.Equal(got, before) {
		t.Errorf("Baseline changed rows to\n%s\nfrom\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
	}

	// Only what the application did not have yet runs.
	var pending []int64
	for v := version + 1; v <= head; v++ {
		pending = append(pending, v)
	}
	step(t, db.Up, pending...)
	adopted := users(t, db, e)
	compareUsers(t, adopted, version == head)

	// The two roads lead to one schema.
	fresh := testdb.New(t, e)
	step(t, open(t, fresh).Up, 1, 2)
	if got, want := d.Dump(t, notOurs...), fresh.Dump(t, notOurs...); got != want {
		t.Errorf("the adopted database has another schema\n%s\nthan a migrated one\n%s", got, want)
	}

	// Down and up again lose the column's values, and nothing else.
	step(t, downOne(db), 2)
	step(t, db.Up, 2)
	after := users(t, db, e)
	for i := range adopted {
		adopted[i].Playlist = sql.NullString{}
	}
	if !slices.Equal(after, adopted) {
		t.Errorf("after down and up:\n%v\nwant\n%v", after, adopted)
	}
	if got, want := d.Dump(t, notOurs...), fresh.Dump(t, notOurs...); got != want {
		t.Errorf("after down and up the schema is\n%s\nwant\n%s", got, want)
	}

	// The application goes on numbering where Flask stopped.
	insert := "INSERT INTO " + table(e) + " (username, email, google_id) VALUES ('new', 'new@example.com', 'new')"
	if _, err := db.Pool().ExecContext(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	all := users(t, db, e)
	if last := all[len(all)-1]; last.Username != "new" || last.ID != 6 {
		t.Errorf("the next user is %+v, want one with ID 6", last)
	}
}

// compareUsers compares with what the fixtures are known to hold: a comparison
// of two readings alone would not see that both are wrong.
func compareUsers(t *testing.T, got []user, playlists bool) {
	t.Helper()
	text := func(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }
	want := []user{
		{1, "ana", "ana@example.com", "100000000000000000001", text("an access token"), text("a refresh token"), text("PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf")},
		{2, "O'Neil", "o'neil+tl;dw@example.com", "100000000000000000002", sql.NullString{}, sql.NullString{}, sql.NullString{}},
		{4, "Zoë 🎬 李", "zoe@example.org", "100000000000000000004", text(""), text("two\nlines"), text("")},
		{5, "-- not a comment", "semi;colon@example.net", "g-5", text("/* nor this */"), text("\"quoted\" `too`"), text("LL")},
	}
	for i := range want {
		if !playlists { // the fixture from before the column
			want[i].Playlist = sql.NullString{}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("users:\n%+v\nwant\n%+v", got, want)
	}
}

// A second Baseline, or one on a migrated database, is refused: it would
// overwrite what is known.
func TestBaselineIsForDatabasesWithoutHistory(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		db := open(t, d)
		step(t, db.Up, 1, 2)
		if _, err := db.Baseline(t.Context(), 1); err == nil {
			t.Error("Baseline was accepted on a migrated database")
		}
	})
}

// Every dialect has the same versions, each with a way back.
func TestDialectsAgree(t *testing.T) {
	t.Parallel()
	var want []string
	for _, dialect := range []string{"sqlite", "postgres", "mysql"} {
		entries, err := fs.ReadDir(migrations.FS, dialect)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if want == nil {
			want = names
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s has %v, sqlite has %v", dialect, names, want)
		}
	}
	if len(want) != 2*head {
		t.Errorf("%d files, want an up and a down for %d versions", len(want), head)
	}
}
