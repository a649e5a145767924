package tldwdb_test

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
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
		c.nodes = append(c.nodes, c.Database.Seen(t, server))
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
			var victim *worker
			dead := make(chan struct{})
			_, through := faultdb.Through(t, c.URL, faultdb.Fault{At: n, All: true, Kind: faultdb.Reset, Call: func() { victim.kill(); close(dead) }})
			first := run
			first.URL = through
			workers, release := startWorkers(t, 1, first)
			victim = workers[0]
			release()
			select {
			case <-dead:
			case <-t.Context().Done():
				t.Fatal("it was not reached")
			}
			next := run
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

// hook calls once before a statement that contains text is sent.
func hook(proxy *wiretap.Proxy, text string, call func()) {
	var once sync.Once
	proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
		if strings.Contains(w.Statement, text) {
			once.Do(call)
		}
		return wiretap.Pass
	})
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
			collided := false
			inside := false
			proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
				inside = inside || strings.HasPrefix(w.Statement, "UPDATE counter")
				if inside && !collided && strings.Contains(w.Statement, at) {
					collided = true
					collide(t, other)
				}
				return wiretap.Pass
			})
			book := &logbook{}
			db := open(t, c.Database, files{"1_a.up.sql": "UPDATE counter SET n = n + 1;\nINSERT INTO effects VALUES ('one');\nINSERT INTO effects VALUES ('two');\n"},
				func(cfg *tldwdb.Config) { cfg.URL, cfg.Logger = through, book.logger() })
			succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
			if !collided || !strings.Contains(book.text(), "a table is locked, trying again") {
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

// collide commits a change on another node, and waits until it has arrived at
// none in particular: the node that it meets kills the transaction in its way.
func collide(t *testing.T, other *sql.DB) {
	if _, err := other.ExecContext(t.Context(), "UPDATE counter SET n = n + 10"); err != nil {
		t.Error(err)
	}
}
