package dialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb/internal/dburl"
)

// ConnectOptions say how connections are made. What the URL itself names goes
// before them, except where a field says otherwise.
type ConnectOptions struct {
	// Credentials give each new connection its log-in. Nil: the URL's.
	Credentials *Credentials
	// Application is the name under which the server lists the connection.
	// Empty: tldwdb:host:pid.
	Application string
	// ConnectTimeout bounds one attempt to connect to one host, log-in
	// included. 0: no limit but the context.
	ConnectTimeout time.Duration
	// ReconnectWait is how long new connections wait in an outage of a server that
	// was there before. 0: they do not.
	ReconnectWait time.Duration
	// PrePing tests a pooled connection before it is used again, in the cheapest
	// way that its driver has.
	PrePing bool
	// BusyTimeout is how long SQLite waits for another connection's lock.
	BusyTimeout time.Duration
	// ReadOnlyPool makes SQLite connections that cannot write and whose
	// transactions are deferred. Other engines ignore it.
	ReadOnlyPool bool
	// Migration makes connections for running migrations: settings of the URL
	// that would change what a migration means are overruled.
	Migration bool
	// Pooled says that a pooler shares the server's connections among its clients
	// (PgBouncer in transaction mode): statements are then not prepared on the
	// PostgreSQL server, for the next one may run on another connection. A pooler
	// is seen without this as a rule. The URL's default_query_exec_mode goes before
	// both.
	Pooled bool
	// Certificates is told the dates of the certificates of each connection with
	// TLS. Nil: nobody is.
	Certificates *Certificates
	// Logger gets what the driver and the server say aside, at level debug.
	// Nil: nothing is logged.
	Logger *slog.Logger
}

// Connector returns what opens connections to the database that u names.
// Making a connection costs the log-in and not one statement, unless the URL
// asks for something that needs one. Errors of the connector show no password.
func Connector(u dburl.URL, o ConnectOptions) (driver.Connector, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var (
		c   driver.Connector
		err error
	)
	switch u.Dialect {
	case dburl.SQLite:
		c, err = sqliteConnector(u, o)
	case dburl.Postgres:
		c, err = newReloadingConnector(connectionFiles(u), o.Logger, func() (driver.Connector, error) { return postgresConnector(u, o) })
	case dburl.MySQL:
		c, err = newReloadingConnector(connectionFiles(u), o.Logger, func() (driver.Connector, error) { return mysqlConnector(u, o) })
	default:
		return nil, fmt.Errorf("unknown dialect %q", u.Dialect)
	}
	if err != nil {
		return nil, Redact(err, u.Secrets()...)
	}
	if u.Dialect != dburl.SQLite {
		if o.ReconnectWait > 0 {
			c = &againConnector{Connector: c, wait: o.ReconnectWait, logger: o.Logger}
		}
		if o.Credentials == nil {
			o.Credentials = NewCredentials(nil, false, 0, o.Logger)
		}
		c = &loginConnector{Connector: c, credentials: o.Credentials}
	}
	return &redactingConnector{Connector: c, secrets: u.Secrets()}, nil
}

// redactingConnector is the last line of defence: whatever a driver writes
// into the error of a failed connection, the password is not in it.
type redactingConnector struct {
	driver.Connector
	secrets []string
}

// Connect opens a connection.
func (c *redactingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, Redact(err, c.secrets...)
	}
	return conn, nil
}

// applicationName is how this process is listed by a server. PostgreSQL cuts
// names at 63 bytes and blots out what is not printable ASCII, so that the
// host's name is shortened here, and the process number survives.
func applicationName(o ConnectOptions) string {
	const limit = 63
	name := o.Application
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		tail := ":" + strconv.Itoa(os.Getpid())
		const head = "tldwdb:"
		name = head + host[:min(len(host), limit-len(head)-len(tail))] + tail
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), limit)]
}

// NamesTLS reports whether somebody decided about encryption: the URL, or the
// environment variables that the PostgreSQL driver reads.
func NamesTLS(u dburl.URL) bool {
	switch u.Dialect {
	case dburl.Postgres:
		return u.Params["sslmode"] != "" || u.Params["sslrootcert"] != "" || u.Params["service"] != "" ||
			u.Params["sslnegotiation"] == "direct" || os.Getenv("PGSSLMODE") != "" || os.Getenv("PGSERVICE") != ""
	case dburl.MySQL:
		return u.Params["tls"] != ""
	}
	return true
}

// retryablePostgres are the SQLSTATEs of a server that is there and will take
// connections later.
var retryablePostgres = []string{
	"57P01", // admin_shutdown
	"57P02", // crash_shutdown
	"57P03", // cannot_connect_now: starting up, shutting down, in recovery
	"53300", // too_many_connections
	"53400", // configuration_limit_exceeded
	"08000", // connection_exception
	"08001", // sqlclient_unable_to_establish_sqlconnection
	"08003", // connection_does_not_exist
	"08004", // sqlserver_rejected_establishment_of_sqlconnection
	"08006", // connection_failure: what poolers answer without a server
}

// retryableMySQL are the numbers of the same kind.
var retryableMySQL = []uint16{
	1040, // too many connections
	1047, // a Galera node that is not in its cluster yet
	1053, // shutdown in progress
	1203, // too many connections of this user
	1226, // a limit of this user is reached
	3032, // the server is in offline mode
	9001, // ProxySQL: no server of the hostgroup could be reached in time
}

// Unreachable reports whether err means that the server is not there, or not
// yet: a later attempt may succeed without anybody changing anything. A wrong
// password or an unknown database is not of that kind, not even when another of
// several hosts was unreachable. An unknown host name is: names of containers
// and pods appear when these start.
func Unreachable(err error) bool {
	verdict := false
	known := true
	walk(err, func(err error) {
		//nolint:errorlint // walk visits each error of the tree by itself
		switch e := err.(type) {
		case *pgconn.PgError:
			known = known && slices.Contains(retryablePostgres, e.Code)
			verdict = true
		case *mysql.MySQLError:
			known = known && slices.Contains(retryableMySQL, e.Number)
			verdict = true
		case *net.DNSError, *notPreferredError:
			verdict = true
		case *net.OpError:
			// Whatever the system's word for it: nobody answered. A socket that may
			// not be used is another matter.
			verdict = verdict || e.Timeout() || e.Op == "dial" && !errors.Is(e.Err, fs.ErrPermission)
		case syscall.Errno:
			verdict = verdict || slices.Contains([]syscall.Errno{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE}, e)
		default:
			// A port that is open with nothing behind it closes the connection
			// before the greeting; each driver has its own word for that.
			verdict = verdict || e == context.DeadlineExceeded || e == io.EOF || e == io.ErrUnexpectedEOF ||
				e == driver.ErrBadConn || e == mysql.ErrInvalidConn
		}
	})
	return verdict && known
}

// walk visits every error of the tree.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	//nolint:errorlint // this is the walk that errors.Is and errors.As do
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			walk(err, visit)
		}
	}
}

// Redact returns an error whose text has none of the secrets, plain, quoted or
// percent-encoded. errors.Is and errors.As see the original. It returns err
// itself when there is nothing to hide.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	// The longest first: a secret that is a part of another would leave the
	// rest of it to be read.
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted := strconv.Quote(s)
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:],
			quoted[1:len(quoted)-1])
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, form := range forms {
		clean = strings.ReplaceAll(clean, form, "***")
	}
	if clean == text {
		return err
	}
	return &redactedError{text: clean, err: err}
}

// redactedError is an error with another text.
type redactedError struct {
	text string
	err  error
}

// Error gives the text without secrets.
func (e *redactedError) Error() string { return e.text }

// Unwrap returns the original error.
func (e *redactedError) Unwrap() error { return e.err }
