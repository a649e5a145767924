package tldwdb

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dialect"
)

// This file calls Go migrations.

// drainTime is how long the rest of a result that a Go migration left open may
// take to arrive. After that its connection is given up.
const drainTime = 500 * time.Millisecond

// callGo turns a panic of a Go migration into an error: the lock has to be
// given back, and the transaction rolled back.
//
// Rows that it left open are closed, and an error: the connection could not commit
// with them, nor be given back before their context ends.
func (r *run) callGo(ctx context.Context, code func(context.Context, Conn) error) (err error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	lent := &lentConn{Conn: r.conn}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		left := lent.left()
		if len(left) == 0 {
			return
		}
		if r.d.Name() != dialect.NameSQLite { // whose results do not have to arrive
			timer := time.AfterFunc(drainTime, giveUp)
			defer timer.Stop()
			lent.drain(ctx, left)
		}
		for _, result := range left {
			_ = result.close() // what it says is about rows that nobody reads
		}
		if err == nil {
			err = withHint(fmt.Errorf("the function returned without closing the rows of %q", shorten(left[0].query, 120)),
				"write 'defer rows.Close()' behind the query, and call Scan on what QueryRowxContext returns")
		}
	}()
	return code(ctx, lent)
}

// lentConn is the run's connection in the hands of a Go migration. It remembers
// the results that are open.
type lentConn struct {
	*sqlx.Conn

	mu   sync.Mutex
	open []openResult
}

// openResult is a result that was not closed when it was last looked at.
type openResult struct {
	query   string
	columns func() ([]string, error) // fails once the result is closed
	next    func() bool              // nil for a single row
	close   func() error
}

func (r openResult) closed() bool {
	_, err := r.columns()
	return err != nil
}

// QueryContext is that of the connection.
func (c *lentConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, args...)
	if err == nil {
		c.note(openResult{query, rows.Columns, rows.Next, rows.Close})
	}
	return rows, err
}

// QueryxContext is that of the connection.
func (c *lentConn) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	rows, err := c.Conn.QueryxContext(ctx, query, args...)
	if err == nil {
		c.note(openResult{query, rows.Columns, rows.Next, rows.Close})
	}
	return rows, err
}

// QueryRowxContext is that of the connection.
func (c *lentConn) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	row := c.Conn.QueryRowxContext(ctx, query, args...)
	if row.Err() == nil {
		c.note(openResult{query, row.Columns, nil, func() error { return row.Scan() }})
	}
	return row
}

// note remembers a result, and forgets those that have been closed: a migration may
// make millions.
func (c *lentConn) note(r openResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(slices.DeleteFunc(c.open, openResult.closed), r)
}

// left are the results that are still open.
func (c *lentConn) left() []openResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(c.open, openResult.closed)
}

// drain reads the results to their ends, so that they can be closed: a driver that
// does it in Close does not heed a context there. When ctx ends before, it closes
// the connection under them.
func (c *lentConn) drain(ctx context.Context, left []openResult) {
	for _, result := range left {
		for result.next != nil && ctx.Err() == nil && result.next() {
			continue
		}
	}
	if ctx.Err() == nil {
		return
	}
	_ = c.Raw(func(driverConn any) error {
		if c, ok := driverConn.(io.Closer); ok {
			_ = c.Close() // it has an unread result to complain of
		}
		return nil
	}) // it is closed already
}
