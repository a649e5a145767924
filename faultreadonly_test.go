//go:build unix

package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A server is turned to read-only at some message of a run. Whoever waits goes on
// when it takes writes again, from where it was; whoever does not is told, and the
// next run goes on.
func TestReadOnlyInTheMiddle(t *testing.T) {
	t.Parallel()
	for e, variables := range map[testdb.Engine][]string{testdb.MariaDB: {"read_only"}, testdb.MySQL: {"read_only", "super_read_only"}} {
		for _, variable := range variables {
			t.Run(string(e)+"/"+variable, func(t *testing.T) {
				t.Parallel()
				server := ownServer(t, e, testdb.Start)
				admin := server.New(t).Seen(t, server.AdminURL).AdminDB(t)
				readOnlyInTheMiddle(t, server, admin, variable)
			})
		}
	}
}

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
				cfg.URL, cfg.Lock, cfg.LeaseTime = through, lock, 3*time.Second // what cannot be given back has to run out
			})...)
		}
		proxy, undisturbed := through(t, server.New(t), faultdb.Fault{})
		if _, err := undisturbed.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		messages, _ := proxy.Messages()
		for _, waits := range []bool{true, false} {
			for _, n := range places(messages, 8, 1) {
				t.Run(fmt.Sprintf("%s/waits=%v/%d", lock, waits, n), func(t *testing.T) {
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
						again := open(t, tdb, fleetFiles(migrations), func(cfg *tldwdb.Config) { cfg.Lock = lock })
						if _, err := again.Up(t.Context()); err != nil {
							t.Errorf("the next run: %v", err)
						}
					}
					checkEffects(t, tdb, migrations)
				})
			}
		}
	}
}
