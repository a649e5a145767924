package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// These tests are about hosts that fall silent and whose connections stay open,
// as far as the server knows. By itself it would wait for them for hours.

// silentTerm is the term of their leases. Servers count idle time in seconds.
const silentTerm = time.Second

// A host that falls silent at any message of taking, renewing or giving back the
// lease keeps it from others for about a term, and no longer.
func TestLeaseOfASilentHost(t *testing.T) {
	t.Parallel()
	for _, deed := range []struct {
		name  string
		first func(contender, context.Context) error // before the fault; may be nil
		do    func(contender, context.Context) error
	}{
		{"take", nil, contender.take},
		{"beat", contender.take, contender.beatByItself},
		{"unlock", contender.take, contender.unlock},
	} {
		t.Run(deed.name, func(t *testing.T) {
			t.Parallel()
			forEachServer(t, func(t *testing.T, db *testdb.Database, _ *sql.DB) {
				prepare := func(t *testing.T, db *testdb.Database, f faultdb.Fault) (contender, *faultdb.Proxy) {
					proxy, through := faultdb.Through(t, db.URL, f)
					a := contendFor(t, db.Seen(t, through).AdminDB(t), db.Engine, "silent", silentTerm)
					if deed.first != nil {
						if err := deed.first(a, t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					return a, proxy
				}
				a, proxy := prepare(t, db, faultdb.Fault{})
				var from, to [2]int
				from[faultdb.Client], from[faultdb.Server] = proxy.Messages()
				if err := deed.do(a, t.Context()); err != nil {
					t.Fatal(err)
				}
				to[faultdb.Client], to[faultdb.Server] = proxy.Messages()
				var all sync.WaitGroup                                                               // all at once: what takes time is the waiting
				for side, step := range map[faultdb.Side]int{faultdb.Client: 1, faultdb.Server: 5} { // an answer has many messages
					for n := from[side] + 1; n <= to[side]; n += step {
						all.Go(func() {
							t.Run(fmt.Sprintf("%s/%d", side, n-from[side]), func(t *testing.T) {
								db := testdb.New(t, db.Engine)
								silent, cancel := context.WithCancel(t.Context())
								defer cancel()
								happened := make(chan struct{})
								a, _ := prepare(t, db, faultdb.Fault{From: side, At: n, Kind: faultdb.Silence, Call: func() { close(happened) }})
								ended := make(chan error, 1)
								go func() { ended <- deed.do(a, silent) }()
								select {
								case <-happened:
								case err := <-ended:
									t.Fatalf("it was not reached: %v", err)
								}
								b := contend(t, db.AdminDB(t), db.Engine, "next")
								got, err := until(t.Context(), time.Minute, func() (bool, error) { return b.Try(t.Context(), b.conn, 0) })
								held(t, "the next one's Try", true, got, err)
								cancel()
								if err := <-ended; err == nil && side == faultdb.Client {
									t.Error("what did not arrive has succeeded")
								}
							})
						})
					}
				}
				all.Wait()
			})
		})
	}
}

// take is Try, which has to succeed.
func (c contender) take(ctx context.Context) error {
	return succeeded(c.Try(ctx, c.conn, 0))
}

// beatByItself is Beat on the contender's own connection.
func (c contender) beatByItself(ctx context.Context) error {
	return succeeded(c.Beat(ctx, c.conn))
}

func (c contender) unlock(ctx context.Context) error {
	return succeeded(c.Unlock(ctx, c.conn))
}

func succeeded(yes bool, err error) error {
	if err == nil && !yes {
		return errors.New("the answer is no")
	}
	return err
}

// TestIdleLimits: with the lock a session has what makes the server notice that its
// host has fallen silent, from the lock's own statement on; without the lock it is as
// it was.
func TestIdleLimits(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		ask, limited := "SELECT CONCAT(@@SESSION.wait_timeout)", "300"
		if db.Engine == testdb.Postgres {
			ask, limited = "SELECT current_setting('tcp_keepalives_idle') || ' ' || current_setting('tcp_keepalives_interval') || ' ' || current_setting('tcp_keepalives_count') || ' ' || current_setting('tcp_user_timeout')",
				"10 5 3 25000"
		}
		limits := func(c contender) (s string) {
			t.Helper()
			if err := QueryRow(t.Context(), c.conn, ask, c.d.QueryArgs(), &s); err != nil {
				t.Fatal(err)
			}
			return s
		}
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		before := limits(a)
		lease := func(what string, want bool, do func(contender, context.Context) error) {
			t.Helper()
			if err := do(b, t.Context()); (err == nil) != want {
				t.Errorf("%s: %v", what, err)
			}
			if got := limits(b); got != before {
				t.Errorf("%s has left %q, was %q", what, got, before)
			}
		}
		lease("taking the lease", true, contender.take)
		lease("a sign of life", true, contender.beatByItself)
		lease("taking it again", false, contender.take)
		lease("giving it back", true, contender.unlock)

		first, second := a.d.Lock(a.f, "t"), b.d.Lock(b.f, "t")
		for range 2 {
			got, err := first.Try(t.Context(), a.conn, 0)
			held(t, "Try", true, got, err)
			if got := limits(a); got != limited {
				t.Errorf("with the lock: %q, want %q", got, limited)
			}
			got, err = second.Try(t.Context(), b.conn, time.Millisecond)
			held(t, "the second one's Try", false, got, err)
			if got := limits(b); got != before {
				t.Errorf("after a Try for nothing: %q, was %q", got, before)
			}
			got, err = first.Unlock(t.Context(), a.conn)
			held(t, "Unlock", true, got, err)
			if got := limits(a); got != before {
				t.Errorf("after Unlock: %q, was %q", got, before)
			}
		}
	})
}
