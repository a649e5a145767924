package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// These tests kill a process in the middle of the second of three migrations
// and start the next one at once, while the server may still be busy with what
// the dead one asked for. No human is in between.

// crashFiles are three migrations. The middle of the second one is slow or
// blocked, as the test needs it.
func crashFiles(middle string) map[string]string {
	return map[string]string{
		"0001_first.up.sql": "CREATE TABLE effects (step varchar(40) NOT NULL);\nINSERT INTO effects (step) VALUES ('1');\n",
		"0002_second.up.sql": "INSERT INTO effects (step) VALUES ('2 begin');\nCREATE TABLE t2 (id int PRIMARY KEY);\n" + middle +
			";\nALTER TABLE t2 ADD COLUMN note varchar(20);\nINSERT INTO effects (step) VALUES ('2 end');\n",
		"0003_third.up.sql": "CREATE TABLE t3 (id int PRIMARY KEY);\nINSERT INTO effects (step) VALUES ('3');\n",
	}
}

// checkCrashed fails the test unless every statement of crashFiles took effect
// exactly once.
func checkCrashed(t *testing.T, db *testdb.Database) {
	t.Helper()
	admin := db.AdminDB(t)
	want := map[string]int{"1": 1, "2 begin": 1, "2 middle": 1, "2 end": 1, "3": 1}
	if got := counts(t, admin, "SELECT step, count(*) FROM effects GROUP BY step"); !maps.Equal(got, want) {
		t.Errorf("effects %v, want %v", got, want)
	}
	for _, probe := range []string{"INSERT INTO t2 (id, note) VALUES (1, 'x')", "INSERT INTO t3 (id) VALUES (1)"} {
		if _, err := admin.ExecContext(t.Context(), probe); err != nil {
			t.Errorf("the schema is not complete: %v", err)
		}
	}
	got := counts(t, admin, "SELECT state, count(*) FROM tldwdb_history GROUP BY state")
	if want := map[string]int{"applied": 3, "meta": 3}; !maps.Equal(got, want) {
		t.Errorf("history %v, want %v", got, want)
	}
}

// A process dies at each moment of the second migration: just before the server
// hears its next word, and just after.
func TestKilledAtEveryTurn(t *testing.T) {
	t.Parallel()
	files := crashFiles("INSERT INTO effects (step) VALUES ('2 middle')")
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			first, last := turnsOfSecond(t, e, files)
			for turn := first; turn <= last; turn++ {
				for _, heard := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d,heard=%v", turn, heard), func(t *testing.T) {
						t.Parallel()
						killedAt(t, testdb.New(t, e), files, turn, heard)
					})
				}
			}
		})
	}
}

// turnsOfSecond counts the turns after start-up, and returns the numbers of the
// first and the last one that belong to the second migration.
func turnsOfSecond(t *testing.T, e testdb.Engine, files map[string]string) (first, last int) {
	t.Helper()
	db := testdb.New(t, e)
	proxy, through := wiretap.Through(t, db.URL)
	var mu sync.Mutex
	turn, third := 0, false
	proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if w.Startup {
			return wiretap.Pass
		}
		turn++
		if first == 0 && strings.Contains(w.Statement, "'2 begin'") {
			first = turn
			if e != testdb.Postgres {
				first-- // its journal entry
			}
		}
		if third = third || strings.Contains(w.Statement, "t3"); !third {
			last = turn // up to the third one's first entry
		}
		return wiretap.Pass
	})
	up(t, job{URL: through, Files: files})
	if first == 0 || last < first {
		t.Fatalf("the second migration runs from turn %d to %d", first, last)
	}
	return first, last
}

// killedAt starts a worker, kills it at a turn, and starts the next one at once.
func killedAt(t *testing.T, db *testdb.Database, files map[string]string, turn int, heard bool) {
	t.Helper()
	proxy, through := wiretap.Through(t, db.URL)
	workers, release := startWorkers(t, 1, job{URL: through, Files: files})
	var mu sync.Mutex
	seen, dead := 0, make(chan struct{})
	proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if w.Startup {
			return wiretap.Pass
		}
		if seen++; seen != turn {
			return wiretap.Pass
		}
		workers[0].kill()
		close(dead)
		if heard {
			return wiretap.Pass // the server reads it, and finds nobody to answer
		}
		return wiretap.CutBefore
	})
	release()
	<-dead
	if res := up(t, job{URL: db.URL, Files: files}); res.After != 3 {
		t.Errorf("%+v", res)
	}
	checkCrashed(t, db)
}

// slow is a statement that takes two seconds, and leaves its effect.
func slow(e testdb.Engine) string {
	if e == testdb.Postgres {
		return "INSERT INTO effects (step) SELECT '2 middle' FROM (SELECT pg_sleep(2)) s"
	}
	return "INSERT INTO effects (step) SELECT '2 middle' FROM (SELECT SLEEP(2)) s"
}

// What a session on the server may be busy with.
const (
	sleeping = iota // in the statement that slow makes
	blocked         // waiting for the lock of a table
)

// busySessions counts the sessions of the database that are busy with that.
func busySessions(t *testing.T, db *testdb.Database, admin *sql.DB, with int) (n int) {
	t.Helper()
	query := "SELECT count(*) FROM " + db.Processlist() + " WHERE db = DATABASE() AND state " +
		[]string{sleeping: "= 'User sleep'", blocked: "LIKE '%table metadata lock%'"}[with]
	if db.Engine == testdb.Postgres {
		query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND " +
			[]string{sleeping: "wait_event = 'PgSleep'", blocked: "wait_event_type = 'Lock'"}[with]
	}
	if err := admin.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitServer asks until a session of the database is busy with that, or until
// none is.
func awaitServer(t *testing.T, db *testdb.Database, with int, busy bool) {
	t.Helper()
	admin := db.AdminDB(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for (busySessions(t, db, admin, with) > 0) != busy {
		<-tick.C
	}
}

// A process dies while its statement runs on the server, which does not know
// yet that nobody waits for it.
func TestKilledInsideAStatement(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database) {
		j := job{URL: db.URL, Files: crashFiles(slow(db.Engine))}
		w := startWorker(t, j)
		awaitServer(t, db, sleeping, true)
		w.kill()
		res := up(t, j)
		if res.After != 3 {
			t.Errorf("%+v", res)
		}
		t.Logf("the lock was had %v after the kill", res.Waited.Round(time.Millisecond))
		checkCrashed(t, db)
	})
}

// A process dies while its ALTER TABLE waits for a reader's lock. What becomes
// of the statement is open: it gets the lock after all when the reader leaves
// first, under the eyes of the next process, or it gives up before that.
func TestKilledInsideABlockedStatement(t *testing.T) {
	t.Parallel()
	for _, givesUp := range []bool{false, true} {
		t.Run(fmt.Sprintf("gives up=%v", givesUp), func(t *testing.T) {
			t.Parallel()
			forEachServer(t, func(t *testing.T, db *testdb.Database) {
				killedWhileBlocked(t, db, givesUp)
			})
		})
	}
}

func killedWhileBlocked(t *testing.T, db *testdb.Database, givesUp bool) {
	t.Helper()
	admin := db.AdminDB(t)
	if _, err := admin.ExecContext(t.Context(), "CREATE TABLE busy (id int); INSERT INTO busy VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	reader, err := admin.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM busy").Scan(&n); err != nil {
		t.Fatal(err)
	}
	j := job{URL: db.URL, Files: crashFiles("ALTER TABLE busy ADD COLUMN note varchar(20);\nINSERT INTO effects (step) VALUES ('2 middle')")}
	w := startWorker(t, j)
	awaitServer(t, db, blocked, true)
	w.kill()
	if givesUp {
		awaitServer(t, db, blocked, false)
	}
	next := startWorker(t, j)
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if r := next.report(t); r.Error != "" || r.Result.After != 3 {
		t.Errorf("%+v", r)
	}
	if _, err := admin.ExecContext(t.Context(), "INSERT INTO busy (id, note) VALUES (2, 'x')"); err != nil {
		t.Errorf("the column is missing: %v", err)
	}
	checkCrashed(t, db)
}

// SIGTERM ends a migration with an error, and the next process finishes it. When
// Up has returned, nothing of it goes on: pgx cancels in a goroutine, which a
// process that exits at once takes with it.
func TestTerminatedInsideAStatement(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database) {
		j := job{URL: db.URL, Files: crashFiles(slow(db.Engine))}
		w := startWorker(t, j)
		awaitServer(t, db, sleeping, true)
		terminate(t, w)
		if busySessions(t, db, db.AdminDB(t), sleeping) != 0 {
			t.Error("the process has ended, and its migration still runs on the server")
		}
		res := up(t, j)
		if res.After != 3 {
			t.Errorf("%+v", res)
		}
		t.Logf("the lock was had after %v", res.Waited.Round(time.Millisecond))
		checkCrashed(t, db)
	})
}

// terminate sends SIGTERM, and expects an orderly end with the first migration
// done.
func terminate(t *testing.T, w *worker) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := w.report(t); !strings.Contains(r.Error, context.Canceled.Error()) || r.Result == nil || len(r.Result.Applied) != 1 || r.Result.After != 1 {
		t.Errorf("the worker: %q %+v", r.Error, r.Result)
	}
}

// The points at which a worker on SQLite halts. SQLite lives in the process, so
// the process itself has to say where it is: by a function in its SQL.
const (
	haltBetween = "between" // between two statements
	haltInside  = "inside"  // inside a statement that has done half of its work
	haltCommit  = "commit"  // after the last statement, before the commit
	haltNever   = "never"   // has the function, and never halts
	haltSay     = "say"     // says that it is inside, and goes on
)

// haltingFiles pass the points in their second migration.
func haltingFiles() map[string]string {
	files := crashFiles(`SELECT halt('between');
INSERT INTO effects (step) SELECT '2 middle' FROM (
	WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < (SELECT i FROM knob))
	SELECT i, halt(CASE WHEN i = 50 THEN 'inside' END) FROM n WHERE halt(CASE WHEN i = 50 THEN 'inside' END) = 0
) WHERE i = 1 OR halt('') = 1`)
	files["0002_second.up.sql"] += "SELECT halt('commit');\n"
	return files
}

// haltingPool opens the database with the function in it.
func haltingPool(ctx context.Context, j job) (*tldwdb.DB, *sqlx.DB, error) {
	atCommit := false
	halt := func() {
		fmt.Println(sayHalt)
		select {} // until it is killed
	}
	d := &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		c.RegisterCommitHook(func() int {
			if atCommit {
				halt()
			}
			return 0
		})
		return c.RegisterFunc("halt", func(point any) int {
			switch {
			case point == haltInside && j.Halt == haltSay:
				fmt.Println(sayHalt)
			case point == haltCommit && j.Halt == haltCommit:
				atCommit = true
			case point == j.Halt:
				halt()
			}
			return 0
		}, false)
	}}
	dsn := "file:" + j.Path + "?_foreign_keys=on&_journal_mode=WAL&_busy_timeout=5000&_synchronous=NORMAL&_txlock=immediate"
	pool := sqlx.NewDb(sql.OpenDB(connector{d, dsn}), "sqlite3")
	db, err := tldwdb.Attach(ctx, pool, j.config())
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, pool, nil
}

// setKnob says how many rows the slow statement goes through.
func setKnob(t *testing.T, db *testdb.Database, rows int) {
	t.Helper()
	admin := db.AdminDB(t)
	for _, text := range []string{"CREATE TABLE IF NOT EXISTS knob (i int)", "DELETE FROM knob", fmt.Sprintf("INSERT INTO knob VALUES (%d)", rows)} {
		if _, err := admin.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSQLiteKilled(t *testing.T) {
	t.Parallel()
	for _, point := range []string{haltBetween, haltInside, haltCommit} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.SQLite)
			setKnob(t, db, 100)
			j := job{URL: db.URL, Path: db.Path(), Files: haltingFiles(), Halt: point}
			w := startWorker(t, j)
			w.await(t, sayHalt)
			w.kill()
			if info, err := os.Stat(db.Path() + "-wal"); err != nil || info.Size() == 0 {
				t.Fatalf("the dead process left no log behind, so it was not killed in the middle: %v", err)
			}
			j.Halt = haltNever
			res, err := j.run(t.Context())
			if err != nil || res.Before != 1 || res.After != 3 {
				t.Errorf("%+v, %v", res, err)
			}
			checkCrashed(t, db)
		})
	}
}

func TestSQLiteTerminated(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	setKnob(t, db, 2_000_000_000)
	j := job{URL: db.URL, Path: db.Path(), Files: haltingFiles(), Halt: haltSay}
	w := startWorker(t, j)
	w.await(t, sayHalt)
	terminate(t, w)
	setKnob(t, db, 100)
	j.Halt = haltNever
	if res, err := j.run(t.Context()); err != nil || res.Before != 1 || res.After != 3 {
		t.Errorf("%+v, %v", res, err)
	}
	checkCrashed(t, db)
}
