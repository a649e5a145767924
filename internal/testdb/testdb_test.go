package testdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// fakeTB stands in for a test that ends, fails or is skipped while the real one goes on.
type fakeTB struct {
	ctx      context.Context
	cleanups []func()
	said     strings.Builder
	failed   bool
	skipped  bool
}

func (f *fakeTB) Helper()                  {}
func (f *fakeTB) Name() string             { return "fake" }
func (f *fakeTB) Context() context.Context { return f.ctx }
func (f *fakeTB) Cleanup(c func())         { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Failed() bool             { return f.failed }
func (f *fakeTB) Logf(format string, args ...any) {
	fmt.Fprintf(&f.said, format+"\n", args...)
}
func (f *fakeTB) Errorf(format string, args ...any) {
	f.failed = true
	f.Logf(format, args...)
}
func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}
func (f *fakeTB) Skipf(format string, args ...any) {
	f.skipped = true
	f.Logf(format, args...)
	runtime.Goexit()
}

// do runs body as a test of its own, with its clean-ups.
func do(t *testing.T, body func(f *fakeTB)) *fakeTB {
	t.Helper()
	f := &fakeTB{ctx: context.WithoutCancel(t.Context())}
	var wg sync.WaitGroup
	wg.Go(func() { body(f) })
	wg.Wait()
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		last()
	}
	return f
}

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		other := testdb.New(t, db.Engine)
		for _, d := range []*testdb.Database{db, other} {
			if got := d.Dump(t); strings.Contains(got, "table ") || strings.Contains(got, "relation ") {
				t.Fatalf("a fresh database holds:\n%s", got)
			}
			pool := d.AdminDB(t)
			if _, err := pool.ExecContext(t.Context(), "CREATE TABLE a (id int); CREATE TABLE b (id int)"); err != nil {
				t.Fatalf("two statements at once: %v", err)
			}
		}
	})
}

func TestDroppedWhenPassed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var gone *testdb.Database
		f := do(t, func(f *fakeTB) {
			gone = testdb.New(f, db.Engine)
			if _, err := gone.AdminDB(f).ExecContext(f.ctx, "CREATE TABLE a (id int)"); err != nil {
				f.Errorf("%v", err)
			}
		})
		if f.failed {
			t.Fatalf("a test that leaves nothing behind failed:\n%s", f.said.String())
		}
		if exists(t, db, gone) {
			t.Errorf("%s is still there", gone.URL)
		}
	})
}

func TestKeptWhenFailed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var kept *testdb.Database
		f := do(t, func(f *fakeTB) {
			kept = testdb.New(f, db.Engine)
			if _, err := kept.AdminDB(f).ExecContext(f.ctx, "CREATE TABLE a (id int)"); err != nil {
				t.Error(err)
			}
			f.failed = true
		})
		if !strings.Contains(f.said.String(), kept.URL) {
			t.Errorf("the kept database's URL is not printed:\n%s", f.said.String())
		}
		if !exists(t, db, kept) {
			t.Fatalf("%s is gone", kept.Name())
		}
		if db.Engine == testdb.SQLite {
			if err := os.RemoveAll(filepath.Dir(kept.Path())); err != nil {
				t.Error(err)
			}
			return
		}
		if _, err := db.AdminDB(t).ExecContext(t.Context(), "DROP DATABASE "+kept.Name()); err != nil {
			t.Error(err)
		}
	})
}

// exists looks through another database of the same server.
func exists(t *testing.T, through, db *testdb.Database) bool {
	t.Helper()
	query := "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?"
	switch db.Engine {
	case testdb.SQLite:
		_, err := os.Stat(db.Path())
		return err == nil
	case testdb.Postgres:
		query = "SELECT count(*) FROM pg_database WHERE datname = $1"
	}
	var n int
	if err := through.AdminDB(t).QueryRowContext(t.Context(), query, db.Name()).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// What the check at the end is there for, each finding made once.
func TestFindings(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		engines []testdb.Engine
		mess    []string // run on one connection, which stays open when leave is set
		leave   bool
		want    string
	}{
		{
			name: "orphan", engines: []testdb.Engine{testdb.SQLite},
			mess: []string{"PRAGMA foreign_keys=off", "CREATE TABLE p (id integer PRIMARY KEY)", "CREATE TABLE c (p int REFERENCES p)", "INSERT INTO c VALUES (1)"},
			want: "foreign_key_check: row 1 of c has no parent in p",
		},
		{
			name: "advisory lock", engines: []testdb.Engine{testdb.Postgres},
			mess: []string{"SELECT pg_advisory_lock(42)"}, leave: true,
			want: "advisory lock (0, 42, 1)",
		},
		{
			name: "open transaction", engines: []testdb.Engine{testdb.Postgres},
			mess: []string{"BEGIN", "SELECT 1"}, leave: true,
			want: "idle in transaction",
		},
		{
			name: "invalid index", engines: []testdb.Engine{testdb.Postgres},
			mess: []string{"CREATE TABLE a (id int)", "INSERT INTO a VALUES (1), (1)", "!CREATE UNIQUE INDEX CONCURRENTLY broken ON a (id)"},
			want: "invalid index broken",
		},
		{
			name: "open connection", engines: []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL},
			mess: []string{"SELECT 1"}, leave: true,
			want: "open connection",
		},
		{
			name: "table lock", engines: []testdb.Engine{testdb.MariaDB, testdb.MySQL},
			mess: []string{"CREATE TABLE a (id int)", "USE information_schema", "START TRANSACTION", "SELECT * FROM DB.a"}, leave: true,
			want: "table a is locked",
		},
	}
	for _, c := range cases {
		for _, e := range c.engines {
			for _, meant := range []bool{false, true} {
				if meant && c.leave {
					continue // the check waits for seconds before it is sure of these
				}
				t.Run(fmt.Sprintf("%s/%s/meant=%v", c.name, e, meant), func(t *testing.T) {
					t.Parallel()
					control := testdb.New(t, e) // skips here, where the engine is missing
					var left *testdb.Database
					var tidy func() error
					f := do(t, func(f *fakeTB) {
						left = testdb.New(f, e)
						if meant {
							left.ExpectFindings("this is what the test is about")
						}
						tidy = mess(t, left, c.mess)
						if !c.leave {
							if err := tidy(); err != nil {
								t.Error(err)
							}
						}
					})
					if c.leave {
						if err := tidy(); err != nil {
							t.Error(err)
						}
					}
					if !strings.Contains(f.said.String(), c.want) {
						t.Errorf("not found: %q, but:\n%s", c.want, f.said.String())
					}
					if f.failed == meant {
						t.Errorf("failed: %v, with:\n%s", f.failed, f.said.String())
					}
					sweep(t, control, left)
				})
			}
		}
	}
}

// mess runs the statements on one connection, and returns what closes it. A statement that begins
// with ! fails; DB stands for the database's name.
func mess(t *testing.T, db *testdb.Database, statements []string) func() error {
	t.Helper()
	pool := db.AdminDB(t)
	// Held, since a pool closes a connection that is handed back in a transaction.
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		s, fails := strings.CutPrefix(strings.ReplaceAll(s, "DB.", db.Name()+"."), "!")
		if _, err := conn.ExecContext(t.Context(), s); (err != nil) != fails {
			t.Errorf("%s: %v", s, err)
		}
	}
	return func() error { return errors.Join(conn.Close(), pool.Close()) }
}

// sweep removes what the check has kept.
func sweep(t *testing.T, control, left *testdb.Database) {
	t.Helper()
	if left.Engine == testdb.SQLite {
		if err := os.RemoveAll(filepath.Dir(left.Path())); err != nil {
			t.Error(err)
		}
		return
	}
	pool := control.AdminDB(t)
	if left.Engine == testdb.Postgres {
		if _, err := pool.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+left.Name()+"'"); err != nil {
			t.Error(err)
		}
	}
	if _, err := pool.ExecContext(t.Context(), "DROP DATABASE IF EXISTS "+left.Name()); err != nil {
		t.Error(err)
	}
}
