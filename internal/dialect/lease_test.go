package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/testdb"
)

const leaseTable = "tldwdb_history_lease"

// forEachServer runs f on every engine that can keep a lease.
func forEachServer(t *testing.T, f func(t *testing.T, db *testdb.Database, pool *sql.DB)) {
	t.Helper()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			f(t, db, db.AdminDB(t))
		})
	}
}

// forEachLeaser is forEachServer, and goes through poolers too.
func forEachLeaser(t *testing.T, f func(t *testing.T, db *testdb.Database, pool *sql.DB)) {
	t.Helper()
	forEachServer(t, f)
	t.Run("pgbouncer", func(t *testing.T) {
		t.Parallel()
		for _, pooler := range testdb.Extra(t, "PGBOUNCER") {
			db := testdb.New(t, testdb.Postgres)
			f(t, db, through(t, db, pooler))
		}
	})
}

// contender is one process that wants the lease.
type contender struct {
	*Lease
	conn *sql.Conn
}

// contend makes a contender with a connection of its own. The lease's term is so
// long that only the test ends it.
func contend(t *testing.T, pool *sql.DB, e testdb.Engine, owner string) contender {
	t.Helper()
	return contendFor(t, pool, e, owner, time.Hour)
}

// contendFor makes a contender whose lease has the given term.
func contendFor(t *testing.T, pool *sql.DB, e testdb.Engine, owner string, term time.Duration) contender {
	t.Helper()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test may have lost it on purpose
	name := NameMySQL
	if e == testdb.Postgres {
		name = NamePostgres
	}
	d, err := New(name, true)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := d.Inspect(t.Context(), conn, "tldwdb_history")
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Lease(facts, "tldwdb_history", owner, term)
	if err != nil {
		t.Fatal(err)
	}
	return contender{l, conn}
}

func (c contender) try(t *testing.T, want bool) {
	t.Helper()
	if got, err := c.Try(t.Context(), c.conn, 0); err != nil || got != want {
		t.Fatalf("%s: Try is %v, %v; want %v", c.owner, got, err, want)
	}
}

// held checks the answer of Beat or Unlock.
func held(t *testing.T, what string, want bool, got bool, err error) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("%s is %v, %v; want %v", what, got, err, want)
	}
}

func exec(t *testing.T, c interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string) {
	t.Helper()
	if _, err := c.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// lapse ends the lease's term by the server's clock.
func lapse(t *testing.T, pool *sql.DB, c contender) {
	t.Helper()
	exec(t, pool, "UPDATE "+leaseTable+" SET expires_at = "+c.d.Now()+" WHERE id = 2")
}

// fenced reads a number through the fence, or nothing.
func (c contender) fenced(t *testing.T) (n sql.NullInt64) {
	t.Helper()
	if err := QueryRow(t.Context(), c.conn, "SELECT "+c.Fence("7"), c.d.QueryArgs(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLeaseFromHandToHand(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		if holder, err := a.Holder(t.Context(), a.conn); holder != "" || err != nil {
			t.Errorf("before anybody: %q, %v", holder, err)
		}
		a.try(t, true)
		b.try(t, false)
		if holder, err := b.Holder(t.Context(), b.conn); len(holder) < 10 || holder[:8] != "a since " || err != nil {
			t.Errorf("the holder is %q, %v", holder, err)
		}
		excludes, err := a.Excludes(t.Context(), b.conn)
		held(t, "Excludes", true, excludes, err)
		if n := a.fenced(t); n.Int64 != 7 {
			t.Errorf("the holder's fence yields %v", n)
		}
		got, err := a.Beat(t.Context(), b.conn)
		held(t, "Beat", true, got, err)
		exec(t, a.conn, "BEGIN; UPDATE "+leaseTable+" SET server = 'left open' WHERE id = 1")
		got, err = a.Unlock(t.Context(), a.conn)
		held(t, "Unlock", true, got, err)
		var server string
		if err := pool.QueryRowContext(t.Context(), "SELECT server FROM "+leaseTable+" WHERE id = 1").Scan(&server); err != nil || server == "left open" {
			t.Errorf("what was left open has been committed: %v", err)
		}
		if holder, err := a.Holder(t.Context(), a.conn); holder != "" || err != nil {
			t.Errorf("after Unlock: %q, %v", holder, err)
		}
		got, err = a.Beat(t.Context(), b.conn)
		held(t, "Beat after Unlock", false, got, err)
		b.try(t, true)
		if b.Token() <= a.Token() {
			t.Errorf("token %d after %d", b.Token(), a.Token())
		}
		if err := b.Abandon(t.Context(), a.conn); err != nil {
			t.Fatal(err)
		}
		a.try(t, !b.f.Proxied) // behind a pooler nobody knows whether the server is still at work for b
	})
}

// A process that died between the table and its rows, or an administrator who made
// it for a role that may not.
func TestLeaseTableWithoutRows(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		a := contend(t, pool, db.Engine, "a")
		exec(t, pool, a.d.leaseDDL(a.table))
		a.try(t, true)
		if n := a.fenced(t); n.Int64 != 7 {
			t.Errorf("the fence yields %v", n)
		}
	})
}

// A holder that was paused for longer than its term finds, when it wakes up, that
// it can do nothing any more.
func TestLeaseTakenOver(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		// Two handles of one process: only the token tells them apart.
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "a")
		a.try(t, true)
		lapse(t, pool, a)
		got, err := a.Beat(t.Context(), b.conn)
		held(t, "Beat of a lease that nobody took", true, got, err)
		b.try(t, false)

		// The old session is spared here, as on another node of a cluster.
		exec(t, pool, "UPDATE "+leaseTable+" SET session = 0 WHERE id = 2")
		lapse(t, pool, a)
		b.try(t, true)
		if n := a.fenced(t); n.Valid {
			t.Errorf("the old holder's fence yields %v", n)
		}
		if n := b.fenced(t); n.Int64 != 7 {
			t.Errorf("the new holder's fence yields %v", n)
		}
		got, err = a.Beat(t.Context(), b.conn)
		held(t, "Beat", false, got, err)
		got, err = a.Unlock(t.Context(), a.conn)
		held(t, "Unlock", false, got, err)
		excludes, err := b.Excludes(t.Context(), a.conn)
		held(t, "Excludes", true, excludes, err)
		a.try(t, false)
	})
}

// A holder that is taken for dead before it has found out what its unseen predecessor
// left behind leaves that to its own successor.
func TestLeaseUnsettledInherited(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		a, b, c, d := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b"), contend(t, pool, db.Engine, "c"), contend(t, pool, db.Engine, "d")
		a.try(t, true)
		exec(t, pool, "UPDATE "+leaseTable+" SET session = 0, server = 'another:3306' WHERE id = 2")
		lapse(t, pool, a)
		b.try(t, true)
		lapse(t, pool, b)
		c.try(t, true)
		if a.Unsettled() || !b.Unsettled() || !c.Unsettled() {
			t.Errorf("unsettled: a %v, b %v, c %v", a.Unsettled(), b.Unsettled(), c.Unsettled())
		}
		// A pooler gives a client whose session was ended another one.
		if err := b.conn.PingContext(t.Context()); err == nil && !strings.HasSuffix(t.Name(), "/pgbouncer") {
			t.Error("the session of b was not ended")
		}
		got, err := c.Unlock(t.Context(), c.conn)
		held(t, "Unlock", true, got, err)
		d.try(t, true)
		if d.Unsettled() {
			t.Error("d has doubts about what was given back")
		}
	})
}

// What an old holder is in the middle of must be over before the lease changes
// hands. The heartbeat goes on meanwhile.
func TestLeaseWaitsForTheFence(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		exec(t, pool, "CREATE TABLE h (id int PRIMARY KEY, n int); INSERT INTO h VALUES (1, 0)")
		isolations := []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}
		for _, isolation := range isolations {
			for _, write := range []string{"UPDATE h SET n = %s WHERE id = 1", "INSERT INTO h VALUES (2, %s)", "DELETE FROM h WHERE id = %s - 6"} {
				a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
				a.try(t, true)
				exec(t, pool, "UPDATE "+leaseTable+" SET session = 0 WHERE id = 2")
				if db.Engine == testdb.Postgres {
					exec(t, a.conn, "BEGIN ISOLATION LEVEL "+isolation)
				} else {
					exec(t, a.conn, "SET SESSION TRANSACTION ISOLATION LEVEL "+isolation+"; START TRANSACTION")
				}
				exec(t, a.conn, fmt.Sprintf(write, a.Fence("7")))
				got, err := a.Beat(t.Context(), b.conn)
				held(t, "Beat during a transaction", true, got, err)
				lapse(t, pool, a)
				b.try(t, false)
				exec(t, a.conn, "ROLLBACK")
				b.try(t, true)
				got, err = b.Unlock(t.Context(), b.conn)
				held(t, "Unlock", true, got, err)
			}
		}
	})
}

// A holder that died in the middle of a statement: the server goes on with it.
func TestLeaseEndsTheOldSession(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		exec(t, pool, "CREATE TABLE h (n int)")
		a.try(t, true)
		exec(t, a.conn, "BEGIN; INSERT INTO h VALUES ("+a.Fence("7")+")")
		ended := make(chan error, 1)
		go func() {
			sleep := "DO SLEEP(600)"
			if db.Engine == testdb.Postgres {
				sleep = "SELECT pg_sleep(600)"
			}
			_, err := a.conn.ExecContext(t.Context(), sleep)
			ended <- err
		}()
		beat, err := a.read(t.Context(), b.conn, "")
		if err != nil {
			t.Fatal(err)
		}
		atWork, err := until(t.Context(), time.Minute, func() (bool, error) { return a.alive(t.Context(), b.conn, beat, true) })
		held(t, "waiting for the long statement", true, atWork, err)
		b.try(t, false)
		lapse(t, pool, a)
		b.try(t, true)
		if err := <-ended; err == nil {
			t.Error("the old session has come to the end of its statement")
		}

		// A session of the same number that is not the old one is left alone.
		c := contend(t, pool, db.Engine, "c")
		exec(t, pool, fmt.Sprintf("UPDATE %s SET session = %d WHERE id = 2", leaseTable, c.f.Session))
		lapse(t, pool, b)
		d := contend(t, pool, db.Engine, "d")
		d.try(t, true)
		exec(t, c.conn, "SELECT 1")

		if db.Engine != testdb.Postgres { // where the number's owner is known exactly
			exec(t, pool, "UPDATE "+leaseTable+" SET taken_at = '2001-01-01' WHERE id = 2") // before the server's start
			lapse(t, pool, d)
			e := contend(t, pool, db.Engine, "e")
			e.try(t, true)
			exec(t, d.conn, "SELECT 1")
			got, err := e.Unlock(t.Context(), e.conn)
			held(t, "Unlock", true, got, err)
			d.try(t, true)
		}

		// What Abandon does to its own.
		if err := d.Abandon(t.Context(), c.conn); err != nil {
			t.Fatal(err)
		}
		if _, err := d.conn.ExecContext(t.Context(), "SELECT 1"); err == nil {
			t.Error("the abandoned session is still there")
		}
		c.try(t, true)
	})
}

// Many at once, most of whom hold the lease for a moment. The table is not there
// at the start.
func TestLeaseOneAtATime(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		oneAtATime(t, pool, func(i int) contender { return contend(t, pool, db.Engine, fmt.Sprint("contender ", i)) })
	})
}

// oneAtATime checks that no two contenders have the lease together, and that every
// turn has a larger token than the one before.
func oneAtATime(t *testing.T, pool *sql.DB, contender func(i int) contender) {
	t.Helper()
	exec(t, pool, "CREATE TABLE turns (n int PRIMARY KEY, token bigint)")
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		inside string // by the word of the holders, not of the database
		tokens []int64
	)
	const contenders, turns = 8, 5
	for i := range contenders {
		c := contender(i)
		turn := func() error {
			for got := false; !got; {
				var err error
				if got, err = c.Try(t.Context(), c.conn, 0); err != nil {
					return fmt.Errorf("Try: %w", err)
				}
			}
			mu.Lock()
			other := inside
			inside = c.owner
			tokens = append(tokens, c.Token())
			n := len(tokens)
			mu.Unlock()
			if other != "" {
				return fmt.Errorf("%s has the lease too", other)
			}
			if _, err := c.conn.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO turns VALUES (%s, %d)", c.Fence(fmt.Sprint(n)), c.Token())); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			mu.Lock()
			inside = ""
			mu.Unlock()
			if held, err := c.Unlock(t.Context(), c.conn); err != nil || !held {
				return fmt.Errorf("Unlock: %v, %w", held, err)
			}
			return nil
		}
		wait.Go(func() {
			for range turns {
				if err := turn(); err != nil {
					t.Errorf("%s: %v", c.owner, err)
					return
				}
			}
		})
	}
	wait.Wait()
	if len(tokens) != contenders*turns || !slices.IsSorted(tokens) || len(slices.Compact(tokens)) != contenders*turns {
		t.Errorf("the tokens are %v", tokens)
	}
	var wrong int
	if err := pool.QueryRowContext(t.Context(), "SELECT count(*) FROM turns a JOIN turns b ON a.n < b.n AND a.token >= b.token").Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d pairs of rows are out of order, %v", wrong, err)
	}
}

// Leases that end all the time, under holders that do not know it: whatever is
// committed under a token is there before the next one is given out.
func TestLeaseFenceHolds(t *testing.T) {
	t.Parallel()
	forEachLeaser(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		fenceHolds(t, pool, func(i int) contender { return contend(t, pool, db.Engine, fmt.Sprint("contender ", i)) })
	})
}

func fenceHolds(t *testing.T, pool *sql.DB, enter func(i int) contender) {
	t.Helper()
	const contenders, turns, writes = 6, 6, 4
	exec(t, pool, "CREATE TABLE work (token bigint NOT NULL, writer int NOT NULL, n int NOT NULL, PRIMARY KEY (token, n)); CREATE TABLE seen (token bigint PRIMARY KEY, before_it int)")
	var wait sync.WaitGroup
	work := func(c contender, writer int) error {
		for got := false; !got; {
			var err error
			if got, err = c.Try(t.Context(), c.conn, 0); err != nil {
				return fmt.Errorf("Try: %w", err)
			}
		}
		if _, err := c.conn.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO seen SELECT %d, count(*) FROM work WHERE token < %d", c.Token(), c.Token())); err != nil && !c.d.IsLockTimeout(err) {
			return fmt.Errorf("looking: %w", err)
		}
		for n := range writes {
			err := func() error {
				list := []string{"BEGIN", c.Guard(), fmt.Sprintf("INSERT INTO work SELECT %d, %d, %d WHERE %s = 1", c.Token(), writer, n, c.Fence("1")), "COMMIT"}
				for _, statement := range list {
					if statement == "" {
						continue
					}
					if _, err := c.conn.ExecContext(t.Context(), statement); err != nil {
						_, rollbackErr := c.conn.ExecContext(t.Context(), "ROLLBACK")
						return errors.Join(err, rollbackErr)
					}
				}
				return nil
			}()
			if err != nil && !c.d.IsLockTimeout(err) {
				return fmt.Errorf("writing: %w", err)
			}
		}
		return nil
	}
	done := make(chan struct{})
	for i := range contenders {
		c := enter(i)
		wait.Go(func() {
			for range turns {
				if err := work(c, i); err != nil {
					t.Errorf("%s: %v", c.owner, err)
					return
				}
			}
		})
	}
	lapser := enter(contenders)
	go func() {
		wait.Wait()
		close(done)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			// The sessions are spared: their holders are to go on.
			_, err := pool.ExecContext(t.Context(), "UPDATE "+leaseTable+" SET session = 0, expires_at = "+lapser.d.Now()+" WHERE id = 2")
			if err != nil && !lapser.d.IsNoTable(err) && !lapser.d.IsLockTimeout(err) {
				t.Fatal(err)
			}
		}
	}
	var wrong, rows, tokens int
	if err := pool.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM seen WHERE before_it <> (SELECT count(*) FROM work WHERE work.token < seen.token)), (SELECT count(*) FROM work), (SELECT count(*) FROM seen)").Scan(&wrong, &rows, &tokens); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d turns, %d of %d transactions", tokens, rows, contenders*turns*writes)
	if wrong != 0 {
		t.Errorf("behind %d of %d takeovers something was committed under an older token", wrong, tokens)
	}
}

// galera makes a database in a cluster, and gives a pool for each node.
func galera(t *testing.T) (*testdb.Database, []*sql.DB) {
	t.Helper()
	nodes := testdb.Extra(t, "GALERA")
	db := testdb.NewAt(t, testdb.MariaDB, nodes[0])
	var pools []*sql.DB
	for _, node := range nodes {
		pool := db.At(t, node)
		var err error
		arrived, _ := until(t.Context(), time.Minute, func() (bool, error) { err = pool.PingContext(t.Context()); return err == nil, nil })
		if !arrived {
			t.Fatal(err)
		}
		pools = append(pools, pool)
	}
	return db, pools
}

func TestLeaseInACluster(t *testing.T) {
	t.Parallel()
	db, nodes := galera(t)
	oneAtATime(t, nodes[0], func(i int) contender {
		c := contend(t, nodes[i%len(nodes)], db.Engine, fmt.Sprint("contender ", i))
		if kind, why := ChooseLock(c.d, c.f, false, ""); kind != LockLease {
			t.Errorf("the lock is %s: %s", kind, why)
		}
		return c
	})
}

func TestLeaseFenceHoldsInACluster(t *testing.T) {
	t.Parallel()
	db, nodes := galera(t)
	fenceHolds(t, nodes[0], func(i int) contender {
		c := contend(t, nodes[i%len(nodes)], db.Engine, fmt.Sprint("contender ", i))
		if err := c.d.Prepare(t.Context(), c.conn, Session{LockTimeout: time.Minute, Facts: c.f}); err != nil {
			t.Fatal(err)
		}
		exec(t, c.conn, "SET SESSION autocommit = 1")
		return c
	})
}

// Row locks are a node's own: there the takeover does not wait for what the old
// holder is in the middle of, and that fails instead.
func TestLeaseTakenOverFromAnotherNode(t *testing.T) {
	t.Parallel()
	db, nodes := galera(t)
	a, b := contend(t, nodes[0], db.Engine, "a"), contend(t, nodes[1], db.Engine, "b")
	exec(t, nodes[0], "CREATE TABLE h (n int PRIMARY KEY)")
	a.try(t, true)
	excludes, err := a.Excludes(t.Context(), b.conn)
	held(t, "Excludes on another node", true, excludes, err)
	if err := a.d.Prepare(t.Context(), a.conn, Session{LockTimeout: time.Second, Idle: time.Minute, Facts: a.f}); err != nil {
		t.Fatal(err)
	}
	exec(t, a.conn, a.Guard())
	exec(t, a.conn, "INSERT INTO h VALUES ("+a.Fence("1")+")")
	b.try(t, false)
	lapse(t, nodes[1], b)
	b.try(t, true)
	_, err = a.conn.ExecContext(t.Context(), "COMMIT")
	if !a.d.IsLockTimeout(err) {
		t.Errorf("the old holder's commit: %v", err)
	}
	guarded, err := a.conn.ExecContext(t.Context(), a.Guard())
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := guarded.RowsAffected(); err != nil || rows != 0 {
		t.Errorf("the old holder's guard changes %d rows, %v", rows, err)
	}
	if n := a.fenced(t); n.Valid {
		t.Errorf("the old holder's fence yields %v", n)
	}
	got, err := a.Unlock(t.Context(), a.conn)
	held(t, "Unlock", false, got, err)
	got, err = a.Beat(t.Context(), b.conn)
	held(t, "Beat", false, got, err)
	var rows int
	if err := nodes[1].QueryRowContext(t.Context(), "SELECT count(*) FROM h").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows of the old holder, %v", rows, err)
	}
}

func TestNoLeaseForSQLite(t *testing.T) {
	t.Parallel()
	if _, err := (&sqlite{}).Lease(Facts{}, "tldwdb_history", "a", time.Second); err == nil {
		t.Error("a lease on SQLite")
	}
}
