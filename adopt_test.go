package tldwdb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// shelves are three migrations, of which the other tools had run two.
func shelves(numbers [3]int64) files {
	return files{
		fmt.Sprintf("%d_author.up.sql", numbers[0]): "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);",
		fmt.Sprintf("%d_book.up.sql", numbers[1]): "CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));\n" +
			"INSERT INTO author VALUES (1, 'Ada');",
		fmt.Sprintf("%d_book.down.sql", numbers[1]): "DROP TABLE book;\nDELETE FROM author;",
		fmt.Sprintf("%d_year.up.sql", numbers[2]):   "ALTER TABLE book ADD COLUMN year integer;",
		fmt.Sprintf("%d_year.down.sql", numbers[2]): "ALTER TABLE book DROP COLUMN year;",
	}
}

var (
	inOrder  = [3]int64{1, 2, 3}
	byMinute = [3]int64{20240101000001, 20240101000002, 20240101000003}
)

// What the tools themselves have left: see testdata/foreign/README.md.
var recorded = []struct {
	dump, tool, table string
	numbers           [3]int64
	versions          map[string]int64
	unknown           string
	only              testdb.Engine // the one that it was recorded on; anyEngine: all
}{
	{dump: "goose-3.29.0", tool: "goose", table: "goose_db_version", numbers: inOrder},
	{dump: "golang-migrate-4.20.1", tool: "golang-migrate", table: "schema_migrations", numbers: inOrder},
	{dump: "dbmate-2.35.0", tool: "dbmate", table: "schema_migrations", numbers: byMinute},
	{dump: "rails-6.1.7.10", tool: "rails", table: "schema_migrations", numbers: byMinute},
	{dump: "sql-migrate-1.8.1", tool: "sql-migrate", table: "gorp_migrations", numbers: inOrder},
	{dump: "tern-2.4.2", tool: "tern", table: "schema_version", numbers: inOrder, only: testdb.Postgres},
	{dump: "atlas-1.2.3", tool: "atlas", table: "atlas_schema_revisions", numbers: inOrder},
	{dump: "alembic-1.8.1", tool: "alembic", table: "alembic_version", numbers: inOrder,
		versions: map[string]int64{"3f0c5a1e9b21": 1, "a91b6cd24e07": 2, "5566778899aa": 3}},
	{dump: "django-3.2.25", tool: "django", table: "django_migrations", numbers: inOrder,
		versions: map[string]int64{"library.0001_initial": 1, "library.0002_book": 2, "library.0003_year": 3},
		unknown:  "contenttypes.0001_initial contenttypes.0002_remove_content_type_name"},
	{dump: "liquibase-4.28.0", tool: "liquibase", table: "databasechangelog", numbers: inOrder,
		versions: map[string]int64{"author": 1, "book": 2, "year": 3}},
	{dump: "prisma-6.19.0", tool: "prisma", table: "_prisma_migrations", numbers: byMinute, only: testdb.SQLite},
}

// fillRecorded fills the database from a recording.
func fillRecorded(t *testing.T, tdb *testdb.Database, dump string) {
	t.Helper()
	fill(t, tdb.AdminDB(t), dump+"-"+pick(tdb, "sqlite", "postgres", "mysql")+".sql")
}

func versionsOf(ids []tldwdb.ID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprint(id.Version)
	}
	return strings.Join(words, " ")
}

// adopted adopts, and checks what Adopt says it has written.
func adopted(t *testing.T, db *tldwdb.DB, req tldwdb.AdoptRequest, written string) *tldwdb.Adoption {
	t.Helper()
	a, err := db.Adopt(t.Context(), req)
	if err != nil {
		t.Fatalf("adopt: %v\nhint: %s", err, tldwdb.Hint(err))
	}
	if got := versionsOf(a.Written); got != written {
		t.Errorf("adopt wrote %q, want %q", got, written)
	}
	if a.Already != (written == "") {
		t.Errorf("adopt wrote %q and says already adopted: %v", written, a.Already)
	}
	return a
}

func TestAdoptRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recorded {
		t.Run(c.dump, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
				if c.only != anyEngine && c.only != tdb.Engine {
					t.Skipf("recorded on %s only", c.only)
				}
				fillRecorded(t, tdb, c.dump)
				ctx, admin := t.Context(), tdb.AdminDB(t)
				before := tdb.Dump(t, historyTable)
				two := fmt.Sprintf("%d %d", c.numbers[0], c.numbers[1])
				three := fmt.Sprint(c.numbers[2])
				db := open(t, tdb, shelves(c.numbers))

				dry := adopted(t, db, tldwdb.AdoptRequest{Versions: c.versions, DryRun: true}, two)
				if got := tdb.Dump(t); got != before {
					t.Errorf("the dry run made\n%s", got)
				}
				a := adopted(t, db, tldwdb.AdoptRequest{Versions: c.versions}, two)
				if name := a.Table[strings.LastIndex(a.Table, ".")+1:]; a.Tool != c.tool || !strings.EqualFold(name, c.table) || dry.Tool != a.Tool {
					t.Errorf("found %s in %s, want %s in %s", a.Tool, a.Table, c.tool, c.table)
				}
				if versionsOf(a.Mapped) != two || versionsOf(a.Unapplied) != three || strings.Join(a.Unknown, " ") != c.unknown || len(a.Found) == 0 {
					t.Errorf("adopted %+v", a)
				}
				rows := everything(t, admin)
				if !strings.Contains(rows, "adopted from "+c.tool) {
					t.Errorf("the history does not say where it came from:\n%s", rows)
				}
				adopted(t, db, tldwdb.AdoptRequest{Versions: c.versions, From: c.tool, Table: a.Table}, "")
				if got := everything(t, admin); got != rows {
					t.Errorf("adopting again made\n%s\nof\n%s", got, rows)
				}
				if got := tdb.Dump(t, historyTable); got != before {
					t.Errorf("adoption changed the schema to\n%s\nfrom\n%s", got, before)
				}
				succeed(t, fmt.Sprintf("up %04d_year; %d → %[1]d", c.numbers[2], c.numbers[1]))(db.Up(ctx))
				adopted(t, db, tldwdb.AdoptRequest{Versions: c.versions}, "")
				if err := db.Check(ctx); err != nil {
					t.Error(err)
				}
				if got := rowsOf(t, admin, "SELECT * FROM author"); got != "1|Ada" {
					t.Errorf("the rows are %q", got)
				}
				// The way back of what was adopted was stored with it.
				if _, err := db.Down(ctx, 2); err != nil {
					t.Errorf("down: %v", err)
				}
			})
		})
	}
}

// TestAdoptUnfinished: what the tool itself would not go on with is not adopted.
func TestAdoptUnfinished(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dump, reason, remedy string
		only                 testdb.Engine
	}{
		{"golang-migrate-4.20.1-dirty", "version 3 is dirty", "migrate force", anyEngine},
		{"atlas-1.2.3-partial", "version 3 is applied in part, 1 of 2 statements", "atlas migrate apply", anyEngine},
		{"prisma-6.19.0-failed", "20240101000003_year has failed", "prisma migrate resolve", testdb.SQLite},
	} {
		t.Run(c.dump, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
				if c.only != anyEngine && c.only != tdb.Engine {
					t.Skipf("recorded on %s only", c.only)
				}
				fillRecorded(t, tdb, c.dump)
				before := tdb.Dump(t)
				a, err := open(t, tdb, shelves(inOrder)).Adopt(t.Context(), tldwdb.AdoptRequest{})
				if !errors.Is(err, tldwdb.ErrForeignState) || !strings.Contains(err.Error(), c.reason) || !strings.Contains(tldwdb.Hint(err), c.remedy) {
					t.Errorf("adopt: %v, hint %q", err, tldwdb.Hint(err))
				}
				if a == nil || a.Tool == "" || len(a.Written) > 0 {
					t.Errorf("beside the error is %+v", a)
				}
				if got := tdb.Dump(t); got != before {
					t.Errorf("the refused adoption made\n%s", got)
				}
			})
		})
	}
}

// TestAdoptHeads: each head of Alembic has to be known.
func TestAdoptHeads(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	fillRecorded(t, tdb, "alembic-1.8.1-heads")
	db := open(t, tdb, shelves(inOrder))
	for _, versions := range []map[string]int64{nil, {"a91b6cd24e07": 2}} {
		if _, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{Versions: versions}); !errors.Is(err, tldwdb.ErrNotMapped) || !strings.Contains(err.Error(), "7d2b04c8e6aa") {
			t.Errorf("with %v: %v", versions, err)
		}
	}
	adopted(t, db, tldwdb.AdoptRequest{Versions: map[string]int64{"a91b6cd24e07": 2, "7d2b04c8e6aa": 0}}, "1 2")
}

// TestAdoptAtlasBaseline: a baseline stands for everything before it.
func TestAdoptAtlasBaseline(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	fillRecorded(t, tdb, "atlas-1.2.3-baseline")
	db := open(t, tdb, shelves(inOrder))
	adopted(t, db, tldwdb.AdoptRequest{}, "1 2 3")
	succeed(t, "; 3 → 3")(db.Up(t.Context()))
}

func TestAdoptNothing(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, shelves(inOrder))
		_, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{})
		if !errors.Is(err, tldwdb.ErrNoForeignHistory) || !strings.Contains(tldwdb.Hint(err), "DB.Baseline") {
			t.Errorf("adopt: %v, hint %q", err, tldwdb.Hint(err))
		}
		for _, req := range []tldwdb.AdoptRequest{{From: "goose"}, {Table: "versions"}, {Table: "a.b"}} {
			if _, err := db.Adopt(t.Context(), req); !errors.Is(err, tldwdb.ErrNoForeignHistory) {
				t.Errorf("%+v: %v", req, err)
			}
		}
		if _, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{From: "nobody"}); err == nil || errors.Is(err, tldwdb.ErrNoForeignHistory) || !strings.Contains(err.Error(), "goose") {
			t.Errorf("a tool that is not known: %v", err)
		}
		// Tables of these names that are none of theirs, and a history with nothing in it.
		execute(t, tdb.AdminDB(t), "CREATE TABLE goose_db_version (id integer)", "CREATE TABLE schema_version (version integer, what varchar(10))", "CREATE TABLE schema_migrations (what integer)")
		if _, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{}); !errors.Is(err, tldwdb.ErrNoForeignHistory) {
			t.Errorf("adopt: %v", err)
		}
		execute(t, tdb.AdminDB(t), "CREATE TABLE alembic_version (version_num varchar(32))")
		before := tdb.Dump(t)
		if a, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{}); err != nil || a.Already || versionsOf(a.Unapplied) != "1 2 3" || len(a.Written) > 0 {
			t.Errorf("adopt: %+v, %v", a, err)
		}
		if got := tdb.Dump(t); got != before {
			t.Errorf("there was nothing to adopt, and it made\n%s", got)
		}
	})
}

// TestAdoptNames: several histories, tables with other names, in other schemas,
// and written in another case.
func TestAdoptNames(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		quote := func(name string) string { return pick(tdb, `"`+name+`"`, `"`+name+`"`, "`"+name+"`") }
		execute(t, admin,
			"CREATE TABLE schema_migrations (version bigint, dirty "+pick(tdb, "bool", "boolean", "boolean")+")", "INSERT INTO schema_migrations VALUES (1, "+pick(tdb, "0", "false", "0")+")",
			"CREATE TABLE alembic_version (version_num varchar(32))",
			"CREATE TABLE "+quote("My Versions")+" (version integer)", "INSERT INTO "+quote("My Versions")+" VALUES (2)",
			"CREATE TABLE "+quote("Gorp_Migrations")+" ("+quote("ID")+" varchar(255), "+quote("Applied_At")+" timestamp)", "INSERT INTO "+quote("Gorp_Migrations")+" VALUES ('1_author.sql', NULL)")
		db := open(t, tdb, shelves(inOrder))
		dry := func(req tldwdb.AdoptRequest) string {
			t.Helper()
			req.DryRun = true
			a, err := db.Adopt(t.Context(), req)
			if err != nil {
				return err.Error()
			}
			return a.Tool + ": " + versionsOf(a.Written)
		}
		several := dry(tldwdb.AdoptRequest{})
		for _, want := range []string{"alembic (", "golang-migrate (", "sql-migrate (", "alembic_version", "schema_migrations", "Gorp_Migrations"} {
			if !strings.Contains(several, want) {
				t.Errorf("of several the error says %q, without %q", several, want)
			}
		}
		for _, c := range []struct {
			req  tldwdb.AdoptRequest
			want string
		}{
			{tldwdb.AdoptRequest{From: "golang-migrate"}, "golang-migrate: 1"},
			{tldwdb.AdoptRequest{Table: "SCHEMA_MIGRATIONS"}, "golang-migrate: 1"},
			{tldwdb.AdoptRequest{From: "sql-migrate"}, "sql-migrate: 1"},
			{tldwdb.AdoptRequest{Table: quote("My Versions"), From: "tern"}, "tern: 1 2"},
			{tldwdb.AdoptRequest{Table: "My Versions", From: "tern"}, "tern: 1 2"},
		} {
			if got := dry(c.req); got != c.want {
				t.Errorf("%+v: %s, want %s", c.req, got, c.want)
			}
		}
		if got := dry(tldwdb.AdoptRequest{Table: "My Versions"}); !strings.Contains(got, "tern (") || !strings.Contains(got, "dbmate (") {
			t.Errorf("a table of a shape that several have: %s", got)
		}
		execute(t, admin, "CREATE TABLE "+quote("Ältere")+" (version integer)")
		if got := dry(tldwdb.AdoptRequest{Table: "Ältere", From: "tern"}); got != "tern: " {
			t.Errorf("a name with more than ASCII: %s", got)
		}
		if tdb.Engine == testdb.Postgres {
			execute(t, admin, "CREATE SCHEMA \"Old\"", "CREATE TABLE \"Old\".goose_db_version (id integer, version_id bigint, is_applied boolean)", "INSERT INTO \"Old\".goose_db_version VALUES (1, 0, true), (2, 1, true)")
			if got := dry(tldwdb.AdoptRequest{From: "goose"}); !strings.Contains(got, "no table of goose") {
				t.Errorf("a history in a schema that is not looked into: %s", got)
			}
			for _, name := range []string{"Old.goose_db_version", `"Old"."goose_db_version"`} {
				if got := dry(tldwdb.AdoptRequest{Table: name}); got != "goose: 1" {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	})
}

// TestAdoptAfterTldwdb: what tldwdb has applied by itself has to fit.
func TestAdoptAfterTldwdb(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		all := shelves(inOrder)
		succeed(t, "up 0001_author, up 0002_book; 0 → 2")(open(t, tdb, all.with(files{"3_year.up.sql": "", "3_year.down.sql": ""})).Up(ctx))
		execute(t, admin, "CREATE TABLE alembic_version (version_num varchar(32))", "INSERT INTO alembic_version VALUES ('2')")
		db := open(t, tdb, all)
		adopted(t, db, tldwdb.AdoptRequest{}, "")
		before := everything(t, admin)
		execute(t, admin, "UPDATE alembic_version SET version_num = '3'")
		if _, err := db.Adopt(ctx, tldwdb.AdoptRequest{}); !errors.Is(err, tldwdb.ErrNotMapped) || !strings.Contains(err.Error(), "0001_author: applied on") {
			t.Errorf("adopt: %v", err)
		}
		if got := everything(t, admin); got != before {
			t.Errorf("refused, and wrote\n%s", got)
		}
	})
}

// TestAdoptAfterDown: what tldwdb took back is not there, whatever the other
// tool's table says.
func TestAdoptAfterDown(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		fillRecorded(t, tdb, "goose-3.29.0")
		db := open(t, tdb, shelves(inOrder))
		adopted(t, db, tldwdb.AdoptRequest{}, "1 2")
		other := open(t, tdb, shelves(inOrder), func(cfg *tldwdb.Config) { cfg.Set = "other" })
		if a, err := other.Adopt(ctx, tldwdb.AdoptRequest{DryRun: true}); err != nil || versionsOf(a.Written) != "1 2" {
			t.Errorf("another set: %+v, %v", a, err)
		}
		succeed(t, "down 0002_book; 2 → 1")(db.Down(ctx, 1))
		adopted(t, db, tldwdb.AdoptRequest{}, "")
		succeed(t, "up 0002_book, up 0003_year; 1 → 3")(db.Up(ctx))
		if a := adopted(t, db, tldwdb.AdoptRequest{}, ""); len(a.Unapplied) > 0 {
			t.Errorf("all is applied, and the next up is said to apply %s", versionsOf(a.Unapplied))
		}
	})
}

// TestAdoptAfterFailedUp: whoever runs Up before adopting meets the tables that
// are there. On MySQL that leaves a row, which does not stand in the way.
func TestAdoptAfterFailedUp(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		fillRecorded(t, tdb, "goose-3.29.0")
		db := open(t, tdb, shelves(inOrder))
		if _, err := db.Up(t.Context()); err == nil {
			t.Fatal("Up made tables that were there")
		}
		adopted(t, db, tldwdb.AdoptRequest{}, "1 2")
		succeed(t, "up 0003_year; 2 → 3")(db.Up(t.Context()))
	})
}

// TestAdoptTogether: of many that adopt at once one writes, and none fails.
func TestAdoptTogether(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		fillRecorded(t, tdb, "goose-3.29.0")
		const workers = 4
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			written []string
		)
		for range workers {
			db := open(t, tdb, shelves(inOrder))
			wg.Go(func() {
				a, err := db.Adopt(t.Context(), tldwdb.AdoptRequest{})
				if err != nil {
					t.Errorf("adopt: %v", err)
				}
				if len(a.Written) > 0 {
					mu.Lock()
					written = append(written, versionsOf(a.Written))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if !slices.Equal(written, []string{"1 2"}) {
			t.Errorf("written was %q", written)
		}
	})
}

// TestAdoptZero: a version 0 is one like any other.
func TestAdoptZero(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		execute(t, tdb.AdminDB(t), "CREATE TABLE schema_migrations (version varchar(128))", "INSERT INTO schema_migrations VALUES ('0')")
		db := open(t, tdb, shelves([3]int64{0, 1, 2}))
		adopted(t, db, tldwdb.AdoptRequest{}, "0")
		adopted(t, db, tldwdb.AdoptRequest{}, "")
		execute(t, tdb.AdminDB(t), "INSERT INTO schema_migrations VALUES ('1')")
		adopted(t, db, tldwdb.AdoptRequest{}, "1")
	})
}

// TestAdoptionJSON: the keys are what programs read.
func TestAdoptionJSON(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	fillRecorded(t, tdb, "goose-3.29.0")
	text, err := json.Marshal(adopted(t, open(t, tdb, shelves(inOrder)), tldwdb.AdoptRequest{DryRun: true}, "1 2"))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	want := []string{"already_adopted", "dry_run", "found", "mapped", "table", "tool", "unapplied", "unknown", "written"}
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Errorf("the keys are %q, want %q", got, want)
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("an empty list is null: %s", text)
	}
}
