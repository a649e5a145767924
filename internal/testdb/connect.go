package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3" // registers "sqlite3"
)

// AdminDB opens a pool on the database for the test's own use: to prepare, to look, to disturb.
// It bypasses tldwdb, so that a test does not prove our code with our code. Several statements in
// one Exec are allowed on every engine. The pool is closed at the test's end.
func (db *Database) AdminDB(tb TB) *sql.DB {
	tb.Helper()
	pool, err := Open(db.Engine, db.URL)
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	tb.Cleanup(func() {
		if err := pool.Close(); err != nil {
			tb.Errorf("testdb: close: %v", err)
		}
	})
	return pool
}

// Open makes a pool from a URL in the form of [Database.URL], for a process that has no [TB]. Its errors do
// not repeat the URL.
func Open(e Engine, rawURL string) (*sql.DB, error) {
	switch e {
	case SQLite:
		path := strings.TrimPrefix(rawURL, "sqlite:///")
		u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "_foreign_keys=on&_busy_timeout=10000"}
		return sql.Open("sqlite3", u.String())
	case Postgres:
		cfg, err := postgresConfig(rawURL)
		if err != nil {
			return nil, err
		}
		// The simple protocol alone takes several statements in one Exec.
		cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		return stdlib.OpenDB(*cfg), nil
	default:
		cfg, err := mysqlConfig(rawURL)
		if err != nil {
			return nil, err
		}
		cfg.MultiStatements = true
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, errors.New("the MySQL driver refuses the URL")
		}
		return sql.OpenDB(connector), nil
	}
}

// checkURL refuses what is no URL of the engine, or is no server of this machine.
func checkURL(e Engine, rawURL string) error {
	if e == Postgres {
		_, err := postgresConfig(rawURL)
		return err
	}
	_, err := mysqlConfig(rawURL)
	return err
}

func postgresConfig(rawURL string) (*pgx.ConnConfig, error) {
	if !strings.HasPrefix(rawURL, "postgres://") && !strings.HasPrefix(rawURL, "postgresql://") {
		return nil, errors.New("not a URL that begins with postgres://")
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, errors.New("not a PostgreSQL URL") // pgx's own error repeats it
	}
	// The driver's reading counts, not ours: a URL may name further hosts in its query.
	if err := loopback(cfg.Host); err != nil {
		return nil, err
	}
	for _, f := range cfg.Fallbacks {
		if err := loopback(f.Host); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func mysqlConfig(rawURL string) (*mysql.Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "mysql" && u.Scheme != "mariadb") {
		return nil, errors.New("not a URL that begins with mysql:// or mariadb://")
	}
	if err := loopback(u.Hostname()); err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.Net = "tcp"
	cfg.Addr = u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.ParseTime = true
	cfg.Logger = &mysql.NopLogger{} // a closed connection is reported by the error alone
	return cfg, nil
}

func loopback(host string) error {
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("host %q is not a loopback address; tests create and drop databases, and do so on this machine only", host)
}

// withDatabase returns the server's URL with another database in it.
func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", errors.New("the server's URL cannot be parsed")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// withPool runs f with a pool of one connection that is closed again afterwards: a pool kept for
// later would show up in every test that counts connections or goroutines.
func withPool(ctx context.Context, e Engine, rawURL string, f func(context.Context, *sql.DB) error) (err error) {
	pool, err := Open(e, rawURL)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	return f(ctx, pool)
}

// texts runs a query whose rows are one text each.
func texts(ctx context.Context, pool *sql.DB, query string, args ...any) (_ []string, err error) {
	rows, err := pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []string
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s.String)
	}
	return all, rows.Err()
}
