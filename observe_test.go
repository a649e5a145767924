package tldwdb_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"go/ast"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// witness remembers what it is told.
type witness struct {
	mu       sync.Mutex
	open     int // operations that have begun and not ended
	events   []string
	connects []tldwdb.ConnectInfo
	queries  []tldwdb.QueryInfo
	schema   []tldwdb.SchemaInfo
	timeouts []*tldwdb.PoolTimeoutError
}

type nested struct{}

// note remembers an event, as deep as it is nested.
func (w *witness) note(ctx context.Context, format string, args ...any) {
	depth, _ := ctx.Value(nested{}).(int)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, strings.Repeat("  ", depth)+fmt.Sprintf(format, args...))
}

// told is what there was to tell since it was last asked, without queries.
func (w *witness) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.events = nil }()
	return strings.Join(w.events, "\n")
}

func (w *witness) observer() *tldwdb.Observer {
	add := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	}
	return &tldwdb.Observer{
		Opened: func(db *tldwdb.DB) { w.note(context.Background(), "opened %v", db.Pool() != nil) },
		Closed: func(*tldwdb.DB) { w.note(context.Background(), "closed") },
		Start: func(ctx context.Context, op tldwdb.Operation) (context.Context, func(error)) {
			text := strings.TrimSpace(op.Kind + " " + op.Name)
			if op.Kind == tldwdb.OperationMigration || op.Kind == tldwdb.OperationStatement {
				text = fmt.Sprintf("%s %s %s %s:%d", op.Kind, op.Direction, op.Migration, op.File, op.Line)
			}
			w.note(ctx, "%s", text)
			add(func() { w.open++ })
			depth, _ := ctx.Value(nested{}).(int)
			return context.WithValue(ctx, nested{}, depth+1), func(err error) {
				add(func() { w.open-- })
				if err != nil {
					w.note(ctx, "%s failed", op.Kind)
				}
			}
		},
		Connected:   func(c tldwdb.ConnectInfo) { add(func() { w.connects = append(w.connects, c) }) },
		Query:       func(_ context.Context, q tldwdb.QueryInfo) { add(func() { w.queries = append(w.queries, q) }) },
		Schema:      func(s tldwdb.SchemaInfo) { add(func() { w.schema = append(w.schema, s) }) },
		PoolTimeout: func(e *tldwdb.PoolTimeoutError) { add(func() { w.timeouts = append(w.timeouts, e) }) },
	}
}

// lastSchema is what was last told about the schema.
func (w *witness) lastSchema() tldwdb.SchemaInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.schema) == 0 {
		return tldwdb.SchemaInfo{}
	}
	return w.schema[len(w.schema)-1]
}

func (w *witness) watch(cfg *tldwdb.Config) { cfg.Observers = append(cfg.Observers, w.observer()) }

// foreign wraps a connector as somebody else's library does, which drops what it
// does not know.
func foreign(c driver.Connector) driver.Connector { return wrapped{c} }

// TestObserverSeesARun: operations nest, end, and are where they say.
func TestObserverSeesARun(t *testing.T) {
	t.Parallel()
	f := files{
		"1_a.up.sql": "CREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);", "1_a.down.sql": "DROP TABLE a;",
		"2_b.up.sql": "CREATE TABLE b (id integer);\nSELECT nothing FROM nowhere;",
	}
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		w := &witness{}
		db := open(t, tdb, f, w.watch, func(cfg *tldwdb.Config) { cfg.Set = "mine" })
		if _, err := db.Up(ctx); err == nil {
			t.Fatal("a faulty migration was applied")
		}
		want := `opened true
run up
  lock
  migration up 0001_a 1_a.up.sql:0
    statement up 0001_a 1_a.up.sql:1
    statement up 0001_a 1_a.up.sql:2
  migration up 0002_b 2_b.up.sql:0
    statement up 0002_b 2_b.up.sql:1
    statement up 0002_b 2_b.up.sql:2
    statement failed
  migration failed
run failed`
		if tdb.Engine == testdb.Postgres { // one packet
			want = strings.NewReplacer("    statement up 0001_a 1_a.up.sql:2\n", "", "    statement up 0002_b 2_b.up.sql:2\n", "").Replace(want)
		}
		if got := w.told(); got != want || w.open != 0 {
			t.Errorf("%d have not ended; told:\n%s\nwant\n%s", w.open, got, want)
		}
		failed := 0
		if isMySQL(tdb) {
			failed = 1
		}
		lock := pick(tdb, "file", "session", "session")
		if got, want := w.lastSchema(), (tldwdb.SchemaInfo{Set: "mine", Current: 1, Head: 2, Applied: 1, Pending: 1, Failed: failed, Lock: lock}); got != want {
			t.Errorf("after a failure: %+v, want %+v", got, want)
		}
		if failed == 1 {
			if _, err := db.Repair(ctx, tldwdb.Fix{Migration: tldwdb.ID{Version: 2}, Kind: tldwdb.FixForget}); err != nil {
				t.Fatal(err)
			}
			if got := w.told(); got != "run repair\n  lock" {
				t.Errorf("repair told:\n%s", got)
			}
		}
		succeed(t, "down 0001_a; 1 → 0")(db.Down(ctx, 1))
		if got, want := w.told(), "run down\n  lock\n  migration down 0001_a 1_a.down.sql:0\n    statement down 0001_a 1_a.down.sql:1"; got != want {
			t.Errorf("told:\n%s\nwant\n%s", got, want)
		}
		if got, want := w.lastSchema(), (tldwdb.SchemaInfo{Set: "mine", Head: 2, Pending: 2, Lock: lock}); got != want {
			t.Errorf("after the way back: %+v, want %+v", got, want)
		}
		if _, err := db.Baseline(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if got := w.lastSchema(); got.Applied != 2 || got.Pending != 0 || w.told() != "run baseline\n  lock" {
			t.Errorf("after the baseline: %+v", got)
		}
		succeed(t, "; 2 → 2")(db.Up(ctx))
		if got := w.told(); got != "run up" {
			t.Errorf("with nothing to do: %s", got)
		}
		if err := db.Close(); err != nil || w.told() != "closed" {
			t.Errorf("close: %v", err)
		}
		for _, c := range w.connects {
			if c.Class != "" || c.Duration <= 0 || c.Pool != tldwdb.PoolApplication && c.Pool != tldwdb.PoolMigration && c.Pool != tldwdb.PoolReader {
				t.Errorf("connected: %+v", c)
			}
		}
		if len(w.connects) == 0 || len(w.queries) == 0 {
			t.Errorf("%d connections and %d queries were told", len(w.connects), len(w.queries))
		}
	})
}

// TestObserverPanics: a fault in what watches stops nothing, and is told once.
func TestObserverPanics(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	calls := 0
	broken := func() { calls++; panic("a fault of the observer") }
	for name, o := range map[string]*tldwdb.Observer{
		"opened": {Opened: func(*tldwdb.DB) { broken() }},
		"start": {Start: func(ctx context.Context, _ tldwdb.Operation) (context.Context, func(error)) {
			broken()
			return ctx, nil
		}},
		"end": {Start: func(context.Context, tldwdb.Operation) (context.Context, func(error)) {
			return nil, func(error) { broken() } // as a careless observer does
		}},
		"connected": {Connected: func(tldwdb.ConnectInfo) { broken() }},
		"query":     {Query: func(context.Context, tldwdb.QueryInfo) { broken() }},
		"schema":    {Schema: func(tldwdb.SchemaInfo) { broken() }},
	} {
		calls = 0
		log, w := &logbook{}, &witness{}
		db := open(t, tdb, library, func(cfg *tldwdb.Config) {
			cfg.Logger, cfg.Observers, cfg.Table = log.logger(), []*tldwdb.Observer{nil, o, w.observer()}, "history_"+name
			cfg.Migrations = files{"1_a.up.sql": "CREATE TABLE " + name + " (id integer);"}.fs()
		})
		succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
		if calls != 1 || strings.Count(log.text(), "an observer panicked") != 1 {
			t.Errorf("%s: called %d times; %s", name, calls, log.text())
		}
		if w.lastSchema().Applied != 1 || len(w.queries) == 0 || !strings.Contains(w.told(), "migration") {
			t.Errorf("%s: the other observer was not told everything", name)
		}
	}
}

// TestConnectionAttemptsAreTold: those that fail too, and why.
func TestConnectionAttemptsAreTold(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		u, err := url.Parse(tdb.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(u.User.Username(), "hunter2")
		wrong := u.String()
		u.Host = "127.0.0.1:1"
		nobody := u.String()
		for rawURL, want := range map[string]tldwdb.ErrorClass{wrong: "auth", nobody: "unreachable"} {
			w := &witness{}
			_, err := tldwdb.Open(t.Context(), configFor(tdb, library, w.watch, func(cfg *tldwdb.Config) { cfg.URL, cfg.ConnectWait = rawURL, -1 }))
			if err == nil {
				t.Fatal("connected")
			}
			if len(w.connects) == 0 || w.connects[0].Class != want || w.connects[0].Pool != tldwdb.PoolApplication || w.told() != "" {
				t.Errorf("want %s: %+v, %v", want, w.connects, err)
			}
		}
	})
}

// TestQueriesAreTold: each operation, with its class, and on the log what is slow.
func TestQueriesAreTold(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		w, log := &witness{}, &logbook{}
		db := open(t, tdb, library, w.watch, func(cfg *tldwdb.Config) {
			cfg.SlowQuery, cfg.Logger = time.Nanosecond, log.logger()
		})
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		w.queries = nil
		if _, err := db.Pool().ExecContext(ctx, "INSERT INTO author VALUES (2, 'hunter2')"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(ctx, "INSERT INTO author VALUES (2, 'hunter2')"); err == nil {
			t.Fatal("a duplicate was inserted")
		}
		if _, err := db.Reader().ExecContext(ctx, "SELECT hunter2 FROM nowhere"); err == nil {
			t.Fatal("there is no such table")
		}
		var got []string
		for _, q := range w.queries {
			if q.Operation == "exec" {
				got = append(got, q.Pool+" "+string(q.Class))
			}
			if q.Duration <= 0 || !q.Slow {
				t.Errorf("%+v", q)
			}
		}
		want := []string{"application ", "application constraint", pick(tdb, "reader", "application", "application") + " " + pick(tdb, "missing_table", "missing_table", "missing_table")}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if text := log.text(); !strings.Contains(text, `fingerprint="INSERT INTO author VALUES (?)"`) || strings.Count(text, "INTO author") != 1 || strings.Contains(text, "'hunter2'") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

// TestQueriesAreCounted: an observer that counts is told of what failed alone, on
// both pools, and one that is told of everything is so beside it.
func TestQueriesAreCounted(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		times, counting, w := tldwdb.NewQueryTimes(time.Hour, time.Nanosecond, time.Hour), &witness{}, &witness{}
		counter := counting.observer()
		counter.QueryTimes = times
		db := open(t, tdb, library, func(cfg *tldwdb.Config) {
			cfg.Observers = []*tldwdb.Observer{counter, w.observer()}
		})
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		const calls = 20
		for range calls {
			for _, pool := range []*sqlx.DB{db.Pool(), db.Reader()} {
				if err := pool.GetContext(ctx, new(int), "SELECT 1"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := db.Pool().ExecContext(ctx, "SELECT hunter2 FROM nowhere"); err == nil {
			t.Fatal("there is no such table")
		}
		if limits := times.Limits(); !slices.Equal(limits, []time.Duration{time.Nanosecond, time.Hour}) {
			t.Errorf("limits: %v", limits)
		}
		all, failed := map[string]uint64{}, []tldwdb.QueryInfo(nil)
		for _, q := range w.queries {
			if q.Class == "" {
				all[q.Operation]++
			} else {
				failed = append(failed, q)
			}
		}
		counted := map[string]uint64{}
		times.Each(func(operation string, calls []uint64, sum time.Duration) {
			if len(calls) != 3 || calls[0] != 0 || calls[2] != 0 || (sum > 0) != (calls[1] > 0) {
				t.Errorf("%s: %v in %v", operation, calls, sum)
			}
			if calls[1] > 0 {
				counted[operation] = calls[1]
			}
		})
		if !maps.Equal(counted, all) || counted["query"] < 2*calls {
			t.Errorf("counted %v, told %v", counted, all)
		}
		if len(failed) == 0 || !slices.Equal(counting.queries, failed) {
			t.Errorf("told as well: %+v, want %+v", counting.queries, failed)
		}
	})
}

// TestPoolTimeoutIsTold with the pool's figures.
func TestPoolTimeoutIsTold(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		w := &witness{}
		db := open(t, tdb, library, w.watch, func(cfg *tldwdb.Config) { cfg.PoolSize, cfg.PoolTimeout = 1, time.Millisecond })
		conn, err := db.Pool().Connx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Acquire(ctx); !errors.Is(err, tldwdb.ErrPoolTimeout) || tldwdb.ClassOf(err) != "pool_exhausted" {
			t.Errorf("the pool is taken: %v", err)
		}
		if len(w.timeouts) != 1 || w.timeouts[0].Stats.InUse != 1 {
			t.Errorf("told: %v", w.timeouts)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWrappedPool: a wrapper between the pool and the driver changes nothing in
// what migrations do, and none that is transparent costs a round trip.
func TestWrappedPool(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		all := func(t *testing.T, edit func(*tldwdb.Config)) {
			t.Helper()
			db := open(t, tdb, library.with(files{"0004_fault.up.sql": "-- é\nSELECT 'é' FROM nowhere;"}), edit)
			res, err := db.Up(ctx)
			if got, want := outcome(res), "up 0001_author, up 0002_book, up 0003_year; 0 → 3"; got != want || err == nil || !strings.HasPrefix(err.Error(), "0004_fault.up.sql:2") {
				t.Errorf("%s, %v", got, err)
			}
			if d, err := db.Diagnose(ctx); err != nil || !strings.HasPrefix(d.Lock, pick(tdb, "file", "session", "session")) || d.Pooler {
				t.Errorf("%+v, %v", d, err)
			}
			if h := db.Health(ctx); !h.Connection {
				t.Errorf("%+v", h)
			}
			succeed(t, "down 0003_year, down 0002_book, down 0001_author; 3 → 0")(db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalBase}))
		}
		all(t, func(cfg *tldwdb.Config) { cfg.WrapConnector = foreign })
		w := &witness{}
		all(t, w.watch)
		all(t, func(cfg *tldwdb.Config) { w.watch(cfg); cfg.WrapConnector = foreign })

		if tdb.Engine != testdb.SQLite {
			up(t, job{URL: tdb.URL, Files: fleetFiles(3)})
			proxy, through := wiretap.Through(t, tdb.URL)
			db, err := tldwdb.Open(ctx, configFor(tdb, fleetFiles(3), w.watch, func(cfg *tldwdb.Config) { cfg.URL = through }))
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Up(ctx)
			if c := proxy.Counts(); err != nil || c.Connections != 1 || c.After != 1 {
				t.Errorf("a boot that is watched: %+v, %v", c, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}

		opaque := func(c driver.Connector) driver.Connector { return opaqueConnector{c} }
		if _, err := tldwdb.Open(ctx, configFor(tdb, library, func(cfg *tldwdb.Config) { cfg.WrapConnector = opaque })); err == nil || !strings.Contains(err.Error(), "Config.WrapConnector") {
			t.Errorf("a wrapper that cannot be seen through: %v", err)
		}
		none := func(driver.Connector) driver.Connector { return nil }
		if _, err := tldwdb.Open(ctx, configFor(tdb, library, func(cfg *tldwdb.Config) { cfg.WrapConnector = none })); err == nil || !strings.Contains(err.Error(), "Config.WrapConnector") {
			t.Errorf("a wrapper that gives nothing back: %v", err)
		}
	})
}

// opaqueConnector hides what it wraps.
type opaqueConnector struct{ driver.Connector }

func (c opaqueConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return struct{ driver.Conn }{conn}, err
}

// TestWatchedFleet: of processes that are watched each migration runs once, and
// the lock keeps them apart as it does otherwise.
func TestWatchedFleet(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		workers, release := startWorkers(t, 6, job{URL: tdb.URL, Files: fleetFiles(3), Watched: true})
		release()
		applied := 0
		for _, r := range reports(t, workers) {
			if !r.Ready {
				t.Error(r.Error)
			} else {
				applied += len(r.Result.Applied)
			}
		}
		if applied != 3 {
			t.Errorf("%d migrations were applied, want 3", applied)
		}
		checkEffects(t, tdb, 3)
	})
}

// TestLockIsProvedOnAWatchedPool: what a shared lock leads to otherwise.
func TestLockIsProvedOnAWatchedPool(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		w := &witness{}
		db := open(t, tdb, library, w.watch, func(cfg *tldwdb.Config) { cfg.WrapConnector = foreign })
		tldwdb.PretendSharedLock(db)
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.lastSchema(); got.Lock != "lease" || got.Applied != 4 {
			t.Errorf("%+v", got)
		}
	})
}

// TestBootWithNothingToDoIsOneLine of the log.
func TestBootWithNothingToDoIsOneLine(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if _, err := open(t, tdb, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := &logbook{}
		db := open(t, tdb, library, func(cfg *tldwdb.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		})
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(log.lines) != 1 || !strings.Contains(log.text(), `msg="nothing to migrate" version=3`) {
			t.Errorf("the log:\n%s", log.text())
		}
	})
}

// TestObservabilityGuide: the guide lists every metric, class of errors and key of
// the log, and no other.
func TestObservabilityGuide(t *testing.T) {
	t.Parallel()
	const guide = "docs/guide/observability.md"
	column := func(heading string, cell int) (list []string) {
		for _, row := range docTable(t, guide, heading) {
			list = append(list, codeIn(row[cell])...)
		}
		return list
	}
	var metrics []string
	for line := range strings.Lines(readDoc(t, "tldwdbmetrics/testdata/metrics.golden")) {
		name, _, _ := strings.Cut(line, " ")
		metrics = append(metrics, name)
	}
	sameSet(t, guide+", metrics", column("## Prometheus", 0), metrics)
	var classes []string
	for _, c := range tldwdb.ErrorClasses() {
		classes = append(classes, string(c))
	}
	sameSet(t, guide+", kinds of errors", column("## Kinds of errors", 0), classes)
	sameSet(t, guide+", log keys", column("## The log", 0), logKeys(t))
}

// logKeys lists the keys in the source: the first argument of a function that
// makes a slog.Attr, and every second one of a logger's short forms.
func logKeys(t *testing.T) []string {
	t.Helper()
	var keys []string
	add := func(name string, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok {
			t.Errorf("%s: a key that is no literal", name)
			return
		}
		if key, err := strconv.Unquote(lit.Value); err != nil {
			t.Error(err)
		} else if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for name, file := range sourceFiles(t) {
		if name == "config.go" || strings.HasPrefix(name, "tldwdbcli/") {
			continue // what a Config looks like is no line of the log; the command line talks to people
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, _ := method.X.(*ast.Ident)
			if pkg != nil && pkg.Name == "slog" && slices.Contains([]string{"String", "Int", "Int64", "Float64", "Bool", "Duration", "Time", "Any"}, method.Sel.Name) {
				add(name, call.Args[0])
			}
			if _, message, isLog := logCall(call); isLog && !strings.HasPrefix(method.Sel.Name, "Log") {
				for i := slices.Index(call.Args, message) + 1; i < len(call.Args); i += 2 {
					add(name, call.Args[i])
				}
			}
			return true
		})
	}
	return keys
}
