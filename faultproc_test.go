//go:build unix

package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// The part of the matrix in which processes die or stop. They go up: going down
// is a person's doing, and she sees it fail.

// seedVariable begins the seeds at another number than 1.
const seedVariable = "TLDWDB_TORTURE_SEED"

// seeds are the seeds to try: some of them, or all that are asked for of the
// whole matrix.
func seeds(t *testing.T, some int) []uint64 {
	t.Helper()
	first := uint64(1)
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	const all = 200
	if wholeMatrix() {
		some = all
	} else if testing.Short() {
		some = 1
	}
	list := make([]uint64, some)
	for i := range list {
		list[i] = first + uint64(i)
	}
	return list
}

// random is a source that the seed and the engine decide.
func random(e testdb.Engine, seed uint64) *rand.Rand {
	h := fnv.New64()
	_, _ = h.Write([]byte(e)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// killed sends SIGKILL to a worker when the server is about to hear its n-th
// message, or at once after that.
func (m *matrix) killed(t *testing.T) {
	for _, heard := range []bool{false, true} {
		name := "kill"
		if heard {
			name = "kill, heard"
		}
		t.Run(name, func(t *testing.T) {
			for _, n := range places(m.messages[faultdb.Client], 3, 1) {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					tdb := m.prepare(t)
					f := faultdb.Fault{At: n, All: true, Kind: faultdb.Reset}
					if heard {
						f.Kind = faultdb.Heard
					}
					strikeWorker(t, m.job(tdb.URL), f, (*worker).kill)
					m.boot(t, name, tdb, &tldwdb.Result{}, errors.New("killed"))
				})
			}
		})
	}
}

// crowd starts several workers at the same instant, and kills one of them at a
// moment that the seed decides. The others do not notice.
func (m *matrix) crowd(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := random(m.engine, seed)
			size := 2 + r.IntN(3)
			// Waiters send a few messages each beside those of the one that works. How many
			// that are nobody knows before: who waits for longer looks more often.
			sent := m.messages[faultdb.Client] * (size + 1) / 2
			for range 10 {
				happened, count := m.oneOf(t, size, r.IntN(size), 1+r.IntN(sent))
				if happened {
					return
				}
				sent = count
			}
			t.Error("all were done before the message at which one was to be killed, ten times")
		})
	}
}

// oneOf starts as many workers, and kills the victim at the n-th message that they
// send. It reports whether it came to that, and how many they sent.
func (m *matrix) oneOf(t *testing.T, size, victim, n int) (happened bool, sent int) {
	t.Helper()
	tdb := m.prepare(t)
	doomed := make(chan *worker, 1)
	proxy, through := faultdb.Through(t, tdb.URL, faultdb.Fault{At: n, Call: func() { (<-doomed).kill() }})
	workers, release := startWorkers(t, size, m.job(through))
	doomed <- workers[victim]
	release()
	var all sync.WaitGroup
	for i, w := range workers {
		if i == victim {
			continue
		}
		all.Go(func() {
			r := w.report(t)
			if strings.Contains(r.Error, tldwdb.ErrAmbiguous.Error()) {
				return // of a statement in which the other one died: boot counts it
			}
			if r.Error != "" || !r.Ready || r.Result.After != m.way.goal {
				t.Errorf("a worker beside the one that was killed: %q %+v", r.Error, r.Result)
			}
		})
	}
	all.Wait()
	if !proxy.Happened() {
		sent, _ = proxy.Messages()
		return false, sent
	}
	m.boot(t, "one of a crowd", tdb, &tldwdb.Result{}, errors.New("killed"))
	return true, 0
}

// asleep starts a worker and stops it at its n-th message. It goes on when wake is
// called.
func (m *matrix) asleep(t *testing.T, tdb *testdb.Database, n int) (sleeper *worker, wake func()) {
	t.Helper()
	send := func(w *worker, signal os.Signal) {
		if err := w.cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
	}
	sleeper = strikeWorker(t, m.job(tdb.URL), faultdb.Fault{At: n}, func(w *worker) { send(w, syscall.SIGSTOP) })
	return sleeper, func() { send(sleeper, syscall.SIGCONT) }
}

// paused stops a worker at its n-th message for longer than another one wants to
// wait, and lets it go on. A session lock stays with it: the other one is told
// who has it.
func (m *matrix) paused(t *testing.T) {
	const name = "pause"
	for _, n := range places(m.messages[faultdb.Client], 2, 4) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			tdb := m.prepare(t)
			sleeper, wake := m.asleep(t, tdb, n)
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			impatient := func(cfg *tldwdb.Config) { cfg.LockWait = time.Second }
			if _, err := m.run(ctx, tdb.URL, impatient); err != nil && (!errors.Is(err, tldwdb.ErrLockTimeout) || tldwdb.Hint(err) == "") {
				t.Errorf("while the holder sleeps: %v", err)
			}
			wake()
			r := sleeper.report(t)
			if r.Error != "" || !r.Ready {
				t.Errorf("the one that woke up: %q %+v", r.Error, r.Result)
			}
			m.boot(t, name, tdb, &tldwdb.Result{}, errors.New(strings.TrimSpace("paused "+r.Error)))
		})
	}
}

// outslept stops the holder of a lease at its n-th message until another worker
// has taken its place and done its work. What it does when it wakes up changes
// nothing.
func (m *matrix) outslept(t *testing.T) {
	const name = "pause"
	for _, n := range places(m.messages[faultdb.Client], 4, 2) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			tdb := m.prepare(t)
			sleeper, wake := m.asleep(t, tdb, n)
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			_, err := m.run(ctx, tdb.URL)
			for errors.Is(err, tldwdb.ErrLockLost) { // a lease of one second, on a machine with a load
				_, err = m.run(ctx, tdb.URL)
			}
			if err != nil && !errors.Is(err, tldwdb.ErrAmbiguous) { // where the holder sleeps inside a TRUNCATE
				t.Errorf("the one that takes its place: %v\nhint: %s", err, tldwdb.Hint(err))
			}
			before := everything(t, tdb.AdminDB(t))
			wake()
			r := sleeper.report(t)
			if after := everything(t, tdb.AdminDB(t)); after != before {
				t.Errorf("the one that woke up (%q) changed something:\n%s\nwas\n%s", r.Error, after, before)
			}
			m.boot(t, name, tdb, &tldwdb.Result{}, errors.New("paused "+r.Error))
		})
	}
}

// refused gives a wrong password at the n-th connect.
func (m *matrix) refused(t *testing.T) {
	const name = "wrong password"
	for n := 1; n <= 3; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			tdb := m.prepare(t)
			password := passwordOf(t, tdb.URL)
			var mu sync.Mutex
			asked := 0
			rotating := func(cfg *tldwdb.Config) {
				cfg.Password = func(context.Context) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					if asked++; asked == n {
						return "wrong-" + password, nil
					}
					return password, nil
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			res, err := m.run(ctx, tdb.URL, rotating)
			if asked < n {
				m.results.add(name, m.label(), missed)
				return
			}
			if err != nil && strings.Contains(err.Error(), "wrong-") {
				t.Errorf("the error shows the password: %v", err)
			}
			m.boot(t, name, tdb, res, err)
		})
	}
}

func passwordOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL of the database cannot be parsed")
	}
	password, _ := u.User.Password()
	return password
}

// crashed kills the server, on one of its own, when the worker sends its n-th
// message: before the server reads it, or while it works on it.
func (m *matrix) crashed(t *testing.T) {
	server := ownServer(t, m.engine, testdb.StartDurable)
	undisturbed := server.New(t) // the account's host, which views name, may be another here
	if _, err := m.run(t.Context(), undisturbed.URL); err != nil {
		t.Fatal(err)
	}
	own := *m
	own.want = look(t, undisturbed, undisturbed.AdminDB(t))
	for _, working := range []bool{false, true} {
		name := "server killed"
		if working {
			name = "server killed, working"
		}
		for _, n := range places(m.messages[faultdb.Client], 1, 2) {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				tdb := server.New(t)
				back := make(chan error, 1)
				f := faultdb.Fault{At: n, Call: func() {
					if working {
						go func() { back <- server.Crash(t.Context()) }()
					} else {
						back <- server.Crash(t.Context())
					}
				}}
				proxy, through := faultdb.Through(t, tdb.URL, f)
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				defer cancel()
				res, err := own.run(ctx, through)
				if !proxy.Happened() {
					m.results.add(name, m.label(), missed)
					return
				}
				if err := <-back; err != nil {
					t.Fatal(err)
				}
				own.boot(t, name, tdb, res, err)
			})
		}
	}
}

// unanswered dials into nowhere at the n-th connect, as when the name server is
// gone: the dial ends with its context. The service has a bound for each dial,
// and the run one for the connection that proves the lock.
func (m *matrix) unanswered(t *testing.T) {
	const name = "silent name server"
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			if n > 1 && !wholeMatrix() {
				t.Skip("it takes as long as the run waits for a second connection")
			}
			tdb := m.prepare(t)
			var dials atomic.Int32
			f := &fault{beforeDial: func(ctx context.Context) error {
				if int(dials.Add(1)) != n {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}}
			pool := f.pool(t, tdb)
			pool.SetMaxOpenConns(2)
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			db, err := tldwdb.Attach(ctx, pool, tldwdb.Config{Migrations: m.files.fs(), PoolTimeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			res, err := db.Migrate(ctx, m.way.request())
			if n == 1 && !errors.Is(err, tldwdb.ErrPoolTimeout) || n == 2 && err != nil {
				t.Errorf("at the %d. connect: %v", n, err)
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
			if int(dials.Load()) < n {
				m.results.add(name, m.label(), missed)
				return
			}
			m.boot(t, name, tdb, res, err)
		})
	}
}
