//go:build unix

package tldwdb_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A server that hears no more of a migrating host has to find out by itself, for
// it has the migration lock. What it is told about that is seen from inside a
// migration: the waiting itself takes half a minute and more.
func TestServerLooksForItsClient(t *testing.T) {
	t.Parallel()
	queries := map[testdb.Engine]string{
		testdb.Postgres: "SELECT current_setting('tcp_keepalives_idle') || ' ' || current_setting('tcp_user_timeout')",
		testdb.MariaDB:  "SELECT @@SESSION.wait_timeout",
		testdb.MySQL:    "SELECT @@SESSION.wait_timeout",
	}
	want := map[testdb.Engine]string{testdb.Postgres: "10 25000", testdb.MariaDB: "300", testdb.MySQL: "300"}
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		// A file that sets something is cleaned up after, and that must leave these.
		f := files{
			"1_set.up.sql":  "SET " + pick(tdb, "", "search_path = public", "@x = 1") + ";",
			"2_look.up.sql": "CREATE TABLE told (what varchar(100));\nINSERT INTO told " + queries[tdb.Engine] + ";",
		}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM told")
		if got != want[tdb.Engine] {
			t.Errorf("the server was told %q, want %q", got, want[tdb.Engine])
		}
	})
}

// vanished takes a worker's host away when the server has its n-th message. The
// next one waits for as long as the server takes to notice, and no longer. On
// MySQL that is minutes: see [TestServerLooksForItsClient].
func (m *matrix) vanished(t *testing.T) {
	const name = "power lost"
	if !faultdb.CanVanish || !wholeMatrix() || m.engine != testdb.Postgres {
		t.Skip("it takes a server half a minute to notice")
	}
	for _, from := range []faultdb.Side{faultdb.Client, faultdb.Server} {
		for _, n := range places(m.messages[from], 4, m.messages[from]/4) {
			t.Run(from.String()+"/"+strconv.Itoa(n), func(t *testing.T) {
				t.Parallel()
				tdb := m.prepare(t)
				strikeWorker(t, m.job(tdb.URL), faultdb.Fault{From: from, At: n, Kind: faultdb.Vanish, All: true}, (*worker).kill)
				m.boot(t, name, tdb, &tldwdb.Result{}, errors.New("vanished"))
			})
		}
	}
}

// The server gives the lock, and the answer does not arrive: the caller's time is
// over first. The next worker finds the lock free although the connection, as
// far as the server knows, is still there.
func TestLockAnswerLost(t *testing.T) {
	t.Parallel()
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			m := &matrix{engine: e, way: upwards, files: faultLoad(e)}
			tdb := m.prepare(t)
			for n := 1; ; n++ { // nothing changes before the lock is had
				ctx, cancel := context.WithCancel(t.Context())
				_, through := faultdb.Through(t, tdb.URL, faultdb.Fault{From: faultdb.Server, At: n, Kind: faultdb.Silence, Call: cancel})
				res, err := m.run(ctx, through)
				cancel()
				if err == nil || res.Locked {
					t.Fatalf("no answer to the lock before message %d: %+v, %v", n, res, err)
				}
				if strings.Contains(err.Error(), "taking the migration lock") {
					break
				}
			}
			if _, err := m.run(t.Context(), tdb.URL, func(cfg *tldwdb.Config) { cfg.LockWait = 5 * time.Second }); err != nil {
				t.Error(err)
			}
		})
	}
}
