package tldwdb

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/sqltap"
)

// This file tells the log what is unusual about the application's queries: those
// that are slow, and a rise of the share that fails. Both say which query it is
// by its fingerprint, in which no value stands, and neither floods the log when
// everything is slow or fails at once.

const (
	slowEvery = time.Minute // how often a fingerprint is told
	slowKinds = 100         // fingerprints that are remembered, and told of in that time

	// A rise is told when in one window at least so many calls, and such a share of
	// them, have failed, and the share is so many times the usual one.
	riseWindow = 10 * time.Second
	riseLeast  = 20
	riseShare  = 0.05
	riseFactor = 4

	// usualWeight is what one window counts in the usual share, and usualCalls how
	// many calls it needs to count: a share of next to nothing says nothing.
	usualWeight = 0.2
	usualCalls  = 200
)

// queryLog remembers what it needs to know what is unusual. Its methods are safe
// for use by several goroutines at once.
type queryLog struct {
	log     *slog.Logger
	dialect sqlscan.Dialect
	limit   time.Duration // above which a query is slow
	now     func() time.Time

	quick *sqltap.Times // counts the calls that went well
	wrong atomic.Int64  // those that did not

	mu   sync.Mutex
	slow map[string]*slowQuery

	began   time.Time // of the window
	before  int64     // calls before the window
	failed  int64
	classes map[ErrorClass]int
	last    sqltap.Call // that failed
	usual   float64     // share of calls that fail
	high    bool        // and it has been told
}

// slowQuery is a fingerprint that was slow.
type slowQuery struct {
	told  time.Time
	since int // slow ones since then
}

func newQueryLog(cfg *Config, name string) *queryLog {
	d := map[string]sqlscan.Dialect{dialect.NameSQLite: sqlscan.SQLite, dialect.NamePostgres: sqlscan.Postgres, dialect.NameMySQL: sqlscan.MySQL}[name]
	quick := sqltap.NewTimes(nil)
	for _, o := range slices.Backward(cfg.Observers) {
		if o != nil && o.QueryTimes != nil {
			quick = o.QueryTimes.times // the first that counts does so for the log too
		}
	}
	return &queryLog{log: cfg.Logger, dialect: d, limit: cfg.SlowQuery, now: time.Now, quick: quick, slow: map[string]*slowQuery{}, classes: map[ErrorClass]int{}}
}

// calls is how many there were.
func (q *queryLog) calls() int64 { return q.quick.Calls() + q.wrong.Load() }

// see looks at a call that failed or was slow.
func (q *queryLog) see(ctx context.Context, call sqltap.Call, info QueryInfo) {
	if info.Class != "" {
		q.wrong.Add(1)
	}
	if info.Slow {
		q.seeSlow(ctx, call, info)
	}
	if info.Class != "" && info.Class != ErrorClass(dialect.FaultCanceled) { // that the client gave up is no fault of the query
		q.seeFailed(ctx, call, info)
	}
}

func (q *queryLog) seeSlow(ctx context.Context, call sqltap.Call, info QueryInfo) {
	fingerprint := sqltap.Fingerprint(q.dialect, call.Text)
	times := q.countSlow(call.Operation + " " + fingerprint)
	if times == 0 {
		return
	}
	q.log.LogAttrs(ctx, slog.LevelWarn, "slow query", slog.String("pool", info.Pool), slog.String("operation", call.Operation), slog.String("fingerprint", fingerprint),
		slog.Duration("took", call.Took.Round(time.Microsecond)), slog.Duration("limit", q.limit), slog.Int("times", times), slog.String("class", string(info.Class)))
}

// countSlow returns how often a kind of query was slow since it was told last, or 0
// when it is not to be told again yet.
func (q *queryLog) countSlow(key string) (times int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	s := q.slow[key]
	if s == nil {
		if len(q.slow) >= slowKinds {
			maps.DeleteFunc(q.slow, func(_ string, old *slowQuery) bool { return now.Sub(old.told) >= slowEvery })
		}
		if len(q.slow) >= slowKinds {
			key = "" // a program that makes its SQL anew each time: what is new counts as one
		}
		if s = q.slow[key]; s == nil {
			s = &slowQuery{}
			q.slow[key] = s
		}
	}
	s.since++
	if !s.told.IsZero() && now.Sub(s.told) < slowEvery {
		return 0
	}
	times = s.since
	s.told, s.since = now, 0
	return times
}

func (q *queryLog) seeFailed(ctx context.Context, call sqltap.Call, info QueryInfo) {
	if say := q.countFailed(call, info); say != nil {
		say(ctx)
	}
}

// countFailed returns what the log is to be told, if anything. Nothing is logged
// while the mutex is held: a log may take its time, and may be in this database.
func (q *queryLog) countFailed(call sqltap.Call, info QueryInfo) (say func(context.Context)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := q.now(); now.Sub(q.began) >= riseWindow {
		say = q.judge()
		q.began, q.before, q.failed = now, q.calls()-1, 0 // this call belongs to the new window
		clear(q.classes)
	}
	q.failed++
	q.classes[info.Class]++
	q.last = call
	return say
}

// judge looks at a window that has ended. It may have lasted for longer than
// riseWindow, since only a failure ends it: nobody waits for one with a timer.
func (q *queryLog) judge() (say func(context.Context)) {
	calls := q.calls() - q.before - 1
	share := float64(q.failed) / float64(max(calls, 1))
	limit := max(riseShare, riseFactor*q.usual)
	switch {
	case q.high && share < limit:
		q.high = false
		attrs := []slog.Attr{slog.Float64("share", share), slog.Float64("usual", q.usual)}
		return func(ctx context.Context) {
			q.log.LogAttrs(ctx, slog.LevelInfo, "no more queries fail than usual", attrs...)
		}
	case !q.high && q.failed >= riseLeast && share >= limit:
		q.high = true
		most := slices.MaxFunc(slices.Sorted(maps.Keys(q.classes)), func(a, b ErrorClass) int { return cmp.Compare(q.classes[a], q.classes[b]) })
		attrs := []slog.Attr{slog.Int64("failed", q.failed), slog.Int64("calls", calls), slog.Float64("share", share), slog.Float64("usual", q.usual),
			slog.String("class", string(most)), slog.String("operation", q.last.Operation), slog.String("fingerprint", sqltap.Fingerprint(q.dialect, q.last.Text))}
		return func(ctx context.Context) {
			q.log.LogAttrs(ctx, slog.LevelWarn, "more queries fail than usual", attrs...)
		}
	case !q.high && calls >= usualCalls:
		q.usual += usualWeight * (share - q.usual)
	}
	return nil
}
