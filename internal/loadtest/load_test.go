package loadtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
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
	"github.com/tldw/tldwdb/tldwdbmetrics"
)

// loadVariable says how long each scenario lasts; without it each lasts a moment.
const loadVariable = "TLDWDB_LOAD"

const (
	moment   = 300 * time.Millisecond
	accounts = 64
	pooled   = 8       // connections of a pool
	callers  = 24      // goroutines that use it
	total    = 1000000 // what all accounts have together, at any time
)

func TestMain(m *testing.M) { testdb.Main(m) }

func TestLoad(t *testing.T) {
	length := moment
	if text := os.Getenv(loadVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", loadVariable, err)
		}
	} else if testing.Short() {
		t.Skip("it is a load")
	}
	var table report
	for _, e := range testdb.Wanted() {
		t.Run(string(e), func(t *testing.T) {
			for _, s := range scenarios {
				t.Run(s.name, func(t *testing.T) { s.run(t, &bench{engine: e, length: length, scenario: s.name, table: &table}) })
			}
		})
	}
	if os.Getenv(loadVariable) != "" {
		fmt.Print(table.String())
	}
}

// scenarios are what the pool has to go through, one after the other: what they
// measure would disturb the others.
var scenarios = []struct {
	name string
	run  func(*testing.T, *bench)
}{
	{"steady", steady},
	{"exhaustion", exhaustion},
	{"churn", churn},
	{"slow queries", slowQueries},
	{"restart", restart},
}

// bench is one scenario on one engine.
type bench struct {
	engine   testdb.Engine
	scenario string
	length   time.Duration
	table    *report
}

// steady compares the pool, with metrics and probes and without, with one of the
// driver's alone, in turns, and says what each turn's ratios come to.
func steady(t *testing.T, b *bench) {
	turns := max(8, int(b.length/(250*time.Millisecond)))
	ours, bare := testdb.New(t, b.engine), testdb.New(t, b.engine)
	db, plain := b.open(t, ours), b.connect(t, tldwdb.Config{URL: testdb.New(t, b.engine).URL, PoolSize: pooled})
	alone := b.bare(t, bare)
	with, unwatched, without := newLedger(b.engine, "tldwdb, watched"), newLedger(b.engine, "tldwdb"), newLedger(b.engine, "driver alone")
	prepare(t, alone)
	ledgers := []*ledger{without, unwatched, with}
	requests := []request{without.transfer(alone), unwatched.transfer(plain.Pool().DB), with.transfer(db.Pool().DB)}
	var ratios [3][]float64 // of each turn: throughput, over the driver's alone
	for turn := range turns {
		var rates [3]float64 // writes in a time that is the same for all
		for i := range ledgers {
			k := (i + turn) % len(ledgers) // each has every place in a turn
			l := ledgers[k]
			before := len(l.took)
			l.load(t.Context(), b.length/time.Duration(turns), callers, requests[k])
			rates[k] = float64(len(l.took) - before)
		}
		for k := range rates {
			ratios[k] = append(ratios[k], rates[k]/rates[0])
		}
	}
	for k, l := range ledgers[1:] {
		r := slices.Sorted(slices.Values(ratios[k+1]))
		t.Logf("%s, %s: %.3f of the throughput of the driver alone, median of %d turns (quartiles %.3f and %.3f)", b.engine, l.subject, r[len(r)/2], len(r), r[len(r)/4], r[len(r)*3/4])
	}
	without.check(t, alone)
	unwatched.check(t, plain.Pool().DB)
	with.check(t, db.Pool().DB)
	b.table.add(b, without)
	b.table.add(b, unwatched)
	b.table.add(b, with)
	if len(with.failures) > 0 {
		t.Errorf("%d of the requests failed: %v", len(with.failures), with.failures[0])
	}
	idle(t, db)
}

// exhaustion asks a pool for more than it has. Some are turned away, in time and
// by name, and everybody else is served.
func exhaustion(t *testing.T, b *bench) {
	db := b.open(t, testdb.New(t, b.engine), func(cfg *tldwdb.Config) { cfg.PoolSize, cfg.PoolTimeout = 2, 2*time.Millisecond })
	l := newLedger(b.engine, "tldwdb")
	l.load(t.Context(), b.length, callers, l.acquired(db))
	l.check(t, db.Pool().DB)
	for _, err := range l.failures {
		if !errors.Is(err, tldwdb.ErrPoolTimeout) {
			t.Errorf("a request failed: %v", err)
		}
	}
	b.table.add(b, l)
	idle(t, db)
}

// churn replaces connections all the time.
func churn(t *testing.T, b *bench) {
	db := b.open(t, testdb.New(t, b.engine), func(cfg *tldwdb.Config) { cfg.PoolRecycle, cfg.PoolIdleTime = 10*time.Millisecond, 5*time.Millisecond })
	l := newLedger(b.engine, "tldwdb")
	l.load(t.Context(), b.length, callers, l.transfer(db.Pool().DB))
	l.check(t, db.Pool().DB)
	if len(l.failures) > 0 {
		t.Errorf("%d of the requests failed: %v", len(l.failures), l.failures[0])
	}
	b.table.add(b, l)
	idle(t, db)
}

// slowQueries runs into time limits beside the others, and holds no connection
// behind them.
func slowQueries(t *testing.T, b *bench) {
	db := b.open(t, testdb.New(t, b.engine))
	// A server of MySQL's goes on with a statement whose client has gone, and the connection counts
	// until then: a few times the limit, so that there are not too many.
	sleep := map[testdb.Engine]string{testdb.Postgres: "SELECT pg_sleep(0.1)", testdb.MariaDB: "SELECT SLEEP(0.1)", testdb.MySQL: "SELECT SLEEP(0.1)",
		testdb.SQLite: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"}[b.engine]
	var cut atomic.Int64
	l := newLedger(b.engine, "tldwdb")
	transfer := l.acquired(db)
	l.load(t.Context(), b.length, callers, func(ctx context.Context, worker, seq int) error {
		if worker%4 > 0 {
			return transfer(ctx, worker, seq)
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		var answer sql.NullString
		err := db.Reader().QueryRowContext(short, sleep).Scan(&answer)
		if err == nil {
			return errors.New("it was not cut short")
		}
		cut.Add(1)
		return errNothing
	})
	l.check(t, db.Pool().DB)
	if cut.Load() == 0 || len(l.failures) > 0 {
		t.Errorf("%d were cut short; failures: %d, such as %v", cut.Load(), len(l.failures), slices.Concat(l.failures, []error{nil})[0])
	}
	b.table.add(b, l)
	idle(t, db)
}

// restart kills the server in the middle and starts it again. Requests fail
// meanwhile, and nobody is told that a write is there which is not.
func restart(t *testing.T, b *bench) {
	if b.engine == testdb.SQLite {
		t.Skip("it has no server")
	}
	server, err := testdb.StartDurable(t.Context(), b.engine)
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
	db := b.open(t, server.New(t))
	l := newLedger(b.engine, "tldwdb")
	transfer := l.transfer(db.Pool().DB)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var again sync.WaitGroup // a write of every caller, behind the crash
	again.Add(callers)
	var back atomic.Bool
	served := make([]sync.Once, callers)
	running := make(chan struct{})
	go func() {
		defer close(running)
		l.loadUntil(ctx, callers, func(ctx context.Context, worker, seq int) error {
			was := back.Load()
			err := transfer(ctx, worker, seq)
			if err == nil && was {
				served[worker].Do(again.Done)
			}
			return err
		})
	}()
	for l.acknowledged() < callers && ctx.Err() == nil {
		l.wait(ctx)
	}
	if err := server.Crash(ctx); err != nil {
		t.Fatal(err)
	}
	back.Store(true)
	all := make(chan struct{})
	go func() { again.Wait(); close(all) }()
	select {
	case <-all:
	case <-ctx.Done():
		t.Error("not every caller was served again within a minute")
	}
	cancel()
	<-running
	l.check(t, db.Pool().DB)
	b.table.add(b, l)
	idle(t, db)
}

// open makes the pool of a service, with its metrics.
func (b *bench) open(t *testing.T, tdb *testdb.Database, edits ...func(*tldwdb.Config)) *tldwdb.DB {
	t.Helper()
	cfg := tldwdb.Config{URL: tdb.URL, PoolSize: pooled}
	for _, edit := range edits {
		edit(&cfg)
	}
	metrics := tldwdbmetrics.New(tldwdbmetrics.Options{})
	db := b.connect(t, metrics.Observe(cfg))
	b.watch(t, db, metrics)
	return db
}

// connect makes a pool, and the tables.
func (b *bench) connect(t *testing.T, cfg tldwdb.Config) *tldwdb.DB {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	prepare(t, db.Pool().DB)
	return db
}

// bare makes a pool of the driver's alone, with the settings of ours that count.
func (b *bench) bare(t *testing.T, tdb *testdb.Database) *sql.DB {
	t.Helper()
	var (
		pool *sql.DB
		err  error
	)
	switch b.engine {
	case testdb.SQLite:
		pool, err = sql.Open("sqlite3", "file:"+tdb.Path()+"?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_foreign_keys=on&_txlock=immediate")
	case testdb.Postgres:
		pool, err = sql.Open("pgx", tdb.URL)
	default:
		var u *url.URL
		if u, err = url.Parse(tdb.URL); err != nil {
			t.Fatal("the URL of the database cannot be parsed")
		}
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		cfg.Passwd, _ = u.User.Password()
		cfg.InterpolateParams = true
		var connector driver.Connector
		if connector, err = mysql.NewConnector(cfg); err == nil {
			pool = sql.OpenDB(connector)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	pool.SetMaxOpenConns(pooled)
	pool.SetMaxIdleConns(pooled)
	return pool
}

func prepare(t *testing.T, pool *sql.DB) {
	t.Helper()
	rows := make([]string, accounts)
	for i := range rows {
		rows[i] = fmt.Sprintf("(%d, %d)", i, total/accounts)
	}
	for _, text := range []string{
		"CREATE TABLE account (id integer NOT NULL PRIMARY KEY, balance integer NOT NULL)",
		"CREATE TABLE ledger (worker integer NOT NULL, seq integer NOT NULL)", // without a key: a write that comes twice is seen
		"INSERT INTO account VALUES " + strings.Join(rows, ", "),
	} {
		if _, err := pool.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// idle checks that no connection was left in use: all of them are to be had.
func idle(t *testing.T, db *tldwdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, pool := range []*sqlx.DB{db.Pool(), db.Reader()} {
		var held []*sql.Conn
		for range pool.Stats().MaxOpenConnections {
			conn, err := pool.Conn(ctx)
			if err != nil {
				t.Errorf("the pool gave %d connections, and then: %v", len(held), err)
				break
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
