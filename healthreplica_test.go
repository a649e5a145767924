package tldwdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// replicaWords are how the two products of the MySQL family say one thing.
type replicaWords struct{ stop, delay, start, right string }

var replicas = map[testdb.Engine]replicaWords{
	testdb.MariaDB: {"STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 3600", "START SLAVE", "SLAVE MONITOR"},
	testdb.MySQL:   {"STOP REPLICA", "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 3600", "START REPLICA", "REPLICATION CLIENT"},
}

// A replica of MySQL and MariaDB says how far it is behind, to an account that may
// ask; that it does not run, and that it takes no writes; and is a healthy server
// once it is promoted. That of PostgreSQL is in TestHealthStandby.
func TestHealthReplica(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes two servers of its own")
	}
	for e, words := range replicas {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			primary, replica, err := testdb.StartPair(t.Context(), e)
			if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*testdb.Server{primary, replica} {
				t.Cleanup(func() {
					if err := s.Stop(); err != nil {
						t.Error(err)
					}
				})
			}
			tdb := primary.New(t)
			source := open(t, tdb, healthFiles, fresh)
			succeed(t, healthySchema)(source.Up(t.Context()))
			wantHealth(t, probe(t, source), tldwdb.StatusHealthy, true, "", "")
			if c := source.Health(t.Context()).Check(tldwdb.CheckReplication); c != nil {
				t.Errorf("a server that follows nobody: %+v", c)
			}
			there := tdb.Seen(t, replica.URL)
			admin := there.Seen(t, replica.AdminURL).AdminDB(t)
			for rowsOf(t, admin, "SELECT count(*) FROM information_schema.tables WHERE table_schema = '"+tdb.Name()+"' AND table_name = 'media'") != "1" {
				if t.Context().Err() != nil {
					t.Fatal("the replica does not follow")
				}
			}
			limit := func(cfg *tldwdb.Config) {
				cfg.Health.Limits = map[string]tldwdb.Limit{tldwdb.CheckReplication: {Warn: 1}}
			}
			d := open(t, there, healthFiles, fresh, limit)
			until := func(what string, good func(c *tldwdb.Check) bool) {
				t.Helper()
				for {
					h := probe(t, d)
					if good(h.Check(tldwdb.CheckReplication)) {
						wantHealth(t, h, tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "read_only")
						return
					}
					if t.Context().Err() != nil {
						t.Fatalf("%s:\n%s", what, shown(h))
					}
				}
			}
			until("an account that may not ask", func(c *tldwdb.Check) bool { return c == nil })
			execute(t, admin, "GRANT "+words.right+" ON *.* TO 'tldw'@'127.0.0.1'")
			d = open(t, there, healthFiles, fresh, limit) // new sessions have the right
			until("up to date", func(c *tldwdb.Check) bool { return c != nil && c.Status == tldwdb.CheckPass && c.Unit == "s" })
			execute(t, admin, words.stop)
			until("stopped", func(c *tldwdb.Check) bool {
				return c != nil && c.Status == tldwdb.CheckWarn && strings.Contains(c.Output, "not running")
			})
			execute(t, admin, words.delay, words.start)
			execute(t, tdb.AdminDB(t), "INSERT INTO media VALUES (7)")
			until("a second behind", func(c *tldwdb.Check) bool { return c != nil && c.Status == tldwdb.CheckWarn && c.Observed >= 1 })
			if err := replica.Promote(t.Context()); err != nil {
				t.Fatal(err)
			}
			h := probe(t, d)
			wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
			if c := h.Check(tldwdb.CheckReplication); c != nil || h.Degraded {
				t.Errorf("promoted:\n%s", shown(h))
			}
		})
	}
}
