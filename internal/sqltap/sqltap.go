// Package sqltap stands between database/sql and a driver, and tells what is
// called, how long it took and how it ended. It changes nothing: a pool behaves
// on a tapped driver as it does on the bare one.
//
// What a driver does not implement of database/sql/driver's optional interfaces
// the tap answers as database/sql itself would without it: driver.ErrSkip, or
// nothing. One type for all drivers is thereby enough, and none of them loses
// what it can do.
package sqltap

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// The operations.
const (
	Query    = "query"
	Exec     = "exec"
	Prepare  = "prepare"
	Begin    = "begin"
	Commit   = "commit"
	Rollback = "rollback"
	Ping     = "ping"
)

// operation is the place of one of them among names.
type operation uint8

const (
	opQuery operation = iota
	opExec
	opPrepare
	opBegin
	opCommit
	opRollback
	opPing
	operations // how many there are
)

var names = [operations]string{Query, Exec, Prepare, Begin, Commit, Rollback, Ping}

// Operations returns every operation, for labels that are made beforehand.
func Operations() []string { return slices.Clone(names[:]) }

// Call is a call of the driver that has ended.
type Call struct {
	Operation string
	// Text is the SQL, with whatever stands in it; empty for what has none. It is
	// not for logs and labels: see [Fingerprint].
	Text string
	Took time.Duration // for a query until its rows were closed
	Err  error
}

// Watch is what is told of the calls, by the goroutines that make them. A call of
// SQLite is over in a few microseconds: what is usual is counted and not told, which
// costs a tenth.
type Watch struct {
	Times []*Times                    // count the calls that went well
	Done  func(context.Context, Call) // is told of the others, and of what was slow
	Slow  time.Duration               // from which on a call is slow; 0: none is
	All   bool                        // Done is told of every call
}

// Wrap returns a connector whose connections are watched.
func Wrap(c driver.Connector, w Watch) driver.Connector {
	return &connector{Connector: c, tap: tap{Watch: w, epoch: time.Now()}}
}

type connector struct {
	driver.Connector
	tap
	connections atomic.Uint32
}

// tap is what calls are told to, and by which clock.
type tap struct {
	Watch
	epoch time.Time
	conn  uint32 // number of the connection
}

// now is the time since the tap was made. The monotonic clock alone is read, which
// costs half of what [time.Now] costs: there are two readings for each call.
func (t *tap) now() time.Duration { return time.Since(t.epoch) }

// tell reports a call that has ended. With ErrSkip a driver says that it wants
// another call instead, which is then the one that counts.
func (t *tap) tell(ctx context.Context, o operation, text string, start time.Duration, err error) {
	took := t.now() - start
	if err == nil {
		for _, times := range t.Times {
			times.Add(t.conn, int(o), took)
		}
		if !t.All && (t.Slow <= 0 || took < t.Slow) {
			return
		}
	} else if errors.Is(err, driver.ErrSkip) {
		return
	}
	t.Done(ctx, Call{Operation: names[o], Text: text, Took: took, Err: err})
}

// Connect opens a connection. How long that takes is not told: it is no call of
// a connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t := c.tap
	t.conn = c.connections.Add(1)
	return newConn(inner, t), nil
}

// Close closes the connector, if it is one to be closed.
func (c *connector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Conn is a tapped connection.
type Conn struct {
	driver.Conn
	tap

	// What the driver implements; nil where it does not.
	queryer  driver.QueryerContext
	execer   driver.ExecerContext
	preparer driver.ConnPrepareContext
	beginner driver.ConnBeginTx
	pinger   driver.Pinger
	resetter driver.SessionResetter
	valid    driver.Validator
	checker  driver.NamedValueChecker

	tx   tx   // the one there can be, and is no allocation for each
	rows rows // of the query that is being read; another one beside it is allocated
}

func newConn(inner driver.Conn, t tap) *Conn {
	c := &Conn{Conn: inner, tap: t}
	c.queryer, _ = inner.(driver.QueryerContext)
	c.execer, _ = inner.(driver.ExecerContext)
	c.preparer, _ = inner.(driver.ConnPrepareContext)
	c.beginner, _ = inner.(driver.ConnBeginTx)
	c.pinger, _ = inner.(driver.Pinger)
	c.resetter, _ = inner.(driver.SessionResetter)
	c.valid, _ = inner.(driver.Validator)
	c.checker, _ = inner.(driver.NamedValueChecker)
	return c
}

// Raw returns the driver's own connection, for who needs its API.
func (c *Conn) Raw() driver.Conn { return c.Conn }

// QueryContext is part of [driver.QueryerContext].
func (c *Conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.queryer == nil {
		return nil, driver.ErrSkip
	}
	start := c.now()
	inner, err := c.queryer.QueryContext(ctx, query, args)
	return c.tapRows(ctx, query, start, inner, err)
}

// ExecContext is part of [driver.ExecerContext].
func (c *Conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.execer == nil {
		return nil, driver.ErrSkip
	}
	start := c.now()
	result, err := c.execer.ExecContext(ctx, query, args)
	c.tell(ctx, opExec, query, start, err)
	return result, err
}

// Prepare is part of [driver.Conn].
func (c *Conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext is part of [driver.ConnPrepareContext].
func (c *Conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	start := c.now()
	inner, err := c.prepare(ctx, query)
	c.tell(ctx, opPrepare, query, start, err)
	if err != nil {
		return nil, err
	}
	s := newStmt(inner, c, query)
	if converter, ok := inner.(driver.ColumnConverter); ok { //nolint:staticcheck // database/sql still asks for it
		return &convertingStmt{stmt: s, ColumnConverter: converter}, nil
	}
	return s, nil
}

func (c *Conn) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if c.preparer != nil {
		return c.preparer.PrepareContext(ctx, query)
	}
	inner, err := c.Conn.Prepare(query)
	if err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), inner.Close())
	}
	return inner, err
}

// Begin is part of [driver.Conn].
func (c *Conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx is part of [driver.ConnBeginTx].
func (c *Conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	start := c.now()
	inner, err := c.begin(ctx, opts)
	c.tell(ctx, opBegin, "", start, err)
	if err != nil {
		return nil, err
	}
	c.tx = tx{Tx: inner, tap: &c.tap, ctx: ctx}
	return &c.tx, nil
}

func (c *Conn) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.beginner != nil {
		return c.beginner.BeginTx(ctx, opts)
	}
	if opts != (driver.TxOptions{}) {
		return nil, errors.New("the driver knows neither isolation levels nor read-only transactions")
	}
	inner, err := c.Conn.Begin() //nolint:staticcheck // all that this driver has
	if err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), inner.Rollback())
	}
	return inner, err
}

// Ping is part of [driver.Pinger].
func (c *Conn) Ping(ctx context.Context) error {
	if c.pinger == nil {
		return nil
	}
	start := c.now()
	err := c.pinger.Ping(ctx)
	c.tell(ctx, opPing, "", start, err)
	return err
}

// ResetSession is part of [driver.SessionResetter].
func (c *Conn) ResetSession(ctx context.Context) error {
	if c.resetter == nil {
		return nil
	}
	return c.resetter.ResetSession(ctx)
}

// IsValid is part of [driver.Validator].
func (c *Conn) IsValid() bool { return c.valid == nil || c.valid.IsValid() }

// CheckNamedValue is part of [driver.NamedValueChecker].
func (c *Conn) CheckNamedValue(v *driver.NamedValue) error {
	if c.checker == nil {
		return driver.ErrSkip
	}
	return c.checker.CheckNamedValue(v)
}

// stmt is a tapped statement.
type stmt struct {
	driver.Stmt
	conn    *Conn
	query   string
	queryer driver.StmtQueryContext
	execer  driver.StmtExecContext
	checker driver.NamedValueChecker
}

// convertingStmt is one of a driver that converts arguments by column. It is a
// type of its own because database/sql does not ask the default otherwise.
type convertingStmt struct {
	*stmt
	driver.ColumnConverter
}

func newStmt(inner driver.Stmt, c *Conn, query string) *stmt {
	s := &stmt{Stmt: inner, conn: c, query: query}
	s.queryer, _ = inner.(driver.StmtQueryContext)
	s.execer, _ = inner.(driver.StmtExecContext)
	s.checker, _ = inner.(driver.NamedValueChecker)
	return s
}

// QueryContext is part of [driver.StmtQueryContext].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	start := s.conn.now()
	inner, err := s.runQuery(ctx, args)
	return s.conn.tapRows(ctx, s.query, start, inner, err)
}

func (s *stmt) runQuery(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.queryer != nil {
		return s.queryer.QueryContext(ctx, args)
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Stmt.Query(values) //nolint:staticcheck // all that this driver has
}

// ExecContext is part of [driver.StmtExecContext].
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	start := s.conn.now()
	result, err := s.runExec(ctx, args)
	s.conn.tell(ctx, opExec, s.query, start, err)
	return result, err
}

func (s *stmt) runExec(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.execer != nil {
		return s.execer.ExecContext(ctx, args)
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Stmt.Exec(values) //nolint:staticcheck // all that this driver has
}

// positional is what an old driver takes for arguments.
func positional(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("the driver does not support named parameters")
		}
		values[i] = a.Value
	}
	return values, ctx.Err()
}

// CheckNamedValue is part of [driver.NamedValueChecker]. database/sql asks the
// statement, and the connection only where the statement has no answer.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if s.checker != nil {
		return s.checker.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}

// tx is a tapped transaction.
type tx struct {
	driver.Tx
	*tap
	ctx context.Context // of BeginTx: Commit and Rollback have none
}

// Commit is part of [driver.Tx].
func (t *tx) Commit() error {
	start := t.now()
	err := t.Tx.Commit()
	t.tell(t.ctx, opCommit, "", start, err)
	return err
}

// Rollback is part of [driver.Tx].
func (t *tx) Rollback() error {
	start := t.now()
	err := t.Tx.Rollback()
	t.tell(t.ctx, opRollback, "", start, err)
	return err
}

// rows are the rows of a tapped query. A query is told when they are closed:
// SQLite does its work, and meets its time limit, while they are read.
type rows struct {
	driver.Rows // nil when they are closed
	*tap
	ctx   context.Context // of the query
	query string
	start time.Duration
	err   error // what ended the reading, other than the end
}

// tapRows returns the rows of a query. As those of a connection are mostly read one
// after the other, the connection has room for one: what is allocated for a point read
// of SQLite costs as much as its two looks at the clock. It is safe because
// database/sql makes all calls of a connection under its lock, and closes rows once and
// asks them nothing behind it.
func (c *Conn) tapRows(ctx context.Context, query string, start time.Duration, inner driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		c.tell(ctx, opQuery, query, start, err)
		return nil, err
	}
	r := &c.rows
	if r.Rows != nil {
		r = new(rows)
	}
	*r = rows{Rows: inner, tap: &c.tap, ctx: ctx, query: query, start: start}
	return r, nil
}

// Next is part of [driver.Rows].
func (r *rows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if err != nil && err != io.EOF { //nolint:errorlint // database/sql compares in the same way
		r.err = err
	}
	return err
}

// Close is part of [driver.Rows].
func (r *rows) Close() error {
	if r.Rows == nil {
		return nil
	}
	err := r.Rows.Close()
	if r.err == nil {
		r.err = err
	}
	r.tell(r.ctx, opQuery, r.query, r.start, r.err)
	*r = rows{} // the context and the driver's rows are not kept
	return err
}

// HasNextResultSet is part of [driver.RowsNextResultSet].
func (r *rows) HasNextResultSet() bool {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && inner.HasNextResultSet()
}

// NextResultSet is part of [driver.RowsNextResultSet].
func (r *rows) NextResultSet() error {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	err := inner.NextResultSet()
	if err != nil && err != io.EOF { //nolint:errorlint // as above
		r.err = err
	}
	return err
}

// ColumnTypeScanType is part of [driver.RowsColumnTypeScanType].
func (r *rows) ColumnTypeScanType(index int) reflect.Type {
	if inner, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return inner.ColumnTypeScanType(index)
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName is part of [driver.RowsColumnTypeDatabaseTypeName].
func (r *rows) ColumnTypeDatabaseTypeName(index int) string {
	if inner, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return inner.ColumnTypeDatabaseTypeName(index)
	}
	return ""
}

// ColumnTypeLength is part of [driver.RowsColumnTypeLength].
func (r *rows) ColumnTypeLength(index int) (length int64, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypeLength); has {
		return inner.ColumnTypeLength(index)
	}
	return 0, false
}

// ColumnTypeNullable is part of [driver.RowsColumnTypeNullable].
func (r *rows) ColumnTypeNullable(index int) (nullable, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypeNullable); has {
		return inner.ColumnTypeNullable(index)
	}
	return false, false
}

// ColumnTypePrecisionScale is part of [driver.RowsColumnTypePrecisionScale].
func (r *rows) ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypePrecisionScale); has {
		return inner.ColumnTypePrecisionScale(index)
	}
	return 0, 0, false
}
