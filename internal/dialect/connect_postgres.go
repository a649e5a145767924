package dialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb/internal/dburl"
)

// postgresConnector builds a connector of pgx. Nothing is executed on connect,
// and no setting of ours but application_name goes into the start-up packet:
// PgBouncer refuses a connection that brings one that it does not know.
func postgresConnector(u dburl.URL, o ConnectOptions) (driver.Connector, error) {
	cfg, err := postgresConfig(u, o)
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = counted(cfg.DialFunc)
	opts := []stdlib.OptionOpenDB{
		stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) error {
			if l, ok := loginOf(ctx); ok {
				if l.User != "" {
					c.User = l.User
				}
				if password, given := l.Password.Reveal(); given {
					c.Password = password
				}
			}
			return nil
		}),
		stdlib.OptionAfterConnect(func(_ context.Context, c *pgx.Conn) error {
			c.PgConn().CustomData()[connectedAt] = time.Now()
			return nil
		}),
		stdlib.OptionShouldPing(func(_ context.Context, p stdlib.ShouldPingParams) bool {
			// A server that shuts down says so and hangs up. A statement sent after that is
			// lost, and nobody may send it again who does not know what it does; so the
			// socket is looked at before use, and a round trip made only where there is
			// reason to, or after a while in which the other end may have vanished.
			if !o.PrePing {
				return false
			}
			unused := idle(p)
			return unused > pingAfter || unused > lookAfter && !silent(p.Conn.PgConn().Conn())
		}),
	}
	if _, chosen := u.Param("default_query_exec_mode"); chosen || cfg.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return stdlib.GetConnector(*cfg, opts...), nil
	}
	unprepared := cfg.Copy()
	// The types of parameters and results are asked for once and remembered here, so
	// that values go over the wire as they do with prepared statements.
	unprepared.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	pooled := stdlib.GetConnector(*unprepared, opts...)
	if o.Pooled {
		return pooled, nil
	}
	return &poolerConnector{Connector: stdlib.GetConnector(*cfg, opts...), pooled: pooled}, nil
}

// maxProcess is the largest number that a process can have on Linux; other systems
// stay far below.
const maxProcess = 1 << 22

// poolerConnector sees by the first connection whether a pooler is there, which
// costs nothing: the number that a server gives its client is that of a process,
// and a pooler's is any. Then it connects once more, and does not prepare
// statements on the server from then on: PgBouncer mixes them up before version
// 1.21 ("prepared statement already exists").
type poolerConnector struct {
	driver.Connector
	pooled driver.Connector
	seen   atomic.Bool
}

// Connect opens a connection.
func (c *poolerConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.seen.Load() {
		return c.pooled.Connect(ctx)
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	native, ok := conn.(*stdlib.Conn)
	if !ok || native.Conn().PgConn().PID() <= maxProcess {
		return conn, nil
	}
	c.seen.Store(true)
	_ = conn.Close() // nothing was done with it
	return c.pooled.Connect(ctx)
}

// pingAfter is how long a connection may lie unused before it is tested.
const pingAfter = time.Second

// lookAfter is how long a connection may lie unused before its socket is looked at:
// in a pool that is busy without a pause the look would cost some percent of the
// smallest query, and find nothing.
const lookAfter = 5 * time.Millisecond

// connectedAt is the key in a connection's custom data for the time of its
// making.
const connectedAt = "tldwdb.connected"

// idle is how long a connection has not been used. pgx counts from the last
// time that it was taken out of the pool, which for a new one never was: it
// would be tested at its first use, and a boot with nothing to do would cost two
// round trips instead of one.
func idle(p stdlib.ShouldPingParams) time.Duration {
	if made, ok := p.Conn.PgConn().CustomData()[connectedAt].(time.Time); ok {
		return min(p.IdleDuration, time.Since(made))
	}
	return p.IdleDuration
}

// postgresConfig hands the URL to pgx without its secrets, which are set
// afterwards: what pgx never saw it cannot put into an error.
func postgresConfig(u dburl.URL, o ConnectOptions) (*pgx.ConnConfig, error) {
	var options pgx.ParseConfigOptions
	if keyPassword, ok := u.Param("sslpassword"); ok {
		options.GetSSLPassword = func(context.Context) string { return keyPassword }
	}
	cfg, err := pgx.ParseConfigWithOptions(postgresKeywords(u), options)
	if err != nil {
		// Only the cause: the rest of the text is the connection string over again,
		// and the error value carries it too.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("the PostgreSQL driver refuses the settings of the URL or of the PG... environment variables: %w", err)
	}
	if password, ok := u.Password(); ok {
		cfg.Password = password
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = o.ConnectTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = applicationName(o)
	}
	for _, t := range postgresTLS(cfg) {
		o.Certificates.watch(t)
	}
	if check := cfg.ValidateConnect; check != nil {
		cfg.ValidateConnect = func(ctx context.Context, c *pgconn.PgConn) error {
			if err := check(ctx, c); err != nil {
				return &notPreferredError{err}
			}
			return nil
		}
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		o.Logger.LogAttrs(context.Background(), slog.LevelDebug, "server notice",
			slog.String("severity", n.Severity), slog.String("code", n.Code), slog.String("message", n.Message))
	}
	return cfg, nil
}

// notPreferredError is a server that answered but is not of the kind that
// target_session_attrs asks for, such as a standby in the middle of a failover.
type notPreferredError struct{ err error }

// Error gives the driver's words.
func (e *notPreferredError) Error() string { return e.err.Error() }

// Unwrap returns the driver's error, by which it chooses the next host.
func (e *notPreferredError) Unwrap() error { return e.err }

// postgresKeywords writes libpq's keyword form, whose quoting has no
// exceptions, without secrets.
func postgresKeywords(u dburl.URL) string {
	var hosts, ports []string
	for _, e := range u.Endpoints {
		host, port := e.Host, ""
		if e.Socket != "" {
			host = e.Socket
		}
		if e.Port != 0 {
			port = strconv.Itoa(e.Port)
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s='%s' ", key, quote.Replace(value))
		}
	}
	add("host", strings.Join(hosts, ","))
	if strings.Join(ports, "") != "" {
		add("port", strings.Join(ports, ","))
	}
	add("user", u.User)
	add("dbname", u.Database)
	for _, key := range slices.Sorted(maps.Keys(u.Params)) {
		add(key, u.Params[key])
	}
	return b.String()
}
