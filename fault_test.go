package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb/internal/testdb"
)

// errDead is what a program sees of its connections when it has died: nothing
// that it tries afterwards has an effect.
var errDead = errors.New("test: this program is dead")

// fault counts the requests to a database (packets that are sent, or calls to
// SQLite) and does something at the n-th: dies, before the request or after it
// took effect, or calls back.
type fault struct {
	mu    sync.Mutex
	count int
	at    int    // the request at which it happens; 0: never
	match string // instead of at: the first request that holds this text
	after bool   // the request still takes effect, its answer is lost
	call  func() // called instead of dying
	dead  bool
	conns []net.Conn

	beforeDial func(context.Context) error // may hold a dial up, or fail it; may be nil
}

// request is told of every request. It reports whether the program has died
// before it, or dies when it has taken effect.
func (f *fault) request(text string) (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return true, false
	}
	f.count++
	if f.match != "" && f.at == 0 && strings.Contains(text, f.match) {
		f.at = f.count
	}
	if f.count != f.at {
		return false, false
	}
	if f.call != nil {
		f.call()
		return false, false
	}
	f.dead = !f.after
	return f.dead, f.after
}

func (f *fault) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	for _, c := range f.conns {
		_ = c.Close() // as the system does for a dead process
	}
}

func (f *fault) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// arm begins to count.
func (f *fault) arm(at int, after bool, call func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.at, f.after, f.call = 0, at, after, call
}

// wire is a network connection with a fault in it.
type wire struct {
	net.Conn
	f     *fault
	dying bool
}

func (w *wire) Write(p []byte) (int, error) {
	before, after := w.f.request(string(p))
	if before {
		w.f.die()
		return 0, errDead
	}
	w.dying = w.dying || after
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.dying { // the answer shows that the request has taken effect
		w.f.die()
		return 0, errDead
	}
	return n, err
}

func (f *fault) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.beforeDial != nil {
		if err := f.beforeDial(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, errDead
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	f.conns = append(f.conns, c)
	return &wire{Conn: c, f: f}, nil
}

// pool opens the database with faults in its connections.
func (f *fault) pool(t *testing.T, tdb *testdb.Database) *sqlx.DB {
	t.Helper()
	var pool *sqlx.DB
	switch tdb.Engine {
	case testdb.SQLite:
		dsn := "file:" + tdb.Path() + "?_foreign_keys=on&_busy_timeout=5000&_journal_mode=WAL"
		pool = sqlx.NewDb(sql.OpenDB(&sqliteFault{dsn: dsn, f: f}), "sqlite3")
	case testdb.Postgres:
		cfg, err := pgx.ParseConfig(tdb.URL)
		if err != nil {
			t.Fatal(err)
		}
		cfg.DialFunc = f.dial
		pool = sqlx.NewDb(stdlib.OpenDB(*cfg), "pgx")
	default:
		cfg := mysqlSettings(t, tdb)
		cfg.DialFunc = f.dial
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		pool = sqlx.NewDb(sql.OpenDB(connector), "mysql")
	}
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() }) // connections of the dead have errors to tell
	return pool
}

func mysqlSettings(t *testing.T, tdb *testdb.Database) *mysql.Config {
	t.Helper()
	u, err := url.Parse(tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	cfg.Logger = &mysql.NopLogger{}
	return cfg
}

// sqliteFault opens SQLite connections with faults in them.
type sqliteFault struct {
	dsn string
	f   *fault
}

func (s *sqliteFault) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func (s *sqliteFault) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.Driver().Open(s.dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteFaultConn{sqliteConn: conn.(sqliteConn), f: s.f}, nil
}

// sqliteConn is what database/sql uses of the driver's connection. Named by its
// type it would not compile without cgo, where that type has no methods.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
}

type sqliteFaultConn struct {
	sqliteConn
	f *fault
}

func (c *sqliteFaultConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	before, after := c.f.request(query)
	if before {
		return nil, driver.ErrBadConn // database/sql closes it: SQLite rolls back
	}
	res, err := c.sqliteConn.ExecContext(ctx, query, args)
	if after {
		c.f.die()
		return nil, driver.ErrBadConn
	}
	return res, err
}

func (c *sqliteFaultConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	before, after := c.f.request(query)
	if before {
		return nil, driver.ErrBadConn
	}
	if after {
		c.f.die()
		return nil, driver.ErrBadConn
	}
	return c.sqliteConn.QueryContext(ctx, query, args)
}
