package tldwdbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
)

// TB is the part of [testing.TB] that this package needs, so that other test
// frameworks can offer it. Fatalf and Skipf do not return.
type TB interface {
	Helper()
	Name() string
	// Context ends before the functions of Cleanup are called.
	Context() context.Context
	// Cleanup registers a function that runs when the test is over, the last
	// registered first.
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// housekeeping bounds what is done to a server after a test, whose context has
// ended by then.
const housekeeping = time.Minute

// New gives the test a database of its own: migrated, set up, and closed and
// dropped when the test has passed. After a failed test, or when TLDWDBTEST_KEEP is
// set, it is kept for a day, and the log says how to connect to it.
//
// Which engine it is says [Config]. Where that engine is not to be had the test is
// skipped; it fails instead when CI is set and Config.Engine or Config.URL asked for
// the engine, or when TLDWDB_TEST_REQUIRE lists it. All other trouble ends the test with Fatalf.
//
// The database has migrations applied as [tldwdb.DB.Up] would leave them, so that
// calling Up again finds nothing to do. It may be used by several goroutines, and
// tests with databases of their own may run in parallel.
func New(tb TB, cfg Config) *tldwdb.DB {
	tb.Helper()
	return newOn(tb, cfg, cfg.Engine, cfg.Engine != "" || cfg.URL != "")
}

// ForEach runs f as a parallel subtest on each engine of Config.Engines, or on every
// engine when that is empty, each with a database as [New] gives one. The subtest is
// named after the engine.
//
// An engine that is not to be had is skipped, and the log says which variable names
// its server. With CI set that is a failure for the engines in Config.Engines.
// TLDWDB_TEST_ENGINES, a list with commas, leaves out the engines that it does not have.
func ForEach(t *testing.T, cfg Config, f func(t *testing.T, db *tldwdb.DB)) {
	t.Helper()
	engines := cfg.Engines
	if len(engines) == 0 {
		engines = Engines()
	}
	for _, e := range engines {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, newOn(t, cfg, e, len(cfg.Engines) > 0))
		})
	}
}

// Main runs the tests of a package and ends the process, for a TestMain. Nobody needs
// it, but it is there to drop what is left after the last test: many parallel tests on MySQL and
// MariaDB hand on all of their databases then, and not only the few that stay. What this
// package shares between tests is closed before the process ends.
func Main(m *testing.M) {
	keepsSpare.Store(true)
	code := m.Run()
	if err := closeServers(); err != nil {
		fmt.Fprintf(os.Stderr, "tldwdbtest: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// newOn is New on an engine; asked says that the test wants no other.
func newOn(tb TB, cfg Config, e Engine, asked bool) *tldwdb.DB {
	tb.Helper()
	at, err := cfg.target(os.Getenv, e)
	if missing, ok := errors.AsType[*missingError](err); ok {
		if required(os.Getenv, missing.engine, asked) {
			tb.Fatalf("tldwdbtest: %v", missing)
		}
		tb.Skipf("tldwdbtest: skipped: %v", missing)
	}
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	db, p, err := open(tb.Context(), tb, cfg, at)
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	places.Store(db, p)
	tb.Cleanup(func() { finish(tb, db, p) })
	return db
}

// places knows where the databases of running tests are: from *tldwdb.DB to *place.
var places sync.Map

// placeOf refuses what this package did not make: [Clean] on a service's database
// would be the end of its rows.
func placeOf(tb TB, db *tldwdb.DB) *place {
	tb.Helper()
	p, ok := places.Load(db)
	if !ok {
		tb.Fatalf("tldwdbtest: the database is not one that New made for a test that still runs")
	}
	return p.(*place)
}

// place is where one test's database is.
type place struct {
	config tldwdb.Config // that the database is opened with
	name   string        // for messages

	fill    func(context.Context, *tldwdb.DB) error // called with the open database; nil: it is full already
	restore func(context.Context, *tldwdb.DB) error // makes it what it was at first
	drop    func(context.Context) error
	keep    func(ctx context.Context, test string) (show, tool string, err error) // nil: it cannot be kept
	release func()                                                                // gives back what limits the number of databases
}

// finish closes the database, and drops or keeps it.
func finish(tb TB, db *tldwdb.DB, p *place) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), housekeeping)
	defer cancel()
	defer p.release()
	places.Delete(db)
	if err := db.Close(); err != nil {
		tb.Errorf("tldwdbtest: closing %s: %v", p.name, err)
	}
	if keep := os.Getenv("TLDWDBTEST_KEEP"); p.keep != nil && (tb.Failed() || keep != "" && keep != "0") {
		show, tool, err := p.keep(ctx, tb.Name())
		if err != nil {
			tb.Errorf("tldwdbtest: keeping %s: %v", p.name, err)
			return
		}
		tb.Logf("tldwdbtest: the database is kept for a day: %s\n\t%s", show, tool)
		return
	}
	if err := p.drop(ctx); err != nil {
		tb.Errorf("tldwdbtest: dropping %s: %v", p.name, err)
	}
}

// open makes a database and opens it.
func open(ctx context.Context, tb TB, cfg Config, at target) (_ *tldwdb.DB, _ *place, err error) {
	h, err := houseOf(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	return openIn(ctx, h, tb, cfg, at)
}

func openIn(ctx context.Context, h house, tb TB, cfg Config, at target) (_ *tldwdb.DB, _ *place, err error) {
	tpl, err := h.template(cfg, at)
	if err != nil {
		return nil, nil, err
	}
	for again := range 3 {
		good, err := tpl.ready(ctx, h)
		if err != nil {
			return nil, nil, fmt.Errorf("making the template of %s: %w", at.engine, err)
		}
		p, err := h.clone(ctx, tpl, tb)
		if errors.Is(err, errNoTemplate) {
			tpl.forget()
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		db, err := p.open(ctx)
		if err == nil && !good {
			// Somebody else made the template, perhaps with another version of this code.
			if err = db.Check(ctx); err != nil {
				if err = errors.Join(db.Close(), p.undo(ctx), h.drop(ctx, tpl)); err != nil || again == 2 {
					return nil, nil, errors.Join(errors.New("the template is not what the migrations make, and stays so"), err)
				}
				tpl.forget()
				continue
			}
			tpl.trust()
		}
		if err != nil {
			return nil, nil, errors.Join(err, p.undo(ctx))
		}
		return db, p, nil
	}
	return nil, nil, errNoTemplate
}

func (p *place) open(ctx context.Context) (*tldwdb.DB, error) {
	db, err := tldwdb.Open(ctx, p.config)
	if err == nil && p.fill != nil {
		if err = p.fill(ctx, db); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return db, err
}

// undo drops what no test was given.
func (p *place) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
	defer cancel()
	defer p.release()
	return p.drop(ctx)
}

// plainName makes a test's name one that file systems and people like.
func plainName(test string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, test)
	return clean[:min(len(clean), 40)]
}
