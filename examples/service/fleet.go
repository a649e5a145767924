package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/tldw/tldwdb"
)

// The parent starts itself N times, with workerVariable set. A worker writes
// startedLine, waits until its standard input ends, boots, and writes its report
// as one line of JSON. All inputs are one pipe: closing it starts all workers at
// the same instant, when none of them is still busy becoming a process.
const (
	workerVariable = "TLDW_SERVICE_WORKER"
	startedLine    = "started"
)

// stopTime is how long a worker may take to end in order after a signal.
const stopTime = 30 * time.Second

// work is the life of one worker. What goes wrong is in the report: the parent
// tells it.
func (s *service) work(ctx context.Context, number int) error {
	if _, err := fmt.Fprintln(s.stdout, startedLine); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("waiting for the other workers: %w", err)
	}
	db, r, err := s.boot(ctx, nil)
	if err == nil {
		// Ready is what a probe would be told, not what we believe.
		if h := db.Health(ctx); !h.Ready {
			err = errors.New("the database is not ready after the migrations: " + h.Error)
		}
		err = errors.Join(err, db.Close())
	}
	r.Worker = number
	if err != nil {
		r.Role, r.Error, r.Hint = roleFailed, err.Error(), tldwdb.Hint(err)
	}
	return json.NewEncoder(s.stdout).Encode(r)
}

// fleetReport is what a start of several workers came to.
type fleetReport struct {
	Database    string      `json:"database"` // without its password
	Workers     []report    `json:"workers"`
	Ready       int         `json:"ready"`        // how many workers became ready
	AllMS       float64     `json:"all_ready_ms"` // from the common start to the last report
	Migrations  []migration `json:"migrations"`
	ExactlyOnce bool        `json:"exactly_once"` // each migration is applied, and no two workers applied the same
}

// migration is one migration, and how many workers say that they applied it.
type migration struct {
	Name  string        `json:"name"`
	State tldwdb.State  `json:"state"`
	Runs  int           `json:"runs"` // 0: it was applied before
	Took  time.Duration `json:"took_ns"`
}

// fleet is -workers.
func (s *service) fleet(ctx context.Context) (err error) {
	if !s.databaseIsNamed() {
		remove, err := s.freshDatabase()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	f := fleetReport{Database: shownURL(s.cfg)}
	if err := s.startWorkers(ctx, &f); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("%w before all workers were ready", context.Cause(ctx)), f.failures())
	}
	status, err := s.status(ctx)
	if failed := f.failures(); err != nil && failed != nil {
		return failed // for the same reason
	}
	if err != nil {
		return err
	}
	verdict := f.judge(status)
	if err := s.print(f, f.text()); err != nil {
		return err
	}
	if verdict != nil || s.once {
		return verdict
	}
	return s.serve(ctx)
}

// databaseIsNamed reports whether the environment chooses a database.
func (s *service) databaseIsNamed() bool {
	return slices.ContainsFunc([]string{"DATABASE_URL", "POSTGRES_URL", "MYSQL_URL"}, func(name string) bool {
		value, _ := s.lookup(name)
		file, _ := s.lookup(name + "_FILE")
		return strings.TrimSpace(value+file) != ""
	})
}

// freshDatabase points this process and its workers at a SQLite file of their
// own, which remove deletes.
func (s *service) freshDatabase() (remove func() error, err error) {
	dir, err := os.MkdirTemp("", "tldwdb-workers-")
	if err != nil {
		return nil, err
	}
	url := "sqlite:///" + filepath.ToSlash(filepath.Join(dir, "tldw.db"))
	s.cfg.URL = url
	s.env = append(slices.Clip(s.env), "DATABASE_URL="+url)
	return func() error { return os.RemoveAll(dir) }, nil
}

// shownURL is the database's URL as Config shows it: without its password.
func shownURL(cfg tldwdb.Config) string {
	for _, a := range cfg.LogValue().Group() {
		if a.Key == "URL" {
			return a.Value.String()
		}
	}
	return ""
}

// status reads where the schema stands when the workers are done.
func (s *service) status(ctx context.Context) (*tldwdb.Status, error) {
	cfg := s.cfg
	cfg.Logger = slog.New(slog.DiscardHandler) // the workers have logged the same warnings
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	status, err := db.Status(ctx)
	return status, errors.Join(err, db.Close())
}

// worker is one process as its parent sees it.
type worker struct {
	number int
	cmd    *exec.Cmd
	out    *bufio.Reader
}

// startWorkers starts the processes, lets them go at once, and gathers their
// reports. When the context ends they get a SIGTERM, and time to end in order.
func (s *service) startWorkers(ctx context.Context, f *fleetReport) error {
	gate, open, err := os.Pipe()
	if err != nil {
		return err
	}
	workers := make([]worker, 0, s.workers)
	var startErr error
	for n := 1; n <= s.workers && startErr == nil; n++ {
		var w worker
		if w, startErr = s.startWorker(ctx, n, gate); startErr == nil {
			workers = append(workers, w)
		}
	}
	_ = gate.Close() // the workers have it
	for _, w := range workers {
		// A worker that could not start says so on stderr, and by its status.
		_, _ = w.out.ReadString('\n')
	}
	start := time.Now()
	_ = open.Close() // go
	var all sync.WaitGroup
	f.Workers = make([]report, len(workers))
	took := make([]time.Duration, len(workers))
	for i, w := range workers {
		all.Go(func() { f.Workers[i], took[i] = w.await(start) })
	}
	all.Wait()
	for i, r := range f.Workers {
		if r.Error == "" {
			f.Ready++
		}
		f.AllMS = max(f.AllMS, milliseconds(took[i]))
	}
	return startErr
}

func (s *service) startWorker(ctx context.Context, number int, gate *os.File) (worker, error) {
	program, err := os.Executable()
	if err != nil {
		return worker{}, err
	}
	args := []string{"-timeout", s.timeout.String(), "-migrations", s.migrations}
	if s.verbose {
		args = append(args, "-v")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.Clip(s.env), workerVariable+"="+strconv.Itoa(number))
	cmd.Stdin = gate
	cmd.Stderr = s.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	out, err := cmd.StdoutPipe()
	if err != nil {
		return worker{}, err
	}
	if err := cmd.Start(); err != nil {
		return worker{}, fmt.Errorf("starting worker %d: %w", number, err)
	}
	return worker{number: number, cmd: cmd, out: bufio.NewReader(out)}, nil
}

// await reads the worker's report and waits for its end. A worker without a
// report has failed, whatever its exit code.
func (w worker) await(start time.Time) (report, time.Duration) {
	var r report
	readErr := json.NewDecoder(w.out).Decode(&r)
	took := time.Since(start)
	_, _ = io.Copy(io.Discard, w.out) // Wait may be called when all is read
	if err := errors.Join(readErr, w.cmd.Wait()); err != nil && r.Error == "" {
		r = report{Worker: w.number, PID: w.cmd.Process.Pid, Role: roleFailed, Applied: []string{}, Error: "it ended without being ready: " + err.Error()}
	}
	return r, took
}

// judge counts the runs of each migration and returns what is wrong, nil if
// every worker became ready and each migration is applied by one of them, or
// was before.
func (f *fleetReport) judge(status *tldwdb.Status) error {
	runs := map[string]int{}
	for _, r := range f.Workers {
		for _, name := range r.Applied {
			runs[name]++
		}
	}
	errs := []error{f.failures()}
	f.ExactlyOnce = true
	for _, m := range status.Migrations {
		name := m.Migration.String()
		f.Migrations = append(f.Migrations, migration{Name: name, State: m.State, Runs: runs[name], Took: m.Duration})
		applied := m.State == tldwdb.StateApplied || m.State == tldwdb.StateBaseline || m.State == tldwdb.StateSnapshot || m.State == tldwdb.StateUnknown
		switch {
		case runs[name] > 1:
			errs = append(errs, fmt.Errorf("%s ran %d times: do the workers share one database?", name, runs[name]))
		case !applied:
			errs = append(errs, fmt.Errorf("%s is %s", name, m.State))
		default:
			continue
		}
		f.ExactlyOnce = false
	}
	return errors.Join(errs...)
}

// failures are the workers that did not become ready, those with one reason
// together: a faulty migration stops all of them alike.
func (f *fleetReport) failures() error {
	var reasons []string
	who := map[string][]string{}
	for _, r := range f.Workers {
		if r.Error == "" {
			continue
		}
		reason := r.Error
		if r.Hint != "" {
			reason += " (hint: " + r.Hint + ")"
		}
		if who[reason] == nil {
			reasons = append(reasons, reason)
		}
		who[reason] = append(who[reason], strconv.Itoa(r.Worker))
	}
	var errs []error
	for _, reason := range reasons {
		errs = append(errs, fmt.Errorf("worker %s: %s", strings.Join(who[reason], ", "), reason))
	}
	return errors.Join(errs...)
}

// text is the table of the workers, and the sum of it in a line.
func (f *fleetReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d workers on %s\n\n", len(f.Workers), f.Database)
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) } // a Builder takes everything
	line("WORKER", "PID", "ROLE", "WAITED", "READY AFTER", "APPLIED / WAITED FOR")
	var migrators []string
	for _, r := range f.Workers {
		if r.Role == roleMigrated {
			migrators = append(migrators, "worker "+strconv.Itoa(r.Worker))
		}
	}
	for _, r := range f.Workers {
		waited, ready, what := "-", ms(r.ReadyMS), ""
		if r.WaitedMS > 0 {
			waited = ms(r.WaitedMS)
		}
		switch r.Role {
		case roleFailed:
			ready = "never"
		case roleMigrated:
			what = strings.Join(r.Applied, ", ")
		case roleWaited:
			// Of a short wait the worker itself knows no more than that it was one.
			if what = strings.Join(migrators, ", "); what == "" {
				what = r.WaitedFor
			}
		}
		line(strconv.Itoa(r.Worker), strconv.Itoa(r.PID), r.Role, waited, ready, what)
	}
	_ = table.Flush()
	fmt.Fprintf(&b, "\n%s\n", f.summary())
	return b.String()
}

func (f *fleetReport) summary() string {
	ready := fmt.Sprintf("all %d ready after %s", len(f.Workers), ms(f.AllMS))
	if f.Ready < len(f.Workers) {
		ready = fmt.Sprintf("%d of %d ready after %s", f.Ready, len(f.Workers), ms(f.AllMS))
	}
	ran := 0
	for _, m := range f.Migrations {
		if m.Runs > 0 {
			ran++
		}
	}
	switch {
	case !f.ExactlyOnce:
		return ready + "; NOT each migration ran exactly once"
	case ran == 0:
		return fmt.Sprintf("%s; nothing was pending: the %d migrations were applied before", ready, len(f.Migrations))
	case ran < len(f.Migrations):
		return fmt.Sprintf("%s; %d migrations, each ran exactly once; %d were applied before", ready, ran, len(f.Migrations)-ran)
	}
	return fmt.Sprintf("%s; %d migrations, each ran exactly once", ready, ran)
}
