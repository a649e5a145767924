package tldwdb_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// unsafeFiles end in a migration that a rule of each engine finds unsafe.
func unsafeFiles(e testdb.Engine) (f files, rule string) {
	f = files{"0001_a.up.sql": "CREATE TABLE a (id integer PRIMARY KEY, v integer);", "0001_a.down.sql": "DROP TABLE a;"}
	f["0002_b.up.sql"], rule = "-- in a row\nCREATE INDEX a_v ON a (v);", "PG101"
	switch e {
	case testdb.SQLite:
		f["0002_b.up.sql"], rule = "ALTER TABLE a ADD COLUMN w integer;\nPRAGMA foreign_keys = OFF;", "LT103"
	case testdb.MySQL, testdb.MariaDB:
		f["0002_b.up.sql"], rule = "-- in a row\nALTER TABLE a ADD CONSTRAINT a_v CHECK (v > 0);", "MY106"
	case testdb.Postgres:
	}
	return f, rule
}

// undone is the way back of the last of them.
func undone(e testdb.Engine) string {
	switch e {
	case testdb.SQLite:
		return "ALTER TABLE a DROP COLUMN w;"
	case testdb.MySQL, testdb.MariaDB:
		return "ALTER TABLE a DROP CONSTRAINT a_v;"
	case testdb.Postgres:
	}
	return "DROP INDEX a_v;"
}

// A finding in what is pending is in the log, or stops the run before anything is touched; what is applied is not judged again.
func TestLintAtUp(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f, rule := unsafeFiles(db.Engine)
		var log bytes.Buffer
		with := func(mode tldwdblint.Mode, environment tldwdb.Environment) *tldwdb.DB {
			log.Reset()
			return open(t, db, f, func(cfg *tldwdb.Config) {
				cfg.Lint.Mode, cfg.Environment = mode, environment
				cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
		}
		_, err := with(tldwdblint.ModeEnforce, tldwdb.Test).Up(t.Context())
		var load *tldwdb.LoadError
		if !errors.As(err, &load) || len(load.Problems) != 1 || load.Problems[0].File != "0002_b.up.sql" || load.Problems[0].Line != 2 || !strings.HasPrefix(load.Problems[0].Msg, rule+": ") {
			t.Fatalf("the run ended with %v", err)
		}
		if hint := tldwdb.Hint(err); !strings.Contains(hint, "-- tldwdb: assured "+rule+" REASON") {
			t.Errorf("the hint is %q", hint)
		}
		if tables := db.Dump(t); strings.Contains(tables, "tldwdb_history") {
			t.Errorf("a run that was refused left\n%s", tables)
		}
		succeed(t, "up 0001_a; 0 → 1")(with(tldwdblint.ModeEnforce, tldwdb.Test).Migrate(t.Context(), tldwdb.Request{Steps: 1}))
		assured := f.with(files{"0002_b.up.sql": "-- tldwdb: assured " + rule + " there is nobody\n" + f["0002_b.up.sql"]})
		enforced := func(cfg *tldwdb.Config) { cfg.Lint.Mode = tldwdblint.ModeEnforce }
		succeed(t, "up 0002_b; 1 → 2")(open(t, db, assured, enforced).Up(t.Context()))
		back := files{"0002_b.down.sql": undone(db.Engine)}
		succeed(t, "down 0002_b; 2 → 1")(open(t, db, assured.with(back), enforced).Down(t.Context(), 1))

		succeed(t, "up 0002_b; 1 → 2")(with("", tldwdb.Development).Up(t.Context()))
		if text := log.String(); strings.Count(text, "a pending migration is unsafe") != 1 || !strings.Contains(text, "file=0002_b.up.sql:2 rule="+rule) {
			t.Errorf("the log has\n%s", text)
		}
		succeed(t, "; 2 → 2")(with(tldwdblint.ModeEnforce, tldwdb.Test).Up(t.Context()))
		if cfg, err := (tldwdb.Config{URL: db.URL, Environment: tldwdb.Production}).Effective(); err != nil || cfg.Lint.Mode != tldwdblint.ModeOff {
			t.Errorf("in production the mode is %q, %v", cfg.Lint.Mode, err)
		}
	})
}

// The server at hand is the target: advice that it cannot follow is not given.
func TestLintAtUpKnowsTheServer(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	var major int
	if err := open(t, db, nil).Pool().GetContext(t.Context(), &major, "SELECT current_setting('server_version_num')::int / 10000"); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, db, files{"0001_a.up.sql": "CREATE TABLE a (v integer);", "0002_b.up.sql": "ALTER TABLE a ALTER v SET NOT NULL;"}, func(cfg *tldwdb.Config) {
		cfg.Lint.Mode = tldwdblint.ModeEnforce
	}).Up(t.Context())
	if hint := tldwdb.Hint(err); strings.Contains(hint, "CHECK (v IS NOT NULL) NOT VALID") != (major < 18) {
		t.Errorf("for PostgreSQL %d the hint is %q", major, hint)
	}
}

// What a snapshot holds is known to the rules, and is not judged itself.
func TestLintBehindASnapshot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	f := files{
		"1_a.up.sql": "CREATE TABLE a (id int, v int);\n", "2_b.up.sql": "CREATE INDEX a_v ON a (v);\n",
		"3_c.up.sql": "-- tldwdb: irreversible it is long\nCREATE TABLE n (id int, v int);\nINSERT INTO n SELECT id, v FROM a;\nDROP TABLE a;\nALTER TABLE n RENAME TO a;\n",
	}
	with, _ := snapshotOf(t, open(t, db, f), f, 2)
	list, err := tldwdb.Lint(tldwdb.Config{Migrations: with.with(files{"1_a.up.sql": "", "2_b.up.sql": ""}).fs()}, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].String() != "3_c.up.sql:4:1: error LT105: gone after this rebuild: index a_v" {
		t.Errorf("found %v", list)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	f := files{
		"0001_a.up.sql": "CREATE TABLE a (id bigint PRIMARY KEY, v bigint);", "0001_a.down.sql": "DROP TABLE a;",
		"0002_b.sql":             "-- +goose Up\nCREATE INDEX a_v ON a (v);\n-- +goose Down\nSELECT 1;\nDROP INDEX CONCURRENTLY a_v;\n",
		"mysql/0002_b.up.sql":    "CREATE INDEX a_v ON a (v);",
		"0003_c.up.sql":          "-- tldwdb: irreversible it is gone\nDROP TABLE a;",
		"postgres/0003_c.up.sql": "-- tldwdb: irreversible it is gone\n-- tldwdb: assured PG401 nobody has used it since release 4\nDROP TABLE a;",
	}
	cfg := tldwdb.Config{Migrations: f.fs()}
	list, err := tldwdb.Lint(cfg, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range list {
		lines = append(lines, f.String())
	}
	want := "0002_b.sql:2:1: warning PG101: nobody can write to a while this index is built\n" +
		"0002_b.sql:5:1: error PG103: the server refuses this inside a transaction, and this file runs in one"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
	if _, err := tldwdb.Lint(cfg, "oracle"); err == nil {
		t.Error("there are rules for oracle")
	}
	cfg.Lint.Severity = map[string]tldwdblint.Severity{"PG999": tldwdblint.SeverityOff}
	if _, err := tldwdb.Lint(cfg, "postgres"); err == nil || !strings.Contains(err.Error(), "PG999") {
		t.Errorf("a rule that is not there is %v", err)
	}
}
