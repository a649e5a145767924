package loadtest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// errNothing is the answer of a request that has written nothing, as it should.
var errNothing = errors.New("nothing was written")

type write struct{ worker, seq int }

// ledger is what the callers know of their writes.
type ledger struct {
	engine  testdb.Engine
	subject string // what was between them and the database

	mu       sync.Mutex
	written  map[write]bool // acknowledged; false: nobody said
	next     map[int]int    // of each worker
	took     []time.Duration
	failures []error
	running  time.Duration
	news     chan struct{} // closed at the next acknowledged write
}

func newLedger(e testdb.Engine, subject string) *ledger {
	return &ledger{engine: e, subject: subject, written: map[write]bool{}, next: map[int]int{}, news: make(chan struct{})}
}

// request is one of a service's requests: it writes one line of the ledger, or
// fails.
type request func(ctx context.Context, worker, seq int) error

// load sends requests for as long as that.
func (l *ledger) load(ctx context.Context, length time.Duration, workers int, r request) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	l.loadUntil(ctx, workers, r)
}

// loadUntil sends requests until ctx ends. It never cuts one short: what a
// request answers is what it has done.
func (l *ledger) loadUntil(ctx context.Context, workers int, r request) {
	start := time.Now()
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				seq := l.number(worker)
				began := time.Now()
				err := r(context.WithoutCancel(ctx), worker, seq)
				l.note(write{worker, seq}, time.Since(began), err)
			}
		})
	}
	all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running += time.Since(start)
}

func (l *ledger) number(worker int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next[worker]++
	return l.next[worker]
}

func (l *ledger) note(w write, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errNothing):
		return
	case err != nil:
		l.failures = append(l.failures, err)
		l.written[w] = false
		return
	}
	l.written[w] = true
	l.took = append(l.took, took)
	close(l.news)
	l.news = make(chan struct{})
}

func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// wait returns at the next acknowledged write, or with ctx.
func (l *ledger) wait(ctx context.Context) {
	l.mu.Lock()
	news := l.news
	l.mu.Unlock()
	select {
	case <-news:
	case <-ctx.Done():
	}
}

// beginner is a pool, or one of its connections.
type beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// transfer is a request that moves an amount from one account to another, and
// writes that down.
func (l *ledger) transfer(pool beginner) request {
	return func(ctx context.Context, worker, seq int) error { return l.within(ctx, pool, worker, seq) }
}

// acquired is a transfer that waits for its connection no longer than the
// configuration allows.
func (l *ledger) acquired(db *tldwdb.DB) request {
	return func(ctx context.Context, worker, seq int) error {
		conn, err := db.Acquire(ctx)
		if err != nil {
			return err
		}
		return errors.Join(l.within(ctx, conn, worker, seq), conn.Close())
	}
}

func (l *ledger) within(ctx context.Context, pool beginner, worker, seq int) error {
	from, to := (worker*7+seq)%accounts, (worker*3+seq*5+1)%accounts
	first, second := min(from, to), max(from, to) // in one order, so that nobody loses a deadlock
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	amount := map[int]int{from: -1, to: 1}
	if from == to {
		amount[from] = 0
	}
	for _, id := range slices.Compact([]int{first, second}) {
		if _, err := tx.ExecContext(ctx, l.text("UPDATE account SET balance = balance + ? WHERE id = ?"), amount[id], id); err != nil {
			return errors.Join(err, rollback(tx))
		}
	}
	if _, err := tx.ExecContext(ctx, l.text("INSERT INTO ledger (worker, seq) VALUES (?, ?)"), worker, seq); err != nil {
		return errors.Join(err, rollback(tx))
	}
	var balance int
	if err := tx.QueryRowContext(ctx, l.text("SELECT balance FROM account WHERE id = ?"), to).Scan(&balance); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// text is a statement as the engine wants its arguments.
func (l *ledger) text(query string) string {
	if l.engine != testdb.Postgres {
		return query
	}
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprint("$", n), 1)
	}
	return query
}

// check compares what the callers know with what is there: each acknowledged
// write once, each of the others once or not at all, and no money made or lost.
func (l *ledger) check(t *testing.T, pool *sql.DB) {
	t.Helper()
	found := map[write]int{}
	rows, err := pool.QueryContext(t.Context(), "SELECT worker, seq FROM ledger")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var w write
		if err := rows.Scan(&w.worker, &w.seq); err != nil {
			t.Fatal(err)
		}
		found[w]++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for w, said := range l.written {
		switch n := found[w]; {
		case said && n == 0:
			t.Errorf("lost: write %d of worker %d was acknowledged", w.seq, w.worker)
		case n > 1:
			t.Errorf("doubled: write %d of worker %d is there %d times", w.seq, w.worker, n)
		}
		delete(found, w)
	}
	for w := range found {
		t.Errorf("write %d of worker %d is there, and nobody made it", w.seq, w.worker)
	}
	var sum int
	if err := pool.QueryRowContext(t.Context(), "SELECT sum(balance) FROM account").Scan(&sum); err != nil || sum != total/accounts*accounts {
		t.Errorf("the accounts have %d together, want %d: %v", sum, total/accounts*accounts, err)
	}
	if len(l.took) == 0 {
		t.Error("nothing was written")
	}
}

// report is the table of `make load`.
type report struct{ lines []string }

func (r *report) add(b *bench, l *ledger) {
	slices.Sort(l.took)
	at := func(share float64) time.Duration {
		if len(l.took) == 0 {
			return 0
		}
		return l.took[min(int(share*float64(len(l.took))), len(l.took)-1)]
	}
	round := func(d time.Duration) time.Duration { return d.Round(cmp.Or(d/1000, 1)) }
	r.lines = append(r.lines, fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%.0f\t%v\t%v\t%v\t%v", b.engine, b.scenario, l.subject, len(l.took), len(l.failures),
		float64(len(l.took))/max(l.running.Seconds(), 1e-9), round(at(0.5)), round(at(0.95)), round(at(0.99)), round(at(1))))
}

// String is the table, aligned.
func (r *report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	_, _ = fmt.Fprintln(w, "engine\tscenario\tthrough\twrites\tfailed\ta second\t50 %\t95 %\t99 %\tslowest")
	for _, line := range r.lines {
		_, _ = fmt.Fprintln(w, line)
	}
	_ = w.Flush()
	return b.String()
}
