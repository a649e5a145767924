package faultdb_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// connect makes one connection through a URL.
func connect(t *testing.T, e testdb.Engine, rawURL string) (*sql.Conn, error) {
	t.Helper()
	var pool *sql.DB
	if e == testdb.Postgres {
		cfg, err := pgx.ParseConfig(rawURL)
		if err != nil {
			t.Fatal("pgx refuses the URL")
		}
		cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		pool = stdlib.OpenDB(*cfg)
	} else {
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal("the URL cannot be parsed")
		}
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User, cfg.DBName, cfg.Logger = "tcp", u.Host, u.User.Username(), u.Path[1:], &mysql.NopLogger{}
		cfg.Passwd, _ = u.User.Password()
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal("the MySQL driver refuses the URL")
		}
		pool = sql.OpenDB(connector)
	}
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() }) // its connections are broken on purpose
	return pool.Conn(t.Context())
}

func forEach(t *testing.T, f func(t *testing.T, db *testdb.Database)) {
	t.Helper()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, testdb.New(t, e))
		})
	}
}

// insert is the program of these tests: what it sends last is one statement.
func insert(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, "INSERT INTO t VALUES (1)")
	return err
}

// The same program sends the same messages, and a fault at each of them happens there: the statement
// has had its effect or not, as the kind says.
func TestKinds(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *testdb.Database) {
		admin := db.AdminDB(t)
		if _, err := admin.ExecContext(t.Context(), "CREATE TABLE t (i int)"); err != nil {
			t.Fatal(err)
		}
		rows := func() (n int) {
			t.Helper()
			if err := admin.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		counts := func(f faultdb.Fault) (client, server int) {
			proxy, through := faultdb.Through(t, db.URL, f)
			c, err := connect(t, db.Engine, through)
			if err != nil {
				t.Fatal(err)
			}
			if err := insert(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			return proxy.Messages()
		}
		client, server := counts(faultdb.Fault{})
		if again, and := counts(faultdb.Fault{At: client, Kind: faultdb.Delay, For: time.Millisecond}); again != client || and != server || client < 2 || server < 2 {
			t.Fatalf("%d and %d messages, then %d and %d", client, server, again, and)
		}
		for _, c := range []struct {
			name   string
			fault  faultdb.Fault
			effect bool
		}{
			{"reset", faultdb.Fault{At: client, Kind: faultdb.Reset}, false},
			{"close", faultdb.Fault{At: client, Kind: faultdb.Close}, false},
			// For all: pgx cancels by another connection what it got no answer to, and may be in time.
			{"heard", faultdb.Fault{At: client, Kind: faultdb.Heard, All: true}, true},
			{"answer lost", faultdb.Fault{From: faultdb.Server, At: server, Kind: faultdb.Reset}, true},
			{"silent answer", faultdb.Fault{From: faultdb.Server, At: server, Kind: faultdb.Silence}, true},
			{"silence", faultdb.Fault{At: client, Kind: faultdb.Silence}, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := rows()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var called atomic.Int32
				c.fault.Call = func() { called.Add(1) }
				if c.fault.Kind == faultdb.Silence {
					c.fault.Call = func() { called.Add(1); cancel() }
				}
				proxy, through := faultdb.Through(t, db.URL, c.fault)
				conn, err := connect(t, db.Engine, through)
				if err != nil {
					t.Fatal(err)
				}
				if err := insert(ctx, conn); err == nil || c.fault.Kind == faultdb.Silence && !errors.Is(err, context.Canceled) {
					t.Errorf("the client heard of nothing: %v", err)
				}
				if !proxy.Happened() || called.Load() != 1 {
					t.Errorf("happened %v, called %d times", proxy.Happened(), called.Load())
				}
				want := before
				if c.effect {
					want++
				}
				for got := before - 1; got != want; got = rows() { // a statement that was only heard may still run
					if got > want || t.Context().Err() != nil {
						t.Fatalf("%d rows, want %d", got, want)
					}
				}
			})
		}
	})
}

// A fault for all ends the other connections too, and lets none in after it.
func TestAll(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *testdb.Database) {
		proxy, through := faultdb.Through(t, db.URL, faultdb.Fault{})
		if _, err := connect(t, db.Engine, through); err != nil {
			t.Fatal(err)
		}
		login, _ := proxy.Messages()
		for _, kind := range []faultdb.Kind{faultdb.Reset, faultdb.Silence} {
			ctx, cancel := context.WithCancel(t.Context())
			_, through = faultdb.Through(t, db.URL, faultdb.Fault{At: 2*login + 1, Kind: kind, All: true, Call: cancel})
			first, err := connect(t, db.Engine, through)
			if err != nil {
				t.Fatal(err)
			}
			second, err := connect(t, db.Engine, through)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []*sql.Conn{first, second} {
				if err := insert(ctx, c); err == nil {
					t.Error("a connection is left")
				}
			}
			if kind == faultdb.Reset {
				if _, err := connect(t, db.Engine, through); err == nil {
					t.Error("a new connection was let in")
				}
			}
		}
	})
}
