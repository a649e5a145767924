package tldwdb_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// This file starts real processes: the test binary runs itself again as a
// worker. A worker says that it is ready, waits until the test closes the pipe
// that is its standard input, so that any number of workers start at the same
// instant, and prints a report.

// jobVariable holds the job of a worker, as JSON. A process that has it is one.
const jobVariable = "TLDWDB_TEST_JOB"

// job is what a worker is told to do.
type job struct {
	URL   string            `json:"url"`
	Files map[string]string `json:"files"` // name to text
	// Lock is Config.Lock.
	Lock tldwdb.LockKind `json:"lock"`
	// Halt is a point at which the worker says so and stops for ever, to be
	// killed there; it needs Path, the file of a SQLite database. See crash_test.go.
	Halt string `json:"halt"`
	Path string `json:"path"`
	// Thread puts all of SQLite on one thread; it is what follows the file's name in
	// the driver's DSN, and needs Path. See thread_test.go.
	Thread string `json:"thread"`
	// Lease is Config.LeaseTime.
	Lease time.Duration `json:"lease"`
	// ByHand is the engine of a worker that does the job without tldwdb. See bench_test.go.
	ByHand testdb.Engine `json:"by_hand"`
	// Watched is with observers, and with a wrapper between the pool and the driver.
	Watched bool `json:"watched"`
	// Code is what the Go migration of version 2 does, if there is to be one.
	Code string `json:"code"`
	// Backup is done in place of migrating, if it is set. See backupproc_test.go.
	Backup backupJob `json:"backup"`
	// Seeds are written behind Up: name to text. See seedproc_test.go.
	Seeds files `json:"seeds"`
	// HaltSeed is a set of seeds in whose middle the worker says so and stops for ever.
	HaltSeed string `json:"halt_seed"`
}

// What a Go migration may do beside writing a row.
const (
	codeWrites = "writes"
	// codeStays says so and stays until its context ends; then it writes another
	// row, and tells nobody whether that went well.
	codeStays = "stays"
)

// code is the Go migration of a job.
func (j job) code() []tldwdb.GoMigration {
	if j.Code == "" {
		return nil
	}
	return []tldwdb.GoMigration{{Version: 2, Name: "code", Idempotent: true, Up: func(ctx context.Context, c tldwdb.Conn) error {
		if _, err := c.ExecContext(ctx, "INSERT INTO log VALUES ('code')"); err != nil || j.Code == codeWrites {
			return err
		}
		fmt.Println(sayHalt)
		<-ctx.Done()
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "INSERT INTO log VALUES ('late')")
		return nil
	}}}
}

// report is the last line that a worker prints.
type report struct {
	Result *tldwdb.Result `json:"result"`
	Error  string         `json:"error"`
	Ready  bool           `json:"ready"` // Check found nothing pending
	PID    int            `json:"pid"`
}

// The lines that a worker prints before its report.
const (
	sayReady = "ready"
	sayHalt  = "halt"
)

// childMain does a worker's job, and reports whether this process is one.
func childMain() bool {
	text, ok := os.LookupEnv(jobVariable)
	if !ok {
		return false
	}
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Println(sayReady)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // the barrier: until the pipe is closed
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	rep := report{PID: os.Getpid()}
	var err error
	if rep.Result, err = j.run(ctx); err != nil {
		rep.Error = err.Error()
	}
	rep.Ready = err == nil
	if err := json.NewEncoder(os.Stdout).Encode(rep); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return true
}

// run is the main job of a service.
func (j job) run(ctx context.Context) (res *tldwdb.Result, err error) {
	if j.ByHand != "" {
		return nil, j.byHand(ctx)
	}
	var db *tldwdb.DB
	if j.Halt != "" || j.Thread != "" {
		open := haltingPool
		if j.Thread != "" {
			open = threadPool
		}
		var pool *sqlx.DB
		if db, pool, err = open(ctx, j); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, pool.Close()) }()
	} else if db, err = tldwdb.Open(ctx, j.config()); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if j.Backup.Do != "" {
		return nil, j.Backup.run(ctx, db)
	}
	if res, err = db.Up(ctx); err != nil {
		return res, err
	}
	if j.Seeds != nil {
		if _, err := db.Seed(ctx); err != nil {
			return res, err
		}
	}
	return res, db.Check(ctx)
}

func (j job) config() tldwdb.Config {
	files := fstest.MapFS{}
	for name, text := range j.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	cfg := tldwdb.Config{URL: j.URL, Migrations: files, GoMigrations: j.code(), Lock: j.Lock, LeaseTime: j.Lease}
	if j.Seeds != nil {
		cfg.Seeds, cfg.GoSeeds = j.Seeds.fs(), j.haltSeeds()
	}
	if j.Watched {
		cfg.Observers, cfg.WrapConnector = []*tldwdb.Observer{(&witness{}).observer()}, foreign
	}
	return cfg
}

// worker is a process that does a job.
type worker struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// startWorkers starts n workers and returns when each of them is ready. They
// begin their jobs when release is called. Workers that are left at the end of
// the test are killed.
func startWorkers(tb testing.TB, n int, j job) (workers []*worker, release func()) {
	tb.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		tb.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	barrier, gate, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = barrier.Close() }() // the workers have it
	opened := false
	release = func() {
		opened = true
		if err := gate.Close(); err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(func() {
		if !opened {
			release()
		}
	})
	for range n {
		// Not the test's own context: it ends before the clean-up, and would kill
		// a worker that is only being waited for.
		w := &worker{cmd: exec.CommandContext(context.WithoutCancel(tb.Context()), program), stderr: &bytes.Buffer{}}
		w.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
		w.cmd.Stdin, w.cmd.Stderr = barrier, w.stderr
		stdout, err := w.cmd.StdoutPipe()
		if err != nil {
			tb.Fatal(err)
		}
		w.out = bufio.NewReader(stdout)
		if err := w.cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(w.kill)
		workers = append(workers, w)
	}
	for _, w := range workers {
		w.await(tb, sayReady)
	}
	return workers, release
}

// startWorker starts a worker that begins its job at once.
func startWorker(tb testing.TB, j job) *worker {
	tb.Helper()
	workers, release := startWorkers(tb, 1, j)
	release()
	return workers[0]
}

// strikeWorker starts a worker on a connection with a fault in it, and does something
// to it when the message comes that the fault is about. It returns when that is done.
func strikeWorker(t *testing.T, j job, f faultdb.Fault, do func(*worker)) *worker {
	t.Helper()
	victim, struck := make(chan *worker, 1), make(chan struct{})
	f.Call = func() {
		do(<-victim)
		close(struck)
	}
	_, j.URL = faultdb.Through(t, j.URL, f)
	workers, release := startWorkers(t, 1, j)
	victim <- workers[0]
	release()
	select {
	case <-struck:
	case <-t.Context().Done():
		t.Fatal("the message did not come")
	}
	return workers[0]
}

// await reads the worker's next line, which must be the given one.
func (w *worker) await(tb testing.TB, line string) {
	tb.Helper()
	got, err := w.out.ReadString('\n')
	if strings.TrimSpace(got) != line {
		w.kill()
		tb.Fatalf("a worker said %q (%v) instead of %q: %s", got, err, line, w.stderr)
	}
}

// report reads what the worker has to say at its end.
func (w *worker) report(tb testing.TB) report {
	tb.Helper()
	text, err := io.ReadAll(w.out)
	if waitErr := w.cmd.Wait(); waitErr != nil || err != nil {
		tb.Fatalf("a worker ended with %v, %v: %s", waitErr, err, w.stderr)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		tb.Fatalf("a worker's report %q: %v: %s", text, err, w.stderr)
	}
	return r
}

// kill ends the worker as SIGKILL does, and waits until it is gone.
func (w *worker) kill() {
	if w.cmd.ProcessState != nil {
		return
	}
	_ = w.cmd.Process.Kill() // it may have ended by itself
	_ = w.cmd.Wait()         // the signal is what it reports
}

// reports reads what every worker has to say.
func reports(tb testing.TB, workers []*worker) []report {
	tb.Helper()
	list := make([]report, len(workers))
	for i, w := range workers {
		list[i] = w.report(tb)
	}
	return list
}

// fleetFiles are n migrations that leave a trace of each of their statements
// in the table effects, which keeps no key: a statement that ran twice is
// there twice.
func fleetFiles(n int) map[string]string {
	files := map[string]string{}
	for v := 1; v <= n; v++ {
		text := fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY);\nINSERT INTO effects (step) VALUES ('%d');\nALTER TABLE t%d ADD COLUMN note varchar(20);\nINSERT INTO effects (step) VALUES ('%d, end');\n", v, v, v, v)
		if v == 1 {
			text = "CREATE TABLE effects (step varchar(40) NOT NULL);\n" + text
		}
		files[fmt.Sprintf("%04d_t%d.up.sql", v, v)] = text
		files[fmt.Sprintf("%04d_t%d.down.sql", v, v)] = fmt.Sprintf("DROP TABLE t%d;\n", v)
	}
	return files
}

// checkEffects fails the test unless every statement of fleetFiles(n) took
// effect exactly once, and the history says so.
func checkEffects(t *testing.T, db *testdb.Database, n int) {
	t.Helper()
	admin := db.AdminDB(t)
	want := map[string]int{}
	for v := 1; v <= n; v++ {
		want[strconv.Itoa(v)], want[strconv.Itoa(v)+", end"] = 1, 1
		if _, err := admin.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO t%d (id, note) VALUES (1, 'x')", v)); err != nil {
			t.Errorf("the schema is not complete: %v", err)
		}
	}
	if got := counts(t, admin, "SELECT step, count(*) FROM effects GROUP BY step"); !maps.Equal(got, want) {
		t.Errorf("effects %v, want %v", got, want)
	}
	got := counts(t, admin, "SELECT state, count(*) FROM tldwdb_history WHERE set_name <> '' GROUP BY state")
	if want := map[string]int{"applied": n}; !maps.Equal(got, want) {
		t.Errorf("history %v, want %v", got, want)
	}
}

// counts runs a query that gives a text and a number in each row.
func counts(t *testing.T, pool *sql.DB, query string) map[string]int {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // Err below has told everything that Close could
	all := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		all[key] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Any number of workers start on an empty database at the same instant: all
// are ready, and one of them has done all the work.
func TestFleetOnFreshDatabase(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 20} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
				const migrations = 5
				workers, release := startWorkers(t, n, job{URL: db.URL, Files: fleetFiles(migrations)})
				release()
				did := 0
				for _, r := range reports(t, workers) {
					if r.Error != "" || !r.Ready {
						t.Errorf("worker %d: ready %v, %s", r.PID, r.Ready, r.Error)
						continue
					}
					if r.Result.After != migrations {
						t.Errorf("worker %d thinks that version %d is current", r.PID, r.Result.After)
					}
					switch len(r.Result.Applied) {
					case 0:
					case migrations:
						did++
						if !r.Result.Locked || r.Result.Before != 0 {
							t.Errorf("worker %d applied everything: %+v", r.PID, r.Result)
						}
						for i, a := range r.Result.Applied {
							if a.Migration.Version != int64(i+1) || a.Direction != tldwdb.DirectionUp {
								t.Errorf("worker %d, step %d: %+v", r.PID, i, a)
							}
						}
					default:
						t.Errorf("worker %d applied a part: %+v", r.PID, r.Result.Applied)
					}
				}
				if did != 1 {
					t.Errorf("%d workers applied the migrations", did)
				}
				checkEffects(t, db, migrations)
			})
		})
	}
}

// With nothing pending a fleet sends one SELECT for each worker and never
// touches the lock.
func TestFleetWithNothingPending(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		const n = 50
		j := job{URL: db.URL, Files: fleetFiles(5)}
		if _, err := j.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var proxy *wiretap.Proxy
		lock := db.Path() + "-tldwdb_history.lock"
		if db.Engine == testdb.SQLite {
			if err := os.Remove(lock); err != nil {
				t.Fatal(err) // not there: this test would look for the wrong file
			}
		} else {
			proxy, j.URL = wiretap.Through(t, db.URL)
		}
		workers, release := startWorkers(t, n, j)
		release()
		for _, r := range reports(t, workers) {
			if r.Error != "" || !r.Ready || r.Result.Locked || len(r.Result.Applied) > 0 || r.Result.After != 5 {
				t.Errorf("%+v %+v", r, r.Result)
			}
		}
		if db.Engine == testdb.SQLite {
			if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the lock file was touched: %v", err)
			}
			return
		}
		// Up and then Check: two looks.
		statements := proxy.Statements()
		if c := proxy.Counts(); c.Connections != n || c.After != 2*n || len(statements) != 2*n {
			t.Errorf("%d connections, %d round trips, %d statements", c.Connections, c.After, len(statements))
		}
		for _, s := range statements {
			if !isLook(s) {
				t.Errorf("sent: %s", s)
			}
		}
	})
}

// isLook reports whether a statement does nothing but read the history.
func isLook(statement string) bool {
	return strings.HasPrefix(statement, "SELECT ") && strings.Contains(statement, "tldwdb_history") && !strings.Contains(strings.ToUpper(statement), "LOCK")
}

// A worker whose work is done by another one leaves while that one still has
// the lock.
func TestWaitersLeaveWithoutTheLock(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		const waiters = 3
		files := fleetFiles(2)
		everybodyWaits, everybodyLeft := make(chan struct{}), make(chan struct{})
		waiting := make(chan struct{}, waiters)

		type outcome struct {
			res *tldwdb.Result
			err error
		}
		up := func(j job, code []tldwdb.GoMigration, hear func(string)) outcome {
			cfg := j.config()
			cfg.GoMigrations = code
			cfg.Logger = slog.New(listener{hear: hear})
			handle, err := tldwdb.Open(t.Context(), cfg)
			if err != nil {
				return outcome{err: err}
			}
			res, err := handle.Up(t.Context())
			return outcome{res, errors.Join(err, handle.Close())}
		}
		started := make(chan struct{})
		code := []tldwdb.GoMigration{{Version: 3, Name: "slow", Up: func(ctx context.Context, _ tldwdb.Conn) error {
			close(started)
			select {
			case <-everybodyWaits:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}}
		holder := make(chan outcome, 1)
		go func() {
			applied := 0
			holder <- up(job{URL: db.URL, Files: files}, code, func(message string) {
				// The last migration is committed, and the lock is still held.
				if message == "migration applied" {
					if applied++; applied == 3 {
						select {
						case <-everybodyLeft:
						case <-t.Context().Done():
						}
					}
				}
			})
		}()
		select {
		case <-started:
		case o := <-holder:
			t.Fatalf("the holder ended early: %+v, %v", o.res, o.err)
		}
		left := make(chan outcome, waiters)
		for range waiters {
			go func() {
				left <- up(job{URL: db.URL, Files: files}, code, func(message string) {
					if message == "waiting for the migration lock" {
						waiting <- struct{}{}
					}
				})
			}()
		}
		for range waiters {
			select {
			case <-waiting:
			case o := <-left:
				t.Fatalf("a waiter ended early: %+v, %v", o.res, o.err)
			}
		}
		close(everybodyWaits)
		for range waiters {
			switch o := <-left; {
			case o.err != nil:
				t.Error(o.err)
			case o.res.Locked || len(o.res.Applied) > 0 || o.res.After != 3 || o.res.Waited == 0:
				t.Errorf("a waiter: %+v", o.res)
			}
		}
		close(everybodyLeft)
		if o := <-holder; o.err != nil || len(o.res.Applied) != 3 {
			t.Errorf("the holder: %+v, %v", o.res, o.err)
		}
		if _, err := db.AdminDB(t).ExecContext(t.Context(), "DELETE FROM tldwdb_history WHERE version = 3"); err != nil {
			t.Error(err)
		}
		checkEffects(t, db, 2)
	})
}

// listener hears the messages of a log.
type listener struct{ hear func(message string) }

func (listener) Enabled(context.Context, slog.Level) bool { return true }
func (l listener) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l listener) WithGroup(string) slog.Handler          { return l }

// Handle passes the message on; whoever hears it may block.
func (l listener) Handle(_ context.Context, r slog.Record) error {
	l.hear(r.Message)
	return nil
}
