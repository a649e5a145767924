package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// These tests count what goes over the wire, and on SQLite what is committed.
// Times would say nothing on a busy machine.

// servers are the engines that have a wire.
func servers() []testdb.Engine {
	return []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL}
}

func forEachServer(t *testing.T, f func(t *testing.T, db *testdb.Database)) {
	t.Helper()
	forEachOf(t, servers(), f)
}

// forEachMySQL is for what MySQL and MariaDB have in common.
func forEachMySQL(t *testing.T, f func(t *testing.T, db *testdb.Database)) {
	t.Helper()
	forEachOf(t, []testdb.Engine{testdb.MariaDB, testdb.MySQL}, f)
}

func forEachOf(t *testing.T, engines []testdb.Engine, f func(t *testing.T, db *testdb.Database)) {
	t.Helper()
	for _, e := range engines {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, testdb.New(t, e))
		})
	}
}

// up opens the database, runs Up and closes it again.
func up(t *testing.T, j job) *tldwdb.Result {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), j.config())
	if err != nil {
		t.Fatal(err)
	}
	res, err := db.Up(t.Context())
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return res
}

// A boot with nothing to do makes one connection and asks one question.
func TestBootWithNothingPendingIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database) {
		j := job{URL: db.URL, Files: fleetFiles(3)}
		up(t, j)
		var proxy *wiretap.Proxy
		proxy, j.URL = wiretap.Through(t, db.URL)
		handle, err := tldwdb.Open(t.Context(), j.config())
		if err != nil {
			t.Fatal(err)
		}
		if c := proxy.Counts(); c.Connections != 1 || c.After != 0 {
			t.Errorf("Open alone: %+v", c)
		}
		if _, err := handle.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := handle.Close(); err != nil {
			t.Fatal(err)
		}
		if c := proxy.Counts(); c.Connections != 1 || c.After != 1 || c.Cancels != 0 {
			t.Errorf("Open, Up and Close: %+v", c)
		}
		if s := proxy.Statements(); len(s) != 1 || !isLook(s[0]) {
			t.Errorf("sent %q", s)
		}
	})
}

// flatFiles are n migrations of the given number of statements, the first of
// which makes the table that the others fill.
func flatFiles(n, statements int) map[string]string {
	files := map[string]string{}
	for v := 1; v <= n; v++ {
		var text strings.Builder
		fmt.Fprintf(&text, "CREATE TABLE t%d (id int);\n", v)
		for k := 1; k < statements; k++ {
			fmt.Fprintf(&text, "INSERT INTO t%d VALUES (%d);\n", v, k)
		}
		files[fmt.Sprintf("%04d_t%d.up.sql", v, v)] = text.String()
	}
	return files
}

// trips applies n migrations of the given number of statements to an empty
// database, and counts the round trips after start-up.
func trips(t *testing.T, e testdb.Engine, n, statements int) int {
	t.Helper()
	db := testdb.New(t, e)
	proxy, through := wiretap.Through(t, db.URL)
	if res := up(t, job{URL: through, Files: flatFiles(n, statements)}); len(res.Applied) != n {
		t.Fatalf("%+v", res)
	}
	return proxy.Counts().After
}

// PostgreSQL receives a migration, with its history row, in one packet.
func TestPostgresAppliesInOneRoundTrip(t *testing.T) {
	t.Parallel()
	base := trips(t, testdb.Postgres, 1, 1)
	for _, c := range []struct{ migrations, statements int }{{1, 50}, {5, 1}, {20, 1}, {20, 50}} {
		if got, want := trips(t, testdb.Postgres, c.migrations, c.statements), base+c.migrations-1; got != want {
			t.Errorf("%d migrations of %d statements: %d round trips, want %d", c.migrations, c.statements, got, want)
		}
	}
	t.Logf("one migration of one statement: %d round trips after start-up", base)
}

// MySQL and MariaDB take one statement at a time: its journal entry and itself,
// and for each migration the end of its account. A run that writes rows asks once
// which tables have no transactions.
func TestMySQLAppliesInTwoRoundTripsPerStatement(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			cost := func(migrations, statements int) int { return migrations*(2*statements+2) + min(1, statements-1) }
			constant := trips(t, e, 1, 1) - cost(1, 1)
			for _, c := range []struct{ migrations, statements int }{{1, 50}, {5, 1}, {20, 1}, {5, 10}} {
				if got, want := trips(t, e, c.migrations, c.statements), constant+cost(c.migrations, c.statements); got != want {
					t.Errorf("%d migrations of %d statements: %d round trips, want %d", c.migrations, c.statements, got, want)
				}
			}
			t.Logf("beyond two for each statement and two for each migration: %d round trips after start-up", constant)
		})
	}
}

// The connection of a process that came through the lock and found nothing left
// goes back to the application as it was.
func TestLockLeavesNoSetting(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	admin := db.AdminDB(t)
	j := job{URL: db.URL, Files: fleetFiles(2)}
	up(t, j)
	// The history says that something is pending until this process has looked.
	if _, err := admin.ExecContext(t.Context(), "CREATE TABLE hidden AS SELECT * FROM tldwdb_history WHERE version = 2; DELETE FROM tldwdb_history WHERE version = 2"); err != nil {
		t.Fatal(err)
	}
	proxy, through := wiretap.Through(t, db.URL)
	var once sync.Once
	proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
		if strings.Contains(w.Statement, "advisory_lock") {
			once.Do(func() {
				if _, err := admin.ExecContext(t.Context(), "INSERT INTO tldwdb_history SELECT * FROM hidden"); err != nil {
					t.Error(err)
				}
			})
		}
		return wiretap.Pass
	})
	j.URL = through
	cfg := j.config()
	cfg.PoolSize = 1
	handle, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	res, err := handle.Up(t.Context())
	if err != nil || !res.Locked || len(res.Applied) > 0 || res.After != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	var timeout string
	if err := handle.Pool().QueryRowContext(t.Context(), "SHOW lock_timeout").Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("lock_timeout is %q, %v", timeout, err)
	}
	if err := handle.Close(); err != nil {
		t.Error(err)
	}
	if c := proxy.Counts(); c.Connections != 1 {
		t.Errorf("the lock was proved for nothing: %+v", c)
	}
	checkEffects(t, db, 2)
}

// commits opens a SQLite pool of the driver that counts its commits.
func commits(t *testing.T, db *testdb.Database, j job) (*tldwdb.DB, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	counting := &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		c.RegisterCommitHook(func() int { n.Add(1); return 0 })
		return nil
	}}
	pool := sqlx.NewDb(sql.OpenDB(connector{counting, "file:" + db.Path() + "?_foreign_keys=on"}), "sqlite3")
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	handle, err := tldwdb.Attach(t.Context(), pool, j.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Error(err)
		}
	})
	return handle, &n
}

func TestSQLiteCommitsOncePerMigration(t *testing.T) {
	t.Parallel()
	count := func(migrations, statements int) int64 {
		db := testdb.New(t, testdb.SQLite)
		handle, n := commits(t, db, job{Files: flatFiles(migrations, statements)})
		res, err := handle.Up(t.Context())
		if err != nil || len(res.Applied) != migrations {
			t.Fatalf("%+v, %v", res, err)
		}
		all := n.Load()
		if _, err := handle.Up(t.Context()); err != nil || n.Load() != all {
			t.Errorf("with nothing pending: %d commits, %v", n.Load()-all, err)
		}
		return all
	}
	base := count(1, 1)
	for _, c := range []struct{ migrations, statements int }{{1, 50}, {20, 1}, {20, 50}} {
		if got, want := count(c.migrations, c.statements), base+int64(c.migrations-1); got != want {
			t.Errorf("%d migrations of %d statements: %d commits, want %d", c.migrations, c.statements, got, want)
		}
	}
	t.Logf("one migration: %d commits", base)
}

// Somebody who may only read boots as long as nothing is pending, and is told
// so when something is.
func TestReadOnlyBoots(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		up(t, job{URL: db.URL, Files: fleetFiles(2)})
		handle := readOnly(t, db, job{Files: fleetFiles(2)})
		if res, err := handle.Up(t.Context()); err != nil || res.After != 2 || res.Locked {
			t.Errorf("%+v, %v", res, err)
		}
		handle = readOnly(t, db, job{Files: fleetFiles(3)})
		res, err := handle.Up(t.Context())
		if !errors.Is(err, tldwdb.ErrReadOnly) || tldwdb.Hint(err) == "" || len(res.Applied) > 0 || res.After != 2 {
			t.Errorf("with a pending migration: %+v, %v", res, err)
		}
		checkEffects(t, db, 2)
	})
}

// readOnly opens the database in sessions that cannot write.
func readOnly(t *testing.T, db *testdb.Database, j job) *tldwdb.DB {
	t.Helper()
	var handle *tldwdb.DB
	var err error
	switch db.Engine {
	case testdb.SQLite:
		j.URL = db.URL + "?mode=ro"
		handle, err = tldwdb.Open(t.Context(), j.config())
	case testdb.Postgres:
		j.URL = db.URL + "&default_transaction_read_only=on"
		handle, err = tldwdb.Open(t.Context(), j.config())
	default:
		variable := "transaction_read_only"
		if db.Engine == testdb.MariaDB {
			variable = "tx_read_only"
		}
		u, parseErr := url.Parse(db.URL)
		if parseErr != nil {
			t.Fatal("the URL of the database cannot be parsed")
		}
		pool, openErr := sqlx.Open("mysql", fmt.Sprintf("%s@tcp(%s)%s?%s=1", u.User, u.Host, u.Path, variable))
		if openErr != nil {
			t.Fatal(openErr)
		}
		t.Cleanup(func() {
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
		})
		handle, err = tldwdb.Attach(t.Context(), pool, j.config())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Error(err)
		}
	})
	return handle
}

// connector opens connections of a driver that is registered nowhere.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

// Connect opens a connection.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver returns the driver.
func (c connector) Driver() driver.Driver { return c.driver }
