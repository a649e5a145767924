package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// holdLock runs a migration that keeps the migration lock until release is
// called, and returns when it has it. release returns what the run returned.
func holdLock(t *testing.T, tdb *testdb.Database, f files, edits ...func(*tldwdb.Config)) (release func() error) {
	t.Helper()
	inside, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	db := open(t, tdb, f, func(cfg *tldwdb.Config) {
		cfg.Application = "the-holder"
		cfg.GoMigrations = []tldwdb.GoMigration{{Version: 1, Name: "hold", NoTransaction: true, Idempotent: true, Up: func(context.Context, tldwdb.Conn) error {
			close(inside)
			<-leave
			return nil
		}}}
		for _, edit := range edits {
			edit(cfg)
		}
	})
	go func() {
		_, err := db.Up(t.Context())
		ended <- err
	}()
	select {
	case <-inside:
	case err := <-ended:
		t.Fatalf("the holder ended: %v", err)
	}
	return sync.OnceValue(func() error {
		close(leave)
		return <-ended
	})
}

func holding(cfg *tldwdb.Config) {
	cfg.GoMigrations = []tldwdb.GoMigration{{Version: 1, Name: "hold", NoTransaction: true, Idempotent: true, Up: func(context.Context, tldwdb.Conn) error { return nil }}}
}

// TestWaiterLeaves: who waits names the holder, and goes when the work is done,
// without having had the lock.
func TestWaiterLeaves(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		release := holdLock(t, tdb, files{})
		log := &logbook{}
		released := make(chan error, 1)
		var once sync.Once
		log.watched = func(line string) {
			if strings.Contains(line, "waiting for the migration lock") {
				once.Do(func() { go func() { released <- release() }() })
			}
		}
		db := open(t, tdb, files{}, holding, func(cfg *tldwdb.Config) { cfg.PoolSize, cfg.Logger = 1, log.logger() })
		res, err := db.Up(t.Context())
		if err != nil || len(res.Applied) != 0 || res.After != 1 || res.Waited <= 0 {
			t.Errorf("%+v, %v", res, err)
		}
		if err := <-released; err != nil {
			t.Errorf("the holder: %v", err)
		}
		holder := pick(tdb, "since", "the-holder", "connection ")
		if !strings.Contains(log.text(), holder) {
			t.Errorf("the log does not name the holder (%s):\n%s", holder, log.text())
		}
	})
}

// TestLockTimeout: the wait has an end, and says who is in the way.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		release := holdLock(t, tdb, files{})
		for _, wait := range []time.Duration{-1, 20 * time.Millisecond} {
			db := open(t, tdb, files{}, holding, func(cfg *tldwdb.Config) { cfg.PoolSize, cfg.LockWait = 1, wait })
			before := rowsOf(t, db.Pool().DB, sessionQuery(tdb))
			res, err := db.Up(ctx)
			if !errors.Is(err, tldwdb.ErrLockTimeout) || res.Locked || res.Holder == "" || !strings.Contains(err.Error(), res.Holder) || tldwdb.Hint(err) == "" {
				t.Errorf("LockWait %v: %+v, %v", wait, res, err)
			}
			if after := rowsOf(t, db.Pool().DB, sessionQuery(tdb)); after != before {
				t.Errorf("the pool's session was\n%s\nand is\n%s", before, after)
			}
		}
		canceled, cancel := context.WithCancel(ctx)
		log := &logbook{watched: func(line string) {
			if strings.Contains(line, "waiting for the migration lock") {
				cancel()
			}
		}}
		if _, err := open(t, tdb, files{}, holding, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }).Up(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v", err)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		succeed(t, "; 1 → 1")(open(t, tdb, files{}, holding).Up(ctx))
	})
}

// TestNeighbourDatabases: two databases of one server have a lock each.
func TestNeighbourDatabases(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		release := holdLock(t, testdb.New(t, tdb.Engine), files{})
		succeed(t, "up 0001_author, up 0002_book, up 0003_year, up R__titles; 0 → 3")(
			open(t, tdb, library, func(cfg *tldwdb.Config) { cfg.LockWait = -1 }).Up(t.Context()))
		if err := release(); err != nil {
			t.Error(err)
		}
	})
}

// TestPlanOvertaken: the plan is not right any more when another process has run
// while Apply waited for the lock.
func TestPlanOvertaken(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		release := holdLock(t, tdb, files{})
		released := make(chan error, 1)
		var once sync.Once
		log := &logbook{watched: func(line string) {
			if strings.Contains(line, "waiting for the migration lock") {
				once.Do(func() { go func() { released <- release() }() })
			}
		}}
		db := open(t, tdb, files{}, holding, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
		plan, err := db.Plan(t.Context(), tldwdb.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Apply(t.Context(), plan); !errors.Is(err, tldwdb.ErrPlanChanged) {
			t.Errorf("overtaken: %v", err)
		}
		if err := <-released; err != nil {
			t.Error(err)
		}
	})
}

// TestLockLost: a file that gives the lock away is told so, beside what it did.
func TestLockLost(t *testing.T) {
	t.Parallel()
	for engine, text := range map[testdb.Engine]string{
		testdb.Postgres: "SELECT pg_advisory_unlock_all();", testdb.MariaDB: "DO RELEASE_ALL_LOCKS();", testdb.MySQL: "DO RELEASE_ALL_LOCKS();",
	} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			res, err := open(t, tdb, files{"1_a.up.sql": text}).Up(t.Context())
			if !errors.Is(err, tldwdb.ErrLockLost) || outcome(res) != "up 0001_a; 0 → 1" || tldwdb.Hint(err) == "" {
				t.Errorf("%s, %v", outcome(res), err)
			}
		})
	}
}

// TestTableIsLocked: a table that somebody holds is tried again until the budget
// ends; and had as soon as it is free.
func TestTableIsLocked(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\nINSERT INTO a VALUES (1);"}
		if _, err := open(t, tdb, f).Up(ctx); err != nil {
			t.Fatal(err)
		}
		f = f.with(files{"2_b.up.sql": "INSERT INTO b VALUES (1);\nALTER TABLE b ADD COLUMN w integer;\nINSERT INTO b VALUES (2, 2);\nALTER TABLE a ADD COLUMN v integer;"})
		conn, err := tdb.AdminDB(t).Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{pick(tdb, "BEGIN IMMEDIATE", "BEGIN", "BEGIN"), "SELECT * FROM a"} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		short := func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.RetryBudget = 50*time.Millisecond, -1 }
		_, err = open(t, tdb, f, short).Up(ctx)
		if err == nil || !strings.Contains(tldwdb.Hint(err), "TLDWDB_RETRY_BUDGET") {
			t.Errorf("the table stays locked: %v, hint %q", err, tldwdb.Hint(err))
		}
		var once sync.Once
		freed := make(chan error, 1)
		log := &logbook{watched: func(line string) {
			if strings.Contains(line, "a table is locked") {
				once.Do(func() {
					_, err := conn.ExecContext(ctx, "ROLLBACK")
					freed <- err
				})
			}
		}}
		succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f, func(cfg *tldwdb.Config) {
			cfg.LockTimeout, cfg.Logger = 50*time.Millisecond, log.logger()
		}).Up(ctx))
		if err := <-freed; err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT * FROM b ORDER BY id"); got != "1|NULL\n2|2" {
			t.Errorf("the rows are %q", got)
		}
	})
}

// TestReadersPass: while a long transaction keeps a migration from its table, other
// readers of the table get their answers. They stand behind the migration no
// longer than it waits, and then it lets them pass.
func TestReadersPass(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for the case that they stand for ever
		defer cancel()
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE a (id integer)", "INSERT INTO a VALUES (1)")
		long, err := admin.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = long.Rollback() }() // where the test ends early
		var id int
		if err := long.QueryRowContext(ctx, "SELECT id FROM a").Scan(&id); err != nil {
			t.Fatal(err)
		}
		queued := pick(tdb, "", "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%ALTER TABLE a%'",
			"SELECT count(*) FROM "+tdb.Processlist()+" WHERE db = DATABASE() AND state = 'Waiting for table metadata lock' AND info LIKE 'ALTER TABLE a%'")
		ended := upped(ctx, open(t, tdb, files{"1_a.up.sql": "ALTER TABLE a ADD COLUMN v integer;"}, func(cfg *tldwdb.Config) { cfg.LockTimeout = time.Second }), "up 0001_a; 0 → 1")
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range 2 { // twice, since it comes back
			for rowsOf(t, admin, queued) != "1" {
				select {
				case err := <-ended:
					t.Fatalf("it did not wait for the table: %v", err)
				case <-ctx.Done():
					t.Fatal("it is not seen waiting")
				case <-tick.C:
				}
			}
			if err := admin.QueryRowContext(ctx, "SELECT id FROM a").Scan(&id); err != nil {
				t.Fatalf("a reader behind the migration: %v", err)
			}
		}
		if err := long.Rollback(); err != nil { // until here it had the table
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestCancelAnywhere ends the context at each request. The lock is free
// afterwards, the pool whole, and the next Up ends at the same schema.
func TestCancelAnywhere(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		undisturbed := testdb.New(t, tdb.Engine)
		if _, err := open(t, undisturbed, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := undisturbed.Dump(t)
		step := 1
		if testing.Short() {
			step = 5
		}
		for n, reached := 1, true; reached; n += step {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				ft := &fault{}
				pool := ft.pool(t, tdb)
				db, err := tldwdb.Attach(t.Context(), pool, configFor(tdb, library))
				if err != nil {
					t.Fatal(err)
				}
				if err := pool.PingContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ft.arm(n, false, cancel)
				_, err = db.Up(ctx)
				reached = ft.requests() >= n
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled, and Up says %v", err)
				}
				if got := pool.Stats().InUse; got != 0 {
					t.Errorf("%d connections are still in use", got)
				}
				ft.arm(0, false, nil)
				if _, err := db.Up(t.Context()); err != nil {
					t.Fatalf("the next Up: %v\nhint: %s", err, tldwdb.Hint(err))
				}
				if got := tdb.Dump(t); got != want {
					t.Errorf("the schema is\n%s\nwant\n%s", got, want)
				}
				if got := rowsOf(t, tdb.AdminDB(t), "SELECT * FROM book"); got != "1|1|Notes|1843" {
					t.Errorf("the rows are %q", got)
				}
				if err := pool.Close(); err != nil {
					t.Error(err)
				}
			})
			if t.Failed() {
				return
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := open(t, tdb, library).Up(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
		if got := objects(t, tdb); got != "" {
			t.Errorf("made with a context that has ended:\n%s", got)
		}
	})
}

// TestLockUnproved: a session's lock that is granted to everybody is given back,
// and a lease takes its place; where the session's lock is forced, nothing is
// applied.
func TestLockUnproved(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, library, func(cfg *tldwdb.Config) { cfg.PoolSize, cfg.Lock = 1, tldwdb.LockSession })
		before := rowsOf(t, db.Pool().DB, sessionQuery(tdb))
		tldwdb.PretendSharedLock(db)
		res, err := db.Up(t.Context())
		if !errors.Is(err, tldwdb.ErrLockUnproved) || len(res.Applied) != 0 || !strings.Contains(tldwdb.Hint(err), "MigrateURL") {
			t.Errorf("%s, %v", outcome(res), err)
		}
		if got := objects(t, tdb); got != "" {
			t.Errorf("made without a lock that excludes others:\n%s", got)
		}
		if after := rowsOf(t, db.Pool().DB, sessionQuery(tdb)); after != before {
			t.Errorf("the pool's session was\n%s\nand is\n%s", before, after)
		}
		if _, err := open(t, tdb, library, func(cfg *tldwdb.Config) { cfg.LockWait = -1 }).Up(t.Context()); err != nil {
			t.Errorf("the lock was not given back: %v", err)
		}
		if tdb.Engine == testdb.SQLite {
			return // it has no lease
		}
		db = open(t, tdb, library.with(files{"R__again.sql": "SELECT 1;"}))
		tldwdb.PretendSharedLock(db)
		succeed(t, "up R__again; 3 → 3")(db.Up(t.Context()))
		status, err := db.Status(t.Context())
		if err != nil || !strings.HasPrefix(status.Lock, "lease: a second connection could take") {
			t.Errorf("Status says %+v, %v", status, err)
		}
	})
}

// TestRowTaken: a process whose row has become another's stops at its next entry.
// The file takes it here; usually it is somebody who resumes what seems dead.
func TestRowTaken(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE log (what varchar(10))")
		for i, behind := range []string{"INSERT INTO log VALUES ('data');", "DROP TABLE log;", ""} {
			f := files{fmt.Sprint(i+1, "_a.up.sql"): "-- tldwdb: no-transaction\nCREATE TABLE made" + fmt.Sprint(i) + " (id integer);\nUPDATE tldwdb_history SET actor = 'thief', run_id = 'thief';\n" + behind}
			_, err := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Set = fmt.Sprint("set", i) }).Up(t.Context())
			if !errors.Is(err, tldwdb.ErrLockLost) || !strings.Contains(err.Error(), "thief") || tldwdb.Hint(err) == "" {
				t.Errorf("behind it %q: %v", behind, err)
			}
			if got := rowsOf(t, admin, "SELECT what FROM log"); got != "" {
				t.Errorf("behind it %q: the log is %q", behind, got)
			}
			if got := rowsOf(t, admin, fmt.Sprintf("SELECT state FROM tldwdb_history WHERE set_name = 'set%d'", i)); got != "running" {
				t.Errorf("behind it %q: the row says %q", behind, got)
			}
		}
	})
}

// TestRowChanged: a row that another process changes between the look and the
// way back, or between the look and a repeatable migration's new text, is looked
// at again before anything runs.
func TestRowChanged(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE log (what varchar(10))")
		f := files{"1_a.up.sql": "INSERT INTO log VALUES ('up');", "1_a.down.sql": "INSERT INTO log VALUES ('down');", "R__r.sql": "INSERT INTO log VALUES ('r');"}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, run := range []func(*tldwdb.DB) (*tldwdb.Result, error){
			func(db *tldwdb.DB) (*tldwdb.Result, error) { return db.Up(t.Context()) },
			func(db *tldwdb.DB) (*tldwdb.Result, error) { return db.Down(t.Context(), 1) },
		} {
			ft := &fault{match: pick(tdb, "BEGIN IMMEDIATE", "BEGIN", "SET actor")}
			ft.call = func() { execute(t, admin, fmt.Sprintf("UPDATE tldwdb_history SET run_id = 'another %d'", i)) }
			book := &logbook{}
			cfg := configFor(tdb, f.with(files{"R__r.sql": "INSERT INTO log VALUES ('new');"}))
			cfg.URL, cfg.Logger = "", book.logger()
			pool := ft.pool(t, tdb)
			db, err := tldwdb.Attach(t.Context(), pool, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run(db); err != nil {
				t.Error(err)
			}
			if !strings.Contains(book.text(), "did not exclude another process") {
				t.Errorf("it was not noticed:\n%s", book.text())
			}
			_ = pool.Close() // the next one needs its lock
		}
		if got := rowsOf(t, admin, "SELECT what FROM log"); got != "up\nr\nnew\ndown" {
			t.Errorf("what ran is %q", got)
		}
	})
}

// TestResumedAlive: a second process resumes what a first one, which gave its lock
// away, is still at. It ends it, and the first one changes nothing more.
func TestResumedAlive(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nSELECT pg_advisory_unlock_all();\nCREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\nCREATE TABLE b (id integer);"}
	second := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Application = "second" })
	ft := &fault{match: "VALUES (2)"}
	ft.call = func() { succeed(t, "up 0001_a; 0 → 1")(second.Up(t.Context())) }
	pool := ft.pool(t, tdb)
	cfg := configFor(tdb, f)
	cfg.URL, cfg.Application = "", "first"
	first, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Up(t.Context()); !errors.Is(err, tldwdb.ErrLockLost) || !strings.Contains(err.Error(), "second") {
		t.Errorf("the first: %v", err)
	}
	admin := tdb.AdminDB(t)
	if got := rowsOf(t, admin, "SELECT id FROM a") + " " + historyRows(t, admin); got != "1\n2 1|applied|up|5|5" {
		t.Errorf("the rows are %s", got)
	}
	ft.die()
	_ = pool.Close()
}

// TestProofWithoutAnswer: a proof that gets no answer in ten seconds is none, and no
// reason not to start.
func TestProofWithoutAnswer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for ten seconds")
	}
	tdb := testdb.New(t, testdb.Postgres)
	book := &logbook{}
	db := open(t, tdb, files{"1_a.up.sql": "CREATE TABLE a (id integer);"}, func(cfg *tldwdb.Config) { cfg.Logger = book.logger() })
	tldwdb.PretendDeafProof(db)
	succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
	if !strings.Contains(book.text(), "could not be proved") {
		t.Errorf("the log says\n%s", book.text())
	}
}
