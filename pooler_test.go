package tldwdb_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// This file goes through PgBouncer: TLDWDB_TEST_PGBOUNCER_URL,
// TLDWDB_TEST_PGBOUNCER_SESSION_URL and TLDWDB_TEST_PGBOUNCER_STATEMENT_URL, see
// package testdb.

// forEachPooler runs f with a fresh database and its URL through each pooler of
// the given kind.
func forEachPooler(t *testing.T, kind string, f func(t *testing.T, tdb *testdb.Database, through string)) {
	t.Helper()
	for i, pooler := range testdb.Extra(t, kind) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.Postgres)
			f(t, tdb, tdb.Through(t, pooler))
		})
	}
}

// checkFleet fails the test unless every worker is ready and each of the
// migrations was applied by one of them.
func checkFleet(t *testing.T, list []report, migrations int) {
	t.Helper()
	applied := 0
	for _, r := range list {
		if r.Error != "" || !r.Ready || r.Result.After != int64(migrations) {
			t.Errorf("worker %d: ready %v, %s, %+v", r.PID, r.Ready, r.Error, r.Result)
			continue
		}
		applied += len(r.Result.Applied)
	}
	if applied != migrations {
		t.Errorf("%d migrations were applied, there are %d", applied, migrations)
	}
}

// lockOf is what the database says about its migration lock.
func lockOf(t *testing.T, tdb *testdb.Database) string {
	t.Helper()
	return rowsOf(t, tdb.AdminDB(t), "SELECT name FROM tldwdb_history WHERE set_name = '' AND repeatable = 'lock'")
}

// poolSize is how many connections to the server a pooler of the tests keeps.
const poolSize = 20

// checkPooledSessions looks at all the connections to the server that a pooler
// keeps, by a transaction on each of them at the same time: none has a setting of
// ours, or a lock.
func checkPooledSessions(t *testing.T, through string) {
	t.Helper()
	pool, err := sqlx.Open("pgx", through+"&default_query_exec_mode=exec")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	for range poolSize {
		tx, err := pool.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }() // it has only read
		// A pooler sets these two as each of its clients has them.
		var left string
		if err := tx.QueryRowContext(t.Context(), `SELECT coalesce(string_agg(name || '=' || setting, ' '), '') FROM pg_settings
			WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding')`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left != "" {
			t.Errorf("left on a connection of the pooler: %s", left)
		}
		var locks int
		if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").Scan(&locks); err != nil || locks > 0 {
			t.Errorf("%d advisory locks were left on a connection of the pooler, %v", locks, err)
		}
	}
}

// Any number of workers start behind a pooler in transaction mode, on an empty
// database.
func TestFleetBehindPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER", func(t *testing.T, tdb *testdb.Database, through string) {
		const workers, migrations = 50, 5
		fleet, release := startWorkers(t, workers, job{URL: through, Files: fleetFiles(migrations)})
		release()
		checkFleet(t, reports(t, fleet), migrations)
		checkEffects(t, tdb, migrations)
		if got := lockOf(t, tdb); got != "lease: a pooler between here and the server shares its connections" {
			t.Errorf("the lock was %q", got)
		}
		checkPooledSessions(t, through)
	})
}

// Some workers come through the pooler and some do not. Those that come first do
// not know of each other's lock: the rows of the history keep them apart. The next
// ones find in the database which lock it is.
func TestFleetOnBothSidesOfPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER", func(t *testing.T, tdb *testdb.Database, through string) {
		const workers, first, all = 8, 12, 14
		both := func(migrations int) []report {
			direct, releaseDirect := startWorkers(t, workers, job{URL: tdb.URL, Files: fleetFiles(migrations)})
			pooled, releasePooled := startWorkers(t, workers, job{URL: through, Files: fleetFiles(migrations)})
			releaseDirect()
			releasePooled()
			return append(reports(t, direct), reports(t, pooled)...)
		}
		checkFleet(t, both(first), first)
		// Whoever came last through the pooler has left word of it, or does so now.
		succeed(t, fmt.Sprintf("up 0013_t13; %d → 13", first))(open(t, tdb, fleetFiles(first+1), func(cfg *tldwdb.Config) { cfg.URL = through }).Up(t.Context()))
		book := &logbook{}
		succeed(t, "up 0014_t14; 13 → 14")(open(t, tdb, fleetFiles(all), func(cfg *tldwdb.Config) { cfg.Logger = book.logger() }).Up(t.Context()))
		if !strings.Contains(book.text(), "lock=lease") {
			t.Errorf("past the pooler the lock was another one:\n%s", book.text())
		}
		checkEffects(t, tdb, all)
		checkPooledSessions(t, through)
	})
}

// A pooler in session mode gives each client a session of its own, whose lock is
// the better one.
func TestSessionPoolerKeepsTheLock(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER_SESSION", func(t *testing.T, tdb *testdb.Database, through string) {
		const workers, migrations = 5, 3
		fleet, release := startWorkers(t, workers, job{URL: through, Files: fleetFiles(migrations)})
		release()
		checkFleet(t, reports(t, fleet), migrations)
		checkEffects(t, tdb, migrations)
		if got := lockOf(t, tdb); !strings.HasPrefix(got, "session: ") {
			t.Errorf("the lock was %q", got)
		}
	})
}

// A pooler in session mode has as many connections to the server as there are
// workers: each has one, and asks for a second. Under a lease the one who got it
// needs one more than those who wait for it leave.
func TestSessionPoolerWithoutASpareConnection(t *testing.T) {
	t.Parallel()
	for _, kind := range []tldwdb.LockKind{tldwdb.LockAuto, tldwdb.LockLease} {
		forEachPooler(t, "PGBOUNCER_SESSION", func(t *testing.T, tdb *testdb.Database, through string) {
			const migrations = 3
			fleet, release := startWorkers(t, poolSize, job{URL: through, Files: fleetFiles(migrations), Lock: kind})
			release()
			checkFleet(t, reports(t, fleet), migrations)
			checkEffects(t, tdb, migrations)
		})
	}
}

// What is special about a file is the same through a pooler, and does not reach
// the next client of its connections.
func TestFilesThroughPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER", func(t *testing.T, tdb *testdb.Database, through string) {
		f := files{
			"1_word.up.sql":  "CREATE TABLE word (id integer, text text);\nCOPY word (id, text) FROM STDIN;\n1\tone\n2\ttwo\n\\.\nINSERT INTO word VALUES (3, 'three');\n",
			"2_index.up.sql": "-- tldwdb: no-transaction\nCREATE INDEX CONCURRENTLY word_text ON word (text);\nINSERT INTO word VALUES (4, 'four');\n",
			"3_path.up.sql":  "CREATE SCHEMA other;\nSET search_path = other;\nSET work_mem = '7MB';\nCREATE TABLE word (id integer);\n",
			"4_after.up.sql": "INSERT INTO word VALUES (5, current_setting('work_mem'));\n",
		}
		there := func(cfg *tldwdb.Config) { cfg.URL = through }
		succeed(t, "up 0001_word, up 0002_index, up 0003_path, up 0004_after; 0 → 4")(open(t, tdb, f, there).Up(t.Context()))
		// This one cannot be had there: the second statement would run without the first.
		f["5_set.up.sql"] = "-- tldwdb: no-transaction\nINSERT INTO word VALUES (6, 'six');\nSET search_path = other;\nCREATE INDEX CONCURRENTLY word_id ON word (id);\n"
		res, err := open(t, tdb, f, there).Up(t.Context())
		if failed, ok := errors.AsType[*tldwdb.MigrationError](err); !ok || len(res.Applied) > 0 || failed.Line != 3 || !strings.Contains(tldwdb.Hint(err), "TLDWDB_MIGRATE_URL") {
			t.Errorf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
		}
		admin := tdb.AdminDB(t)
		if got := rowsOf(t, admin, "SELECT id, text FROM word ORDER BY id"); got != "1|one\n2|two\n3|three\n4|four\n5|4MB" {
			t.Errorf("the rows are\n%s", got)
		}
		if got := rowsOf(t, admin, "SELECT count(*) FROM pg_index WHERE indexrelid = 'word_text'::regclass AND indisvalid"); got != "1" {
			t.Errorf("the index is not there, or not valid: %s", got)
		}
		if got := rowsOf(t, admin, "SELECT count(*) FROM other.word"); got != "0" {
			t.Errorf("other.word: %s", got)
		}
		checkPooledSessions(t, through)
	})
}

// The application's own statements: their names are not mixed up between the
// clients of a pooler, whether it is said to be one or found.
func TestApplicationThroughPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER", func(t *testing.T, tdb *testdb.Database, through string) {
		for _, said := range []bool{true, false} {
			db := open(t, tdb, files{}, func(cfg *tldwdb.Config) { cfg.URL, cfg.Pooler, cfg.PoolSize = through, said, 8 })
			var all sync.WaitGroup
			for n := range 8 {
				all.Go(func() {
					for i := range 20 {
						var got int
						if err := db.Pool().GetContext(t.Context(), &got, fmt.Sprintf("SELECT %d + $1::int", i), n); err != nil || got != i+n {
							t.Errorf("Config.Pooler %v: %d, %v", said, got, err)
							return
						}
					}
				})
			}
			all.Wait()
		}
	})
}

// A borrowed pool of one connection, behind a pooler, and no URL: nobody can tell
// whether a lock would keep others out. Nothing is done then, and nothing is left
// behind; the hint has the ways out.
func TestOneConnectionBehindPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER", func(t *testing.T, tdb *testdb.Database, through string) {
		attach := func(connections int) (*tldwdb.DB, *sqlx.DB) {
			pool, err := sqlx.Open("pgx", through+"&default_query_exec_mode=exec")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := pool.Close(); err != nil {
					t.Error(err)
				}
			})
			pool.SetMaxOpenConns(connections)
			db, err := tldwdb.Attach(t.Context(), pool, tldwdb.Config{Migrations: files(fleetFiles(2)).fs()})
			if err != nil {
				t.Fatal(err)
			}
			return db, pool
		}
		one, pool := attach(1)
		res, err := one.Up(t.Context())
		if err == nil || len(res.Applied) > 0 || !strings.Contains(tldwdb.Hint(err), "two connections") || !strings.Contains(tldwdb.Hint(err), "session") {
			t.Fatalf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
		}
		if err := pool.PingContext(t.Context()); err != nil {
			t.Errorf("the pool: %v", err)
		}
		if n := rowsOf(t, tdb.AdminDB(t), "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'tldwdb%'"); n != "0" {
			t.Errorf("%s tables were made", n)
		}
		two, _ := attach(2)
		succeed(t, "up 0001_t1, up 0002_t2; 0 → 2")(two.Up(t.Context()))
		succeed(t, "; 2 → 2")(one.Up(t.Context())) // with nothing pending one is enough
		checkEffects(t, tdb, 2)
	})
}

// A pooler in statement mode takes no transactions. That is said at once, with the
// way past it, which then is taken.
func TestStatementPooler(t *testing.T) {
	t.Parallel()
	forEachPooler(t, "PGBOUNCER_STATEMENT", func(t *testing.T, tdb *testdb.Database, through string) {
		f := files(fleetFiles(2))
		for _, kind := range []tldwdb.LockKind{tldwdb.LockAuto, tldwdb.LockSession, tldwdb.LockLease} {
			res, err := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.URL, cfg.Lock = through, kind }).Up(t.Context())
			if err == nil || len(res.Applied) > 0 || !strings.Contains(tldwdb.Hint(err), "TLDWDB_MIGRATE_URL") {
				t.Errorf("Lock %q: %s, %v, hint %q", kind, outcome(res), err, tldwdb.Hint(err))
			}
		}
		succeed(t, "up 0001_t1, up 0002_t2; 0 → 2")(open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.URL, cfg.MigrateURL = through, tdb.URL }).Up(t.Context()))
		succeed(t, "; 2 → 2")(open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.URL = through }).Up(t.Context())) // a look needs no transaction
		checkEffects(t, tdb, 2)
	})
}

// Two runs whose locks do not keep them apart go side by side, and meet at every
// migration: as at a pooler's first run, where one comes past it.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	const migrations = 12
	f := files(fleetFiles(migrations))
	for name, text := range f {
		if strings.HasSuffix(name, ".up.sql") {
			f[name] = text + "SELECT pg_sleep(0.03);\n"
		}
	}
	ended := make(chan error, 2)
	for _, kind := range []tldwdb.LockKind{tldwdb.LockSession, tldwdb.LockLease} {
		db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Lock = kind })
		go func() {
			res, err := db.Up(t.Context())
			if err == nil && res.After != migrations {
				err = fmt.Errorf("it ended at %d", res.After)
			}
			ended <- err
		}()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	checkEffects(t, tdb, migrations)
}
