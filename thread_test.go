package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
)

// threadPool opens the database with all of SQLite on one thread.
func threadPool(ctx context.Context, j job) (*tldwdb.DB, *sqlx.DB, error) {
	thread := &thread{dsn: "file:" + j.Path + "?" + j.Thread, calls: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for call := range thread.calls {
			call()
		}
	}()
	pool := sqlx.NewDb(sql.OpenDB(thread), "sqlite3")
	db, err := tldwdb.Attach(ctx, pool, j.config())
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, pool, nil
}

// thread opens connections that work on one thread.
type thread struct {
	dsn   string
	calls chan func()
}

// on runs f on the thread.
func on[T any](t *thread, f func() (T, error)) (result T, err error) {
	done := make(chan struct{})
	t.calls <- func() {
		defer close(done)
		result, err = f()
	}
	<-done
	return result, err
}

// Connect opens a connection.
func (t *thread) Connect(context.Context) (driver.Conn, error) {
	return on(t, func() (driver.Conn, error) {
		c, err := (&sqlite3.SQLiteDriver{}).Open(t.dsn)
		if err != nil {
			return nil, err
		}
		return &threadConn{sqliteConn: c.(sqliteConn), t: t}, nil
	})
}

// Driver returns the driver.
func (*thread) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

type threadConn struct {
	sqliteConn
	t *thread
}

// Close checkpoints, if it is the last one.
func (c *threadConn) Close() error {
	_, err := on(c.t, func() (any, error) { return nil, c.sqliteConn.Close() })
	return err
}

// ExecContext is without the context, for which the driver would take another
// thread.
func (c *threadConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return on(c.t, func() (driver.Result, error) {
		return c.sqliteConn.ExecContext(context.Background(), query, args)
	})
}

// QueryContext is as ExecContext.
func (c *threadConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return on(c.t, func() (driver.Rows, error) {
		return c.sqliteConn.QueryContext(context.Background(), query, args)
	})
}
