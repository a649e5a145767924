package tldwdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// connectServers are the variables that name real servers.
var connectServers = []string{"TLDWDB_TEST_POSTGRES_URL", "TLDWDB_TEST_MARIADB_URL", "TLDWDB_TEST_MYSQL_URL"}

func serverURL(t *testing.T, variable string) string {
	t.Helper()
	raw := os.Getenv(variable)
	if raw == "" {
		t.Skipf("%s is not set: no server to test against", variable)
	}
	return raw
}

// sqliteURL names a fresh file.
func sqliteURL(t *testing.T) string {
	t.Helper()
	return "sqlite:///" + filepath.ToSlash(filepath.Join(t.TempDir(), "x.db"))
}

// openDB opens a database and closes it after the test.
func openDB(t *testing.T, cfg Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// closing reports an error of Close.
func closing(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// logRecorder is a slog.Handler that keeps messages, and tells of each.
type logRecorder struct {
	mu       sync.Mutex
	messages []string
	notify   func(message string)
}

func (l *logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (l *logRecorder) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logRecorder) WithGroup(string) slog.Handler            { return l }

func (l *logRecorder) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.mu.Lock()
	l.messages = append(l.messages, text)
	l.mu.Unlock()
	if l.notify != nil {
		l.notify(r.Message)
	}
	return nil
}

func (l *logRecorder) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, m := range l.messages {
		if strings.Contains(m, part) {
			n++
		}
	}
	return n
}

// tap is a TCP proxy that keeps what clients send.
type tap struct {
	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	sent     []*[]byte // one for each connection
}

// newTap listens on address, "127.0.0.1:0" for any port, and forwards to the
// server that u names.
func newTap(t *testing.T, address string, u dburl.URL) *tap {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l}
	target := u.Endpoints[0].String()
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target) //nolint:noctx // ends with the listener
			if err != nil {
				_ = client.Close()
				continue
			}
			log := new([]byte)
			p.mu.Lock()
			p.sent = append(p.sent, log)
			p.mu.Unlock()
			p.wg.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
			p.wg.Go(func() {
				_, _ = io.Copy(server, io.TeeReader(client, writerFunc(func(b []byte) {
					p.mu.Lock()
					defer p.mu.Unlock()
					*log = append(*log, b...)
				})))
				_ = server.Close()
			})
		}
	})
	return p
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// stop ends the proxy; its clients must have gone.
func (p *tap) stop(t *testing.T) {
	t.Helper()
	closing(t, p.listener)
	p.wg.Wait()
}

// commands lists what one client asked the server to do after the log-in: the
// message types of PostgreSQL without passwords, the command bytes of MySQL.
func commands(t *testing.T, dialect string, sent []byte) []string {
	t.Helper()
	var list []string
	if dialect == dburl.Postgres {
		sent = sent[binary.BigEndian.Uint32(sent):] // the start-up message has no type
		for len(sent) > 4 {
			if sent[0] != 'p' {
				list = append(list, string(sent[0]))
			}
			sent = sent[1+binary.BigEndian.Uint32(sent[1:]):]
		}
		return list
	}
	for len(sent) > 4 {
		length := int(sent[0]) | int(sent[1])<<8 | int(sent[2])<<16
		if sent[3] == 0 { // a new exchange
			list = append(list, fmt.Sprintf("%#x", sent[4]))
		}
		sent = sent[4+length:]
	}
	return list
}

// through is the URL with another address.
func through(t *testing.T, raw string, l net.Listener) (string, dburl.URL) {
	t.Helper()
	u, err := dburl.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(raw, u.Endpoints[0].String(), l.Addr().String(), 1), u
}

// TestOpenCostsOneConnection looks at the wire: Open logs in, once, and asks
// for nothing.
func TestOpenCostsOneConnection(t *testing.T) {
	t.Parallel()
	for _, variable := range connectServers {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			raw := serverURL(t, variable)
			u, err := dburl.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			proxy := newTap(t, "127.0.0.1:0", u)
			raw, _ = through(t, raw, proxy.listener)
			db, err := Open(t.Context(), Config{URL: raw})
			if err != nil {
				t.Fatal(err)
			}
			// What follows must find the connection, and leave it in peace.
			conn, err := db.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			closing(t, conn)
			closing(t, db)
			proxy.stop(t)
			if len(proxy.sent) != 1 {
				t.Fatalf("%d connections were made", len(proxy.sent))
			}
			goodbye := map[string]string{dburl.Postgres: "X", dburl.MySQL: "0x1"}[u.Dialect]
			if got := commands(t, u.Dialect, *proxy.sent[0]); !slices.Equal(got, []string{goodbye}) {
				t.Errorf("the server was asked %q, want only the goodbye", got)
			}
		})
	}
}

// TestOpenWaitsForServer starts the server when Open says that it waits.
func TestOpenWaitsForServer(t *testing.T) {
	t.Parallel()
	for _, variable := range connectServers {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			raw := serverURL(t, variable)
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			raw, u := through(t, raw, l)
			closing(t, l) // nobody listens now
			var proxy *tap
			log := &logRecorder{}
			log.notify = func(message string) {
				if strings.HasPrefix(message, "waiting") && proxy == nil {
					proxy = newTap(t, l.Addr().String(), u)
				}
			}
			db, err := Open(t.Context(), Config{URL: raw, Logger: slog.New(log)})
			if err != nil {
				t.Fatal(err)
			}
			closing(t, db)
			if proxy == nil {
				t.Fatal("Open did not say that it waits")
			}
			proxy.stop(t)
			if log.count("WARN waiting for the database server") != 1 || log.count("INFO the database server is there") != 1 {
				t.Errorf("logged: %q", log.messages)
			}
		})
	}
}

func TestOpenGivesUp(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "mysql"} {
		url := scheme + "://u:hunter2@127.0.0.1:1/db"
		log := &logRecorder{}

		_, err := Open(t.Context(), Config{URL: url, ConnectWait: time.Millisecond, Logger: slog.New(log)})
		if err == nil || !strings.Contains(err.Error(), "Config.ConnectWait") || !strings.Contains(err.Error(), scheme+"://u:***@127.0.0.1:1/db") {
			t.Errorf("%s, after the wait: got %v", scheme, err)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("told to stop")
		log.notify = func(string) { cancel(cause) }
		_, err = Open(ctx, Config{URL: url, Logger: slog.New(log)})
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s, told to stop: got %v", scheme, err)
		}

		log.messages = nil
		if _, err = Open(t.Context(), Config{URL: url, ConnectWait: -1, Logger: slog.New(log)}); err == nil || len(log.messages) > 0 {
			t.Errorf("%s, one attempt: got %v, logged %q", scheme, err, log.messages)
		}
		if log.count("hunter2") > 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password shows: %v, %q", err, log.messages)
		}
	}
}

func TestOpenFailsAtOnce(t *testing.T) {
	t.Parallel()
	for _, variable := range connectServers {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			log := &logRecorder{}
			cfg := Config{URL: serverURL(t, variable), Logger: slog.New(log)}
			cfg.Password = func(context.Context) (string, error) { return "wrong", nil }
			if _, err := Open(t.Context(), cfg); err == nil || len(log.messages) > 0 {
				t.Errorf("got %v, logged %q; want an error and no wait", err, log.messages)
			}
		})
	}
}

func TestOpenRejects(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"production has no default":          {Environment: Production},
		"Config.URL: the URL has no scheme":  {URL: "hunter2"},
		"Config.URL: names no database":      {URL: "mysql://h"},
		"Config.MigrateURL":                  {URL: "sqlite://", MigrateURL: "postgres://u:hunter2@h:x/db"},
		"both must lead to the same":         {URL: "sqlite://", MigrateURL: "postgres://u:hunter2@h/db"},
		"Config.PoolSize is -1":              {URL: "sqlite://", PoolSize: -1},
		"/nowhere/x.db: the folder /nowhere": {URL: "sqlite:////nowhere/x.db"},
	} {
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOpenWarns(t *testing.T) {
	t.Parallel()
	const unencrypted = "may be unencrypted"
	for _, tt := range []struct {
		cfg  Config
		want int
	}{
		{Config{URL: "postgres://u:hunter2@db.invalid/db", Environment: Production}, 1},
		{Config{URL: "mysql://u:hunter2@db.invalid/db", Environment: Production}, 1},
		{Config{URL: "postgres://u@db.invalid/db?sslmode=require", Environment: Production}, 0},
		{Config{URL: "postgres://u@db.invalid/db"}, 0},
		{Config{URL: "postgres://u@127.0.0.1:1/db", Environment: Production}, 0},
		{Config{URL: "postgres://u@127.0.0.1:1/db", MigrateURL: "postgres://u@db.invalid/db", Environment: Production}, 1},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what is said before the first connection is enough
		log := &logRecorder{}
		tt.cfg.Logger = slog.New(log)
		tt.cfg.warnings = []string{"two names"}
		if _, err := Open(ctx, tt.cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: got %v", tt.cfg, err)
		}
		if log.count(unencrypted) != tt.want || log.count("two names") != 1 || log.count("hunter2") != 0 {
			t.Errorf("%v: logged %q", tt.cfg, log.messages)
		}
	}
}

func TestPoolLimits(t *testing.T) {
	t.Parallel()
	file := openDB(t, Config{URL: sqliteURL(t), PoolSize: 7})
	if got := file.Pool().Stats().MaxOpenConnections; got != 7 {
		t.Errorf("pool of %d, want 7", got)
	}
	if got := file.Pool().Stats().OpenConnections + file.Reader().Stats().OpenConnections; got != 1 {
		t.Errorf("Open left %d connections, want 1", got)
	}
	memory := openDB(t, Config{URL: "sqlite://", PoolSize: 7, PoolRecycle: time.Nanosecond, PoolIdleTime: time.Nanosecond})
	if memory.Reader() != memory.Pool() || memory.Pool().Stats().MaxOpenConnections != 1 {
		t.Error("a database in memory must have one connection for all")
	}
	// The database is lost with its connection.
	if _, err := memory.Pool().ExecContext(t.Context(), "CREATE TABLE kept (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Pool().ExecContext(t.Context(), "INSERT INTO kept VALUES (1)"); err != nil {
		t.Errorf("the connection was closed: %v", err)
	}
	for range 100 {
		if d := jitter(time.Hour, 0.1); d < 54*time.Minute || d > 66*time.Minute {
			t.Fatalf("an hour, give or take a tenth, became %v", d)
		}
	}
}

func TestConnectOptionsFollowConfig(t *testing.T) {
	t.Parallel()
	db := &DB{cfg: Config{DisablePrePing: true, Application: "app", ConnectTimeout: 1, BusyTimeout: 2}}
	off := db.connectOptions(dburl.URL{}, dialect.ConnectOptions{ReadOnlyPool: true})
	db.cfg.DisablePrePing = false
	on := db.connectOptions(dburl.URL{}, dialect.ConnectOptions{Migration: true})
	if off.PrePing || !on.PrePing || off.Application != "app" || off.ConnectTimeout != 1 || off.BusyTimeout != 2 || !off.ReadOnlyPool || !on.Migration {
		t.Errorf("got %+v and %+v", off, on)
	}
}

func TestReaderCannotWrite(t *testing.T) {
	t.Parallel()
	db := openDB(t, Config{URL: sqliteURL(t)})
	if _, err := db.Pool().ExecContext(t.Context(), "CREATE TABLE t (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Reader().GetContext(t.Context(), &n, "SELECT count(*) FROM t"); err != nil {
		t.Error(err)
	}
	if _, err := db.Reader().ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err == nil {
		t.Error("the reader wrote")
	}
}

func TestAcquireTimesOut(t *testing.T) {
	t.Parallel()
	db := openDB(t, Config{URL: "sqlite://", PoolTimeout: time.Millisecond})
	held, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Acquire(t.Context())
	timeout, ok := errors.AsType[*PoolTimeoutError](err)
	if !ok || !errors.Is(err, ErrPoolTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if timeout.Stats.InUse != 1 || timeout.Waited < time.Millisecond || !strings.Contains(err.Error(), "1 of at most 1 are open, 1 in use, 0 idle") {
		t.Errorf("the figures are wrong: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Acquire(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrPoolTimeout) {
		t.Errorf("with the caller's context ended: got %v", err)
	}
	closing(t, held)
	if held, err = db.Acquire(t.Context()); err != nil {
		t.Fatalf("after the connection was given back: %v", err)
	}
	// The limit is on the wait: the connection lives on.
	if _, err := held.ExecContext(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	closing(t, held)
}

// late connects to a database, and closes what it hands out when the context ends in that
// instant. Only the first connection is in time.
type late struct {
	driver.Connector
	first atomic.Bool
}

type lateConn struct{ driver.Conn }

func (lateConn) IsValid() bool { return false }

func (l *late) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := l.Connector.Connect(context.WithoutCancel(ctx))
	if err != nil || l.first.CompareAndSwap(false, true) {
		return c, err
	}
	<-ctx.Done()
	return lateConn{c}, nil
}

// TestAcquireTooLate: a connection that the driver closed when the time was over is not
// handed out.
func TestAcquireTooLate(t *testing.T) {
	t.Parallel()
	db := openDB(t, Config{URL: sqliteURL(t), PoolSize: 2, PoolTimeout: time.Millisecond, WrapConnector: func(c driver.Connector) driver.Connector { return &late{Connector: c} }})
	held, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := db.Acquire(t.Context()); !errors.Is(err, ErrPoolTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
		closing(t, conn)
	}
	db.cfg.PoolTimeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := db.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrPoolTimeout) {
		t.Errorf("with the caller's context ended: got %v", err)
	}
	closing(t, held)
	if n := db.Pool().Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: sqliteURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	closing(t, db)
	if err := db.Pool().PingContext(t.Context()); err == nil {
		t.Error("the pool is still open")
	}
	if err := db.Reader().PingContext(t.Context()); err == nil {
		t.Error("the readers' pool is still open")
	}
}

// wrapper is a connector of some other package around a driver.
type wrapper struct {
	inner driver.Driver
	wrap  func(driver.Conn) driver.Conn
}

func (w wrapper) Open(name string) (driver.Conn, error) {
	c, err := w.inner.Open(name)
	return w.wrap(c), err
}
func (w wrapper) Connect(context.Context) (driver.Conn, error) { return w.Open(":memory:") }
func (w wrapper) Driver() driver.Driver                        { return w }

// rawConn shows what it hides, as the connections of tracing wrappers do.
type rawConn struct{ driver.Conn }

func (c rawConn) Raw() driver.Conn { return c.Conn }

func TestAttach(t *testing.T) {
	t.Parallel()
	pgx, err := stdlib.GetDefaultDriver().(driver.DriverContext).OpenConnector("postgres://u@127.0.0.1:1/db")
	if err != nil {
		t.Fatal(err)
	}
	my, err := mysql.NewConnector(mysql.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	lite := &sqlite3.SQLiteDriver{}
	traced := wrapper{lite, func(c driver.Conn) driver.Conn { return rawConn{rawConn{c}} }}
	opaque := wrapper{lite, func(c driver.Conn) driver.Conn { return struct{ driver.Conn }{c} }}
	for _, tt := range []struct {
		connector driver.Connector
		name      string // sqlx's
		want      string
		native    bool
	}{
		{pgx, "pgx", dburl.Postgres, true},
		{pgx, "anything", dburl.Postgres, true},
		{my, "mysql", dburl.MySQL, true},
		{traced, "traced", dburl.SQLite, false},
		{opaque, "sqlite3", dburl.SQLite, false},
		{opaque, "opaque", "", false},
	} {
		pool := sqlx.NewDb(sql.OpenDB(tt.connector), tt.name)
		db, err := Attach(t.Context(), pool, Config{})
		switch {
		case tt.want == "":
			if err == nil || !strings.Contains(err.Error(), `"opaque" (tldwdb.wrapper) is not known: accepted are pgx`) {
				t.Errorf("%s: got %v", tt.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case db.dialectName != tt.want || db.native != tt.native || db.Pool() != pool || db.Reader() != pool:
			t.Errorf("%s: taken for %s, native %v", tt.name, db.dialectName, db.native)
		default:
			if _, err := db.openSide(t.Context()); !errors.Is(err, errNoSideConnection) {
				t.Errorf("%s: a side connection without a URL: %v", tt.name, err)
			}
			closing(t, db)
		}
		closing(t, pool)
	}
}

func TestAttachLeavesThePoolAlone(t *testing.T) {
	t.Parallel()
	raw, err := sql.Open("sqlite3", "file:attach?mode=memory")
	if err != nil {
		t.Fatal(err)
	}
	pool := sqlx.NewDb(raw, "sqlite3")
	pool.SetMaxOpenConns(3)
	db, err := Attach(t.Context(), pool, Config{PoolSize: 9})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	if err := pool.PingContext(t.Context()); err != nil || pool.Stats().MaxOpenConnections != 3 {
		t.Errorf("the borrowed pool was touched: %v, %d", err, pool.Stats().MaxOpenConnections)
	}
	if _, err := Attach(t.Context(), pool, Config{URL: "postgres://u:hunter2@h/db"}); err == nil || !strings.Contains(err.Error(), "the pool is of sqlite, but postgres://u:***@h/db is not") {
		t.Errorf("a URL of another engine: got %v", err)
	}
	if _, err := Attach(t.Context(), nil, Config{}); err == nil {
		t.Error("a nil pool was taken")
	}
	closing(t, pool)
}

func TestSideConnection(t *testing.T) {
	t.Parallel()
	memory := openDB(t, Config{URL: "sqlite://"})
	if _, err := memory.openSide(t.Context()); !errors.Is(err, errNoSideConnection) {
		t.Errorf("in memory: got %v", err)
	}
	for _, variable := range connectServers {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			raw := serverURL(t, variable)
			// MigrateURL has a password of its own: the callback is not for it.
			u, err := dburl.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			password, _ := u.Password()
			migrate := false
			db := openDB(t, Config{URL: raw, MigrateURL: raw, PoolSize: 1, Password: func(context.Context) (string, error) {
				if migrate {
					return "wrong", nil
				}
				return password, nil
			}})
			held, err := db.Acquire(t.Context()) // the pool is exhausted
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, held)
			migrate = true
			side, err := db.openSide(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, side)
			var one int
			if err := side.GetContext(t.Context(), &one, "SELECT 1"); err != nil || one != 1 {
				t.Error(err)
			}
			if got := side.Stats().MaxOpenConnections; got != 1 {
				t.Errorf("%d connections, want 1", got)
			}
		})
	}
}

// childVariable makes a re-executed test binary do one thing and report.
const childVariable = "TLDWDB_CONNECT_CHILD"

// TestConnectChild is not a test: it is what the processes of the tests below
// run.
func TestConnectChild(t *testing.T) {
	t.Parallel()
	url := os.Getenv(childVariable)
	if url == "" {
		t.Skip("only in a child process")
	}
	before := runtime.NumGoroutine()
	db, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Reader().ExecContext(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	// The pools' goroutines end on their own time after Close.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// child is a process that runs TestConnectChild. What it prints besides the
// test's own report is what Open printed.
func child(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestConnectChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), childVariable+"="+url)
	return cmd
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	urls := []string{sqliteURL(t), "sqlite://"}
	for _, variable := range connectServers[:2] {
		if raw := os.Getenv(variable); raw != "" && variable == "TLDWDB_TEST_POSTGRES_URL" {
			urls = append(urls, raw+"&search_path=pg_temp") // the child's table must not stay
		}
	}
	for _, url := range urls {
		out, err := child(t, url).CombinedOutput()
		if err != nil || string(out) != "PASS\n" {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestTwentyProcessesOpenOneFile has a fresh file that all want to switch to
// WAL, which SQLite refuses at once to all but one.
func TestTwentyProcessesOpenOneFile(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if out, err := child(t, url).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	db := openDB(t, Config{URL: url})
	var mode, check string
	if err := db.Pool().GetContext(t.Context(), &mode, "PRAGMA journal_mode"); err != nil || mode != "wal" {
		t.Errorf("journal mode %s, %v", mode, err)
	}
	if err := db.Pool().GetContext(t.Context(), &check, "PRAGMA integrity_check"); err != nil || check != "ok" {
		t.Errorf("integrity check: %s, %v", check, err)
	}
}

// TestNoLeaseOnSQLite: what cannot be had is refused at once, and not ignored.
func TestNoLeaseOnSQLite(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Config{URL: "sqlite:///" + filepath.Join(t.TempDir(), "a.db"), Lock: LockLease})
	if err == nil || !strings.Contains(err.Error(), "TLDWDB_LOCK") || !strings.Contains(err.Error(), "accepted") {
		t.Errorf("Open says %v", err)
	}
}
