package tldwdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// ErrPoolTimeout is the kind of a [PoolTimeoutError].
var ErrPoolTimeout = errors.New("no connection was to be had from the pool in time")

// PoolTimeoutError says that [DB.Acquire] waited as long as Config.PoolTimeout
// allows, and shows the pool as it was then.
type PoolTimeoutError struct {
	Stats  sql.DBStats   // the pool's figures at the end of the wait
	Waited time.Duration // how long the wait was
	Err    error         // what ended it
}

// Error gives the figures in words.
func (e *PoolTimeoutError) Error() string {
	s := e.Stats
	text := fmt.Sprintf("no connection within %v: %d of at most %d are open, %d in use, %d idle; %d calls have waited before, %v in all",
		e.Waited.Round(time.Millisecond), s.OpenConnections, s.MaxOpenConnections, s.InUse, s.Idle, s.WaitCount, s.WaitDuration.Round(time.Millisecond))
	if !e.full() {
		return text + "; the server did not accept a new one: " + e.Err.Error()
	}
	return text
}

// full reports whether the pool had given out all that it may.
func (e *PoolTimeoutError) full() bool {
	return e.Stats.MaxOpenConnections > 0 && e.Stats.InUse >= e.Stats.MaxOpenConnections
}

// Is makes [errors.Is] find [ErrPoolTimeout].
func (e *PoolTimeoutError) Is(target error) bool { return target == ErrPoolTimeout }

// Unwrap returns what ended the wait.
func (e *PoolTimeoutError) Unwrap() error { return e.Err }

// errNoSideConnection means that a connection outside the pool cannot be made:
// a borrowed pool came without a URL, or the database lives in the memory of
// the pool's only connection.
var errNoSideConnection = errors.New("no connection outside the pool can be made")

// DB is an open database with its migrations. It is safe for use by several
// goroutines at once.
type DB struct {
	*core
	cfg         Config    // normalized
	dialectName string    // [dialect.NameSQLite] and so on
	native      bool      // connections are of the driver that package dialect imports, not wrapped
	url         dburl.URL // zero if a borrowed pool came without one
	migrateURL  dburl.URL // where migrations run; zero: url
	pool        *sqlx.DB
	reader      *sqlx.DB // pool, except for SQLite files
	owned       []*sqlx.DB
	file        openFile // of SQLite

	login, migrateLogin *dialect.Credentials // of the road to the database, and of that for migrations
	monitorLogin        *dialect.Credentials // of that for health probes
	secrets             *secretWatch         // nil where there is nothing to watch
	retirements         []*retirement        // of the pools, for when their log-in changes
	certificates        dialect.Certificates // of the newest connection with TLS, of whichever pool
	close               func() error         // closes what is owned, once
	prober              *prober
	watch               *watch // nil without observers
	queries             *queryLog
}

// Open opens the database that cfg names: a pool, with one connection made to
// know that it works. It sends no statement and touches no schema; see
// [DB.Up] for that.
//
// While the server is not there yet, Open tries again, with growing pauses, for
// Config.ConnectWait or until ctx ends, and logs what it waits for. A refused
// password, an unknown database and everything else that waiting does not cure
// is returned at once. No error shows a password.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg, err := cfg.Effective()
	if err != nil {
		return nil, err
	}
	u, migrateURL, err := cfg.urls()
	if err != nil {
		return nil, err
	}
	if cfg.monitorURL, err = cfg.monitor(); err != nil {
		return nil, err
	}
	return openURL(ctx, cfg.hideURLs(), u, migrateURL)
}

// openURL is Open with a normalized configuration and URLs that have been read.
func openURL(ctx context.Context, cfg Config, u, migrateURL dburl.URL) (_ *DB, err error) {
	db := &DB{cfg: cfg, dialectName: u.Dialect, native: cfg.WrapConnector == nil, url: u, migrateURL: migrateURL, watch: newWatch(&cfg), queries: newQueryLog(&cfg, u.Dialect)}
	db.prober = newProber(db)
	if db.core, err = newCore(cfg, u.Dialect, db.native); err != nil {
		return nil, err
	}
	db.useLogins()
	db.logWarnings()
	if db.pool, err = db.newPool(u, dialect.ConnectOptions{}); err != nil {
		return nil, fmt.Errorf("open %s: %w", u, err)
	}
	db.reader = db.pool
	db.owned = []*sqlx.DB{db.pool}
	if u.Dialect == dburl.SQLite && !u.Memory {
		if db.reader, err = db.newPool(u, dialect.ConnectOptions{ReadOnlyPool: true}); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", u, err), db.pool.Close())
		}
		// Readers are closed first: the last connection to close tidies the WAL
		// away, which one that only reads cannot.
		db.owned = []*sqlx.DB{db.reader, db.pool}
	}
	db.close = sync.OnceValue(db.closeOwned)
	if err := db.connect(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if u.Dialect == dburl.SQLite && !u.Memory {
		db.file.opened(u.Path)
	}
	db.watchSecrets()
	db.opened()
	return db, nil
}

// Attach uses a pool that the program has already. The pool stays the
// program's: its settings are left alone and [DB.Close] does not close it.
//
// Which engine it is follows from sqlx's driver name or from the driver, also
// through wrappers that have a Raw or Unwrap method: pgx, lib/pq,
// go-sql-driver/mysql and mattn/go-sqlite3 are accepted. Config.URL need not be
// set; with it, the migration lock can be proved by a connection outside the
// pool. Attach sends no statement.
func Attach(ctx context.Context, pool *sqlx.DB, cfg Config) (*DB, error) {
	if pool == nil {
		return nil, errors.New("the pool is nil")
	}
	cfg, err := cfg.normalize()
	if err != nil {
		return nil, err
	}
	u, migrateURL, err := cfg.urls()
	if err != nil {
		return nil, err
	}
	if cfg.monitorURL, err = cfg.monitor(); err != nil {
		return nil, err
	}
	name, native, err := identify(ctx, pool)
	if err != nil {
		return nil, err
	}
	for _, other := range []dburl.URL{u, migrateURL, cfg.monitorURL} {
		if other.Dialect != "" && other.Dialect != name {
			return nil, fmt.Errorf("the pool is of %s, but %s is not", name, other)
		}
	}
	cfg = cfg.hideURLs()
	db := &DB{cfg: cfg, dialectName: name, native: native, url: u, migrateURL: migrateURL, pool: pool, reader: pool, watch: newWatch(&cfg)}
	if db.core, err = newCore(cfg, name, native); err != nil {
		return nil, err
	}
	db.prober = newProber(db)
	db.close = sync.OnceValue(db.closeOwned)
	db.useLogins()
	db.logWarnings()
	db.opened()
	return db, nil
}

// Close closes what Open has opened, and nothing that was given to [Attach]. It
// may be called more than once.
func (db *DB) Close() error { return db.close() }

func (db *DB) closeOwned() error {
	db.closing()
	errs := []error{db.prober.close()}
	db.secrets.end()
	for _, r := range db.retirements {
		r.stop()
	}
	for _, pool := range db.owned {
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}

// Pool is the pool for the application's statements. On SQLite its
// transactions are immediate: they take the write lock when they begin, so that
// they wait for each other instead of failing half-way.
func (db *DB) Pool() *sqlx.DB { return db.pool }

// Reader is a pool for statements that only read. For a SQLite file it is one of
// its own, whose connections refuse to write and whose transactions take no
// write lock; everywhere else it is [DB.Pool].
func (db *DB) Reader() *sqlx.DB { return db.reader }

// Acquire takes a connection out of the pool, waiting for one no longer than
// Config.PoolTimeout, which database/sql cannot do. Give it back with Close.
// ctx bounds the wait only: the connection outlives it.
//
// The error is a [PoolTimeoutError] when the pool was the reason, and the
// context's own when ctx ended first.
func (db *DB) Acquire(ctx context.Context) (*sqlx.Conn, error) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if db.cfg.PoolTimeout > 0 {
		wait, cancel = context.WithTimeout(ctx, db.cfg.PoolTimeout)
	}
	defer cancel()
	start := time.Now()
	conn, err := db.pool.Connx(wait)
	// A pool that is full hands on connections whose query was cancelled, and
	// database/sql gives up after three that turn out to be closed. There are no more
	// of them than connections: a server that breaks new ones is not asked for ever.
	for left := db.pool.Stats().MaxOpenConnections; left > 0 && errors.Is(err, driver.ErrBadConn) && wait.Err() == nil; left-- {
		conn, err = db.pool.Connx(wait)
	}
	if err == nil && wait.Err() != nil && closed(conn) {
		err = wait.Err()
	}
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() == nil && wait.Err() != nil:
		timeout := &PoolTimeoutError{Stats: db.pool.Stats(), Waited: time.Since(start), Err: err}
		db.watch.poolTimeout(timeout)
		return nil, timeout
	}
	return nil, err
}

// closed reports whether the driver has closed a connection, and gives that back. A
// driver that looks after its context while it connects, as MySQL's does, may close what
// it hands out in the instant in which the context ends.
func closed(conn *sqlx.Conn) bool {
	err := conn.Raw(func(c any) error {
		if v, ok := c.(driver.Validator); ok && !v.IsValid() {
			return driver.ErrBadConn
		}
		return nil
	})
	if err != nil {
		_ = conn.Close() // database/sql has thrown it away
	}
	return err != nil
}

// checkFile fails with [ErrFileReplaced] when the SQLite file under the pool is not
// the one that was opened.
func (db *DB) checkFile(ctx context.Context, conn *sqlx.Conn) error {
	if db.dialectName != dialect.NameSQLite {
		return nil
	}
	return db.file.check(ctx, db.dialect, conn)
}

// logWarnings tells what is odd about the configuration but no error.
func (db *DB) logWarnings() {
	log := db.cfg.Logger
	for _, w := range db.cfg.warnings {
		log.Warn(w)
	}
	for _, u := range []dburl.URL{db.url, db.migrateURL, db.cfg.monitorURL} {
		if db.cfg.Environment == Production && !u.IsLocal() && !dialect.NamesTLS(u) {
			log.Warn("the connection may be unencrypted: the URL says nothing about TLS (PostgreSQL: sslmode=verify-full, MySQL: tls=true)", "database", u)
		}
	}
	if v := dialect.SQLiteVersion(); db.dialectName == dburl.SQLite && db.native && dialect.SQLiteHasWALFault(v) {
		log.Warn("this SQLite library can corrupt a database when its write-ahead log is reset at the wrong instant; 3.51.3 has the fix", "version", v)
	}
}

// connectOptions fills in the fields of o that follow from the configuration.
func (db *DB) connectOptions(u dburl.URL, o dialect.ConnectOptions) dialect.ConnectOptions {
	switch {
	case o.Migration:
		o.Credentials = db.migrateLogin
	case u.User == db.url.User && u.SameDatabase(db.url):
		o.Credentials = db.login
	}
	o.Application = db.cfg.Application
	o.ConnectTimeout = db.cfg.ConnectTimeout
	o.ReconnectWait = max(0, db.cfg.ReconnectWait)
	o.PrePing = !db.cfg.DisablePrePing
	o.Pooled = db.cfg.Pooler
	o.BusyTimeout = db.cfg.BusyTimeout
	o.Certificates = &db.certificates
	o.Logger = db.cfg.Logger
	return o
}

// newPool makes a pool without connecting.
func (db *DB) newPool(u dburl.URL, o dialect.ConnectOptions) (*sqlx.DB, error) {
	cfg := db.cfg
	o = db.connectOptions(u, o)
	connector, err := dialect.Connector(u, o)
	if err != nil {
		return nil, err
	}
	connector = db.watch.connector(connector, poolName(o))
	if !o.Migration {
		connector = db.tap(connector, poolName(o))
		if cfg.WrapConnector != nil {
			if connector = cfg.WrapConnector(connector); connector == nil {
				return nil, errors.New("Config.WrapConnector returned nil")
			}
		}
	}
	pool := sqlx.NewDb(sql.OpenDB(connector), map[string]string{
		dburl.SQLite: "sqlite3", dburl.Postgres: "pgx", dburl.MySQL: "mysql",
	}[u.Dialect])
	switch {
	case u.Memory:
		// The database is the connection: a second one would be another database,
		// and closing the only one would be losing it.
		limitPool(pool, 1, 0, 0)
	case o.Migration:
		limitPool(pool, 1, 0, 0)
	default:
		lifetime := jitter(max(0, cfg.PoolRecycle), 0.1)
		limitPool(pool, cfg.PoolSize, lifetime, max(0, cfg.PoolIdleTime))
		if o.Credentials != nil {
			db.retirements = append(db.retirements, newRetirement(pool, o.Credentials, lifetime, db.log))
		}
	}
	return pool, nil
}

// limitPool keeps as many connections idle as there may be: database/sql's
// own default of 2 reconnects all the time under load.
func limitPool(pool *sqlx.DB, size int, lifetime, idle time.Duration) {
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxLifetime(lifetime)
	pool.SetConnMaxIdleTime(idle)
}

// jitter changes d by up to a share of it, up or down.
func jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 - share + 2*share*rand.Float64()))
}

// The pauses between attempts to connect, and how often the wait is logged
// after the first time.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	logEvery     = 10 * time.Second
)

// connect makes the pool's first connection, and waits for the server if it is
// not there yet. Conn, unlike Ping, sends nothing.
func (db *DB) connect(ctx context.Context) error {
	log := db.cfg.Logger.With("database", db.url)
	start := time.Now()
	attempt := ctx
	if db.cfg.ConnectWait > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, db.cfg.ConnectWait)
		defer cancel()
	}
	var logged time.Time
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		conn, err := db.pool.Conn(attempt)
		if err == nil {
			if !logged.IsZero() {
				log.Info("the database server is there", "waited", time.Since(start).Round(time.Millisecond))
			}
			return errors.Join(db.lookInside(conn), conn.Close())
		}
		waited := time.Since(start)
		if ctx.Err() != nil || !dialect.Unreachable(err) || db.cfg.ConnectWait < 0 {
			return db.advise(fmt.Errorf("connect to %s: %w", db.url, err))
		}
		left := db.cfg.ConnectWait - waited
		if left <= 0 {
			return fmt.Errorf("connect to %s: not there after %v (Config.ConnectWait): %w", db.url, waited.Round(time.Second), err)
		}
		if logged.IsZero() || time.Since(logged) >= logEvery {
			logged = time.Now()
			log.Warn("waiting for the database server", "error", err, "waited", waited.Round(time.Millisecond), "limit", db.cfg.ConnectWait)
		}
		timer := time.NewTimer(min(jitter(pause, 0.5), left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("connect to %s: %w while waiting for the server: %w", db.url, context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}

// lookInside finds out whether what Config.WrapConnector wraps is seen through: a
// boot then costs no more than without it.
func (db *DB) lookInside(conn *sql.Conn) error {
	if db.cfg.WrapConnector == nil {
		return nil
	}
	err := conn.Raw(func(raw any) error {
		var name string
		if name, db.native = knownDriver(raw); name == "" {
			return fmt.Errorf("Config.WrapConnector: its connections (%T) need a method Raw or Unwrap that returns the driver.Conn that they wrap", raw)
		}
		return nil
	})
	if err == nil && db.native {
		db.dialect, err = dialect.New(db.dialectName, true)
	}
	return err
}

// openSide makes one connection outside the pool, by MigrateURL if there is
// one, for running migrations or for proving the lock. It is connected when it
// returns; the caller closes it. It fails with errNoSideConnection where there
// is no way to make one.
func (db *DB) openSide(ctx context.Context) (*sqlx.DB, error) {
	u := db.migrateURL
	if u.Dialect == "" {
		u = db.url
	}
	if u.Dialect == "" || u.Memory {
		return nil, errNoSideConnection
	}
	side, err := db.newPool(u, dialect.ConnectOptions{Migration: true})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u, err)
	}
	return db.connected(ctx, u, side)
}

// openMonitor is openSide for the account of MonitorURL, which has to be set.
func (db *DB) openMonitor(ctx context.Context) (*sqlx.DB, error) {
	u := db.cfg.monitorURL
	connector, err := dialect.Connector(u, db.monitorOptions(u))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u, err)
	}
	side := sqlx.NewDb(sql.OpenDB(connector), db.pool.DriverName())
	limitPool(side, 1, 0, 0)
	return db.connected(ctx, u, side)
}

// monitorOptions are those of a connection for health probes.
func (db *DB) monitorOptions(u dburl.URL) dialect.ConnectOptions {
	o := db.connectOptions(u, dialect.ConnectOptions{})
	if db.cfg.monitorURL.Dialect != "" {
		o.Credentials = db.monitorLogin
	}
	return o
}

// connected makes the first connection of a pool, or closes it.
func (db *DB) connected(ctx context.Context, u dburl.URL, side *sqlx.DB) (*sqlx.DB, error) {
	conn, err := side.Conn(ctx)
	if err == nil {
		err = conn.Close()
	}
	if err != nil {
		return nil, errors.Join(db.advise(fmt.Errorf("connect to %s: %w", u, err)), side.Close())
	}
	return side, nil
}

// advise adds to the error of a connection what to do about it.
func (db *DB) advise(err error) error {
	if hint := db.dialect.Hint(err); hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// drivers are the Go packages whose pools Attach takes, and what they speak.
// The driver's package is known without importing it.
var drivers = []struct {
	pkg, dialect string
	native       bool // the driver that package dialect imports
}{
	{"github.com/jackc/pgx/v5/stdlib", dburl.Postgres, true},
	{"github.com/jackc/pgx/", dburl.Postgres, false},
	{"github.com/lib/pq", dburl.Postgres, false},
	{"github.com/go-sql-driver/mysql", dburl.MySQL, true},
	{"github.com/mattn/go-sqlite3", dburl.SQLite, true},
}

// identify finds out what a pool speaks, and whether it hands out connections of
// the driver that package dialect knows, whose own API can then be used. Only a
// wrapped driver costs a connection.
func identify(ctx context.Context, pool *sqlx.DB) (name string, native bool, err error) {
	if name, native = knownDriver(pool.Driver()); name != "" {
		return name, native, nil
	}
	// Some wrapper. Its connections may show what is inside.
	conn, err := pool.Conn(ctx)
	if err == nil {
		err = conn.Raw(func(raw any) error {
			name, _ = knownDriver(raw)
			return nil
		})
		err = errors.Join(err, conn.Close())
	}
	if name != "" && err == nil {
		return name, false, nil
	}
	switch pool.DriverName() {
	case "pgx", "pgx/v5", "postgres":
		return dburl.Postgres, false, nil
	case "mysql":
		return dburl.MySQL, false, nil
	case "sqlite3":
		return dburl.SQLite, false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("find out the driver of the pool: %w", err)
	}
	return "", false, fmt.Errorf("the pool's driver %q (%T) is not known: accepted are pgx, postgres (lib/pq), mysql (go-sql-driver) and sqlite3 (mattn), "+
		"also wrapped if the wrapper's connections have a Raw or Unwrap method", pool.DriverName(), pool.Driver())
}

// transparent are the packages of wrappers that hand everything on as it is, the
// arguments of a driver's own types included.
var transparent = []string{"github.com/tldw/tldwdb/internal/sqltap", "github.com/XSAM/otelsql"}

// knownDriver looks at the package of a driver or of one of its connections,
// and then at what it wraps. Only what is not wrapped, or by what is transparent,
// is native.
func knownDriver(v any) (name string, native bool) {
	direct := true
	for range 8 { // wrappers of wrappers, but no circle
		t := reflect.TypeOf(v)
		if t == nil {
			break
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		for _, d := range drivers {
			if t.PkgPath() == d.pkg || strings.HasSuffix(d.pkg, "/") && strings.HasPrefix(t.PkgPath(), d.pkg) {
				return d.dialect, d.native && direct
			}
		}
		direct = direct && slices.Contains(transparent, t.PkgPath())
		switch w := v.(type) {
		case interface{ Raw() driver.Conn }:
			v = w.Raw()
		case interface{ Unwrap() driver.Conn }:
			v = w.Unwrap()
		case interface{ Unwrap() driver.Driver }:
			v = w.Unwrap()
		default:
			v = nil
		}
	}
	return "", false
}
