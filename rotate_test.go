package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// secretVolume is a file as Kubernetes mounts a secret: a link into a folder that is
// a link itself, which is what is replaced.
type secretVolume struct {
	dir  string
	next int
}

func newSecretVolume(t *testing.T, content string) *secretVolume {
	t.Helper()
	v := &secretVolume{dir: t.TempDir()}
	v.replace(t, content)
	if err := os.Symlink(filepath.Join("..data", "secret"), v.file()); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *secretVolume) file() string { return filepath.Join(v.dir, "secret") }

func (v *secretVolume) replace(t *testing.T, content string) {
	t.Helper()
	v.next++
	folder := fmt.Sprintf("..%d", v.next)
	if err := os.Mkdir(filepath.Join(v.dir, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, folder, "secret"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(v.dir, "..tmp")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(v.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// traffic is a service's requests: 200 a second by several goroutines, each of which
// writes a row of its own.
type traffic struct {
	pool   *sql.DB
	insert string
	next   atomic.Int64
	good   atomic.Int64
	ticks  chan struct{} // one for each request that is over
	stop   context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex
	failed []failure
}

// trafficWorkers is how many goroutines make the requests.
const trafficWorkers = 8

// failure is a request that failed.
type failure struct {
	worker int
	id     int64
	took   time.Duration
	err    error
}

func startTraffic(t *testing.T, tdb *testdb.Database, pool *sql.DB) *traffic {
	t.Helper()
	const pause = trafficWorkers * time.Second / 200
	ctx, cancel := context.WithCancel(context.Background())
	r := &traffic{pool: pool, stop: cancel, ticks: make(chan struct{}, 1)}
	r.insert = pick(tdb, "", "INSERT INTO hits (id) VALUES ($1)", "INSERT INTO hits (id) VALUES (?)")
	for worker := range trafficWorkers {
		r.wait.Go(func() {
			rate := time.NewTicker(pause)
			defer rate.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-rate.C:
				}
				id, begun := r.next.Add(1), time.Now()
				// Not ctx: the end of the traffic is not to look like a failure.
				if _, err := pool.ExecContext(context.Background(), r.insert, id); err != nil {
					r.mu.Lock()
					r.failed = append(r.failed, failure{worker, id, time.Since(begun), err})
					r.mu.Unlock()
				} else {
					r.good.Add(1)
				}
				select {
				case r.ticks <- struct{}{}:
				default:
				}
			}
		})
	}
	t.Cleanup(func() { r.end() })
	return r
}

// inFlight is how many requests have begun and are not over.
func (r *traffic) inFlight() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := r.good.Load() + int64(len(r.failed)) // before what has begun: never too few
	return int(r.next.Load() - over)
}

// await lets n requests pass.
func (r *traffic) await(t *testing.T, n int) {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for range n {
		select {
		case <-r.ticks:
		case <-late.C:
			t.Fatal("the traffic stands still")
		}
	}
}

func (r *traffic) end() []failure {
	r.stop()
	r.wait.Wait()
	return r.failed
}

// endWell ends the traffic, of which no request may have failed, been lost or
// doubled.
func (r *traffic) endWell(t *testing.T, admin *sql.DB) {
	t.Helper()
	failed := r.end()
	for _, f := range failed {
		t.Errorf("request %d, %v long: %v", f.id, f.took, f.err)
	}
	if got, want := rowsOf(t, admin, "SELECT count(*) FROM hits"), fmt.Sprint(r.good.Load()); got != want && len(failed) == 0 {
		t.Errorf("%s rows of %s requests", got, want)
	}
	t.Logf("%d requests", r.good.Load())
}

// account is a login role of one test.
type account struct {
	tdb   *testdb.Database
	admin *sql.DB
	role  string
}

func newAccount(t *testing.T, tdb *testdb.Database, admin *sql.DB, password string) *account {
	t.Helper()
	a := &account{tdb, admin, makeRole(t, tdb, admin, password)}
	execIn(t, admin, pick(tdb, "", "GRANT ALL ON hits TO "+a.role, "GRANT ALL ON "+tdb.Name()+".* TO "+a.role))
	return a
}

func (a *account) name() string {
	name, _, _ := strings.Cut(a.role, "@")
	return strings.Trim(name, "'")
}

// change gives the account another password.
func (a *account) change(t *testing.T, password string) {
	t.Helper()
	execIn(t, a.admin, pick(a.tdb, "", "ALTER ROLE "+a.role+" PASSWORD '"+password+"'", "ALTER USER "+a.role+" IDENTIFIED BY '"+password+"'"))
}

// sessions lists the account's sessions but the one that asks. The account itself
// asks: on MySQL others see them only with a right of their own.
func (a *account) sessions(t *testing.T, password string, do func(own *sql.DB, ids []string)) {
	t.Helper()
	own, err := testdb.Open(a.tdb.Engine, urlAs(t, a.tdb, a.role, password))
	if err != nil {
		t.Fatal(err)
	}
	own.SetMaxOpenConns(1)
	defer func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	}()
	query := pick(a.tdb, "", "SELECT pid FROM pg_stat_activity WHERE usename = '"+a.name()+"' AND pid <> pg_backend_pid()",
		"SELECT id FROM "+a.tdb.Processlist()+" WHERE user = '"+a.name()+"' AND id <> connection_id()")
	do(own, strings.Fields(strings.ReplaceAll(rowsOf(t, own, query), ",", " ")))
}

func (a *account) list(t *testing.T, password string) (ids []string) {
	t.Helper()
	a.sessions(t, password, func(_ *sql.DB, now []string) { ids = now })
	return ids
}

// drained waits until none of the old sessions is left, and then does what an
// administrator does who wants to be sure.
func (a *account) drained(t *testing.T, r *traffic, password string, old []string) {
	t.Helper()
	begun := time.Now()
	for left := old; len(left) > 0; {
		if time.Since(begun) > 45*time.Second { // before they die of old age
			t.Fatalf("the old sessions %v do not go", left)
		}
		r.await(t, 20)
		now := a.list(t, password)
		left = slices.DeleteFunc(left, func(id string) bool { return !slices.Contains(now, id) })
	}
	a.sessions(t, password, func(own *sql.DB, ids []string) {
		for _, id := range ids {
			if slices.Contains(old, id) {
				execIn(t, own, pick(a.tdb, "", "SELECT pg_terminate_backend("+id+")", "KILL "+id))
			}
		}
	})
}

// execIn runs a statement.
func execIn(t *testing.T, pool *sql.DB, statement string) {
	t.Helper()
	if _, err := pool.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// serve opens a pool with what the environment says, and lets traffic through.
func serve(t *testing.T, tdb *testdb.Database, env map[string]string, edits ...func(*tldwdb.Config)) (*tldwdb.DB, *traffic) {
	t.Helper()
	cfg, err := tldwdb.ConfigFromLookup(func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	db, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r := startTraffic(t, tdb, db.Pool().DB)
	r.await(t, 50)
	return db, r
}

// prepareHits makes the table of the traffic.
func prepareHits(t *testing.T, tdb *testdb.Database) *sql.DB {
	t.Helper()
	admin := tdb.AdminDB(t)
	execIn(t, admin, "CREATE TABLE hits (id bigint PRIMARY KEY)")
	return admin
}

// TestPasswordFileRotates: an account gets another password under load, before the
// file does or after it, and nobody notices. The old connections go by themselves.
func TestPasswordFileRotates(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := prepareHits(t, tdb)
		plain := []string{`o%41n"@:/?# e`, "two", "three"}
		app := newAccount(t, tdb, admin, plain[0])
		volume := newSecretVolume(t, plain[0]+"\n")
		db, r := serve(t, tdb, map[string]string{"DATABASE_URL": urlAs(t, tdb, app.role, "not this"), "TLDWDB_PASSWORD_FILE": volume.file()})
		// The server first. Every request needs a new connection in between.
		old := app.list(t, plain[0])
		app.change(t, plain[1])
		db.Pool().SetMaxIdleConns(0)
		for r.inFlight() < trafficWorkers { // until all are waiting: nothing lets one in
			select {
			case <-r.ticks:
			case <-t.Context().Done():
				t.Fatal("no request")
			case <-time.After(time.Millisecond):
			}
		}
		volume.replace(t, plain[1]+"\n")
		db.Pool().SetMaxIdleConns(20)
		app.drained(t, r, plain[1], old)
		// The file first: the server takes the old password still, and nobody needs a
		// connection.
		old = app.list(t, plain[1])
		volume.replace(t, plain[2]+"\n")
		db.Pool().SetMaxIdleConns(0)
		r.await(t, 40)
		db.Pool().SetMaxIdleConns(20)
		app.change(t, plain[2])
		app.drained(t, r, plain[2], old)
		r.endWell(t, admin)
	})
}

// TestAccountRotates: the file of the URL names another account. There is no
// instant at which a log-in could be refused, and in the end nobody uses the first.
func TestAccountRotates(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := prepareHits(t, tdb)
		a, b := newAccount(t, tdb, admin, "of a"), newAccount(t, tdb, admin, "of b")
		volume := newSecretVolume(t, urlAs(t, tdb, a.role, "of a"))
		db, r := serve(t, tdb, map[string]string{"DATABASE_URL_FILE": volume.file()})
		db.Health(t.Context()) // which has a connection too
		old := a.list(t, "of a")
		if len(old) == 0 {
			t.Fatal("the first account is not in use")
		}
		volume.replace(t, urlAs(t, tdb, b.role, "of b"))
		a.drained(t, r, "of a", old)                  // by the watch alone: the pool needs no new connection
		if late := a.list(t, "of a"); len(late) > 0 { // made before the watch had looked
			a.drained(t, r, "of a", late)
		}
		if left := a.list(t, "of a"); len(left) > 0 {
			t.Errorf("the first account is in use still: %v", left)
		}
		a.change(t, "gone")
		r.await(t, 50)
		r.endWell(t, admin)
	})
}

// TestRotate: a callback answers from a cache until it is told not to.
func TestRotate(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := prepareHits(t, tdb)
		app := newAccount(t, tdb, admin, "one")
		var vault, cache atomic.Value
		vault.Store("one")
		cache.Store("one")
		db, r := serve(t, tdb, map[string]string{"DATABASE_URL": urlAs(t, tdb, app.role, "")}, func(cfg *tldwdb.Config) {
			cfg.Password = func(ctx context.Context) (string, error) {
				if tldwdb.FreshSecret(ctx) {
					cache.Store(vault.Load())
				}
				return cache.Load().(string), nil
			}
		})
		old := app.list(t, "one")
		vault.Store("too early")
		if err := db.Rotate(t.Context()); err == nil || strings.Contains(err.Error(), "too early") {
			t.Errorf("a secret that does not work: %v", err)
		}
		cache.Store("one")
		r.await(t, 20)
		if now := app.list(t, "one"); !slices.ContainsFunc(old, func(id string) bool { return slices.Contains(now, id) }) {
			t.Error("the old connections have gone although the new secret does not work")
		}
		app.change(t, "two")
		vault.Store("two")
		if err := db.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		app.drained(t, r, "two", old)
		// Refused without a call of Rotate: the callback is told so.
		app.change(t, "three")
		vault.Store("three")
		db.Pool().SetMaxIdleConns(0)
		r.await(t, 40)
		r.endWell(t, admin)
	})
}

// TestRotateIdle: connections that were made a moment before the change, and that nobody
// uses, go as well.
func TestRotateIdle(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		db := open(t, tdb, nil, func(cfg *tldwdb.Config) { cfg.PoolSize = 4 })
		var conns []*sqlx.Conn
		for range 4 {
			conn, err := db.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := db.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); db.Pool().Stats().OpenConnections > 0; rowsOf(t, admin, "SELECT 1") {
			if time.Now().After(deadline) {
				t.Fatalf("%d old connections stay", db.Pool().Stats().OpenConnections)
			}
		}
	})
}

// TestTwoPasswords is MySQL's own way: an account has two for a while.
func TestTwoPasswords(t *testing.T) {
	t.Parallel()
	forEachOf(t, []testdb.Engine{testdb.MySQL}, func(t *testing.T, tdb *testdb.Database) {
		admin := prepareHits(t, tdb)
		app := newAccount(t, tdb, admin, "one")
		volume := newSecretVolume(t, "one")
		_, r := serve(t, tdb, map[string]string{"DATABASE_URL": urlAs(t, tdb, app.role, ""), "TLDWDB_PASSWORD_FILE": volume.file()})
		old := app.list(t, "one")
		execIn(t, admin, "ALTER USER "+app.role+" IDENTIFIED BY 'two' RETAIN CURRENT PASSWORD")
		r.await(t, 20)
		volume.replace(t, "two")
		app.drained(t, r, "one", old)
		execIn(t, admin, "ALTER USER "+app.role+" DISCARD OLD PASSWORD")
		r.await(t, 20)
		r.endWell(t, admin)
	})
}

// TestServerRestartsUnderLoad: a request that is not with the server at the instant
// at which it goes waits until it is back.
func TestServerRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, e := range servers() {
		for name, restart := range map[string]func(*testdb.Server, context.Context) error{"restart": (*testdb.Server).Restart, "crash": (*testdb.Server).Crash} {
			t.Run(string(e)+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := ownServer(t, e, testdb.StartDurable)
				tdb := s.New(t)
				admin := prepareHits(t, tdb)
				_, r := serve(t, tdb, map[string]string{"DATABASE_URL": tdb.URL})
				if err := restart(s, t.Context()); err != nil {
					t.Fatal(err)
				}
				r.await(t, 50)
				failed := r.end()
				// Each worker has one request with the server at most. That may fail, and
				// have taken effect.
				byWorker := map[int]int{}
				for _, f := range failed {
					var refused *mysql.MySQLError
					if e == testdb.MySQL && errors.As(f.err, &refused) && refused.Number == 1053 {
						// Oracle's server takes a millisecond or two to end its sessions, one after
						// another, and refuses by this what comes by one that it has not come to.
						continue
					}
					if byWorker[f.worker]++; byWorker[f.worker] > 1 {
						t.Errorf("request %d, %v long, was not with the server when it went: %v", f.id, f.took, f.err)
					}
				}
				var rows int64
				if err := admin.QueryRowContext(t.Context(), "SELECT count(*) FROM hits").Scan(&rows); err != nil {
					t.Fatal(err)
				}
				if good := r.good.Load(); rows < good || rows > good+int64(len(failed)) {
					t.Errorf("%d rows of %d good requests, and %d that failed", rows, good, len(failed))
				}
				t.Logf("%d requests, %d of them cut off", r.next.Load(), len(failed))
			})
		}
	}
}
