//go:build unix

package tldwdb_test

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// This file runs on the nodes of a Galera cluster: TLDWDB_TEST_GALERA_URL, see
// package testdb.

// cluster is one database on the nodes of a cluster.
type cluster struct {
	*testdb.Database                    // at the first node
	nodes            []*testdb.Database // the same at each of them
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	servers := testdb.Extra(t, "GALERA")
	c := cluster{Database: testdb.NewAt(t, testdb.MariaDB, servers[0])}
	for _, server := range servers {
		c.nodes = append(c.nodes, c.Seen(t, server))
	}
	c.caughtUp(t)
	return c
}

// caughtUp returns when each node has what all the others have committed.
func (c cluster) caughtUp(t *testing.T) {
	t.Helper()
	for _, node := range c.nodes {
		// The database itself may not have arrived.
		for err := node.AdminDB(t).PingContext(t.Context()); err != nil; err = node.AdminDB(t).PingContext(t.Context()) {
			if t.Context().Err() != nil || !strings.Contains(err.Error(), "Unknown database") {
				t.Fatal(err)
			}
		}
		if _, err := node.AdminDB(t).ExecContext(t.Context(), "SET SESSION wsrep_sync_wait = 15; SELECT 1 FROM information_schema.tables LIMIT 1"); err != nil {
			t.Fatal(err)
		}
	}
}

// alike fails the test unless all nodes have the same schema and rows.
func (c cluster) alike(t *testing.T) {
	t.Helper()
	c.caughtUp(t)
	want := c.nodes[0].Dump(t)
	for i, node := range c.nodes[1:] {
		if got := node.Dump(t); got != want {
			t.Errorf("node %d has\n%s\nand the first one\n%s", i+2, got, want)
		}
	}
}

const galeraLease = "lease: the nodes of a Galera cluster do not share their locks"

// Any number of workers start on all the nodes of a cluster at the same instant.
func TestFleetInCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const workers, migrations = 20, 5
	var fleet []*worker
	var start []func()
	for i, node := range c.nodes {
		some, release := startWorkers(t, (workers+i)/len(c.nodes), job{URL: node.URL, Files: fleetFiles(migrations)})
		fleet, start = append(fleet, some...), append(start, release)
	}
	for _, release := range start {
		release()
	}
	checkFleet(t, reports(t, fleet), migrations)
	c.caughtUp(t)
	checkEffects(t, c.Database, migrations)
	if got := lockOf(t, c.Database); got != galeraLease {
		t.Errorf("the lock was %q", got)
	}
	c.alike(t)
}

// A worker is killed at one of its messages. One on another node, which cannot
// end its session, goes on when the lease has run out.
func TestKilledInCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const migrations = 3
	run := job{Files: fleetFiles(migrations), Lease: 2 * time.Second}
	counted, through := faultdb.Through(t, c.URL, faultdb.Fault{})
	run.URL = through
	if _, err := run.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages, _ := counted.Messages()
	for _, n := range places(messages, 6, 4) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			first, next := run, run
			first.URL = c.URL
			strikeWorker(t, first, faultdb.Fault{At: n, All: true, Kind: faultdb.Reset}, (*worker).kill)
			next.URL = c.nodes[1].URL
			if res, err := next.run(t.Context()); err != nil || res.After != migrations {
				t.Errorf("%s, %v", outcome(res), err)
			}
			c.caughtUp(t)
			checkEffects(t, c.Database, migrations)
			c.alike(t)
		})
	}
}

// Another node commits a change of the same row between a migration's statement
// and its commit: the migration is the one that gives way, and tries again.
func TestClusterConflict(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"INSERT INTO effects", "COMMIT"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			other := c.nodes[1].AdminDB(t)
			execute(t, c.AdminDB(t), "CREATE TABLE counter (id int PRIMARY KEY, n int)", "INSERT INTO counter VALUES (1, 0)", "CREATE TABLE effects (step varchar(40))")
			c.caughtUp(t)
			proxy, through := wiretap.Through(t, c.URL)
			var inside, collided atomic.Bool // connections have a goroutine each
			proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
				if strings.HasPrefix(w.Statement, "UPDATE counter") {
					inside.Store(true)
				}
				if inside.Load() && strings.Contains(w.Statement, at) && collided.CompareAndSwap(false, true) {
					collide(t, other)
				}
				return wiretap.Pass
			})
			book := &logbook{}
			db := open(t, c.Database, files{"1_a.up.sql": "UPDATE counter SET n = n + 1;\nINSERT INTO effects VALUES ('one');\nINSERT INTO effects VALUES ('two');\n"},
				func(cfg *tldwdb.Config) { cfg.URL, cfg.Logger = through, book.logger() })
			succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
			if !collided.Load() || !strings.Contains(book.text(), "a table is locked, trying again") {
				t.Errorf("nothing collided:\n%s", book.text())
			}
			c.caughtUp(t)
			if got := rowsOf(t, other, "SELECT n FROM counter"); got != "11" {
				t.Errorf("the row is %s, and should be 11", got)
			}
			if got := rowsOf(t, other, "SELECT step FROM effects ORDER BY step"); got != "one\ntwo" {
				t.Errorf("the effects are %q", got)
			}
		})
	}
}

// collide commits a change on another node: when it arrives, it ends the
// transaction that is in its way.
func collide(t *testing.T, other *sql.DB) {
	if _, err := other.ExecContext(t.Context(), "UPDATE counter SET n = n + 10"); err != nil {
		t.Error(err)
	}
}

// isolation cuts the last node off, and takes it back. It needs the right to set
// variables of the server, which TLDWDB_TEST_GALERA_ADMIN_URL has.
func isolation(t *testing.T, c cluster) (node *testdb.Database, cut, rejoin func()) {
	t.Helper()
	last := len(c.nodes) - 1
	admin := c.Seen(t, testdb.Extra(t, "GALERA_ADMIN")[last]).AdminDB(t)
	set := func(value int, ready string) {
		if _, err := admin.Exec(fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", value)); err != nil { //nolint:noctx // also after the test's end
			t.Error(err)
			return
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 1200 {
			var name, state string
			if err := admin.QueryRow("SHOW GLOBAL STATUS LIKE 'wsrep_ready'").Scan(&name, &state); err == nil && state == ready { //nolint:noctx // as above
				return
			}
			<-tick.C
		}
		t.Errorf("the node did not become %s", ready)
	}
	cut, rejoin = func() { set(1, "OFF") }, sync.OnceFunc(func() { set(0, "ON") })
	t.Cleanup(rejoin)
	return c.nodes[last], cut, rejoin
}

// A node that has lost its cluster answers with an error 1047. Up says what that
// means, or waits until the node is back; meanwhile the others go on.
//
// This test is not parallel: it takes a node away that others use.
func TestNodeCutOff(t *testing.T) {
	c := newCluster(t)
	node, cut, rejoin := isolation(t, c)
	const migrations = 3
	waiting := make(chan struct{})
	book := &logbook{}
	var once sync.Once
	book.watched = func(line string) {
		if strings.Contains(line, "waiting for this node") {
			once.Do(func() { close(waiting) })
		}
	}
	patient := open(t, node, fleetFiles(migrations), func(cfg *tldwdb.Config) { cfg.Logger = book.logger() })
	hasty := open(t, node, fleetFiles(migrations), func(cfg *tldwdb.Config) { cfg.LockWait = -1 })
	cut()
	if res, err := hasty.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "cut off from its cluster") || !strings.Contains(tldwdb.Hint(err), "TLDWDB_LOCK_WAIT") {
		t.Errorf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
	}
	ended := make(chan error, 1)
	go func() {
		res, err := patient.Up(t.Context())
		if err == nil && (len(res.Applied) > 0 || res.After != migrations) {
			err = fmt.Errorf("%s", outcome(res))
		}
		ended <- err
	}()
	<-waiting
	succeed(t, "up 0001_t1, up 0002_t2, up 0003_t3; 0 → 3")(open(t, c.Database, fleetFiles(migrations)).Up(t.Context()))
	rejoin()
	if err := <-ended; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
	checkEffects(t, c.Database, migrations)
	c.alike(t)
}

// The node of the one that migrates is cut off in the middle of it. Another one
// takes the lease over when it has run out; the first one wakes up to find the work
// done, with nothing of its own behind it.
//
// This test is not parallel: it takes a node away that others use.
func TestHolderCutOff(t *testing.T) {
	for _, at := range []string{"ALTER TABLE t2", "COMMIT"} {
		t.Run(at, func(t *testing.T) {
			c := newCluster(t)
			node, cut, rejoin := isolation(t, c)
			const migrations = 3
			lease := func(cfg *tldwdb.Config) { cfg.LeaseTime = 2 * time.Second }
			proxy, through := wiretap.Through(t, node.URL)
			var once sync.Once
			reached := make(chan struct{})
			var second atomic.Bool // connections have a goroutine each
			proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
				if strings.Contains(w.Statement, "t2") {
					second.Store(true)
				}
				if second.Load() && strings.HasPrefix(w.Statement, at) {
					once.Do(func() { cut(); close(reached) })
				}
				return wiretap.Pass
			})
			ended := make(chan error, 1)
			holder := open(t, node, fleetFiles(migrations), lease, func(cfg *tldwdb.Config) { cfg.URL = through })
			go func() {
				res, err := holder.Up(t.Context())
				if err == nil && res.After != migrations {
					err = fmt.Errorf("%s", outcome(res))
				}
				ended <- err
			}()
			select {
			case <-reached:
			case err := <-ended:
				t.Fatalf("it was not reached: %v", err)
			}
			if res, err := open(t, c.Database, fleetFiles(migrations), lease).Up(t.Context()); err != nil || res.After != migrations {
				t.Errorf("its successor: %s, %v", outcome(res), err)
			}
			rejoin()
			if err := <-ended; err != nil {
				t.Errorf("the first one: %v", err)
			}
			checkEffects(t, c.Database, migrations)
			c.alike(t)
		})
	}
}
