package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// wrapped is a driver's connector in the clothes of a tracing library's.
type wrapped struct{ driver.Connector }

func (w wrapped) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := w.Connector.Connect(ctx)
	return wrappedConn{conn}, err
}

func (w wrapped) Driver() driver.Driver { return wrappedDriver{} }

type wrappedDriver struct{}

func (wrappedDriver) Open(string) (driver.Conn, error) { return nil, errors.New("not by name") }

type wrappedConn struct{ driver.Conn }

func (c wrappedConn) Raw() driver.Conn { return c.Conn }

func (c wrappedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c wrappedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

type sqliteConnector struct{ dsn string }

func (c sqliteConnector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }
func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	return c.Driver().Open(c.dsn)
}

func connectorFor(t *testing.T, tdb *testdb.Database) driver.Connector {
	t.Helper()
	switch tdb.Engine {
	case testdb.SQLite:
		return sqliteConnector{"file:" + tdb.Path() + "?_foreign_keys=on&_busy_timeout=5000"}
	case testdb.Postgres:
		cfg, err := pgx.ParseConfig(tdb.URL)
		if err != nil {
			t.Fatal(err)
		}
		return stdlib.GetConnector(*cfg)
	}
	c, err := mysql.NewConnector(mysqlSettings(t, tdb))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAttach: a borrowed pool of one connection, plain and wrapped, with the
// URL and without, is as good as our own; and it stays open.
func TestAttach(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		for name, wrap := range map[string]bool{"plain": false, "wrapped": true} {
			for _, withURL := range []bool{true, false} {
				connector := connectorFor(t, tdb)
				if wrap {
					connector = wrapped{connector}
				}
				pool := sqlx.NewDb(sql.OpenDB(connector), "someone's")
				pool.SetMaxOpenConns(1)
				f := library.with(files{"R__titles.sql": "", "0004_fault.up.sql": "-- é\nSELECT 'é' FROM nowhere;"})
				cfg := configFor(tdb, f)
				if !withURL {
					cfg.URL = ""
				}
				db, err := tldwdb.Attach(ctx, pool, cfg)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				res, err := db.Up(ctx)
				if got, want := outcome(res), "up 0001_author, up 0002_book, up 0003_year; 0 → 3"; got != want || err == nil || !strings.HasPrefix(err.Error(), "0004_fault.up.sql:2") {
					t.Errorf("%s: %s, %v", name, got, err)
				}
				succeed(t, "down 0003_year, down 0002_book, down 0001_author; 3 → 0")(db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalBase}))
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				if err := pool.PingContext(ctx); err != nil {
					t.Errorf("%s: the borrowed pool was closed: %v", name, err)
				}
				if err := pool.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestReadOnly: who may only read boots when nothing is pending, and is told
// where to go otherwise.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	more := library.with(files{"0004_more.up.sql": "CREATE TABLE more (id integer);"})
	check := func(t *testing.T, tdb *testdb.Database, readOnly string) {
		t.Helper()
		ctx := t.Context()
		as := func(cfg *tldwdb.Config) { cfg.URL = readOnly }
		succeed(t, "; 3 → 3")(open(t, tdb, library, as).Up(ctx))
		if _, err := open(t, tdb, more, as).Up(ctx); !errors.Is(err, tldwdb.ErrReadOnly) || !strings.Contains(tldwdb.Hint(err), "MigrateURL") {
			t.Errorf("pending, and it may only read: %v, hint %q", err, tldwdb.Hint(err))
		}
		succeed(t, "up 0004_more; 3 → 4")(open(t, tdb, more, as, func(cfg *tldwdb.Config) { cfg.MigrateURL, cfg.PoolSize = tdb.URL, 1 }).Up(ctx))
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		tdb := testdb.New(t, testdb.SQLite)
		if _, err := open(t, tdb, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, tdb, tdb.URL+"?mode=ro")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		tdb := testdb.New(t, testdb.Postgres)
		if _, err := open(t, tdb, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(tdb.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("default_transaction_read_only", "on")
		u.RawQuery = q.Encode()
		check(t, tdb, u.String())
	})
}

// TestFileForbidsWrites: a file that makes its own session read-only is at fault
// itself, and the database is not called so.
func TestFileForbidsWrites(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		forbid := pick(tdb, "PRAGMA query_only = on", "SET TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ ONLY")
		for name, c := range map[string]struct {
			text string
			line int
			edit func(*tldwdb.Config)
		}{
			"the next statement":    {text: forbid + ";\nCREATE TABLE b (id integer);\n", line: 2},
			"without a transaction": {text: "-- tldwdb: no-transaction\n" + pick(tdb, forbid, "SET default_transaction_read_only = on", forbid) + ";\nCREATE TABLE b (id integer);\n", line: 3},
			"the history row":       {text: forbid + ";\n"},
			"the next file":         {text: forbid + ";\n", edit: func(cfg *tldwdb.Config) { cfg.SingleTransaction = !isMySQL(tdb) }},
		} {
			t.Run(name, func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				f := files{"1_a.up.sql": "CREATE TABLE a (id integer);", "2_b.up.sql": c.text, "3_c.up.sql": "CREATE TABLE c (id integer);"}
				if c.edit == nil {
					c.edit = func(*tldwdb.Config) {}
				}
				_, err := open(t, tdb, f, c.edit).Up(t.Context())
				if err == nil {
					t.Fatal("the engine writes all the same")
				}
				if errors.Is(err, tldwdb.ErrReadOnly) || !strings.Contains(tldwdb.Hint(err), "take it out") {
					t.Errorf("%v, hint %q", err, tldwdb.Hint(err))
				}
				var failed *tldwdb.MigrationError
				if c.line > 0 && (!errors.As(err, &failed) || failed.File != "2_b.up.sql" || failed.Line != c.line || !strings.Contains(failed.Hint, "take it out")) {
					t.Errorf("%v; want line %d", err, c.line)
				}
				f["2_b.up.sql"] = pick(tdb, "", "", c.text[:strings.Index(c.text, ";")+1]+"\nSET SESSION TRANSACTION READ WRITE;\n") + "CREATE TABLE b (id integer);"
				if res, err := open(t, tdb, f).Up(t.Context()); err != nil || res.After != 3 {
					t.Errorf("mended: %v, hint %q", err, tldwdb.Hint(err))
				}
			})
		}
	})
}

// TestMigrateURL: the pool's account may read and write rows; only the other
// one makes tables. Needs an account that may create roles.
func TestMigrateURL(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			ctx, admin := t.Context(), tdb.AdminDB(t)
			const password = "ro/pw?x"
			role := makeRole(t, tdb, admin, password)
			if engine == testdb.Postgres {
				execute(t, admin, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "+role)
			} else {
				execute(t, admin, "GRANT SELECT ON "+tdb.Name()+".* TO "+role)
			}
			as := func(cfg *tldwdb.Config) { cfg.URL = urlAs(t, tdb, role, password) }
			both := func(cfg *tldwdb.Config) {
				cfg.URL, cfg.MigrateURL, cfg.PoolSize = urlAs(t, tdb, role, password), tdb.URL, 1
			}
			if _, err := open(t, tdb, library, as).Up(ctx); err == nil || !strings.Contains(tldwdb.Hint(err), "TLDWDB_MIGRATE_URL") || strings.Contains(err.Error(), password) {
				t.Errorf("without the right: %v, hint %q", err, tldwdb.Hint(err))
			}
			succeed(t, "up 0001_author, up 0002_book, up 0003_year, up R__titles; 0 → 3")(open(t, tdb, library, both).Up(ctx))
			succeed(t, "; 3 → 3")(open(t, tdb, library, as).Up(ctx))
		})
	}
}
