package tldwdb_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestFixes: each decision does what it says, and one that does not fit is
// refused and writes nothing.
func TestFixes(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		calls := 0
		code := func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 2, Name: "code", NoTransaction: true, Up: func(context.Context, tldwdb.Conn) error {
				calls++
				return errors.New("half-way")
			}}}
		}
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);", "1_a.down.sql": "DROP TABLE a;"}
		db := open(t, tdb, f, code)
		if _, err := db.Up(ctx); err == nil {
			t.Fatal("no error")
		}
		// Nobody knows what code did before it failed.
		if _, err := db.Up(ctx); !errors.Is(err, tldwdb.ErrAmbiguous) || calls != 1 || tldwdb.Hint(err) == "" {
			t.Errorf("after code that failed: %v, %d calls", err, calls)
		}
		findings, err := db.Repair(ctx)
		if err != nil || len(findings) != 1 || findings[0].Automatic || !slices.Contains(findings[0].Evidence, "last error: half-way") {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
		fix := func(version int64, kind tldwdb.FixKind) error {
			_, err := db.Repair(ctx, tldwdb.Fix{Migration: tldwdb.ID{Version: version}, Kind: kind})
			return err
		}
		before := everything(t, admin)
		if err := fix(9, tldwdb.FixForget); !errors.Is(err, tldwdb.ErrUnknownVersion) {
			t.Errorf("an unknown version: %v", err)
		}
		for _, c := range []struct {
			version int64
			kind    tldwdb.FixKind
		}{{1, tldwdb.FixDone}, {1, tldwdb.FixRetry}, {2, tldwdb.FixChecksum}, {2, "pray"}} {
			if err := fix(c.version, c.kind); err == nil {
				t.Errorf("the fix %s fits version %d", c.kind, c.version)
			}
		}
		if everything(t, admin) != before {
			t.Error("a fix that was refused wrote something")
		}
		if err := fix(2, tldwdb.FixRetry); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Up(ctx); err == nil || calls != 2 {
			t.Errorf("retried: %v, %d calls", err, calls)
		}
		if err := fix(2, tldwdb.FixDone); err != nil {
			t.Fatal(err)
		}
		succeed(t, "; 2 → 2")(db.Up(ctx))
		if err := fix(2, tldwdb.FixForget); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Up(ctx); err == nil || calls != 3 {
			t.Errorf("forgotten: %v, %d calls", err, calls)
		}
		if err := fix(2, tldwdb.FixApplied); err != nil {
			t.Fatal(err)
		}
		succeed(t, "; 2 → 2")(db.Up(ctx))
		if findings, err := db.Repair(ctx); err != nil || findings != nil {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
	})
}

// TestFixesWithoutDoubt: a migration that failed at a known statement is mended
// in its file, and one that was being taken back is not applied.
func TestFixesWithoutDoubt(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id integer);", "1_a.down.sql": "-- tldwdb: no-transaction\nDROP TABLE a;\nDROP TABLE nosuch;",
			"2_b.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE b (id integer);\nDROP TABLE nosuch;",
		}
		refused := func(version int64, kinds ...tldwdb.FixKind) {
			t.Helper()
			before := everything(t, admin)
			for _, kind := range kinds {
				if _, err := open(t, tdb, f).Repair(ctx, tldwdb.Fix{Migration: tldwdb.ID{Version: version}, Kind: kind}); err == nil {
					t.Errorf("the fix %s fits version %d", kind, version)
				}
			}
			if everything(t, admin) != before {
				t.Error("a fix that was refused wrote something")
			}
		}
		if _, err := open(t, tdb, f).Up(ctx); err == nil {
			t.Fatal("no error")
		}
		refused(2, tldwdb.FixDone, tldwdb.FixRetry)
		delete(f, "2_b.up.sql")
		execute(t, admin, "DELETE FROM tldwdb_history WHERE version = 2")
		if _, err := open(t, tdb, f).Down(ctx, 1); err == nil {
			t.Fatal("no error")
		}
		refused(1, tldwdb.FixDone, tldwdb.FixRetry, tldwdb.FixApplied)
		if findings, err := open(t, tdb, f).Repair(ctx); err != nil || len(findings) != 1 || !slices.Equal(findings[0].Fixes, []tldwdb.FixKind{tldwdb.FixForget}) {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
	})
}

// TestForgetApplied: what is forgotten runs again, so that production has to be
// named, and elsewhere it is told what was forgotten.
func TestForgetApplied(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);", "2_b.up.sql": "INSERT INTO a VALUES (2);"}
		as := func(env tldwdb.Environment, confirm string) func(*tldwdb.Config) {
			return func(cfg *tldwdb.Config) { cfg.Environment, cfg.Confirm = env, confirm }
		}
		forget := func(version int64) tldwdb.Fix {
			return tldwdb.Fix{Migration: tldwdb.ID{Version: version}, Kind: tldwdb.FixForget}
		}
		succeed(t, "up 0001_a, up 0002_b; 0 → 2")(open(t, tdb, f).Up(ctx))
		var book logbook
		log := func(cfg *tldwdb.Config) { cfg.Logger = book.logger() }
		findings, err := open(t, tdb, f, log).Repair(ctx, forget(2))
		if err != nil || len(findings) != 1 || findings[0].Migration.Version != 2 || !strings.Contains(findings[0].Problem, "forgotten") || len(findings[0].Evidence) != 1 {
			t.Errorf("forgotten in development: %+v, %v", findings, err)
		}
		if text := book.text(); !strings.Contains(text, "history repaired") || !strings.Contains(text, "applied on ") {
			t.Errorf("the log is\n%s", text)
		}
		execute(t, admin, "DELETE FROM a")

		name := tdb.Name()
		if tdb.Engine == testdb.SQLite {
			name = "test.db"
		}
		f["3_c.up.sql"] = "-- tldwdb: no-transaction\nINSERT INTO a VALUES (3);\nDROP TABLE nosuch;"
		if _, err := open(t, tdb, f, as(tldwdb.Production, "")).Up(ctx); err == nil {
			t.Fatal("no error")
		}
		if got := rowsOf(t, admin, "SELECT id FROM a ORDER BY id"); got != "2\n3" {
			t.Errorf("after the forgotten one ran again the rows are %q", got)
		}
		before := everything(t, admin)
		for env, confirm := range map[tldwdb.Environment]string{tldwdb.Production: "", tldwdb.Development: "", tldwdb.Test: "another"} {
			_, err := open(t, tdb, f, as(env, confirm)).Repair(ctx, forget(3), forget(2))
			if !errors.Is(err, tldwdb.ErrProtected) || !strings.Contains(tldwdb.Hint(err), name) {
				t.Errorf("forgetting as %s confirming %q: %v, hint %s", env, confirm, err, tldwdb.Hint(err))
			}
		}
		if everything(t, admin) != before {
			t.Error("what was refused wrote something")
		}
		// Of a migration that is not applied nothing is lost.
		if _, err := open(t, tdb, f).Repair(ctx, forget(3)); err != nil {
			t.Error(err)
		}
		if _, err := open(t, tdb, f, as(tldwdb.Production, name)).Repair(ctx, forget(2)); err != nil {
			t.Error(err)
		}
		if got := rowsOf(t, admin, "SELECT version FROM tldwdb_history WHERE set_name <> '' AND version > 0"); got != "1" {
			t.Errorf("the history has versions %q", got)
		}
	})
}
