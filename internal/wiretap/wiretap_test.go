package wiretap_test

import (
	"context"
	"database/sql"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func TestPostgres(t *testing.T) {
	t.Parallel()
	proxy, conn := connectPostgres(t)
	ctx := t.Context()

	c := proxy.Counts()
	// Three turns with a SCRAM password, one where the server trusts the address.
	if c.Connections != 1 || len(c.PerConnection) != 1 || c.Startup < 1 || c.Startup > 3 || c.After != 0 {
		t.Fatalf("after connecting: %+v", c)
	}
	steps := []struct {
		name  string
		do    func() error
		trips int
		texts []string
	}{
		{"simple query", func() error {
			_, err := conn.PgConn().Exec(ctx, "SELECT 1; SELECT 2").ReadAll()
			return err
		}, 1, []string{"SELECT 1; SELECT 2"}},
		{"one large query", func() error {
			_, err := conn.PgConn().Exec(ctx, "SELECT '"+strings.Repeat("x", 1<<20)+"'").ReadAll()
			return err
		}, 1, nil},
		{"extended query without a name", func() error {
			_, err := conn.Exec(ctx, "SELECT $1::int", pgx.QueryExecModeExec, 1)
			return err
		}, 1, []string{"SELECT $1::int"}},
		{"prepare, then run", func() error {
			_, err := conn.Exec(ctx, "SELECT $1::text", "a")
			return err
		}, 2, []string{"SELECT $1::text"}},
		{"run again", func() error {
			_, err := conn.Exec(ctx, "SELECT $1::text", "b")
			return err
		}, 1, nil},
		{"batch of 6 MB, answered while it is sent", func() error {
			batch := &pgx.Batch{}
			for range 300 {
				batch.Queue("SELECT $1::text", strings.Repeat("y", 20_000))
			}
			return conn.SendBatch(ctx, batch).Close()
		}, 1, nil},
		{"copy", func() error {
			_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("1\n2\n"), "COPY pg_temp.copied FROM STDIN")
			return err
		}, 1, []string{"COPY pg_temp.copied FROM STDIN"}},
	}
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE copied (a int)"); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		proxy.Reset()
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		c := proxy.Counts()
		if c.After != s.trips || c.Startup != 0 || c.Connections != 0 {
			t.Errorf("%s: %+v, want %d round trips", s.name, c, s.trips)
		}
		if got := proxy.Statements(); s.texts != nil && !slices.Equal(got, s.texts) {
			t.Errorf("%s: statements %q, want %q", s.name, got, s.texts)
		}
	}

	proxy.Reset()
	if err := conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if c := proxy.Counts(); c.After != 0 {
		t.Errorf("a farewell is counted: %+v", c)
	}
}

func TestPostgresCancel(t *testing.T) {
	t.Parallel()
	proxy, conn := connectPostgres(t)
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := proxy.Counts(); c.Connections != 1 || c.Cancels != 1 || len(c.PerConnection) != 1 {
		t.Errorf("%+v", c)
	}
}

// A client that would like TLS is told that there is none, and counted all the same.
func TestPostgresPrefersTLS(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	proxy, through := wiretap.Through(t, strings.Replace(db.URL, "sslmode=disable", "sslmode=prefer", 1))
	conn, err := pgx.Connect(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if c := proxy.Counts(); c.Startup < 2 {
		t.Errorf("the request for TLS is a round trip of its own: %+v", c)
	}
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			proxy, conn := connectMySQL(t, e)
			ctx := t.Context()
			c := proxy.Counts()
			// One turn for a native password or a cached one, three for a first full SHA-2 exchange.
			if c.Connections != 1 || c.Startup < 1 || c.Startup > 3 {
				t.Fatalf("after connecting: %+v", c)
			}
			for _, s := range []struct {
				name    string
				queries []string
				trips   int
			}{
				{"text", []string{"SELECT 1"}, 1},
				{"large text", []string{"SELECT '" + strings.Repeat("x", 1<<20) + "'"}, 1},
				// The driver closes what it prepared without waiting: the query behind it on the same
				// connection makes sure that the proxy has seen that.
				{"prepare, run, close, then text", []string{"SELECT ?", "SELECT 2"}, 3},
			} {
				proxy.Reset()
				for _, q := range s.queries {
					var args []any
					if strings.Contains(q, "?") {
						args = append(args, 1)
					}
					if _, err := conn.ExecContext(ctx, q, args...); err != nil {
						t.Fatalf("%s: %v", s.name, err)
					}
				}
				if c := proxy.Counts(); c.After != s.trips || c.Startup != 0 {
					t.Errorf("%s: %+v, want %d round trips", s.name, c, s.trips)
				}
				if got := proxy.Statements(); !slices.Equal(got, s.queries) {
					t.Errorf("%s: %d statements", s.name, len(got))
				}
			}
		})
	}
}

// Neither a prepared statement's end nor a connection's is a round trip.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	for e, query := range map[testdb.Engine]string{testdb.Postgres: "SELECT $1::int", testdb.MariaDB: "SELECT ?", testdb.MySQL: "SELECT ?"} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			proxied := *db
			proxy, through := wiretap.Through(t, db.URL)
			proxied.URL = through
			for range 3 {
				pool := proxied.AdminDB(t)
				if _, err := pool.ExecContext(t.Context(), query, 1); err != nil {
					t.Error(err)
				}
				if err := pool.Close(); err != nil {
					t.Error(err)
				}
			}
			trips := 6
			if e == testdb.Postgres {
				trips = 3 // the simple protocol, with the argument in the text
			}
			c := proxy.Counts()
			if c.Connections != 3 || len(c.PerConnection) != 3 || c.After != trips {
				t.Errorf("%+v, want 3 connections and %d round trips", c, trips)
			}
		})
	}
}

func TestCutBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		for verdict, rows := range map[wiretap.Verdict]int{wiretap.CutBefore: 0, wiretap.CutAfter: 1} {
			t.Run(string(e)+map[wiretap.Verdict]string{wiretap.CutBefore: "/before", wiretap.CutAfter: "/after"}[verdict], func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t, e)
				direct := db.AdminDB(t)
				if _, err := direct.ExecContext(t.Context(), "CREATE TABLE a (id int)"); err != nil {
					t.Fatal(err)
				}
				proxied := *db
				proxy, through := wiretap.Through(t, db.URL)
				proxied.URL = through
				conn, err := proxied.AdminDB(t).Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }() // it was cut
				proxy.SetHook(func(turn wiretap.Turn) wiretap.Verdict {
					if strings.HasPrefix(turn.Statement, "INSERT") {
						return verdict
					}
					return wiretap.Pass
				})
				if _, err := conn.ExecContext(t.Context(), "INSERT INTO a VALUES (1)"); err == nil {
					t.Fatal("the client was answered")
				}
				var n int
				if err := direct.QueryRowContext(t.Context(), "SELECT count(*) FROM a").Scan(&n); err != nil || n != rows {
					t.Errorf("%d rows, want %d (%v)", n, rows, err)
				}
			})
		}
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	proxy, conn := connectPostgres(t)
	const latency = 20 * time.Millisecond
	proxy.SetLatency(latency)
	var turns atomic.Int32
	proxy.SetHook(func(wiretap.Turn) wiretap.Verdict { turns.Add(1); return wiretap.Pass })
	begin := time.Now()
	if _, err := conn.PgConn().Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Fatal(err)
	}
	// A lower bound holds on the slowest machine.
	if took := time.Since(begin); took < latency || turns.Load() != 1 {
		t.Errorf("%d turns in %v", turns.Load(), took)
	}
}

// TLS would make every figure wrong, so it must not pass in silence.
func TestMySQLWithTLSIsRefused(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.MySQL) // makes itself a certificate, which MariaDB learned later
	report := &reports{TB: t}
	proxy, _ := wiretap.Through(report, db.URL)
	cfg := configMySQL(t, db.URL)
	cfg.Addr, cfg.TLSConfig, cfg.Logger = proxy.Addr(), "skip-verify", &mysql.NopLogger{}
	if err := pingMySQL(t, cfg); err == nil {
		t.Fatal("connected")
	}
	report.close()
	if report.faults.Load() == 0 {
		t.Error("not reported")
	}
}

// reports counts what the proxy reports as errors, and closes the proxy when told to.
type reports struct {
	wiretap.TB
	faults  atomic.Int32
	cleanup func()
}

func (r *reports) Errorf(string, ...any) { r.faults.Add(1) }
func (r *reports) Cleanup(f func())      { r.cleanup = f; r.TB.Cleanup(f) }
func (r *reports) close()                { r.cleanup() }

func connectPostgres(t *testing.T) (*wiretap.Proxy, *pgx.Conn) {
	t.Helper()
	db := testdb.New(t, testdb.Postgres)
	proxy, through := wiretap.Through(t, db.URL)
	conn, err := pgx.Connect(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return proxy, conn
}

func connectMySQL(t *testing.T, e testdb.Engine) (*wiretap.Proxy, *sql.Conn) {
	t.Helper()
	db := testdb.New(t, e)
	proxied := *db
	proxy, through := wiretap.Through(t, db.URL)
	proxied.URL = through
	conn, err := proxied.AdminDB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy, conn
}

func configMySQL(t *testing.T, rawURL string) *mysql.Config {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the database's URL cannot be parsed")
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	return cfg
}

func pingMySQL(t *testing.T, cfg *mysql.Config) error {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	return pool.PingContext(t.Context())
}
