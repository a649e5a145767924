package tldwdb_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Each migration is announced before it runs, and each of its statements.
func TestProgress(t *testing.T) {
	t.Parallel()
	source := files{
		"1_a.up.sql": "CREATE TABLE a (n int);\n\nINSERT INTO a VALUES (1);\n", "1_a.down.sql": "DROP TABLE a;\n",
		"2_b.up.sql": "CREATE TABLE b (n int);\n",
	}
	each := []string{
		"up 1/2 0001_a 0/2 :0 ", "up 1/2 0001_a 1/2 :1 CREATE TABLE a (n int)", "up 1/2 0001_a 2/2 :3 INSERT INTO a VALUES (1)",
		"up 2/2 0002_b 0/1 :0 ", "up 2/2 0002_b 1/1 :1 CREATE TABLE b (n int)",
	}
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var got []string
		note := func(cfg *tldwdb.Config) {
			cfg.Progress = func(p tldwdb.Progress) {
				got = append(got, fmt.Sprintf("%s %d/%d %s %d/%d :%d %s", p.Direction, p.Step, p.Steps, p.Migration, p.Statement, p.Statements, p.Line, p.SQL))
			}
		}
		handle := open(t, db, source, note)
		succeed(t, "up 0001_a, up 0002_b; 0 → 2")(handle.Up(t.Context()))
		if !slices.Equal(got, each) {
			t.Errorf("got %q, want %q", got, each)
		}
		got = nil
		succeed(t, "; 2 → 2")(handle.Up(t.Context()))
		if len(got) > 0 {
			t.Errorf("nothing was done, and %q announced", got)
		}
	})
}

// On PostgreSQL a statement is told while it runs, although the whole migration is on
// its way to the server by then: this one ends when the statement that was told is
// let go. What was sent behind it is no small thing, and some of it has data.
func TestProgressWhileItRuns(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	admin := db.AdminDB(t)
	holder, err := admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	if _, err := holder.ExecContext(t.Context(), "SELECT pg_advisory_lock(77)"); err != nil {
		t.Fatal(err)
	}
	text := "CREATE TABLE a (n int, t text);\nSELECT pg_advisory_xact_lock(77);\n" +
		"COPY a FROM STDIN;\n1\tone\n2\ttwo\n\\.\n" +
		"INSERT INTO a VALUES (3, '" + strings.Repeat("long ", 200_000) + "');\nSELECT n FROM a; -- the end\n"
	var told []string
	handle := open(t, db, files{"1_a.up.sql": text}, func(cfg *tldwdb.Config) {
		cfg.RetryBudget = -1
		cfg.Progress = func(p tldwdb.Progress) {
			told = append(told, fmt.Sprintf("%d :%d", p.Statement, p.Line))
			if p.Statement == 2 {
				if _, err := holder.ExecContext(t.Context(), "SELECT pg_advisory_unlock(77)"); err != nil {
					t.Error(err)
				}
			}
		}
	})
	succeed(t, "up 0001_a; 0 → 1")(handle.Up(t.Context()))
	if want := []string{"0 :0", "1 :1", "2 :2", "3 :3", "4 :7", "5 :8"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// An error is the same error, in the same place, whether somebody is told of the
// statements or not; and nothing of the migration is left.
func TestProgressOfWhatFails(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres) // elsewhere it is one statement at a time, with Progress and without
	for _, text := range []string{
		"CREATE TABLE a (n int);\nINSERT INTO a\n  VALUES ('x');\nINSERT INTO a VALUES (1);\n",
		"CREATE TABLE a (n int);\nSELEKT 1;\n",
		"CREATE TABLE a (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1), (1);\n",
		"CREATE TABLE a (n int);\nCOPY a FROM STDIN;\nx\n\\.\n",
		"SELECT 1/(n - 2) FROM generate_series(1, 3) AS n;\n",
	} {
		var failures []string
		for _, progress := range []func(tldwdb.Progress){nil, func(tldwdb.Progress) {}} {
			handle := open(t, db, files{"1_a.up.sql": text}, func(cfg *tldwdb.Config) { cfg.Progress = progress })
			_, err := handle.Up(t.Context())
			var failed *tldwdb.MigrationError
			if !errors.As(err, &failed) {
				t.Fatalf("%s: %v", text, err)
			}
			failures = append(failures, fmt.Sprintf("%v, line %d, column %d, in %s", err, failed.Line, failed.Column, failed.Statement))
			status, err := handle.Status(t.Context())
			if err != nil || status.Current != 0 || status.Pending != 1 {
				t.Errorf("%s: %+v, %v", text, status, err)
			}
		}
		if failures[0] != failures[1] {
			t.Errorf("without: %s\nwith:    %s", failures[0], failures[1])
		}
	}
}
