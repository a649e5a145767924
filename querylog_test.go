package tldwdb

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqltap"
)

// queryLogAt is a query log with a clock of the test's own.
func queryLogAt(t *testing.T) (q *queryLog, pass func(time.Duration), said func() string) {
	t.Helper()
	var buffer bytes.Buffer
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	q = newQueryLog(&Config{Logger: slog.New(slog.NewTextHandler(&buffer, nil)), SlowQuery: time.Second}, dialect.NamePostgres)
	q.now = func() time.Time { return now }
	return q, func(d time.Duration) { now = now.Add(d) }, func() string { defer buffer.Reset(); return buffer.String() }
}

func (q *queryLog) feed(n int, text string, class ErrorClass) {
	for range n {
		if class == "" {
			q.quick.Add(0, 0, 0)
			continue
		}
		q.see(context.Background(), sqltap.Call{Operation: sqltap.Query, Text: text}, QueryInfo{Pool: PoolApplication, Operation: sqltap.Query, Class: class})
	}
}

func TestSlowQueriesAreToldOnceAMinute(t *testing.T) {
	t.Parallel()
	q, pass, said := queryLogAt(t)
	slow := func(text string) {
		q.see(t.Context(), sqltap.Call{Operation: sqltap.Query, Text: text, Took: 2 * time.Second}, QueryInfo{Pool: PoolApplication, Operation: sqltap.Query, Slow: true})
	}
	for i := range 100 {
		slow(fmt.Sprintf("SELECT * FROM t WHERE id = %d", i))
	}
	if got := said(); strings.Count(got, "slow query") != 1 || !strings.Contains(got, "times=1 ") || !strings.Contains(got, "id = ?") {
		t.Errorf("at first:\n%s", got)
	}
	slow("SELECT 1")
	if got := said(); strings.Count(got, "slow query") != 1 {
		t.Errorf("another one:\n%s", got)
	}
	pass(slowEvery)
	slow("SELECT * FROM t WHERE id = 7")
	if got := said(); !strings.Contains(got, "times=100 ") {
		t.Errorf("after a minute:\n%s", got)
	}
	said()
	for i := range 5 * slowKinds {
		slow(fmt.Sprintf("SELECT a%d", i))
	}
	if lines := strings.Count(said(), "slow query"); len(q.slow) > slowKinds+1 || lines > slowKinds+1 {
		t.Errorf("%d fingerprints are remembered, and %d lines were written", len(q.slow), lines)
	}
	pass(slowEvery)
	slow("SELECT new")
	if got := said(); !strings.Contains(got, "new") || len(q.slow) > 2 {
		t.Errorf("%d fingerprints are remembered after a minute:\n%s", len(q.slow), got)
	}
}

// logFunc is a log that asks the database before it writes, or anything else.
type logFunc func(context.Context, slog.Record)

func (logFunc) Enabled(context.Context, slog.Level) bool { return true }
func (f logFunc) Handle(ctx context.Context, r slog.Record) error {
	f(ctx, r)
	return nil
}
func (f logFunc) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f logFunc) WithGroup(string) slog.Handler      { return f }

// Nothing is locked while the log is told: it may be in this database, where its own query
// is slow, or fails.
func TestTheLogMayAskTheDatabase(t *testing.T) {
	t.Parallel()
	var q *queryLog
	var told []string
	asks := func(ctx context.Context, r slog.Record) {
		told = append(told, r.Message)
		q.see(ctx, sqltap.Call{Operation: sqltap.Exec, Text: "INSERT INTO log VALUES (1)"}, QueryInfo{Slow: true, Class: "timeout"})
	}
	q, pass, _ := queryLogAt(t)
	q.log = slog.New(logFunc(asks))
	q.feed(100, "SELECT 1", "timeout")
	pass(riseWindow)
	q.feed(1, "SELECT 1", "timeout")
	if want := []string{"more queries fail than usual", "slow query"}; !slices.Equal(told, want) {
		t.Errorf("the log was told %q, want %q", told, want)
	}
}

func TestARiseOfFailuresIsTold(t *testing.T) {
	t.Parallel()
	q, pass, said := queryLogAt(t)
	window := func(calls, failures int) {
		q.feed(1, "SELECT 'hunter2'", "timeout") // begins the window
		q.feed(calls-failures, "SELECT 1", "")
		q.feed(failures-1, "SELECT 'hunter2'", "timeout")
		pass(riseWindow)
	}
	for range 30 { // one in fifty fails, always
		window(1000, 20)
	}
	q.feed(1000, "SELECT 1", "canceled") // the clients' own
	if got := said(); got != "" {
		t.Errorf("what is usual was told:\n%s", got)
	}
	window(1000, 50) // more, but not so much more
	window(10, 9)    // a large share of next to nothing
	window(1000, 20)
	if got := said(); got != "" {
		t.Errorf("what is no rise was told:\n%s", got)
	}
	for range 5 {
		window(1000, 300)
	}
	got := said()
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "more queries fail than usual") || !strings.Contains(got, "class=timeout") ||
		!strings.Contains(got, `fingerprint="SELECT ?"`) || strings.Contains(got, "hunter2") {
		t.Errorf("a rise:\n%s", got)
	}
	window(1000, 1)
	window(1000, 1)
	if got := said(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no more queries fail than usual") {
		t.Errorf("the end:\n%s", got)
	}
	window(1000, 500)
	window(1000, 500)
	if got := said(); strings.Count(got, "more queries fail than usual") != 1 {
		t.Errorf("another rise:\n%s", got)
	}
}
