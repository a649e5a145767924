package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

func leased(cfg *tldwdb.Config) { cfg.Lock = tldwdb.LockLease }

// TestLease: everything works under a lease as it does under a session's lock,
// and the database remembers the kind.
func TestLease(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);", "1_a.down.sql": "DROP TABLE a;",
			"2_b.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE b (id integer);\nINSERT INTO a VALUES (2);", "2_b.down.sql": "-- tldwdb: no-transaction\nDROP TABLE b;",
			"R__v.sql": "UPDATE a SET id = id + 10;",
		}
		db := open(t, tdb, f, leased)
		succeed(t, "up 0001_a, up 0002_b, up R__v; 0 → 2")(db.Up(t.Context()))
		succeed(t, "; 2 → 2")(db.Up(t.Context()))
		f["R__v.sql"] += "\nUPDATE a SET id = id + 10;"
		book := &logbook{}
		db = open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Logger = book.logger() }) // the lock is not forced any more
		succeed(t, "up R__v; 2 → 2")(db.Up(t.Context()))
		if !strings.Contains(book.text(), "lock=lease") {
			t.Errorf("the lock that others use was not taken:\n%s", book.text())
		}
		succeed(t, "down 0002_b, down 0001_a; 2 → 0")(db.Down(t.Context(), 2))
		status, err := db.Status(t.Context())
		if err != nil || !strings.HasPrefix(status.Lock, "lease: ") {
			t.Errorf("Status says %+v, %v", status, err)
		}
		if _, err := db.Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Name: "v", Repeatable: true}, Kind: tldwdb.FixForget}); err != nil {
			t.Error(err)
		}
		if _, err := db.Baseline(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT owner FROM tldwdb_history_lease WHERE id = 2"); got != "" {
			t.Errorf("the lease was not given back by %q", got)
		}
	})
}

// lapse makes the lease run out, as if its holder had given no sign of life.
func lapse(t *testing.T, tdb *testdb.Database, set string) {
	t.Helper()
	execute(t, tdb.AdminDB(t), "UPDATE tldwdb_history_lease SET expires_at = taken_at - INTERVAL '1' HOUR, "+set+" WHERE id = 2")
}

// TestLeaseLost: a holder that was taken for dead finds out with the next thing
// that it writes, and changes nothing; its successor ends the work. The successor
// ends its session too, where it can be found.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, behind, lapse string }{
		{"session ended", "INSERT INTO log VALUES ('two');\nCREATE TABLE b (id integer);", "session = session"},
		{"session not to be found", "INSERT INTO log VALUES ('two');\nCREATE TABLE b (id integer);", "session = 0"},
		{"journaled", "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('two');\nCREATE TABLE b (id integer);", "session = 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
				admin := tdb.AdminDB(t)
				execute(t, admin, "CREATE TABLE log (what varchar(10))")
				f := files{"2_b.up.sql": c.behind}
				release := holdLock(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.LeaseTime = time.Hour })
				lapse(t, tdb, c.lapse)
				// The successor runs the Go migration again, which is idempotent, and the rest.
				succeed(t, "up 0001_hold, up 0002_b; 0 → 2")(open(t, tdb, f, holding, leased).Up(t.Context()))
				before := everything(t, admin)
				if err := release(); !errors.Is(err, tldwdb.ErrLockLost) || tldwdb.Hint(err) == "" {
					t.Errorf("the first holder: %v", err)
				}
				if after := everything(t, admin); after != before {
					t.Errorf("it changed something:\n%s\nwas\n%s", after, before)
				}
				if got := rowsOf(t, admin, "SELECT what FROM log"); got != "two" {
					t.Errorf("the log is %q", got)
				}
			})
		})
	}
}

// dieLeased runs Up in a program that dies, with a lease of an hour, at the request
// that holds the text.
func dieLeased(t *testing.T, tdb *testdb.Database, f files, text string, after bool) {
	t.Helper()
	ft := &fault{match: text, after: after}
	pool := ft.pool(t, tdb)
	pool.SetMaxOpenConns(2) // one for the signs of life
	cfg := configFor(tdb, f, leased)
	cfg.URL, cfg.LeaseTime = "", time.Hour
	db, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Up(t.Context()); err == nil {
		t.Fatal("the program did not die")
	}
	ft.die()
}

// TestLeaseCrash: the lease of a process that died is free when it has run out,
// and not before.
func TestLeaseCrash(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);"}
		dieLeased(t, tdb, f, "INSERT INTO a", false)
		_, err := open(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.LockWait = -1 }).Up(t.Context())
		if !errors.Is(err, tldwdb.ErrLockTimeout) || !strings.Contains(err.Error(), "its lease ends in") {
			t.Errorf("while it lasts: %v", err)
		}
		lapse(t, tdb, "session = session")
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, leased).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT id FROM a"); got != "1" {
			t.Errorf("the rows are %q", got)
		}
	})
}

// TestHeartbeat: a holder that is at work for longer than the lease lasts keeps
// it, also when the connection for its signs of life is cut.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		ends := func() string { return rowsOf(t, admin, "SELECT expires_at FROM tldwdb_history_lease WHERE id = 2") }
		later := func(ctx context.Context, what string) error {
			before := ends()
			for ends() == before {
				if ctx.Err() != nil {
					return fmt.Errorf("no sign of life: %s: %w", what, context.Cause(ctx))
				}
			}
			return nil
		}
		book := &logbook{}
		db := open(t, tdb, files{}, leased, func(cfg *tldwdb.Config) {
			cfg.LeaseTime, cfg.Logger, cfg.Application = 3*time.Second, book.logger(), "beating"
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 1, Name: "long", NoTransaction: true, Up: func(ctx context.Context, c tldwdb.Conn) error {
				for i := range 4 {
					if err := later(ctx, fmt.Sprint(i)); err != nil {
						return err
					}
				}
				return nil
			}}}
		})
		succeed(t, "up 0001_long; 0 → 1")(db.Up(t.Context()))
		if strings.Contains(book.text(), "level=WARN") {
			t.Errorf("the log says\n%s", book.text())
		}
	})
}

// TestLeaseUnsettled: where the dead holder's session cannot be seen, nobody
// knows whether a statement that seems not to have run is running.
func TestLeaseUnsettled(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);"}
		dieLeased(t, tdb, f, "CREATE TABLE b", true)
		execute(t, tdb.AdminDB(t), "DROP TABLE b") // as it is while the server is at it
		lapse(t, tdb, "server = 'another:3306'")
		db := open(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.LeaseTime = 3 * time.Second })
		for range 2 { // the first run gives the lease back, and the doubt stays
			if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
				t.Errorf("with a session on another server: %v", err)
			}
		}
		if _, err := db.Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Version: 1}, Kind: tldwdb.FixRetry}); err != nil {
			t.Fatal(err)
		}
		succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
	})
}

// TestLeaseUnsettledInherited: whoever leaves such a lease before he knows more leaves
// the doubt with it, also to one who can see his session.
func TestLeaseUnsettledInherited(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);"}
		dieLeased(t, tdb, f, "CREATE TABLE b", true)
		execute(t, tdb.AdminDB(t), "DROP TABLE b") // as it is while the server is at it
		lapse(t, tdb, "server = 'another:3306'")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		book := &logbook{watched: func(line string) {
			if strings.Contains(line, "cannot be seen from here") {
				cancel()
			}
		}}
		if _, err := open(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.Logger = book.logger() }).Up(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("in its grace: %v", err)
		}
		lapse(t, tdb, "session = session")
		if _, err := open(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.LeaseTime = 3 * time.Second }).Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
			t.Errorf("behind it: %v", err)
		}
	})
}

// TestUntilBeat: a second connection that was long in coming leaves less time for the
// first sign of life, and none at all makes it come at once.
func TestUntilBeat(t *testing.T) {
	t.Parallel()
	taken := time.Now()
	for passed, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 2 * time.Second: 3 * time.Second, 5 * time.Second: 0, 14 * time.Second: 0} {
		if got := tldwdb.UntilBeat(taken, taken.Add(passed), 15*time.Second); got != want {
			t.Errorf("%s after it was taken: %s, want %s", passed, got, want)
		}
	}
}

// TestLeaseWithoutFence: a row that somebody has deleted is made again, with a
// token that nobody had.
func TestLeaseWithoutFence(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);"}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, leased).Up(t.Context()))
		admin := tdb.AdminDB(t)
		execute(t, admin, "DELETE FROM tldwdb_history_lease WHERE id = 1")
		f["2_b.up.sql"] = "CREATE TABLE b (id integer);"
		succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f, leased).Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT token FROM tldwdb_history_lease ORDER BY id"); got != "2\n2" {
			t.Errorf("the tokens are %q", got)
		}
	})
}

// zoned makes sessions in a time zone of their own.
func zoned(tdb *testdb.Database, hours int) func(*tldwdb.Config) {
	return func(cfg *tldwdb.Config) {
		if leased(cfg); tdb.Engine == testdb.Postgres {
			cfg.URL += fmt.Sprintf("&TimeZone=Etc/GMT%+d", -hours)
			return
		}
		cfg.URL += "?time_zone=" + url.QueryEscape(fmt.Sprintf("'%+03d:00'", hours))
	}
}

// TestLeaseInTimeZones: a lease ends by the server's clock, whatever time it is in
// the sessions that look.
func TestLeaseInTimeZones(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		for i, hours := range []int{-11, 11} {
			f := files{fmt.Sprintf("%d_t.up.sql", i+2): fmt.Sprintf("CREATE TABLE t%d (id integer);", i)}
			release := holdLock(t, tdb, files{}, zoned(tdb, hours), func(cfg *tldwdb.Config) {
				cfg.LeaseTime = time.Minute
				cfg.GoMigrations[0].Version = int64(100 + i)
			})
			db := open(t, tdb, f, zoned(tdb, -hours), func(cfg *tldwdb.Config) { cfg.LockWait, cfg.OutOfOrder = -1, true })
			_, err := db.Up(t.Context())
			if !errors.Is(err, tldwdb.ErrLockTimeout) || !strings.Contains(err.Error(), "its lease ends in") {
				t.Errorf("%+d: while it lasts: %v", hours, err)
			}
			if err := release(); err != nil {
				t.Errorf("%+d: the holder: %v", hours, err)
			}
			if res, err := db.Up(t.Context()); err != nil || len(res.Applied) != 1 {
				t.Errorf("%+d: after it: %s, %v", hours, outcome(res), err)
			}
		}
	})
}

// aYearAhead opens the database in sessions whose clock is ahead. Only MySQL and
// MariaDB can do that; elsewhere it would take another clock for the whole server.
func aYearAhead(t *testing.T, tdb *testdb.Database, f files) *tldwdb.DB {
	t.Helper()
	settings := mysqlSettings(t, tdb)
	settings.Params = map[string]string{"timestamp": fmt.Sprint(time.Now().AddDate(1, 0, 0).Unix())}
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		t.Fatal(err)
	}
	pool := sqlx.NewDb(sql.OpenDB(connector), "mysql")
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := configFor(tdb, f, leased, holding)
	cfg.URL = ""
	db, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestLeaseClockJumps: a clock that jumps ahead ends a lease too early. That costs
// its holder the run, and nothing else. What was written by that clock holds up
// nobody when it is right again.
func TestLeaseClockJumps(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		f := files{"2_b.up.sql": "CREATE TABLE b (id integer);\nINSERT INTO b VALUES (1);"}
		release := holdLock(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.LeaseTime = time.Hour })
		succeed(t, "up 0001_hold, up 0002_b; 0 → 2")(aYearAhead(t, tdb, f).Up(t.Context()))
		before := everything(t, admin)
		if err := release(); !errors.Is(err, tldwdb.ErrLockLost) {
			t.Errorf("the first holder: %v", err)
		}
		if after := everything(t, admin); after != before {
			t.Errorf("it changed something:\n%s\nwas\n%s", after, before)
		}
		// A file can turn its own session's clock, also where nobody sees it.
		f["3_c.up.sql"] = "CREATE PROCEDURE p() SET timestamp = UNIX_TIMESTAMP() + 86400 * 365;\nCALL p();"
		f["4_d.up.sql"] = "CREATE TABLE d (id integer);"
		impatient := func(cfg *tldwdb.Config) { cfg.LockWait = -1 }
		for _, to := range []int64{3, 4} {
			if res, err := open(t, tdb, f, leased, holding, impatient).MigrateTo(t.Context(), to); err != nil || len(res.Applied) != 1 {
				t.Errorf("to %d: %s, %v", to, outcome(res), err)
			}
		}
	})
}

// TestLeaseLeavesLocksOut: under LOCK TABLES neither the lease nor the history could
// be written, and every dump has one.
func TestLeaseLeavesLocksOut(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);\nLOCK TABLES a WRITE;\nINSERT INTO a VALUES (1);\nUNLOCK TABLES;\nCREATE TABLE b (id integer);"}
		log := &logbook{}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, leased, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT id FROM a"); got != "1" || !strings.Contains(log.text(), "LOCK TABLES is left out") {
			t.Errorf("a has %q, and the log is\n%s", got, log.text())
		}
	})
}
