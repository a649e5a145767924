package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// historyTable is left out where schemas are compared.
const historyTable = "tldwdb_history"

// files are migrations by name.
type files map[string]string

func (f files) fs() fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// with returns a copy in which some files are added or replaced; an empty text
// removes one.
func (f files) with(changes files) files {
	list := files{}
	for _, m := range []files{f, changes} {
		for name, text := range m {
			list[name] = text
		}
	}
	for name, text := range list {
		if text == "" {
			delete(list, name)
		}
	}
	return list
}

// configFor is the configuration that most tests open a database with.
func configFor(db *testdb.Database, f files, edits ...func(*tldwdb.Config)) tldwdb.Config {
	cfg := tldwdb.Config{URL: db.URL, Migrations: f.fs(), PoolSize: 4}
	for _, edit := range edits {
		edit(&cfg)
	}
	return cfg
}

// open opens the database with migrations, and closes it at the test's end.
func open(t *testing.T, db *testdb.Database, f files, edits ...func(*tldwdb.Config)) *tldwdb.DB {
	t.Helper()
	d, err := tldwdb.Open(t.Context(), configFor(db, f, edits...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// outcome shows a result in a line: "up 1, down R:v; 0 → 2".
func outcome(res *tldwdb.Result) string {
	words := make([]string, len(res.Applied))
	for i, a := range res.Applied {
		words[i] = string(a.Direction) + " " + a.Migration.String()
	}
	return fmt.Sprintf("%s; %d → %d", strings.Join(words, ", "), res.Before, res.After)
}

// succeed checks a run that must do what want says.
func succeed(t *testing.T, want string) func(res *tldwdb.Result, err error) {
	t.Helper()
	return func(res *tldwdb.Result, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
		}
		if got := outcome(res); got != want {
			t.Fatalf("the run did\n%s\nwant\n%s", got, want)
		}
	}
}

// rowsOf runs a query on the side and shows its rows: columns joined by |, rows
// by lines.
func rowsOf(t *testing.T, pool *sql.DB, query string) string {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // Err below has told everything that Close could
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(columns))
		for i, v := range values {
			if words[i] = v.String; !v.Valid {
				words[i] = "NULL"
			}
		}
		lines = append(lines, strings.Join(words, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

// execute runs statements on the side.
func execute(t *testing.T, pool *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// historyRows shows what the history says about each migration.
func historyRows(t *testing.T, pool *sql.DB) string {
	t.Helper()
	return rowsOf(t, pool, "SELECT version, state, direction, done, steps FROM "+historyTable+" WHERE set_name = 'default' AND repeatable = '' ORDER BY version")
}

// everything is the whole history, for comparing before and after.
func everything(t *testing.T, pool *sql.DB) string {
	t.Helper()
	return rowsOf(t, pool, "SELECT * FROM "+historyTable+" ORDER BY set_name, version, repeatable")
}

// objects is what is in the database: its dump without the database itself.
func objects(t *testing.T, tdb *testdb.Database, except ...string) string {
	t.Helper()
	dump := tdb.Dump(t, except...)
	if first, rest, _ := strings.Cut(dump, "\n"); strings.HasPrefix(first, "database ") || strings.HasPrefix(first, "schema ") {
		return rest
	}
	return dump
}

// isMySQL reports whether DDL commits by itself.
func isMySQL(db *testdb.Database) bool {
	return db.Engine == testdb.MariaDB || db.Engine == testdb.MySQL
}

// logbook records what is logged, and calls back at each record.
type logbook struct {
	mu      sync.Mutex
	lines   []string
	watched func(line string) // called for each line; may be nil
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write takes one record from slog's text handler.
func (l *logbook) Write(p []byte) (int, error) {
	line := string(p)
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	if l.watched != nil {
		l.watched(line)
	}
	return len(p), nil
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// library is a small set of migrations that every engine takes.
var library = files{
	"0001_author.up.sql":   "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL);",
	"0001_author.down.sql": "DROP TABLE author;",
	"0002_book.up.sql": "CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60));\n" +
		"CREATE INDEX book_author ON book (author_id);\nINSERT INTO author VALUES (1, 'Ada');\nINSERT INTO book VALUES (1, 1, 'Notes');",
	"0002_book.down.sql":  "DROP TABLE book;\nDELETE FROM author;",
	"0003_year.up.sql":    "ALTER TABLE book ADD COLUMN year integer;\nUPDATE book SET year = 1843;",
	"0003_year.down.sql":  "ALTER TABLE book DROP COLUMN year;",
	"R__titles.sql":       "DROP VIEW IF EXISTS titles;\nCREATE VIEW titles AS SELECT title FROM book;",
	"postgres/README.txt": "folders of dialects may hold other files",
}

// TestThereAndBack takes every verb over a schema's life.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := library.with(files{"R__titles.sql": ""})
		db := open(t, tdb, f)
		succeed(t, "up 0001_author, up 0002_book, up 0003_year; 0 → 3")(db.Up(ctx))
		full := tdb.Dump(t, historyTable)
		if got := rowsOf(t, admin, "SELECT a.name, b.title, b.year FROM author a JOIN book b ON b.author_id = a.id"); got != "Ada|Notes|1843" {
			t.Errorf("the rows are %q", got)
		}
		if got, want := historyRows(t, admin), "1|applied|up|1|1\n2|applied|up|4|4\n3|applied|up|2|2"; got != want {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
		res, err := db.Up(ctx)
		succeed(t, "; 3 → 3")(res, err)
		if res.Locked || res.Applied != nil || res.Warnings != nil {
			t.Errorf("nothing to do is not an empty result: %+v", res)
		}
		if err := db.Check(ctx); err != nil {
			t.Error(err)
		}
		if err := db.Wait(ctx); err != nil {
			t.Error(err)
		}

		res, err = db.Down(ctx, 0)
		succeed(t, "down 0003_year; 3 → 2")(res, err)
		if !res.Locked || res.Applied[0].Statements != 1 {
			t.Errorf("the result says %+v", res)
		}
		if err := db.Check(ctx); !errors.Is(err, tldwdb.ErrPending) || tldwdb.Hint(err) == "" {
			t.Errorf("Check with one pending: %v", err)
		}
		succeed(t, "up 0003_year; 2 → 3")(db.Migrate(ctx, tldwdb.Request{}))
		succeed(t, "down 0003_year, down 0002_book; 3 → 1")(db.MigrateTo(ctx, 1))
		succeed(t, "; 1 → 1")(db.MigrateTo(ctx, 1))
		succeed(t, "up 0002_book; 1 → 2")(db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalUp, Steps: 1}))
		succeed(t, "down 0002_book, up 0002_book; 2 → 2")(db.Redo(ctx))
		succeed(t, "up 0003_year; 2 → 3")(db.MigrateTo(ctx, 3))
		if got := tdb.Dump(t, historyTable); got != full {
			t.Errorf("there and back again is another schema:\n%s\nwant\n%s", got, full)
		}
		succeed(t, "down 0003_year, down 0002_book, down 0001_author; 3 → 0")(db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalBase}))
		if got := objects(t, tdb, historyTable); got != "" {
			t.Errorf("left behind:\n%s", got)
		}
		if got := historyRows(t, admin); got != "" {
			t.Errorf("left in the history: %s", got)
		}
		succeed(t, "; 0 → 0")(db.Down(ctx, 1))
		if _, err := db.MigrateTo(ctx, 4); !errors.Is(err, tldwdb.ErrUnknownVersion) {
			t.Errorf("an unknown version: %v", err)
		}
	})
}

func TestRepeatable(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		succeed(t, "up 0001_author, up 0002_book, up 0003_year, up R__titles; 0 → 3")(open(t, tdb, library).Up(ctx))
		db := open(t, tdb, library.with(files{"R__titles.sql": "DROP VIEW IF EXISTS titles;\nCREATE VIEW titles AS SELECT title, year FROM book;"}))
		status, err := db.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if last := status.Migrations[len(status.Migrations)-1]; last.State != tldwdb.StateChanged || status.Pending != 1 {
			t.Errorf("a changed repeatable migration is %+v", last)
		}
		succeed(t, "up R__titles; 3 → 3")(db.Up(ctx))
		if got := rowsOf(t, admin, "SELECT * FROM titles"); got != "Notes|1843" {
			t.Errorf("the view has %q", got)
		}
		succeed(t, "; 3 → 3")(db.Up(ctx))
		// Its file may go: what it made stays.
		succeed(t, "; 3 → 3")(open(t, tdb, library.with(files{"R__titles.sql": ""})).Up(ctx))
	})
}

// TestResultBesideError: three good migrations, and the fourth fails.
func TestResultBesideError(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		broken := library.with(files{"R__titles.sql": "", "0004_fault.up.sql": "-- é\nCREATE TABLE fine (id integer);\n\nCREATE TABLE author (id integer);\n"})
		res, err := open(t, tdb, broken).Up(ctx)
		if got, want := outcome(res), "up 0001_author, up 0002_book, up 0003_year; 0 → 3"; got != want || !res.Locked {
			t.Errorf("the result beside the error is %s, want %s", got, want)
		}
		var failed *tldwdb.MigrationError
		if !errors.As(err, &failed) {
			t.Fatalf("error is %T: %v", err, err)
		}
		if failed.Migration != (tldwdb.ID{Version: 4, Name: "fault"}) || failed.Direction != tldwdb.DirectionUp || failed.File != "0004_fault.up.sql" ||
			failed.Line != 4 || failed.Statement != "CREATE TABLE author (id integer)" || failed.Err == nil {
			t.Errorf("the error says %+v", failed)
		}
		if !strings.HasPrefix(err.Error(), "0004_fault.up.sql:4: ") {
			t.Errorf("the error reads %q", err)
		}
		fine := strings.Contains(tdb.Dump(t, historyTable), "fine")
		rows := historyRows(t, admin)
		if isMySQL(tdb) {
			if !fine || !strings.HasSuffix(rows, "\n4|failed|up|1|2") {
				t.Errorf("the journal says\n%s", rows)
			}
		} else if fine || strings.Contains(rows, "\n4") {
			t.Errorf("a failed migration left something behind:\n%s", rows)
		}
		mended := broken.with(files{"0004_fault.up.sql": "-- é\nCREATE TABLE fine (id integer);\n\nCREATE TABLE other (id integer);\n"})
		succeed(t, "up 0004_fault; 3 → 4")(open(t, tdb, mended).Up(ctx))
		if got := historyRows(t, admin); !strings.HasSuffix(got, "\n4|applied|up|2|2") {
			t.Errorf("the history says\n%s", got)
		}
		succeed(t, "; 4 → 4")(open(t, tdb, mended).Up(ctx))
	})
}

// TestReadsDoNotWrite calls everything that only looks, before and after there
// is a history.
func TestReadsDoNotWrite(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		look := func(db *tldwdb.DB, pending int) {
			t.Helper()
			status, err := db.Status(ctx)
			if err != nil || status.Pending != pending {
				t.Errorf("Status: %+v, %v; want %d pending", status, err, pending)
			}
			plan, err := db.Plan(ctx, tldwdb.Request{})
			if err != nil || len(plan.Steps) != pending || plan.Empty() != (pending == 0) {
				t.Errorf("Plan: %+v, %v; want %d steps", plan, err, pending)
			}
			for name, err := range map[string]error{"Check": db.Check(ctx), "Wait": db.Wait(ctx)} {
				if pending == 0 && err != nil || pending > 0 && !errors.Is(err, tldwdb.ErrPending) {
					t.Errorf("%s with %d pending: %v", name, pending, err)
				}
			}
			if findings, err := db.Repair(ctx); err != nil || findings != nil {
				t.Errorf("Repair: %v, %v", findings, err)
			}
			if h := db.Health(ctx); h.Ready != (pending == 0) || h.Pending != pending || !h.Connection {
				t.Errorf("Health: %+v", h)
			}
		}
		noWait := func(cfg *tldwdb.Config) { cfg.LockWait = -1 }
		db := open(t, tdb, library, noWait)
		look(db, 4)
		if got := objects(t, tdb); got != "" {
			t.Fatalf("looking made\n%s", got)
		}
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		schema, history := tdb.Dump(t), everything(t, admin)
		look(db, 0)
		look(open(t, tdb, library.with(files{"0004_more.up.sql": "CREATE TABLE more (id integer);"}), noWait), 1)
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		if tdb.Dump(t) != schema || everything(t, admin) != history {
			t.Error("looking changed something")
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		f := library.with(files{"R__titles.sql": "", "0003_year.down.sql": ""})
		db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Environment, cfg.Application = tldwdb.Test, "shelf" })
		if _, err := db.Migrate(ctx, tldwdb.Request{Steps: 2}); err != nil {
			t.Fatal(err)
		}
		s, err := open(t, tdb, f.with(files{"0001_author.up.sql": "", "0001_author.down.sql": ""})).Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Set != "default" || s.Environment != "test" || s.Current != 2 || s.Head != 3 || s.Pending != 1 || len(s.Migrations) != 3 || len(s.Problems) != 1 {
			t.Fatalf("the status is %+v", s)
		}
		one, two, three := s.Migrations[0], s.Migrations[1], s.Migrations[2]
		if one.State != tldwdb.StateUnknown || one.File != "" || !one.Reversible || one.Migration.Name != "author" {
			t.Errorf("without a file: %+v", one)
		}
		if two.State != tldwdb.StateApplied || two.File != "0002_book.up.sql" || !two.Reversible || two.Done != 4 || two.Statements != 4 || two.Error != "" ||
			two.ToolVersion != tldwdb.Version || !strings.HasSuffix(two.Actor, ":shelf") {
			t.Errorf("applied: %+v", two)
		}
		if age := time.Since(two.StartedAt); age < -time.Hour || age > time.Hour || two.FinishedAt.Before(two.StartedAt) || two.StartedAt.Location() != time.UTC {
			t.Errorf("the times are %v to %v", two.StartedAt, two.FinishedAt)
		}
		if three.State != tldwdb.StatePending || three.Reversible || !three.StartedAt.IsZero() {
			t.Errorf("pending: %+v", three)
		}
	})
}

func TestPlanAndApply(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		f := library.with(files{"R__titles.sql": "", "0004_alone.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE alone (id integer);"})
		db := open(t, tdb, f, func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 5, Name: "code", Up: func(context.Context, tldwdb.Conn) error { return nil }}}
		})
		plan, err := db.Plan(ctx, tldwdb.Request{})
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, s := range plan.Steps {
			text = append(text, fmt.Sprintf("%s %s %s %s go=%v tx=%v", s.Direction, s.Migration, s.Reason, s.File, s.Go, s.Transaction))
			for _, st := range s.Statements {
				text = append(text, fmt.Sprintf("  %d: %s", st.Line, st.SQL))
			}
		}
		tx := fmt.Sprint(!isMySQL(tdb))
		want := "up 0001_author pending 0001_author.up.sql go=false tx=" + tx + "\n" +
			"  1: CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(60) NOT NULL)\n" +
			"up 0002_book pending 0002_book.up.sql go=false tx=" + tx + "\n" +
			"  1: CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60))\n" +
			"  2: CREATE INDEX book_author ON book (author_id)\n  3: INSERT INTO author VALUES (1, 'Ada')\n  4: INSERT INTO book VALUES (1, 1, 'Notes')\n" +
			"up 0003_year pending 0003_year.up.sql go=false tx=" + tx + "\n" +
			"  1: ALTER TABLE book ADD COLUMN year integer\n  2: UPDATE book SET year = 1843\n" +
			"up 0004_alone pending 0004_alone.up.sql go=false tx=false\n  2: CREATE TABLE alone (id integer)\n" +
			"up 0005_code pending  go=true tx=" + tx
		if got := strings.Join(text, "\n"); got != want {
			t.Errorf("the plan is\n%s\nwant\n%s", got, want)
		}
		again, err := db.Plan(ctx, tldwdb.Request{})
		if err != nil || again.ID != plan.ID {
			t.Errorf("a second plan is another one: %v", err)
		}
		down, err := db.Plan(ctx, tldwdb.Request{Goal: tldwdb.GoalDown})
		if err != nil || !down.Empty() {
			t.Errorf("a plan to go down from nothing: %+v, %v", down, err)
		}
		res, err := db.Apply(ctx, plan)
		succeed(t, "up 0001_author, up 0002_book, up 0003_year, up 0004_alone, up 0005_code; 0 → 5")(res, err)
		res, err = db.Apply(ctx, plan)
		if !errors.Is(err, tldwdb.ErrPlanChanged) || len(res.Applied) != 0 || tldwdb.Hint(err) == "" {
			t.Errorf("the plan ran twice: %s, %v", outcome(res), err)
		}
		// A plan to go back shows the statements of the way back.
		if down, err = open(t, tdb, f).Plan(ctx, tldwdb.Request{Goal: tldwdb.GoalVersion, Version: 2}); !errors.Is(err, tldwdb.ErrIrreversible) {
			t.Errorf("a plan over a migration without a way back: %+v, %v", down, err)
		}
	})
}

func TestEditedFile(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		if _, err := open(t, tdb, library).Up(ctx); err != nil {
			t.Fatal(err)
		}
		edited := library.with(files{"0002_book.up.sql": library["0002_book.up.sql"] + " -- é", "0004_new.up.sql": "CREATE TABLE newer (id integer);"})
		db := open(t, tdb, edited)
		for name, call := range map[string]func() error{
			"Up":    func() error { _, err := db.Up(ctx); return err },
			"Plan":  func() error { _, err := db.Plan(ctx, tldwdb.Request{}); return err },
			"Check": func() error { return db.Check(ctx) },
			"Redo":  func() error { _, err := db.Redo(ctx); return err },
		} {
			err := call()
			var history *tldwdb.HistoryError
			if !errors.As(err, &history) || !errors.Is(err, tldwdb.ErrChanged) || errors.Is(err, tldwdb.ErrNewer) || len(history.Problems) != 1 ||
				!strings.HasPrefix(err.Error(), "0002_book: 0002_book.up.sql was changed after it was applied on ") {
				t.Errorf("%s with an edited file: %v", name, err)
			}
		}
		if strings.Contains(tdb.Dump(t), "newer") {
			t.Error("the new file was applied though an old one had changed")
		}
		findings, err := db.Repair(ctx)
		if err != nil || len(findings) != 1 || findings[0].Migration.Version != 2 || findings[0].Fixes[0] != tldwdb.FixChecksum {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
		if _, err := db.Repair(ctx, tldwdb.Fix{Migration: tldwdb.ID{Version: 2}, Kind: tldwdb.FixChecksum}); err != nil {
			t.Fatal(err)
		}
		succeed(t, "up 0004_new; 3 → 4")(db.Up(ctx))
	})
}

// TestNewerDatabase is a rollout: an old binary meets a newer schema, and may
// take it back with the scripts that the database has kept.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		newer := library.with(files{
			"R__titles.sql":    "",
			"0005_single.sql":  "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE single (id integer);\n-- +goose Down\nDROP TABLE single;\n",
			"0006_one.up.sql":  "CREATE TABLE one (id integer);",
			"0007_both.up.sql": "CREATE TABLE both_ways (note varchar(60));\nINSERT INTO both_ways VALUES ('it''s \\ é');", "0007_both.down.sql": "-- tldwdb: lock-timeout=1s\n-- it's \\ é\nDROP TABLE both_ways;",
		})
		if _, err := open(t, tdb, newer).Up(ctx); err != nil {
			t.Fatal(err)
		}
		old := newer.with(files{"0005_single.sql": "", "0006_one.up.sql": "", "0007_both.up.sql": "", "0007_both.down.sql": ""})
		log := &logbook{}
		db := open(t, tdb, old, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
		res, err := db.Up(ctx)
		succeed(t, "; 7 → 7")(res, err)
		if len(res.Warnings) != 3 || !errors.Is(res.Warnings[0].Kind, tldwdb.ErrNewer) || !strings.Contains(log.text(), "the database is newer than this binary") {
			t.Errorf("warnings %v, log %s", res.Warnings, log.text())
		}
		if err := db.Check(ctx); err != nil {
			t.Errorf("Check: %v", err)
		}
		strict := open(t, tdb, old, func(cfg *tldwdb.Config) { cfg.Strict = true })
		if _, err := strict.Up(ctx); !errors.Is(err, tldwdb.ErrNewer) {
			t.Errorf("Up under Strict: %v", err)
		}
		if err := strict.Check(ctx); !errors.Is(err, tldwdb.ErrNewer) {
			t.Errorf("Check under Strict: %v", err)
		}
		plan, err := db.Plan(ctx, tldwdb.Request{Goal: tldwdb.GoalDown})
		if err != nil || len(plan.Steps) != 1 || len(plan.Steps[0].Statements) != 1 || plan.Steps[0].Statements[0].Line != 3 {
			t.Errorf("the plan with a stored script: %+v, %v", plan, err)
		}
		succeed(t, "down 0007_both; 7 → 6")(db.Down(ctx, 1))
		before := everything(t, admin)
		if _, err := db.Down(ctx, 2); !errors.Is(err, tldwdb.ErrIrreversible) || tldwdb.Hint(err) == "" {
			t.Errorf("Down without a script: %v", err)
		}
		if everything(t, admin) != before {
			t.Error("what cannot be taken back was begun")
		}
		if _, err := db.Repair(ctx, tldwdb.Fix{Migration: tldwdb.ID{Version: 6}, Kind: tldwdb.FixForget}); err != nil {
			t.Fatal(err)
		}
		// A single file keeps what it says about transactions.
		if plan, err = db.Plan(ctx, tldwdb.Request{Goal: tldwdb.GoalDown}); err != nil || plan.Steps[0].Transaction {
			t.Errorf("the stored script of a goose file forgot NO TRANSACTION: %+v, %v", plan, err)
		}
		succeed(t, "down 0005_single; 5 → 3")(db.Down(ctx, 1))
		if got := tdb.Dump(t); strings.Contains(got, "both_ways") || strings.Contains(got, "single") {
			t.Errorf("left behind:\n%s", got)
		}
	})
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		if _, err := open(t, tdb, library).Up(ctx); err != nil {
			t.Fatal(err)
		}
		gap := library.with(files{"0002_book.up.sql": "", "0002_book.down.sql": ""})
		res, err := open(t, tdb, gap).Up(ctx)
		if err != nil || len(res.Warnings) != 1 || !errors.Is(res.Warnings[0].Kind, tldwdb.ErrMissing) {
			t.Errorf("a missing file: %+v, %v", res, err)
		}
		if _, err := open(t, tdb, gap, func(cfg *tldwdb.Config) { cfg.Strict = true }).Up(ctx); !errors.Is(err, tldwdb.ErrMissing) {
			t.Errorf("a missing file under Strict: %v", err)
		}
	})
}

func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		if _, err := open(t, tdb, library).Up(ctx); err != nil {
			t.Fatal(err)
		}
		late := library.with(files{"0000_late.up.sql": "CREATE TABLE late (id integer);"})
		if _, err := open(t, tdb, late).Up(ctx); !errors.Is(err, tldwdb.ErrOutOfOrder) || !strings.Contains(err.Error(), "0000_late") {
			t.Errorf("a late file: %v", err)
		}
		allow := func(cfg *tldwdb.Config) { cfg.OutOfOrder = true }
		succeed(t, "up 0000_late; 3 → 3")(open(t, tdb, late, allow).Up(ctx))
		succeed(t, "; 3 → 3")(open(t, tdb, late).Up(ctx))
	})
}

// TestNeighbours holds that sets of migrations, and tables of other names, live
// in one database without seeing each other.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		one := func(table string) files {
			return files{"0001_a.up.sql": "CREATE TABLE " + table + " (id integer);", "0001_a.down.sql": "DROP TABLE " + table + ";"}
		}
		billing := func(cfg *tldwdb.Config) { cfg.Set = "billing" }
		other := func(cfg *tldwdb.Config) { cfg.Table = "Other_History" }
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, one("first")).Up(ctx))
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, one("second"), billing).Up(ctx))
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, one("third"), other).Up(ctx))
		succeed(t, "down 0001_a; 1 → 0")(open(t, tdb, one("second"), billing).Down(ctx, 1))
		succeed(t, "; 1 → 1")(open(t, tdb, one("first")).Up(ctx))
		succeed(t, "; 1 → 1")(open(t, tdb, one("third"), other).Up(ctx))
		dump := tdb.Dump(t)
		if !strings.Contains(dump, "first") || strings.Contains(dump, "second") || !strings.Contains(dump, "third") || !strings.Contains(dump, "Other_History") {
			t.Errorf("the schema is\n%s", dump)
		}
	})
}

func TestIrreversible(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id integer);", "1_a.down.sql": "DROP TABLE a;",
			"2_b.up.sql": "-- tldwdb: irreversible the é values are gone\nCREATE TABLE b (id integer);", "2_b.down.sql": "DROP TABLE b;",
			"3_c.up.sql": "CREATE TABLE c (id integer);", "3_c.down.sql": "-- tldwdb: irreversible never mind\n",
		}
		code := func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 4, Name: "d", Up: func(context.Context, tldwdb.Conn) error { return nil }}}
		}
		db := open(t, tdb, f, code)
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		before := everything(t, admin)
		for version, reason := range map[int64]string{3: "irreversible", 2: "never mind", 1: "é values are gone"} {
			steps := int(4 - version)
			d := db
			if version < 3 { // take the newer ones out of the way
				d = open(t, tdb, f)
				execute(t, admin, fmt.Sprintf("UPDATE %s SET set_name = 'aside' WHERE version > %d AND set_name = 'default'", historyTable, version+1))
				steps = 1
			}
			_, err := d.Down(ctx, steps)
			if !errors.Is(err, tldwdb.ErrIrreversible) || reason != "irreversible" && !strings.Contains(err.Error(), reason) || tldwdb.Hint(err) == "" {
				t.Errorf("Down to %d: %v", version, err)
			}
			execute(t, admin, "UPDATE "+historyTable+" SET set_name = 'default' WHERE set_name = 'aside'")
		}
		if everything(t, admin) != before {
			t.Error("what cannot be taken back was begun")
		}
	})
}

// TestProduction: a database that was production once is protected, whoever
// asks, until it is named.
func TestProduction(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		in := func(env tldwdb.Environment, confirm string) func(*tldwdb.Config) {
			return func(cfg *tldwdb.Config) { cfg.Environment, cfg.Confirm = env, confirm }
		}
		name := tdb.Name()
		if tdb.Engine == testdb.SQLite {
			name = "test.db"
		}
		f := library.with(files{"R__titles.sql": ""})
		db := open(t, tdb, f, in(tldwdb.Production, ""))
		succeed(t, "up 0001_author, up 0002_book; 0 → 2")(db.MigrateTo(ctx, 2)) // only going back is protected
		succeed(t, "up 0003_year; 2 → 3")(db.Up(ctx))
		for _, req := range []tldwdb.Request{{Goal: tldwdb.GoalDown}, {Goal: tldwdb.GoalRedo}, {Goal: tldwdb.GoalBase}, {Goal: tldwdb.GoalVersion, Version: 1}} {
			for env, confirm := range map[tldwdb.Environment]string{tldwdb.Production: "", tldwdb.Development: "", tldwdb.Test: "another"} {
				res, err := open(t, tdb, f, in(env, confirm)).Migrate(ctx, req)
				if !errors.Is(err, tldwdb.ErrProtected) || len(res.Applied) != 0 || !strings.Contains(tldwdb.Hint(err), name) {
					t.Errorf("%v as %s confirming %q: %v, hint %s", req, env, confirm, err, tldwdb.Hint(err))
				}
			}
		}
		succeed(t, "down 0003_year; 3 → 2")(open(t, tdb, f, in(tldwdb.Development, name)).Down(ctx, 1))
		succeed(t, "up 0003_year; 2 → 3")(open(t, tdb, f, in(tldwdb.Development, "")).Up(ctx))
		status, err := db.Status(ctx)
		if err != nil || status.Environment != "production" {
			t.Errorf("the stamp is %v, %v", status, err)
		}
	})
}

// TestBecomesProduction: a database that was made in development is protected
// from the first run in production on.
func TestBecomesProduction(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		f := library.with(files{"R__titles.sql": "", "0003_year.up.sql": "", "0003_year.down.sql": ""})
		succeed(t, "up 0001_author, up 0002_book; 0 → 2")(open(t, tdb, f).Up(ctx))
		succeed(t, "down 0002_book, up 0002_book; 2 → 2")(open(t, tdb, f).Redo(ctx))
		production := func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production }
		f = library.with(files{"R__titles.sql": ""})
		succeed(t, "up 0003_year; 2 → 3")(open(t, tdb, f, production).Up(ctx))
		if _, err := open(t, tdb, f).Down(ctx, 1); !errors.Is(err, tldwdb.ErrProtected) {
			t.Errorf("Down after production: %v", err)
		}
	})
}

func TestSingleTransaction(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		single := func(cfg *tldwdb.Config) { cfg.SingleTransaction = true }
		if isMySQL(tdb) {
			res, err := open(t, tdb, library, single).Up(ctx)
			if err == nil || len(res.Applied) != 0 || tldwdb.Hint(err) == "" {
				t.Errorf("%s, %v", outcome(res), err)
			}
			if got := objects(t, tdb); got != "" {
				t.Errorf("refused, and made\n%s", got)
			}
			return
		}
		broken := library.with(files{"0004_fault.up.sql": "CREATE TABLE author (id integer);"})
		res, err := open(t, tdb, broken, single).Up(ctx)
		var failed *tldwdb.MigrationError
		if !errors.As(err, &failed) || failed.File != "0004_fault.up.sql" || len(res.Applied) != 0 || res.After != 0 {
			t.Errorf("%s, %v", outcome(res), err)
		}
		if got := objects(t, tdb, historyTable); got != "" {
			t.Errorf("all or nothing left\n%s", got)
		}
		alone := library.with(files{"0004_alone.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE alone (id integer);"})
		if _, err := open(t, tdb, alone, single).Up(ctx); err == nil || !strings.Contains(err.Error(), "0004_alone") || tldwdb.Hint(err) == "" {
			t.Errorf("with a file that cannot run in a transaction: %v", err)
		}
		if tdb.Engine == testdb.SQLite {
			enforced := library.with(files{"0004_on.up.sql": "-- tldwdb: foreign-keys=on\nCREATE TABLE enforced (id integer);"})
			if _, err := open(t, tdb, enforced, single).Up(ctx); err == nil || !strings.Contains(err.Error(), "0004_on") {
				t.Errorf("with a file that wants foreign keys on: %v", err)
			}
		}
		succeed(t, "up 0001_author, up 0002_book, up 0003_year, up R__titles; 0 → 3")(open(t, tdb, library, single).Up(ctx))
		if got, want := historyRows(t, admin), "1|applied|up|1|1\n2|applied|up|4|4\n3|applied|up|2|2"; got != want {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
		succeed(t, "down 0003_year, down 0002_book; 3 → 1")(open(t, tdb, library.with(files{"R__titles.sql": ""}), single, func(*tldwdb.Config) {
			execute(t, admin, "DROP VIEW titles")
		}).MigrateTo(ctx, 1))
	})
}

// TestFaultyFileTouchesNothing: the last of the pending files cannot be read as
// SQL, and not even the history table is made.
func TestFaultyFileTouchesNothing(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		for _, c := range []struct{ text, want string }{
			{"-- é\nSELECT 'é', 'open;\n", "0009_last.up.sql:2:13: "},
			{"SELECT 1;\nSELECT '\xff';\n", "0009_last.up.sql:2:9: invalid UTF-8"},
			{"CREATE TABLE x (id integer);\n  COMMIT;\nCREATE TABLE y (id integer);\n", "0009_last.up.sql:2:3: COMMIT is not allowed here"},
			{"BEGIN;\nCREATE TABLE x (id integer);\nCOMMIT;\nCREATE TABLE y (id integer);\n", "0009_last.up.sql:1:1: BEGIN is not allowed here"},
			{"SAVEPOINT a;\nCREATE TABLE x (id integer);\nROLLBACK TO a;\n", "0009_last.up.sql:1:1: SAVEPOINT is not allowed here"},
		} {
			res, err := open(t, tdb, library.with(files{"0009_last.up.sql": c.text})).Up(t.Context())
			var load *tldwdb.LoadError
			if !errors.As(err, &load) || !strings.HasPrefix(err.Error(), c.want) || len(res.Applied) != 0 {
				t.Errorf("%q: %v, want %s…", c.text, err, c.want)
			}
		}
		if got := objects(t, tdb); got != "" {
			t.Errorf("made in spite of a load error:\n%s", got)
		}
	})
}

// TestTransactionAroundFile: a BEGIN and COMMIT around a whole file mean what
// happens anyway.
func TestTransactionAroundFile(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "-- as many write it\nBEGIN;\nCREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);\nCOMMIT;\n"}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT * FROM a"); got != "1" {
			t.Errorf("the table has %q", got)
		}
	})
}

// TestTransactionMarks: only what means what happens anyway is taken out.
func TestTransactionMarks(t *testing.T) {
	t.Parallel()
	refused := func(line, column int, verb string) string {
		return fmt.Sprintf("1_a.up.sql:%d:%d: %s is not allowed here", line, column, verb)
	}
	for _, c := range []struct {
		name    string
		engines []testdb.Engine
		text    string
		want    string // the load error, or what is in table a
	}{
		{"compound", []testdb.Engine{testdb.MariaDB}, "BEGIN NOT ATOMIC INSERT INTO a VALUES (1); END;\nINSERT INTO a VALUES (2);\nCOMMIT;", refused(3, 1, "COMMIT")},
		{"compound alone", []testdb.Engine{testdb.MariaDB}, "BEGIN NOT ATOMIC INSERT INTO a VALUES (1); COMMIT; END;\nINSERT INTO a VALUES (2);", "1\n2"},
		{"with another assignment", []testdb.Engine{testdb.MariaDB, testdb.MySQL}, "SET autocommit=0, @v=7;\nINSERT INTO a VALUES (@v);\nCOMMIT;", "7"},
		{"saved", []testdb.Engine{testdb.MariaDB, testdb.MySQL}, "SET @OLD=@@AUTOCOMMIT, @@AUTOCOMMIT=0;\nINSERT INTO a SELECT 1 WHERE @OLD IS NOT NULL;\nCOMMIT;\nSET AUTOCOMMIT=@OLD;", "1"},
		{"phpMyAdmin", []testdb.Engine{testdb.MariaDB, testdb.MySQL}, "SET SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO';\nSET AUTOCOMMIT = 0;\nSTART TRANSACTION;\nSET time_zone = '+00:00';\nINSERT INTO a VALUES (1);\nCOMMIT;\n/*!40101 SET @x = 1 */;", "1"},
		{"for the server", []testdb.Engine{testdb.MariaDB, testdb.MySQL}, "SET GLOBAL max_connect_errors=100, autocommit=0;", refused(1, 1, "SET")},
		{"isolation", []testdb.Engine{testdb.Postgres}, "BEGIN ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO a VALUES (1);\nCOMMIT;", refused(1, 1, "BEGIN")},
		{"prepared", []testdb.Engine{testdb.Postgres}, "BEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT PREPARED 'x';", refused(1, 1, "BEGIN")},
		{"words", []testdb.Engine{testdb.Postgres, testdb.SQLite}, "begin /* all */ transaction;\nINSERT INTO a VALUES (1);\nend transaction;", "1"},
		{"immediate", []testdb.Engine{testdb.SQLite}, "BEGIN IMMEDIATE;\nINSERT INTO a VALUES (1);\nCOMMIT;", "1"},
	} {
		for _, engine := range c.engines {
			t.Run(c.name+" "+string(engine), func(t *testing.T) {
				t.Parallel()
				tdb := testdb.New(t, engine)
				admin := tdb.AdminDB(t)
				execute(t, admin, "CREATE TABLE a (id integer)")
				_, err := open(t, tdb, files{"1_a.up.sql": c.text}).Up(t.Context())
				var load *tldwdb.LoadError
				if errors.As(err, &load) {
					if !strings.HasPrefix(err.Error(), c.want) {
						t.Errorf("%v, want %s", err, c.want)
					}
					return
				}
				if got := rowsOf(t, admin, "SELECT id FROM a ORDER BY id"); err != nil || got != c.want {
					t.Errorf("the rows are %q, %v, want %q", got, err, c.want)
				}
			})
		}
	}
}

// TestLastStatementFails: what a transaction holds is gone as a whole.
func TestLastStatementFails(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.SQLite, testdb.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			ctx, admin := t.Context(), tdb.AdminDB(t)
			f := files{"1_a.up.sql": "CREATE TABLE a (id integer PRIMARY KEY);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (id integer);\nINSERT INTO a VALUES (1);"}
			_, err := open(t, tdb, f).Up(ctx)
			var failed *tldwdb.MigrationError
			if !errors.As(err, &failed) || failed.Line != 4 {
				t.Errorf("%v", err)
			}
			if got := objects(t, tdb, historyTable); got != "" {
				t.Errorf("left behind:\n%s", got)
			}
			if got := historyRows(t, admin); got != "" {
				t.Errorf("left in the history: %s", got)
			}
			if findings, err := open(t, tdb, f).Repair(ctx); err != nil || findings != nil {
				t.Errorf("Repair finds %v, %v", findings, err)
			}
		})
	}
}

// TestDeferredConstraint: the fault shows only when the transaction commits.
func TestDeferredConstraint(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.SQLite, testdb.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			ctx, admin := t.Context(), tdb.AdminDB(t)
			f := files{
				"1_a.up.sql": "CREATE TABLE a (id integer PRIMARY KEY);\nCREATE TABLE b (a_id integer REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED);",
				"2_b.up.sql": "-- tldwdb: foreign-keys=on\nCREATE TABLE c (id integer);\nINSERT INTO b VALUES (7);",
			}
			res, err := open(t, tdb, f).Up(ctx)
			var failed *tldwdb.MigrationError
			if !errors.As(err, &failed) || failed.File != "2_b.up.sql" || outcome(res) != "up 0001_a; 0 → 1" {
				t.Errorf("%s, %v", outcome(res), err)
			}
			if got := historyRows(t, admin); got != "1|applied|up|2|2" {
				t.Errorf("the history is\n%s", got)
			}
			if got := rowsOf(t, admin, "SELECT count(*) FROM b"); got != "0" || strings.Contains(tdb.Dump(t), "table c") {
				t.Error("what did not commit is there")
			}
		})
	}
}

// TestGoMigration: code shares the transaction, or the journal, with its row.
func TestGoMigration(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		var broken error
		var panics bool
		fill := func(ctx context.Context, conn tldwdb.Conn) error {
			var n int
			if err := conn.GetContext(ctx, &n, conn.Rebind("SELECT count(*) FROM a WHERE id > ?"), 0); err != nil {
				return err
			}
			if _, err := conn.ExecContext(ctx, conn.Rebind("INSERT INTO a VALUES (?)"), n+1); err != nil {
				return err
			}
			if panics {
				panic("out of coffee")
			}
			return broken
		}
		code := func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 2, Name: "fill", Up: fill, Idempotent: true, Down: func(ctx context.Context, conn tldwdb.Conn) error {
				_, err := conn.ExecContext(ctx, "DELETE FROM a")
				return err
			}}}
		}
		db := open(t, tdb, files{"1_a.up.sql": "CREATE TABLE a (id integer);", "3_b.up.sql": "CREATE TABLE b (id integer);", "3_b.down.sql": "DROP TABLE b;"}, code)
		failure := errors.New("no such luck")
		for _, want := range []string{"0002_fill (Go, up): no such luck", "0002_fill (Go, up): panic: out of coffee"} {
			broken, panics = failure, strings.Contains(want, "panic")
			res, err := db.Up(ctx)
			if err == nil || err.Error() != want || !panics && !errors.Is(err, failure) || res.After != 1 {
				t.Errorf("%s, %v; want %s", outcome(res), err, want)
			}
			if got := rowsOf(t, admin, "SELECT count(*) FROM a"); got != "0" {
				t.Errorf("%s rows are left", got)
			}
		}
		broken, panics = nil, false
		res, err := db.Up(ctx)
		succeed(t, "up 0002_fill, up 0003_b; 1 → 3")(res, err)
		if res.Applied[0].Statements != 0 {
			t.Errorf("a Go migration has %d statements", res.Applied[0].Statements)
		}
		succeed(t, "down 0003_b, down 0002_fill; 3 → 1")(db.Down(ctx, 2))
		if got := rowsOf(t, admin, "SELECT count(*) FROM a"); got != "0" {
			t.Errorf("%s rows are left", got)
		}
	})
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		// Made by something else, with rows in it.
		execute(t, admin, library["0001_author.up.sql"],
			"CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author_id integer NOT NULL, title varchar(60))",
			"CREATE INDEX book_author ON book (author_id)", "INSERT INTO book VALUES (7, 7, 'kept')")
		schema := tdb.Dump(t, historyTable)
		f := library.with(files{"R__titles.sql": ""})
		db := open(t, tdb, f)
		if _, err := db.Baseline(ctx, 9); !errors.Is(err, tldwdb.ErrUnknownVersion) {
			t.Errorf("a baseline at an unknown version: %v", err)
		}
		if got := tdb.Dump(t); got != schema {
			t.Errorf("refused, and made\n%s", got)
		}
		succeed(t, "; 0 → 2")(db.Baseline(ctx, 2))
		if got := tdb.Dump(t, historyTable); got != schema {
			t.Errorf("the baseline changed the schema to\n%s", got)
		}
		before := everything(t, admin)
		if _, err := db.Baseline(ctx, 3); err == nil || !strings.Contains(err.Error(), "0001_author has a row already") || tldwdb.Hint(err) == "" {
			t.Errorf("a second baseline: %v", err)
		}
		if everything(t, admin) != before {
			t.Error("the refused baseline wrote something")
		}
		status, err := db.Status(ctx)
		if err != nil || status.Migrations[1].State != tldwdb.StateBaseline || !status.Migrations[1].Reversible {
			t.Errorf("the status is %+v, %v", status, err)
		}
		succeed(t, "up 0003_year; 2 → 3")(db.Up(ctx))
		if got := rowsOf(t, admin, "SELECT * FROM book"); got != "7|7|kept|1843" {
			t.Errorf("the rows are %q", got)
		}
		// The way back was stored with it, for a binary without the files.
		succeed(t, "down 0003_year, down 0002_book; 3 → 1")(open(t, tdb, files{"0001_author.up.sql": f["0001_author.up.sql"]}).Down(ctx, 2))
	})
}

// TestHistoryLost: where the schema is there and the history is not, the error
// names the way out, which then works.
func TestHistoryLost(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := library.with(files{"R__titles.sql": "", "0001_author.up.sql": pick(tdb, "PRAGMA cache_size = 100", "SET search_path = public", "SET NAMES utf8mb4") + ";\n" + library["0001_author.up.sql"]})
		succeed(t, "up 0001_author, up 0002_book, up 0003_year; 0 → 3")(open(t, tdb, f).Up(ctx))
		schema := tdb.Dump(t, historyTable)
		for _, single := range []bool{false, true} {
			if single && isMySQL(tdb) {
				continue
			}
			execute(t, admin, "DROP TABLE "+historyTable)
			db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.SingleTransaction = single })
			for range 2 {
				_, err := db.Up(ctx)
				var failed *tldwdb.MigrationError
				if !errors.As(err, &failed) || failed.Line != 2 || !strings.Contains(failed.Hint, "DB.Baseline") {
					t.Errorf("%v, hint %q", err, tldwdb.Hint(err))
				}
			}
			succeed(t, "; 0 → 3")(db.Baseline(ctx, 3))
			succeed(t, "; 3 → 3")(db.Up(ctx))
			if got := tdb.Dump(t, historyTable); got != schema {
				t.Errorf("the schema is\n%s\nwant\n%s", got, schema)
			}
		}
		status, err := open(t, tdb, f).Status(ctx)
		if err != nil || status.Migrations[0].State != tldwdb.StateBaseline || !status.Migrations[1].Reversible {
			t.Errorf("the status is %+v, %v", status, err)
		}
		// Another migration that finds its table there is a mistake of another kind.
		later := f.with(files{"0004_again.up.sql": library["0001_author.up.sql"]})
		if _, err := open(t, tdb, later).Up(ctx); err == nil || tldwdb.Hint(err) != "" {
			t.Errorf("a later one: %v, hint %q", err, tldwdb.Hint(err))
		}
		fresh := testdb.New(t, tdb.Engine)
		if _, err := open(t, fresh, files{"1_a.up.sql": "DROP TABLE nosuch;"}).Up(ctx); err == nil || tldwdb.Hint(err) != "" {
			t.Errorf("another error: %v, hint %q", err, tldwdb.Hint(err))
		}
		if _, err := open(t, fresh, files{"1_a.up.sql": "CREATE TABLE a (id integer);", "2_b.up.sql": "CREATE TABLE a (id integer);"}).Up(ctx); err == nil || tldwdb.Hint(err) != "" {
			t.Errorf("the second of a new history: %v, hint %q", err, tldwdb.Hint(err))
		}
		// One that had begun is no empty history.
		begun := testdb.New(t, tdb.Engine)
		half := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE a (id integer);\nCREATE TABLE a (id integer);"}
		if _, err := open(t, begun, half).Up(ctx); err == nil || tldwdb.Hint(err) != "" {
			t.Errorf("begun: %v, hint %q", err, tldwdb.Hint(err))
		}
		if _, err := open(t, begun, half).Baseline(ctx, 1); err == nil || !strings.Contains(tldwdb.Hint(err), "FixForget") {
			t.Errorf("a baseline over a begun one: %v, hint %q", err, tldwdb.Hint(err))
		}
	})
}

// TestWait: a worker waits until somebody else has migrated, and no longer.
func TestWait(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		up := make(chan error, 1)
		migrator := open(t, tdb, library)
		log := &logbook{}
		var once sync.Once
		log.watched = func(line string) {
			if strings.Contains(line, "waiting for the migrations") {
				once.Do(func() {
					go func() {
						_, err := migrator.Up(ctx)
						up <- err
					}()
				})
			}
		}
		if err := open(t, tdb, library, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }).Wait(ctx); err != nil {
			t.Errorf("Wait: %v", err)
		}
		if err := <-up; err != nil {
			t.Errorf("Up: %v", err)
		}
		more := library.with(files{"0004_more.up.sql": "CREATE TABLE more (id integer);"})
		ended, cancel := context.WithCancel(ctx)
		log = &logbook{watched: func(string) { cancel() }}
		if err := open(t, tdb, more, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }).Wait(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with a context that ends: %v", err)
		}
		edited := library.with(files{"0002_book.up.sql": "SELECT 2;"})
		if err := open(t, tdb, edited).Wait(ctx); !errors.Is(err, tldwdb.ErrChanged) {
			t.Errorf("Wait with an edited file: %v", err)
		}
	})
}

// Redo needs the file for the way up before it goes down.
func TestRedoWithoutFile(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if _, err := open(t, tdb, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := everything(t, tdb.AdminDB(t))
		older := open(t, tdb, library.with(files{"0003_year.up.sql": "", "0003_year.down.sql": ""}))
		res, err := older.Redo(t.Context())
		if !errors.Is(err, tldwdb.ErrUnknownVersion) || len(res.Applied) != 0 {
			t.Errorf("%s, %v", outcome(res), err)
		}
		if got := everything(t, tdb.AdminDB(t)); got != before {
			t.Errorf("Redo changed\n%s\nto\n%s", before, got)
		}
	})
}

// No form of printing a handle shows the password that it was opened with.
func TestHandleHidesPassword(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			const secret = "xyzzy-17"
			pool := sqlx.MustOpen(pick(&testdb.Database{Engine: e}, "", "pgx", "mysql"), pick(&testdb.Database{Engine: e}, "", "postgres://u@127.0.0.1:1/d", "u@tcp(127.0.0.1:1)/d"))
			defer func() { _ = pool.Close() }() // it was never used
			url := pick(&testdb.Database{Engine: e}, "", "postgres", "mysql") + "://u:" + secret + "@127.0.0.1:1/d"
			db, err := tldwdb.Attach(t.Context(), pool, tldwdb.Config{URL: url, MigrateURL: url})
			if err != nil {
				t.Fatal(err)
			}
			var log logbook
			log.logger().Info("opened", "db", db)
			if text := fmt.Sprintf("%v %+v %#v", db, db, db) + log.text(); strings.Contains(text, secret) {
				t.Errorf("shown in %s", text)
			}
		})
	}
}

// A Go migration that rolls back by itself has done nothing, and must not be
// reported as applied.
func TestGoMigrationRollsBack(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if isMySQL(tdb) {
			t.Skip("there is no transaction to roll back: the journal is what runs it")
		}
		db := open(t, tdb, files{}, func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 1, Name: "back", Up: func(ctx context.Context, conn tldwdb.Conn) error {
				_, err := conn.ExecContext(ctx, "ROLLBACK")
				return err
			}}}
		})
		if res, err := db.Up(t.Context()); err == nil || len(res.Applied) != 0 || tldwdb.Hint(err) == "" {
			t.Errorf("%s, %v", outcome(res), err)
		}
	})
}
