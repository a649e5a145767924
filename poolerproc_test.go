//go:build unix

package tldwdb_test

import (
	"database/sql"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// What happens behind a pooler in transaction mode when the process that migrates
// dies, or stops for longer than its lease. The server goes on with its statement,
// and nobody sees for whom.

// How a process ends, or seems to.
const (
	byKill = "killed"
	byStop = "stopped" // and woken up when its successors are ready
)

// waysToEnd are those that can be had through the given pooler. PgBouncer 1.18 may
// itself end where a process leaves while it asks for the end of its statement, as
// one does that wakes up (its issue 801): the newest comes last in the list.
func waysToEnd(pooler int, poolers []string) []string {
	if pooler < len(poolers)-1 {
		return []string{byKill}
	}
	return []string{byKill, byStop}
}

// end kills or stops a worker.
func end(t *testing.T, w *worker, way string) {
	t.Helper()
	if way == byKill {
		w.kill()
		return
	}
	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// wake lets a worker that was stopped go on, and checks that it has done nothing
// but find out that it lost the lock.
func wake(t *testing.T, tdb *testdb.Database, w *worker) {
	t.Helper()
	before := everything(t, tdb.AdminDB(t))
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if r := w.report(t); r.Ready || !strings.Contains(r.Error, tldwdb.ErrLockLost.Error()) {
		t.Errorf("the one that was stopped: ready %v, %s, %+v", r.Ready, r.Error, r.Result)
	}
	if after := everything(t, tdb.AdminDB(t)); after != before {
		t.Errorf("it changed something:\n%s\nwas\n%s", after, before)
	}
}

// awaitRows asks until a query gives some rows, or none.
func awaitRows(t *testing.T, admin *sql.DB, some bool, query string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for (rowsOf(t, admin, query) != "") != some {
		<-tick.C
	}
}

// takenOver is a query that gives a row when the first holder's lease is another's.
const takenOver = "SELECT token FROM tldwdb_history_lease WHERE id = 2 AND token > 1"

// The statements that wait for all older transactions, cut short while a reader
// makes them wait. Their outcome comes under the eyes of the next processes, or
// before they look.
func TestConcurrentlyBehindPooler(t *testing.T) {
	t.Parallel()
	poolers := testdb.Extra(t, "PGBOUNCER")
	for i, pooler := range poolers {
		for _, c := range []struct{ name, statement, want string }{
			{"create", "CREATE INDEX CONCURRENTLY made ON busy (id)", "made valid\nold valid\npart attached"},
			{"drop", "DROP INDEX CONCURRENTLY old", "part attached"},
			{"reindex", "REINDEX TABLE CONCURRENTLY busy", "old valid\npart attached"},
			{"detach", "ALTER TABLE parent DETACH PARTITION part CONCURRENTLY", "old valid"},
		} {
			for _, way := range waysToEnd(i, poolers) {
				for _, seen := range []bool{false, true} {
					if way == byStop && !seen {
						continue // as when it is killed: the server does not know the difference
					}
					t.Run(fmt.Sprintf("%d/%s,%s,seen=%v", i, c.name, way, seen), func(t *testing.T) {
						t.Parallel()
						tdb := testdb.New(t, testdb.Postgres)
						cutConcurrently(t, tdb, tdb.Through(t, pooler), c.statement, way, seen)
						got := rowsOf(t, tdb.AdminDB(t), `SELECT indexrelid::regclass::text || CASE WHEN indisvalid THEN ' valid' ELSE ' invalid' END AS word FROM pg_index WHERE indrelid = 'busy'::regclass
							UNION SELECT inhrelid::regclass::text || CASE WHEN to_jsonb(i)->>'inhdetachpending' = 'true' THEN ' pending' ELSE ' attached' END FROM pg_inherits i ORDER BY word`)
						if got != c.want {
							t.Errorf("there is\n%s\nwant\n%s", got, c.want)
						}
					})
				}
			}
		}
	}
}

func cutConcurrently(t *testing.T, tdb *testdb.Database, through, statement, way string, seen bool) {
	t.Helper()
	admin := tdb.AdminDB(t)
	if strings.HasPrefix(statement, "ALTER") && rowsOf(t, admin, "SELECT 1 WHERE current_setting('server_version_num')::int < 140000") != "" {
		t.Skip("DETACH PARTITION CONCURRENTLY came with PostgreSQL 14")
	}
	execute(t, admin, "CREATE TABLE busy (id integer)", "INSERT INTO busy VALUES (1)", "CREATE INDEX old ON busy (id)", "CREATE TABLE log (what text)",
		"CREATE TABLE parent (id integer) PARTITION BY LIST (id)", "CREATE TABLE part PARTITION OF parent FOR VALUES IN (1)")
	j := job{URL: through, Lease: 2 * time.Second, Files: map[string]string{
		"1_first.up.sql": "INSERT INTO log VALUES ('first');",
		"2_cut.up.sql":   "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('before');\n" + statement + ";\nINSERT INTO log VALUES ('after');",
		"3_last.up.sql":  "INSERT INTO log VALUES ('last');",
	}}
	reader, err := admin.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ExecContext(t.Context(), "SELECT FROM busy; SELECT FROM parent"); err != nil {
		t.Fatal(err)
	}
	const atWork = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query ~ '^(CREATE|DROP|REINDEX|ALTER).*CONCURRENTLY'"
	holder, release := startWorkers(t, 1, j)
	release()
	awaitRows(t, admin, true, atWork+" AND wait_event_type = 'Lock'")
	const made = "SELECT oid FROM pg_class WHERE relname = 'made'"
	building, session := rowsOf(t, admin, made), rowsOf(t, admin, atWork)
	end(t, holder[0], way)
	next, start := startWorkers(t, 3, j)
	if !seen {
		if err := reader.Rollback(); err != nil {
			t.Fatal(err)
		}
		awaitRows(t, admin, false, atWork)
	}
	start()
	awaitRows(t, admin, true, takenOver)
	if seen {
		awaitRows(t, admin, true, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), "+session+") AND query ~ '^(DROP|REINDEX|ALTER).*(CONCURRENTLY|FINALIZE)|stat_progress_create_index'")
		if err := reader.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range reports(t, next) {
		if !r.Ready || r.Result.After != 3 {
			t.Errorf("worker %d: %s, %+v", r.PID, r.Error, r.Result)
		}
	}
	if way == byStop {
		wake(t, tdb, holder[0])
	}
	awaitRows(t, admin, false, atWork)
	if got := rowsOf(t, admin, made); got != building {
		t.Errorf("the index %s was built again, as %s", building, got)
	}
	if got := rowsOf(t, admin, "SELECT string_agg(what, ' ') FROM log"); got != "first before after last" {
		t.Errorf("what ran is %q", got)
	}
}

// A Go migration is stopped between two statements, in its transaction, which keeps
// the lease from being taken over. It may think for as long as it likes, but only
// while it gives signs of life.
func TestGoMigrationStoppedUnderLease(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) { stopGoMigration(t, tdb, tdb.URL) })
	t.Run("pooler", func(t *testing.T) {
		t.Parallel()
		poolers := testdb.Extra(t, "PGBOUNCER")
		tdb := testdb.New(t, testdb.Postgres)
		stopGoMigration(t, tdb, tdb.Through(t, poolers[len(poolers)-1])) // see waysToEnd
	})
}

func stopGoMigration(t *testing.T, tdb *testdb.Database, through string) {
	t.Helper()
	admin := tdb.AdminDB(t)
	j := job{URL: through, Lock: tldwdb.LockLease, Lease: 2 * time.Second, Code: codeStays, Files: map[string]string{
		"1_log.up.sql": "CREATE TABLE log (what varchar(10));", "3_last.up.sql": "INSERT INTO log VALUES ('last');",
	}}
	holder, release := startWorkers(t, 1, j)
	release()
	holder[0].await(t, sayHalt)
	end(t, holder[0], byStop)
	j.Code = codeWrites
	next, start := startWorkers(t, 2, j)
	start()
	for _, r := range reports(t, next) {
		if !r.Ready || r.Result.After != 3 {
			t.Errorf("worker %d: %s, %+v", r.PID, r.Error, r.Result)
		}
	}
	wake(t, tdb, holder[0])
	if got := rowsOf(t, admin, "SELECT what FROM log ORDER BY what"); got != "code\nlast" {
		t.Errorf("what ran is %q", got)
	}
}
