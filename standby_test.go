package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// This file boots against servers that take no writes, for now or for good.

// pair is a database on a primary and on its standby.
type pair struct {
	*testdb.Database // at the primary
	primary, standby *testdb.Server
	replica          *testdb.Database // at the standby
}

func newPair(t *testing.T) pair {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes two servers of its own")
	}
	var p pair
	var err error
	p.primary, p.standby, err = testdb.StartPair(t.Context(), testdb.Postgres)
	if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*testdb.Server{p.primary, p.standby} {
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	return p.again(t)
}

// again is another database on the same servers.
func (p pair) again(t *testing.T) pair {
	t.Helper()
	p.Database = p.primary.New(t)
	p.replica = p.Seen(t, p.standby.URL)
	p.arrived(t)
	return p
}

// arrived returns when the standby has all that the primary has committed.
func (p pair) arrived(t *testing.T) {
	t.Helper()
	position := rowsOf(t, p.AdminDB(t), "SELECT pg_current_wal_lsn()")
	anywhere := p.replica.Seen(t, p.standby.AdminURL) // the database itself may not have arrived
	u, err := url.Parse(anywhere.URL)
	if err != nil {
		t.Fatal("the URL of the standby cannot be parsed")
	}
	u.Path = "/postgres"
	anywhere.URL = u.String()
	pool := anywhere.AdminDB(t)
	for rowsOf(t, pool, "SELECT pg_last_wal_replay_lsn() >= '"+position+"'") != "true" {
		if t.Context().Err() != nil {
			t.Fatal("the standby does not follow")
		}
	}
}

// promote makes the standby a server that takes writes.
func (p pair) promote(t *testing.T) {
	t.Helper()
	execute(t, p.replica.Seen(t, p.standby.AdminURL).AdminDB(t), "SELECT pg_promote()")
}

// both is the URL of either server, whichever takes writes.
func (p pair) both(t *testing.T) string {
	t.Helper()
	first, err := url.Parse(p.replica.URL)
	if err != nil {
		t.Fatal("the URL of the standby cannot be parsed")
	}
	second, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal("the URL of the primary cannot be parsed")
	}
	first.Host += "," + second.Host
	first.RawQuery += "&target_session_attrs=read-write"
	return first.String()
}

// heard gives a logger's channel that is closed when a message has come.
func heard(message string) (edit func(*tldwdb.Config), closed <-chan struct{}) {
	c := make(chan struct{})
	var once sync.Once
	book := &logbook{watched: func(line string) {
		if strings.Contains(line, message) {
			once.Do(func() { close(c) })
		}
	}}
	return func(cfg *tldwdb.Config) { cfg.Logger = book.logger() }, c
}

// upped runs Up, and tells how it ended.
func upped(ctx context.Context, db *tldwdb.DB, want string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		res, err := db.Up(ctx)
		if err == nil && outcome(res) != want {
			err = fmt.Errorf("it ended with %q, want %q", outcome(res), want)
		}
		ended <- err
	}()
	return ended
}

const waitingForWrites = "waiting for a server that takes writes"

func patientOnReadOnly(cfg *tldwdb.Config) { cfg.WaitOnReadOnly = true }

func TestStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	t.Run("nothing is pending", func(t *testing.T) {
		p := p.again(t)
		succeed(t, "up 0001_t1, up 0002_t2; 0 → 2")(open(t, p.Database, fleetFiles(2)).Up(t.Context()))
		p.arrived(t)
		proxy, through := wiretap.Through(t, p.replica.URL)
		succeed(t, "; 2 → 2")(open(t, p.replica, fleetFiles(2), func(cfg *tldwdb.Config) { cfg.URL = through }).Up(t.Context()))
		if got := proxy.Statements(); len(got) != 1 || !isLook(got[0]) {
			t.Errorf("sent: %q", got)
		}
	})
	t.Run("pending", func(t *testing.T) {
		p := p.again(t)
		res, err := open(t, p.replica, fleetFiles(2)).Up(t.Context())
		if !errors.Is(err, tldwdb.ErrReadOnly) || !strings.Contains(tldwdb.Hint(err), "TLDWDB_WAIT_ON_READ_ONLY") {
			t.Errorf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
		}
		listen, waits := heard(waitingForWrites)
		ended := upped(t.Context(), open(t, p.replica, fleetFiles(2), patientOnReadOnly, listen), "; 0 → 2")
		<-waits
		succeed(t, "up 0001_t1, up 0002_t2; 0 → 2")(open(t, p.Database, fleetFiles(2)).Up(t.Context()))
		if err := <-ended; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
		checkEffects(t, p.Database, 2)
	})
	t.Run("several hosts", func(t *testing.T) {
		p := p.again(t)
		succeed(t, "up 0001_t1, up 0002_t2; 0 → 2")(open(t, p.Database, fleetFiles(2), func(cfg *tldwdb.Config) { cfg.URL = p.both(t) }).Up(t.Context()))
		checkEffects(t, p.Database, 2)
	})
	t.Run("promoted while waiting", func(t *testing.T) { // the last one: the standby is none any more
		p := p.again(t)
		listen, waits := heard(waitingForWrites)
		ended := upped(t.Context(), open(t, p.replica, fleetFiles(2), patientOnReadOnly, listen), "up 0001_t1, up 0002_t2; 0 → 2")
		<-waits
		p.promote(t)
		if err := <-ended; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
		checkEffects(t, p.replica, 2)
	})
}

// The primary dies in the middle of a run, and its standby takes its place. What
// had not arrived there is gone, the history's rows together with what they are
// about: it is applied again.
func TestFailover(t *testing.T) {
	t.Parallel()
	const migrations = 4
	journaled := fleetFiles(migrations)
	for name, text := range journaled {
		journaled[name] = "-- tldwdb: no-transaction\n" + text
	}
	for name, f := range map[string]files{"transactions": fleetFiles(migrations), "journaled": journaled} {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/behind %v", name, behind), func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				proxy, through := wiretap.Through(t, p.URL)
				replay := p.replica.Seen(t, p.standby.AdminURL).AdminDB(t)
				var stop, kill sync.Once
				proxy.SetHook(func(w wiretap.Turn) wiretap.Verdict {
					switch {
					case behind && strings.Contains(w.Statement, "t2"):
						stop.Do(func() { cutReplication(t, p, replay) })
					case strings.Contains(w.Statement, "t3"):
						kill.Do(func() {
							if err := p.primary.Kill(); err != nil {
								t.Error(err)
							}
						})
					}
					return wiretap.Pass
				})
				res, err := open(t, p.Database, f, func(cfg *tldwdb.Config) { cfg.URL = through }).Up(t.Context())
				if err == nil || res.After != 2 {
					t.Fatalf("the primary's death: %s, %v", outcome(res), err)
				}
				both := p.both(t)
				p.Move(t, p.standby.URL)
				p.promote(t)
				again, err := open(t, p.Database, f, func(cfg *tldwdb.Config) { cfg.URL = both }).Up(t.Context())
				if err != nil || again.After != migrations || behind && again.Before >= 2 {
					t.Errorf("behind %v: %s, %v", behind, outcome(again), err)
				}
				checkEffects(t, p.Database, migrations)
			})
		}
	}
}

// cutReplication makes the standby fall behind for good.
func cutReplication(t *testing.T, p pair, standby *sql.DB) {
	for _, s := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if _, err := standby.ExecContext(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	primary, err := sql.Open("pgx", p.primary.AdminURL)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = primary.Close() }() // it has only read
	for {
		var followers int
		if err := primary.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_replication").Scan(&followers); err != nil || followers == 0 {
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}

// ownServer is a server that only this test has.
func ownServer(t *testing.T, e testdb.Engine, start func(context.Context, testdb.Engine) (*testdb.Server, error)) *testdb.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes a server of its own")
	}
	server, err := start(t.Context(), e)
	if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// A MySQL or MariaDB server that is switched to read-only, as the replica of a
// pair is, and back.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			server := ownServer(t, e, testdb.Start)
			tdb := server.New(t)
			admin := tdb.Seen(t, server.AdminURL).AdminDB(t)
			succeed(t, "up 0001_t1; 0 → 1")(open(t, tdb, fleetFiles(1)).Up(t.Context()))
			execute(t, admin, "SET GLOBAL read_only = 1")
			succeed(t, "; 1 → 1")(open(t, tdb, fleetFiles(1)).Up(t.Context()))
			res, err := open(t, tdb, fleetFiles(2)).Up(t.Context())
			if !errors.Is(err, tldwdb.ErrReadOnly) || tldwdb.Hint(err) == "" || len(res.Applied) > 0 {
				t.Errorf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
			}
			listen, waits := heard(waitingForWrites)
			ended := upped(t.Context(), open(t, tdb, fleetFiles(2), patientOnReadOnly, listen), "up 0002_t2; 1 → 2")
			<-waits
			execute(t, admin, "SET GLOBAL read_only = 0")
			if err := <-ended; err != nil {
				t.Errorf("the one that waited: %v", err)
			}
			checkEffects(t, tdb, 2)
		})
	}
}
