package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
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
	p.primary, p.standby, err = testdb.StartPair(t.Context())
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

// A MySQL or MariaDB server that is switched to read-only, as the replica of a
// pair is, and back.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a server of its own")
	}
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			server, err := testdb.Start(t.Context(), e)
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
			variables := []string{"read_only"}
			if e == testdb.MySQL {
				variables = append(variables, "super_read_only") // which turns the other on too
			}
			for _, variable := range variables {
				readOnlyInTheMiddle(t, server, admin, variable)
			}
		})
	}
}

// readOnlyInTheMiddle turns a server to read-only at each message of a run. Whoever
// waits goes on when it takes writes again, from where it was; whoever does not is
// told, and the next run goes on.
func readOnlyInTheMiddle(t *testing.T, server *testdb.Server, admin *sql.DB, variable string) {
	t.Helper()
	takesWrites := func() {
		for _, v := range slices.Compact([]string{variable, "read_only"}) {
			if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "SET GLOBAL "+v+" = 0"); err != nil {
				t.Error(err)
			}
		}
	}
	const migrations = 2
	for _, lock := range []tldwdb.LockKind{tldwdb.LockSession, tldwdb.LockLease} {
		through := func(t *testing.T, tdb *testdb.Database, f faultdb.Fault, edits ...func(*tldwdb.Config)) (*faultdb.Proxy, *tldwdb.DB) {
			proxy, through := faultdb.Through(t, tdb.URL, f)
			return proxy, open(t, tdb, fleetFiles(migrations), append(edits, func(cfg *tldwdb.Config) {
				cfg.URL, cfg.Lock, cfg.LeaseTime = through, lock, time.Second // what cannot be given back has to run out
			})...)
		}
		proxy, undisturbed := through(t, server.New(t), faultdb.Fault{})
		if _, err := undisturbed.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		messages, _ := proxy.Messages()
		for _, waits := range []bool{true, false} {
			for _, n := range places(messages, 8, 1) {
				t.Run(fmt.Sprintf("%s/%s/waits=%v/%d", variable, lock, waits, n), func(t *testing.T) {
					tdb := server.New(t)
					t.Cleanup(takesWrites)
					waited := false
					book := &logbook{watched: func(line string) {
						if strings.Contains(line, waitingForWrites) {
							waited = true
							takesWrites()
						}
					}}
					proxy, db := through(t, tdb, faultdb.Fault{At: n, Call: func() {
						if _, err := admin.ExecContext(t.Context(), "SET GLOBAL "+variable+" = 1"); err != nil {
							t.Error(err)
						}
					}}, func(cfg *tldwdb.Config) { cfg.Logger, cfg.WaitOnReadOnly = book.logger(), waits })
					res, err := db.Up(t.Context())
					takesWrites()
					switch {
					case waits && err != nil, err != nil && (!errors.Is(err, tldwdb.ErrReadOnly) || tldwdb.Hint(err) == ""):
						t.Errorf("%s, %v, hint %q", outcome(res), err, tldwdb.Hint(err))
					case err == nil && !waited && proxy.Happened() && n < messages/2:
						t.Error("it went on as if nothing had been")
					}
					if err != nil {
						if _, err := db.Up(t.Context()); err != nil {
							t.Errorf("the next run: %v", err)
						}
					}
					checkEffects(t, tdb, migrations)
				})
			}
		}
	}
}
