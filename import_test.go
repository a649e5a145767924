package tldwdb_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/convert"
	"github.com/tldw/tldwdb/internal/testdb"
)

// imports are the folders of other tools in testdata/import that can be run, with the engines that they are for.
var imports = []struct {
	folder  string
	engines []testdb.Engine
	options convert.Options
	down    bool // every migration has a way back
}{
	{folder: "alembic/postgres", engines: []testdb.Engine{testdb.Postgres}, down: true},
	{folder: "alembic/sqlite", engines: []testdb.Engine{testdb.SQLite}, options: convert.Options{Dialect: "sqlite"}, down: true},
	{folder: "atlas/app", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "dbmate/huge", engines: testdb.Engines(), down: true},
	{folder: "dbmate/order", engines: testdb.Engines()},
	{folder: "dbmate/postgres", engines: []testdb.Engine{testdb.Postgres}, down: true},
	{folder: "dbmate/quoted", engines: []testdb.Engine{testdb.Postgres}, down: true},
	{folder: "flyway/postgres", engines: []testdb.Engine{testdb.Postgres}, options: convert.Options{Values: map[string]string{"schema": "public", "default.name": "it''s"}}},
	{folder: "golang-migrate/mysql", engines: []testdb.Engine{testdb.MariaDB, testdb.MySQL}},
	{folder: "golang-migrate/postgres", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "goose/mysql", engines: []testdb.Engine{testdb.MariaDB, testdb.MySQL}, down: true},
	{folder: "goose/postgres", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "goose/quoted", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "goose/sqlite", engines: []testdb.Engine{testdb.SQLite}},
	{folder: "liquibase/app", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "prisma/mysql", engines: []testdb.Engine{testdb.MariaDB, testdb.MySQL}},
	{folder: "prisma/sqlite", engines: []testdb.Engine{testdb.SQLite}},
	{folder: "refinery/app", engines: testdb.Engines(), options: convert.Options{Tool: convert.Refinery}},
	{folder: "sql-migrate/app", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "sqlx/app", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "tern/app", engines: []testdb.Engine{testdb.Postgres}},
	{folder: "tern/quoted", engines: []testdb.Engine{testdb.Postgres}},
}

// What the import has written is a folder that a database is migrated with. Where the tool itself was had, its effects were
// recorded, and ours must be the same (testdata/import/README.md).
func TestImport(t *testing.T) {
	t.Parallel()
	for _, c := range imports {
		for _, engine := range c.engines {
			t.Run(c.folder+"/"+string(engine), func(t *testing.T) {
				t.Parallel()
				source := filepath.Join("testdata", "import", filepath.FromSlash(c.folder))
				result, err := convert.Convert(os.DirFS(source), c.options)
				if err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(t.TempDir(), "migrations")
				if err := result.Write(dir); err != nil {
					t.Fatal(err)
				}
				base := testdb.New(t, engine)
				before := effects(t, base)
				db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: base.URL, Migrations: os.DirFS(dir)})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				}()
				res, err := db.Up(t.Context())
				if err != nil {
					t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
				}
				ups := 0
				for _, f := range result.Manifest.Files {
					if f.Direction != "down" {
						ups++
					}
				}
				if len(res.Applied) != ups {
					t.Errorf("%d migrations were applied, want %d", len(res.Applied), ups)
				}
				got := effects(t, base)
				switch want, err := os.ReadFile(source + "." + string(engine) + ".effects"); {
				case err == nil && ofTheServer.ReplaceAllString(got, "") != ofTheServer.ReplaceAllString(string(want), ""):
					t.Errorf("the database is\n%s\nwant, as the tool itself left it,\n%s", got, want)
				case err != nil && !errors.Is(err, fs.ErrNotExist):
					t.Fatal(err)
				}
				if !c.down {
					return
				}
				if _, err := db.Migrate(t.Context(), tldwdb.Request{Goal: tldwdb.GoalBase}); err != nil {
					t.Fatal(err)
				}
				if got := effects(t, base); got != before {
					t.Errorf("after the way back the database is\n%s\nwant\n%s", got, before)
				}
			})
		}
	}
}

// bookkeeping are the tables of the tools and of ours.
var bookkeeping = []string{"tldwdb_history", "goose_db_version", "schema_migrations", "gorp_migrations", "schema_version", "alembic_version"}

// ofTheServer is what each server, and each of its versions, has its own way with:
// who made a routine or trigger, who owns the schema public, and whether NOT NULL
// is a constraint with a name (PostgreSQL 18).
var ofTheServer = regexp.MustCompile("DEFINER=`[^`]*`@`[^`]*` |schema public \\{.*\\}|relation \\S+ constraint \\S+ NOT NULL \\S+\n")

// effects describes a database: its schema, and the rows of every table.
func effects(t *testing.T, base *testdb.Database) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(base.Dump(t, bookkeeping...))
	pool := base.AdminDB(t)
	for _, table := range relations(t, base.Engine, pool) {
		if !slices.ContainsFunc(bookkeeping, func(name string) bool { return strings.Contains(table, name) }) {
			fmt.Fprintf(&b, "rows of %s\n%s\n", table, contents(t, pool, base.Engine, table))
		}
	}
	// Of a tool's own table there is its sequence too.
	var lines []string
	for line := range strings.Lines(b.String()) {
		if !slices.ContainsFunc(bookkeeping, func(name string) bool { return strings.Contains(line, name) }) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
