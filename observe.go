package tldwdb

import (
	"context"
	"database/sql/driver"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqltap"
)

// This file tells the observers of a DB what goes on. Nobody waits for them but
// whoever works: they are called by the goroutine that does what they are told
// about.

// Observer is told what goes on in a [DB]: for metrics and traces. Every function
// may be nil, and later versions may have more of them. Packages tldwdbmetrics and
// tldwdbotel make one; Config.Observers takes it.
//
// The functions are called by whoever does the work, several of them at once, and
// have to be quick. One that panics is logged, and that observer is not called any
// more: a fault in what watches must not stop a migration half-way.
type Observer struct {
	// Opened is called when [Open] or [Attach] has made the DB, and Closed before
	// [DB.Close] closes it.
	Opened func(*DB)
	Closed func(*DB)

	// Start is called when an operation begins. What goes on inside of it gets the
	// context that Start returns, which has to be made from the given one. The
	// function that it returns, which may be nil, is called at the end, with the
	// error or nil.
	Start func(context.Context, Operation) (context.Context, func(error))

	// Connected is called after each attempt to open a connection.
	Connected func(ConnectInfo)

	// PoolTimeout is called when [DB.Acquire] got no connection in time.
	PoolTimeout func(*PoolTimeoutError)

	// Query is called after each call of the driver on the pools that [Open] has
	// made for the application; with QueryTimes, after those alone that failed or were
	// slow. It is not called for the pool of [Attach], which was made before tldwdb was
	// there.
	Query func(context.Context, QueryInfo)

	// QueryTimes counts the calls that went well, slow ones among them.
	QueryTimes *QueryTimes

	// Schema is called when the history was read: by every run, by [DB.Status] and by
	// [DB.Health].
	Schema func(SchemaInfo)

	// Health is called with each answer about the database's health, and how long the
	// probe took; 0 for one that was given without asking, because the probe before it
	// still hangs. It must not call [DB.Health]. An observer that has not returned from
	// it yet is not told of further answers meanwhile.
	Health func(Health, time.Duration)

	// Backup is called when a backup was made, and when one was verified: Verified
	// then says what came of it. A backup that failed is told by Start alone.
	Backup func(Backup)
}

// The kinds of an [Operation]. Later versions may have more: an observer had best
// treat all alike.
const (
	OperationRun       = "run"       // a call that migrates, such as [DB.Up], from beginning to end
	OperationLock      = "lock"      // waiting for the migration lock
	OperationMigration = "migration" // one migration
	OperationStatement = "statement" // one statement of a migration; on PostgreSQL all of a migration that runs in a transaction, which are one packet
	OperationHealth    = "health"    // a question after the database's health
	OperationBackup    = "backup"    // [DB.Backup], its wait for the migration lock included
	OperationVerify    = "verify"    // [DB.VerifyBackup]
	OperationRestore   = "restore"   // [DB.Restore]
	OperationSeed      = "seed"      // [DB.Seed], its wait for the migration lock included
)

// Operation is something that takes time. There is no SQL in it.
type Operation struct {
	Kind    string // one of the Operation constants
	Name    string // of a run: up, down, redo, version, base, baseline, adopt or repair
	Dialect string // sqlite, postgres or mysql
	Set     string // Config.Set

	// Of a migration and of a statement.
	Migration ID
	Direction Direction
	File      string // path inside Config.Migrations; empty for a Go migration
	Line      int    // of a statement: its first line in the file
}

// ConnectInfo is an attempt to open a connection.
type ConnectInfo struct {
	Pool     string        // one of the Pool constants
	Duration time.Duration // log-in included
	Class    ErrorClass    // of what went wrong; empty when the connection was made
}

// The pools, in [ConnectInfo] and [QueryInfo].
const (
	PoolApplication = "application" // [DB.Pool]
	PoolReader      = "reader"      // [DB.Reader], where that is a pool of its own
	PoolMonitor     = "monitor"     // the health probes' own connection; told of in ConnectInfo alone
	PoolMigration   = "migration"   // connections outside the pool, for migrating and for the proof of the lock
)

// QueryInfo is a call of the driver. There is no SQL in it.
type QueryInfo struct {
	Pool      string        // PoolApplication or PoolReader
	Operation string        // query, exec, prepare, begin, commit, rollback or ping
	Duration  time.Duration // of a query until its rows were closed
	Class     ErrorClass    // of what went wrong; empty when nothing did
	Slow      bool          // it took Config.SlowQuery or longer
}

// QueryOperations lists every [QueryInfo].Operation.
func QueryOperations() []string { return sqltap.Operations() }

// QueryTimes counts calls of the driver by how long they took. It is for an
// [Observer] that has to know no more of a call that went well: to count one takes a
// tenth of the time that it takes to tell of it, and a call of SQLite is over in a
// few microseconds. Its methods are safe for use by several goroutines at once.
type QueryTimes struct{ times *sqltap.Times }

// NewQueryTimes returns one with a bucket for the calls up to and including each
// limit, and one for those above the last.
func NewQueryTimes(limits ...time.Duration) *QueryTimes {
	return &QueryTimes{sqltap.NewTimes(limits)}
}

// Limits are the upper limits of the buckets, ascending.
func (q *QueryTimes) Limits() []time.Duration { return q.times.Limits() }

// Each calls yield for each of [QueryOperations], with the number of calls in each
// bucket and how long all of them took together. A call that ends meanwhile may be in
// the one and not yet in the other.
func (q *QueryTimes) Each(yield func(operation string, calls []uint64, sum time.Duration)) {
	for i, operation := range sqltap.Operations() {
		calls, sum := q.times.Read(i)
		yield(operation, calls, sum)
	}
}

// SchemaInfo is what the history says, in figures.
type SchemaInfo struct {
	Set         string // Config.Set
	Current     int64  // highest applied version; 0 for none
	Head        int64  // highest version that this binary knows; 0 for none
	Applied     int    // migrations, baselines included
	Pending     int    // steps that [DB.Up] would take
	HalfApplied int    // being applied, or their process died half-way
	Failed      int    // stopped at a statement that the server refused
	Lock        string // kind of the migration lock of the last run, such as session, lease or file; empty before the first
}

// watch tells the observers of one DB. A nil watch has none.
type watch struct {
	observers []*watched
	log       *slog.Logger
	open      atomic.Bool // they know of the DB
}

// watched is one observer.
type watched struct {
	*Observer
	off      atomic.Bool // it has panicked
	examined atomic.Bool // it is in Health
}

func newWatch(cfg *Config) *watch {
	w := &watch{log: cfg.Logger}
	for _, o := range cfg.Observers {
		if o != nil {
			w.observers = append(w.observers, &watched{Observer: o})
		}
	}
	if len(w.observers) == 0 {
		return nil
	}
	return w
}

// each calls tell for each observer.
func (w *watch) each(tell func(*watched)) {
	if w == nil {
		return
	}
	for _, o := range w.observers {
		w.guarded(o, func() { tell(o) })
	}
}

// guarded calls what is an observer's, unless it has panicked before.
func (w *watch) guarded(o *watched, call func()) {
	if o.off.Load() {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			o.off.Store(true)
			w.log.LogAttrs(context.Background(), slog.LevelError, "an observer panicked and is left out from now on", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	call()
}

func nothing(error) {}

// start tells that an operation begins. The function is to be called at its end.
func (w *watch) start(ctx context.Context, op Operation) (context.Context, func(error)) {
	if w == nil {
		return ctx, nothing
	}
	type end struct {
		observer *watched
		call     func(error)
	}
	var ends []end
	w.each(func(o *watched) {
		if o.Start == nil {
			return
		}
		inner, call := o.Start(ctx, op)
		if inner != nil {
			ctx = inner
		}
		if call != nil {
			ends = append(ends, end{o, call})
		}
	})
	return ctx, func(err error) {
		for _, e := range slices.Backward(ends) { // as they nest
			w.guarded(e.observer, func() { e.call(err) })
		}
	}
}

// opened tells that the DB is there.
func (db *DB) opened() {
	if db.watch == nil {
		return
	}
	db.watch.open.Store(true)
	db.watch.each(func(o *watched) {
		if o.Opened != nil {
			o.Opened(db)
		}
	})
}

// closing tells that it is about to go.
func (db *DB) closing() {
	if db.watch == nil || !db.watch.open.Load() { // Open has failed
		return
	}
	db.watch.each(func(o *watched) {
		if o.Closed != nil {
			o.Closed(db)
		}
	})
}

func (w *watch) poolTimeout(err *PoolTimeoutError) {
	w.each(func(o *watched) {
		if o.PoolTimeout != nil {
			o.PoolTimeout(err)
		}
	})
}

// wants reports whether one of the observers has what get returns.
func (w *watch) wants(has func(*Observer) bool) bool {
	return w != nil && slices.ContainsFunc(w.observers, func(o *watched) bool { return has(o.Observer) })
}

// connector tells of the attempts to connect.
func (w *watch) connector(c driver.Connector, pool string) driver.Connector {
	if !w.wants(func(o *Observer) bool { return o.Connected != nil }) {
		return c
	}
	return &watchedConnector{Connector: c, watch: w, pool: pool}
}

type watchedConnector struct {
	driver.Connector
	watch *watch
	pool  string
}

// Connect opens a connection.
func (c *watchedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	start := time.Now()
	conn, err := c.Connector.Connect(ctx)
	info := ConnectInfo{Pool: c.pool, Duration: time.Since(start), Class: ClassOf(err)}
	c.watch.each(func(o *watched) {
		if o.Connected != nil {
			o.Connected(info)
		}
	})
	return conn, err
}

// Close closes the connector, if it is one to be closed.
func (c *watchedConnector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// poolName is the name of a pool with these connections.
func poolName(o dialect.ConnectOptions) string {
	switch {
	case o.Migration:
		return PoolMigration
	case o.ReadOnlyPool:
		return PoolReader
	}
	return PoolApplication
}

// tap lets observers and the log see what is asked on a pool.
func (db *DB) tap(c driver.Connector, pool string) driver.Connector {
	w := sqltap.Watch{Slow: db.cfg.SlowQuery}
	var counted, others []*watched // those that need no more than the unusual, and those that are told of every call
	if db.watch != nil {
		for _, o := range db.watch.observers {
			switch {
			case o.QueryTimes != nil:
				w.Times = append(w.Times, o.QueryTimes.times)
				counted = append(counted, o)
			case o.Query != nil:
				others = append(others, o)
			}
		}
	}
	if len(counted)+len(others) == 0 && w.Slow <= 0 {
		return c
	}
	w.All = len(others) > 0
	if len(w.Times) == 0 {
		w.Times = append(w.Times, db.queries.quick)
	}
	w.Done = func(ctx context.Context, call sqltap.Call) {
		info := QueryInfo{Pool: pool, Operation: call.Operation, Duration: call.Took, Class: ClassOf(call.Err), Slow: w.Slow > 0 && call.Took >= w.Slow}
		tell := func(observers []*watched) {
			for _, o := range observers {
				if o.Query != nil {
					db.watch.guarded(o, func() { o.Query(ctx, info) })
				}
			}
		}
		if info.Slow || info.Class != "" {
			db.queries.see(ctx, call, info)
			tell(counted)
		}
		tell(others)
	}
	return sqltap.Wrap(c, w)
}

// tellHealth tells an answer about the health. One observer that hangs costs one
// goroutine, and not one for each probe.
func (db *DB) tellHealth(h Health, took time.Duration) {
	h.Checks = slices.Clone(h.Checks) // those of the answer are everybody's
	db.watch.each(func(o *watched) {
		if o.Health != nil && o.examined.CompareAndSwap(false, true) {
			defer o.examined.Store(false)
			o.Health(h, took)
		}
	})
}

// tellBackup tells of a backup that was made or verified.
func (db *DB) tellBackup(b Backup) {
	db.watch.each(func(o *watched) {
		if o.Backup != nil {
			o.Backup(b)
		}
	})
}

// operation is one of this DB.
func (db *DB) operation(kind string) Operation {
	return Operation{Kind: kind, Dialect: db.dialectName, Set: db.cfg.Set}
}

// startRun tells that a call begins that migrates.
func (db *DB) startRun(ctx context.Context, name string) (context.Context, func(error)) {
	op := db.operation(OperationRun)
	op.Name = name
	return db.watch.start(ctx, op)
}

// startStep tells that a migration begins, or its statement k; -1 is the migration
// as such.
func (r *run) startStep(ctx context.Context, j *job, k int) (context.Context, func(error)) {
	if r.db.watch == nil {
		return ctx, nothing
	}
	op := r.db.operation(OperationMigration)
	op.Migration, op.Direction, op.File = j.id, j.direction, j.file
	if k >= 0 {
		op.Kind, op.Line = OperationStatement, j.statements[k].Line
	}
	return r.db.watch.start(ctx, op)
}

// tellSchema says what a history that was read says.
func (db *DB) tellSchema(src *source, hist *history) {
	if !db.watch.wants(func(o *Observer) bool { return o.Schema != nil }) {
		return
	}
	info := SchemaInfo{Set: db.cfg.Set, Lock: hist.lock.kind}
	info.Pending, _, _ = db.pending(src, hist)
	if !slices.Contains([]string{"", dialect.LockSession, dialect.LockLease, dialect.LockFile}, info.Lock) {
		info.Lock = string(dialect.FaultOther) // a later version's, perhaps: it is to be a label, and anybody may write the table
	}
	info.Current, _ = hist.current()
	info.Head, _ = src.head()
	for _, r := range hist.rows {
		switch {
		case r.state.done():
			info.Applied++
		case r.state == stateFailed:
			info.Failed++
		default:
			info.HalfApplied++
		}
	}
	db.watch.each(func(o *watched) {
		if o.Schema != nil {
			o.Schema(info)
		}
	})
}
