//go:build unix

package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestTorture is the matrix: every kind of fault at every place of a run. The
// run may fail. Then somebody boots once more, with nobody in between who
// repairs anything, and the database must be what an undisturbed run makes of it.
//
// `go test` takes a sample that is always the same, `make torture` everything:
// see docs/torture.md.

const (
	// tortureVariable set to "all" asks for the whole matrix.
	tortureVariable = "TLDWDB_TORTURE"
	// bound is longer than any run takes that comes to its end at all.
	bound = 2 * time.Minute
)

func wholeMatrix() bool { return os.Getenv(tortureVariable) == "all" }

// places picks some of the numbers from 1 to n, or all of them, or every
// stride-th.
func places(n, some, stride int) []int {
	if testing.Short() {
		some = max(1, some/4)
	}
	if wholeMatrix() || n < some {
		some = (n + stride - 1) / stride
	}
	list := make([]int, some)
	for i := range list {
		list[i] = 1 + (2*i+1)*n/(2*some)
	}
	return list
}

// tally is the table of results.
type tally struct {
	mu    sync.Mutex
	cells map[[2]string]map[string]int // kind, engine: verdict to cases
	notes []string
}

// Columns beside the verdicts.
const (
	again  = "again"  // Up had to be called more than once after the fault
	missed = "missed" // the run was over before the fault came: no case
)

func (y *tally) add(kind string, e testdb.Engine, verdict string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	key := [2]string{kind, string(e)}
	if y.cells[key] == nil {
		y.cells[key] = map[string]int{}
	}
	y.cells[key][verdict]++
}

// cell is what is known of a kind on an engine, by verdict.
func (y *tally) cell(kind string, e testdb.Engine) map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return maps.Clone(y.cells[[2]string{kind, string(e)}])
}

func (y *tally) note(format string, args ...any) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.notes = append(y.notes, fmt.Sprintf(format, args...))
}

// String is the table, and below it what is to be known about single cases.
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "| %-22s | %-8s | %5s |", "kind", "engine", "cases")
	for _, v := range verdicts {
		fmt.Fprintf(&b, " %9s |", v)
	}
	fmt.Fprintf(&b, " %6s | %6s |\n|%s", again, missed, strings.Repeat("---|", 5+len(verdicts))+"\n")
	keys := slices.SortedFunc(maps.Keys(y.cells), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, k := range keys {
		cell, cases := y.cells[k], 0
		for _, v := range verdicts {
			cases += cell[v]
		}
		fmt.Fprintf(&b, "| %-22s | %-8s | %5d |", k[0], k[1], cases)
		for _, v := range verdicts {
			fmt.Fprintf(&b, " %9d |", cell[v])
		}
		fmt.Fprintf(&b, " %6d | %6d |\n", cell[again], cell[missed])
	}
	slices.Sort(y.notes)
	for _, n := range y.notes {
		b.WriteString("\n" + n)
	}
	return b.String() + "\n"
}

// kind is one kind of fault on the wire.
type kind struct {
	name   string
	fault  faultdb.Fault // without At
	cancel bool          // the caller's context ends at that instant: as its deadline does when nobody answers
	rival  bool          // another worker boots at that instant
	some   int           // how many places a sample has
	stride int           // the whole matrix has every stride-th place; 0 means 1
}

// A server's answer has many messages, a packet for each column and row, and
// what happened before it is the same for all of them: one kind goes through all.
var kinds = []kind{
	{name: "reset", fault: faultdb.Fault{Kind: faultdb.Reset}, some: 4},
	{name: "reset, answer", fault: faultdb.Fault{From: faultdb.Server, Kind: faultdb.Reset}, some: 4},
	{name: "close, answer", fault: faultdb.Fault{From: faultdb.Server, Kind: faultdb.Close}, some: 2, stride: 8},
	{name: "heard", fault: faultdb.Fault{Kind: faultdb.Heard}, some: 4},
	{name: "outage", fault: faultdb.Fault{Kind: faultdb.Reset, All: true}, some: 4},
	{name: "outage, heard", fault: faultdb.Fault{Kind: faultdb.Heard, All: true}, some: 4},
	{name: "outage, answer", fault: faultdb.Fault{From: faultdb.Server, Kind: faultdb.Reset, All: true}, some: 4, stride: 8},
	{name: "silence", fault: faultdb.Fault{Kind: faultdb.Silence}, cancel: true, some: 2},
	{name: "silence, answer", fault: faultdb.Fault{From: faultdb.Server, Kind: faultdb.Silence}, cancel: true, some: 2, stride: 8},
	{name: "cancel", fault: faultdb.Fault{}, cancel: true, some: 4},
	{name: "cancel, answer", fault: faultdb.Fault{From: faultdb.Server}, cancel: true, some: 2, stride: 8},
	{name: "delay", fault: faultdb.Fault{Kind: faultdb.Delay, For: 50 * time.Millisecond}, rival: true, some: 2},
	{name: "delay, answer", fault: faultdb.Fault{From: faultdb.Server, Kind: faultdb.Delay, For: 50 * time.Millisecond}, rival: true, some: 2, stride: 8},
}

func TestTorture(t *testing.T) {
	t.Parallel()
	results := &tally{cells: map[[2]string]map[string]int{}}
	t.Cleanup(func() {
		if wholeMatrix() {
			fmt.Print(results)
		} else {
			t.Logf("\n%s", results)
		}
	})
	t.Run(string(testdb.SQLite), func(t *testing.T) { tortureSQLite(t, results) })
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			t.Run("lease", func(t *testing.T) {
				t.Parallel()
				m := newMatrix(t, e, upwards, true, results)
				for _, k := range kinds {
					t.Run(k.name, func(t *testing.T) { m.wire(t, k) })
				}
				m.killed(t)
				t.Run("one of a crowd", m.crowd)
				t.Run("pause", m.outslept)
			})
			for _, d := range []direction{upwards, downwards} {
				t.Run(d.name, func(t *testing.T) {
					t.Parallel()
					m := newMatrix(t, e, d, false, results)
					for _, k := range kinds {
						t.Run(k.name, func(t *testing.T) { m.wire(t, k) })
					}
					t.Run("wrong password", m.refused)
					t.Run("silent name server", m.unanswered)
					if d == upwards {
						m.killed(t)
						t.Run("one of a crowd", m.crowd)
						t.Run("pause", m.paused)
						t.Run("crash", m.crashed)
						t.Run("power lost", m.vanished)
					}
				})
			}
		})
	}
}

// matrix is what the cases of one engine and direction share.
type matrix struct {
	engine   testdb.Engine
	way      direction
	leased   bool // the migration lock is a lease, of leaseOfMatrix
	files    files
	want     state
	messages [2]int // by faultdb.Side
	results  *tally
}

// leaseOfMatrix is so short because whoever boots after a crash waits for its end.
const leaseOfMatrix = 2 * time.Second

// label names the engine in the table.
func (m *matrix) label() testdb.Engine {
	if m.leased {
		return m.engine + ", lease"
	}
	return m.engine
}

// job is that of a worker process.
func (m *matrix) job(rawURL string) job {
	j := job{URL: rawURL, Files: m.files}
	if m.leased {
		j.Lock, j.Lease = tldwdb.LockLease, leaseOfMatrix
	}
	return j
}

// newMatrix makes an undisturbed run and remembers what came of it.
func newMatrix(t *testing.T, e testdb.Engine, d direction, leased bool, results *tally) *matrix {
	t.Helper()
	m := &matrix{engine: e, way: d, leased: leased, files: faultLoad(e), results: results}
	tdb := m.prepare(t)
	proxy, through := faultdb.Through(t, tdb.URL, faultdb.Fault{})
	if _, err := m.run(t.Context(), through); err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
	m.messages[faultdb.Client], m.messages[faultdb.Server] = proxy.Messages()
	m.want = look(t, tdb, tdb.AdminDB(t))
	m.results.note("%s %s: %d messages of the client, %d of the server", m.label(), d.name, m.messages[faultdb.Client], m.messages[faultdb.Server])
	if len(m.want.effects) < 3 || m.messages[faultdb.Client] < 10 {
		t.Fatalf("%+v", m)
	}
	return m
}

// prepare makes a database that is at the beginning of the way.
func (m *matrix) prepare(t *testing.T) *testdb.Database {
	t.Helper()
	tdb := testdb.New(t, m.engine)
	if m.way.start > 0 {
		if _, err := open(t, tdb, m.files).MigrateTo(t.Context(), m.way.start); err != nil {
			t.Fatal(err)
		}
	}
	return tdb
}

// run is a boot.
func (m *matrix) run(ctx context.Context, rawURL string, edits ...func(*tldwdb.Config)) (*tldwdb.Result, error) {
	cfg := tldwdb.Config{URL: rawURL, Migrations: m.files.fs(), PoolSize: 4, ConnectTimeout: 2 * time.Second, ConnectWait: 3 * time.Second, LockWait: time.Minute}
	if m.leased {
		cfg.Lock, cfg.LeaseTime = tldwdb.LockLease, leaseOfMatrix
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return &tldwdb.Result{}, err
	}
	res, err := db.Migrate(ctx, m.way.request())
	return res, errors.Join(err, db.Close())
}

// wire goes through all places of a kind.
func (m *matrix) wire(t *testing.T, k kind) {
	if wholeMatrix() { // an hour without a word is long
		start := time.Now()
		t.Cleanup(func() {
			fmt.Printf("%s %s %s, %v: %v so far\n", m.engine, m.way.name, k.name, time.Since(start).Round(time.Second), m.results.cell(k.name, m.label()))
		})
	}
	for _, n := range places(m.messages[k.fault.From], k.some, max(1, k.stride)) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			m.struck(t, k, n)
		})
	}
}

// struck is one case.
func (m *matrix) struck(t *testing.T, k kind, n int) {
	tdb := m.prepare(t)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var rivals sync.WaitGroup
	defer rivals.Wait()
	f := k.fault
	f.At = n
	f.Call = func() {
		if k.cancel {
			cancel()
		}
		if k.rival {
			rivals.Go(func() {
				if _, err := m.run(t.Context(), tdb.URL); err != nil {
					t.Errorf("the other worker: %v", err)
				}
			})
		}
	}
	proxy, through := faultdb.Through(t, tdb.URL, f)
	res, err := m.run(ctx, through)
	if context.Cause(ctx) != nil && !k.cancel {
		m.verdict(t, k.name, tdb, stuck, fmt.Sprintf("the disturbed run did not come to its end: %v", err))
		return
	}
	rivals.Wait()
	if !proxy.Happened() {
		m.results.add(k.name, m.label(), missed)
		return
	}
	if k.fault.All { // the host is away until somebody comes and finds its connections broken
		proxy.Close()
	}
	m.boot(t, k.name, tdb, res, err)
}

// boot starts the service once more after a disturbed run, and judges.
func (m *matrix) boot(t *testing.T, kind string, tdb *testdb.Database, first *tldwdb.Result, firstErr error) {
	t.Helper()
	var res *tldwdb.Result
	var err error
	for try := range 3 {
		if try > 0 {
			m.results.note("%s: again after: %v", t.Name(), err)
			m.results.add(kind, m.label(), again)
		}
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		res, err = m.run(ctx, tdb.URL)
		cancel()
		if err == nil || errors.Is(err, tldwdb.ErrAmbiguous) {
			break
		}
	}
	if errors.Is(err, tldwdb.ErrAmbiguous) {
		var where *tldwdb.MigrationError
		if !errors.As(err, &where) || where.File == "" || where.Line == 0 || where.Hint == "" {
			t.Errorf("it is not said where nobody can know, or what to do: %v", err)
		}
		m.results.note("%s: %v (%s)", t.Name(), err, shortLine(where))
		m.verdict(t, kind, tdb, ambiguous, "")
		return
	}
	if err != nil {
		m.verdict(t, kind, tdb, stuck, fmt.Sprintf("the first run said %v, and the next ones say %v\nhint: %s", firstErr, err, tldwdb.Hint(err)))
		return
	}
	// What the first run said is true: what it has done is not done again.
	if firstErr == nil && len(res.Applied) > 0 {
		t.Errorf("a run that succeeded left something to do: %s", outcome(res))
	}
	for _, a := range res.Applied {
		for _, b := range first.Applied {
			if a.Migration == b.Migration && a.Direction == b.Direction {
				t.Errorf("%s was done, and is done again", a.Migration)
			}
		}
	}
	verdict, detail := judge(look(t, tdb, tdb.AdminDB(t)), m.want)
	if verdict != survived {
		detail = fmt.Sprintf("the first run said %v\n%s", firstErr, detail)
	}
	m.verdict(t, kind, tdb, verdict, detail)
}

func shortLine(where *tldwdb.MigrationError) string {
	if where == nil {
		return ""
	}
	return where.Statement
}

// verdict notes what came of a case. What is not good fails the test, and says how to
// see it again.
func (m *matrix) verdict(t *testing.T, kind string, tdb *testdb.Database, verdict, detail string) {
	t.Helper()
	m.results.add(kind, m.label(), verdict)
	if verdict == survived || verdict == ambiguous && tdb.Engine != testdb.Postgres && tdb.Engine != testdb.SQLite {
		return
	}
	t.Errorf("%s: %s\n%s=all go test -run '^%s$' .", verdict, detail, tortureVariable, strings.ReplaceAll(t.Name(), "/", "$/^"))
}
