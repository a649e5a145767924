package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/migrations"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// Example runs the program as main does.
func Example() {
	run(context.Background(), nil, os.Stdout, io.Discard)
	// Output: reports: 1
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"--wrong"}, &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), "--wrong") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if code := run(t.Context(), []string{"--driver", "pgx", "--dsn", "postgres://u:hunter2@127.0.0.1:1/d"}, &stdout, &stderr); code != 1 || strings.Contains(stderr.String(), "hunter2") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "--driver") {
		t.Errorf("exit code %d: %s", code, &stdout)
	}
}

// Two teams' migrations with the same versions live in one database, and neither
// sees the other's.
func TestBesideTLDW(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.SQLite, testdb.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			d := testdb.New(t, e)
			db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Migrations: migrations.FS})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			if _, err := db.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, err := db.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			args := []string{"--driver", "pgx", "--dsn", d.URL}
			if e == testdb.SQLite {
				args = []string{"--dsn", "file:" + filepath.ToSlash(d.Path())}
			}
			var stdout, stderr strings.Builder
			for _, want := range []string{"reports: 1\n", "reports: 2\n"} { // the second start has nothing to apply
				stdout.Reset()
				if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stdout.String() != want {
					t.Fatalf("exit code %d: %s%s", code, &stdout, &stderr)
				}
			}
			if n := strings.Count(stderr.String(), `"msg":"migration applied"`); n != 2 || strings.Count(stderr.String(), `"program":"reports"`) < n {
				t.Errorf("the program's log has %d applied migrations, want 2: %s", n, &stderr)
			}

			after, err := db.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(after.Migrations) != len(before.Migrations) || after.Current != before.Current || len(after.Problems) > 0 {
				t.Errorf("TL;DW's set is %+v now, and was %+v", after, before)
			}
			theirs, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Migrations: files, MigrationsDir: "migrations", Set: "reports"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := theirs.Close(); err != nil {
					t.Error(err)
				}
			}()
			status, err := theirs.Status(t.Context())
			if err != nil || status.Current != 2 || status.Pending != 0 || status.Set != "reports" {
				t.Errorf("the set of the program is %+v %v", status, err)
			}
			if !strings.HasSuffix(status.Migrations[0].Actor, ":reports") {
				t.Errorf("the history does not name the program: %s", status.Migrations[0].Actor)
			}
		})
	}
}

// tldwdb's commands are part of the program's tree, with its migrations, its
// variable, its logger and its writers.
func TestCommands(t *testing.T) {
	d := testdb.New(t, testdb.SQLite)
	t.Setenv("REPORTS_DATABASE_URL", d.URL)
	t.Setenv("DATABASE_URL", "sqlite:////nowhere/to/be/found.db")
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, log strings.Builder
		if code := run(t.Context(), args, &out, &log); code != want {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, &out, &log)
		}
		return out.String(), log.String()
	}
	command(3, "db", "check")
	if stdout, stderr := command(0, "db", "up"); !strings.Contains(stdout, "applied 0001_") || !strings.Contains(stderr, `"program":"reports"`) {
		t.Errorf("stdout %s\nstderr %s", stdout, stderr)
	}
	if stdout, _ := command(0, "db", "status"); !strings.Contains(stdout, "nothing pending, development, set reports") {
		t.Error(stdout)
	}
	command(0, "db", "check")
	if _, stderr := command(2, "db", "upp"); !strings.Contains(stderr, "did you mean up?") || !strings.Contains(stderr, "reports db --help") {
		t.Error(stderr)
	}
}
