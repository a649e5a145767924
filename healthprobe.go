package tldwdb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// This file decides when the database is probed, by which connection, and what is
// said while there is no answer. What is asked is in healthcheck.go.

// reservedLifetime is the age at which the probes' own connection is replaced:
// that the server takes no sign-in any more is to be seen soon.
const reservedLifetime = time.Minute

// saidEvery is how often the log is told again that the database is unhealthy.
const saidEvery = time.Minute

// prober asks the database how it is, once for all who want to know.
type prober struct {
	db    *DB
	opts  *HealthOptions
	runID string // names the rows of the write probes

	last   atomic.Pointer[answer] // nil before the first probe
	old    atomic.Pointer[answer] // what was last said to somebody who did not wait
	ctx    context.Context        //nolint:containedctx // of the probes, which belong to no caller
	cancel context.CancelFunc

	mu      sync.Mutex
	flight  chan struct{}  // closed when the probe under way has its answer; nil if there is none
	stuck   bool           // a probe has outlived its time, and has the connection
	closed  bool           // no probe begins any more
	late    bool           // what the probe under way will say is overtaken already
	running sync.WaitGroup // probes, and the program's own functions
	own     *sqlx.DB       // the probes' connection; nil until it is needed, or where there can be none
	retired *retirement    // of own, when its log-in changes; nil where it has one of its own

	// Of the probe under way alone.
	memory probeMemory
	settle settling
	said   string    // what the log was told last
	saidAt time.Time // and when
	drift  aside[[]Difference]
	backup aside[BackupState]
}

// answer is a Health, and the bytes that tell it.
type answer struct {
	health Health
	until  time.Time // it is good for so long
	late   bool      // something has changed since it was asked for
	of     *answer   // a stale one: what it repeats
	bodies bodies
}

func newProber(db *DB) *prober {
	p := &prober{db: db, opts: &db.cfg.Health, runID: newRunID()}
	if p.opts.Backup == nil {
		p.opts.Backup = db.backupState()
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// answer is the current answer, from the last probe or from the next.
func (p *prober) answer(ctx context.Context) *answer {
	if a := p.last.Load(); a != nil && time.Now().Before(a.until) {
		return a
	}
	for {
		flight, tell := p.begin()
		if tell != nil {
			tell()
		}
		select {
		case <-flight:
			// An answer that was overtaken is none to a caller who may know better.
			if a := p.last.Load(); !a.late {
				return a
			}
		case <-ctx.Done():
			return p.stale(ctx)
		}
	}
}

// staleFor is for how long callers who do not wait are told the same.
const staleFor = 50 * time.Millisecond

// stale is the last answer for a caller who does not wait for the next. There may
// be thousands of them at once: they share what is said.
func (p *prober) stale(ctx context.Context) *answer {
	now, last, class := time.Now(), p.last.Load(), ClassOf(ctx.Err())
	if old := p.old.Load(); old != nil && old.of == last && (last != nil || old.health.Class == class) && now.Before(old.until) {
		return old
	}
	var h Health
	if last != nil {
		h = last.health
		h.Age = time.Since(h.Time)
	} else {
		h = p.silent(ctx.Err())
		h.Class, h.Error = class, "there is no answer yet"
	}
	h.Stale = true
	a := &answer{health: h, bodies: newBodies(&h), of: last, until: now.Add(staleFor)}
	p.old.Store(a)
	return a
}

// begin starts a probe, or joins the one under way. What it returns is closed when
// there is an answer; tell is to be called if one was given without a probe.
func (p *prober) begin() (flight <-chan struct{}, tell func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flight != nil {
		return p.flight, nil
	}
	done := make(chan struct{})
	if a := p.last.Load(); a != nil && time.Now().Before(a.until) { // since the caller looked
		close(done)
		return done, nil
	}
	if p.stuck || p.closed {
		err := context.DeadlineExceeded
		if p.closed {
			err = errClosed
		}
		h, say := p.publish(p.silent(err))
		close(done)
		if p.closed {
			return done, nil // nobody wants to know any more
		}
		return done, func() { say(); p.db.tellHealth(h, 0) }
	}
	p.flight = done
	p.running.Add(1)
	go p.fly(done)
	return done, nil
}

// errClosed means that the DB was closed.
var errClosed = errors.New("the database was closed by this process")

// fly makes one probe, and has an answer when its time is over even if the probe
// has none: not every driver keeps to its context.
func (p *prober) fly(done chan struct{}) {
	// A tenth is left for the probe to end in order.
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.Timeout-p.opts.Timeout/10)
	result := make(chan Health, 1)
	start := time.Now()
	go func() {
		defer p.running.Done()
		defer cancel()
		result <- p.guardedProbe(ctx)
		p.mu.Lock()
		p.stuck = false
		p.mu.Unlock()
	}()
	watchdog := time.NewTimer(p.opts.Timeout)
	defer watchdog.Stop()
	var h Health
	hung := false
	select {
	case h = <-result:
	case <-watchdog.C:
		h, hung = p.silent(context.DeadlineExceeded), true
	}
	took := time.Since(start)
	p.mu.Lock()
	p.stuck = hung && len(result) == 0
	p.flight = nil
	h, say := p.publish(h)
	close(done)
	p.mu.Unlock()
	say()
	p.db.tellHealth(h, took)
}

// guardedProbe takes a panic of a driver, or of what wraps it, for a database that
// does not answer: whoever may ask for the health could end the process otherwise.
func (p *prober) guardedProbe(ctx context.Context) (h Health) {
	defer func() {
		if r := recover(); r != nil {
			h = p.silent(fmt.Errorf("the probe panicked: %v", r))
		}
	}()
	return p.probe(ctx)
}

// silent is the Health of a database that has not answered at all.
func (p *prober) silent(err error) Health {
	c := p.failed(Check{Name: CheckConnection, Time: time.Now()}, err)
	c.Latency = p.opts.Timeout
	h := Health{Time: c.Time, Checks: []Check{c}, Activity: p.db.activity.now.Load()}
	p.conclude(&h)
	return h
}

// publish makes an answer everybody's, and returns it. It is called with the mutex
// held; say is to be called without it, for nobody knows how long a log takes.
func (p *prober) publish(h Health) (_ Health, say func()) {
	p.settle.ready(&h, p.opts)
	say = p.news(&h)
	a := &answer{health: h, bodies: newBodies(&h), late: p.late}
	if !p.late {
		a.until = time.Now().Add(p.opts.Interval)
	}
	p.late = false
	p.last.Store(a)
	return h, say
}

// expire makes the next caller ask anew: this process has just changed what there
// is to see.
func (p *prober) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = p.flight != nil
	if a := p.last.Load(); a != nil {
		p.last.Store(&answer{health: a.health, bodies: a.bodies})
	}
}

// news tells the log what has changed, and from time to time what has not, when
// what it returns is called.
func (p *prober) news(h *Health) (say func()) {
	worst := h.worst()
	now := h.Status
	if worst != nil {
		now += " " + worst.Name + " " + string(worst.Class)
	}
	again := h.Status == StatusUnhealthy && time.Since(p.saidAt) > saidEvery
	if now == p.said && !again || p.said == "" && now == StatusHealthy || p.closed {
		if p.said == "" {
			p.said = now
		}
		return func() {}
	}
	p.said, p.saidAt = now, time.Now()
	attrs := []slog.Attr{slog.Bool("ready", h.Ready)}
	if worst != nil { // the words of the server are for the log; they have no credentials
		attrs = append(attrs, slog.String("check", worst.Name), slog.String("class", string(worst.Class)), slog.String("error", cmp.Or(worst.Output, publicError(worst))))
	}
	log := p.db.log
	switch {
	case h.Status != StatusHealthy:
		return func() { log.LogAttrs(p.ctx, slog.LevelWarn, "the database is unhealthy", attrs...) }
	case worst != nil:
		return func() { log.LogAttrs(p.ctx, slog.LevelWarn, "the database is healthy, with a reservation", attrs...) }
	}
	return func() { log.LogAttrs(p.ctx, slog.LevelInfo, "the database is healthy again", attrs...) }
}

// settling keeps a process ready through a blink of its database.
type settling struct {
	wasReady bool
	failures int
	since    time.Time // of the first of them
}

// ready sets Health.Ready.
func (s *settling) ready(h *Health, o *HealthOptions) {
	failed, forGood := false, false
	for _, c := range h.Checks {
		if c.Status == CheckFail && slices.Contains(o.Ready, c.Name) {
			failed = true
			forGood = forGood || c.Class == "" // what was seen, and not what could not be asked
		}
	}
	if h.Activity != nil {
		failed, forGood = true, true
	}
	if !failed {
		*s = settling{wasReady: true}
		h.Ready = true
		return
	}
	if s.failures++; s.failures == 1 {
		s.since = h.Time
	}
	h.Ready = s.wasReady && !forGood && s.failures < o.ReadyFailures && h.Time.Sub(s.since) < o.ReadyGrace
	s.wasReady = h.Ready
}

// close ends the probe under way and its connection. It waits for the probe as
// long as one may take.
func (p *prober) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	wait := time.NewTimer(p.opts.Timeout)
	defer wait.Stop()
	select {
	case <-ended:
	case <-wait.C:
	}
	p.expire()
	p.mu.Lock()
	own, retired := p.own, p.retired // nobody makes others: it is closed
	p.mu.Unlock()
	if own == nil {
		return nil
	}
	if retired != nil {
		retired.stop()
	}
	return own.Close()
}

// probeConn is a connection to ask by.
type probeConn struct {
	*sqlx.Conn
	monitor  bool // it is of Config.MonitorURL
	precious bool // it may be all that there is of a database in memory

	restore func(context.Context) error // nil: nothing was set on it
	limit   time.Duration               // of that
}

// asBefore takes back what was set on a connection of somebody else's.
func (c *probeConn) asBefore() bool {
	if c.restore == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	return c.restore(ctx) == nil
}

// discard closes the connection for good: it is not as it was.
func (c *probeConn) discard() {
	if c.precious {
		_ = c.Close()
		return
	}
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // this is how database/sql is told to close it
	_ = c.Close()                                           // sql.ErrConnDone after the line above
}

// errNoReserved means that the probes can have no connection of their own.
var errNoReserved = errors.New("no connection beside the pool can be made")

// connect gives the probe its own connection. Where that is refused, which is no
// word about the database's health, it asks by the application's pool.
func (p *prober) connect(ctx context.Context, h *probing) (*probeConn, error) {
	own, err := p.reserved()
	if err == nil {
		var conn *sqlx.Conn
		if conn, err = own.Connx(dialect.Once(ctx)); err == nil {
			return &probeConn{Conn: conn, monitor: p.db.cfg.monitorURL.Dialect != ""}, nil
		}
		switch dialect.FaultOf(err) {
		case dialect.FaultUnreachable, dialect.FaultTimeout, dialect.FaultCanceled:
			return nil, err
		}
	}
	if p.db.cfg.monitorURL.Dialect != "" {
		c := p.failed(Check{Name: CheckMonitor, Time: time.Now()}, err)
		c.Status = CheckWarn
		h.add(c)
	}
	conn, poolErr := p.borrowLimited(ctx)
	switch {
	case poolErr == nil:
		return conn, nil
	case errors.Is(err, errNoReserved) || p.db.cfg.monitorURL.Dialect != "":
		return nil, poolErr
	}
	return nil, err // why the pool had none is the next check's business
}

// borrow takes a connection of the application's pool, and waits for one no
// longer than a quarter of the probe's time.
func (p *prober) borrow(ctx context.Context) (*sqlx.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, p.opts.Timeout/4)
	defer cancel()
	start := time.Now()
	conn, err := p.db.pool.Connx(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, &PoolTimeoutError{Stats: p.db.pool.Stats(), Waited: time.Since(start), Err: err}
	}
	return conn, err
}

// borrowLimited is borrow for a connection to ask by. What the probe does on it
// waits for no lock longer than on its own.
func (p *prober) borrowLimited(ctx context.Context) (*probeConn, error) {
	conn, err := p.borrow(ctx)
	if err != nil {
		return nil, err
	}
	c := &probeConn{Conn: conn, precious: p.db.dialectName == dialect.NameSQLite, limit: p.opts.Timeout / 10}
	// Where it cannot be limited the probe is as good; that the server does not answer
	// is what its first question says.
	c.restore, _ = p.db.dialect.LimitWaits(ctx, conn.Conn, p.opts.Timeout/4)
	return c, nil
}

// reserved is the pool of one connection that nobody else uses.
func (p *prober) reserved() (*sqlx.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.own != nil {
		return p.own, nil
	}
	u := p.db.url
	if p.db.cfg.monitorURL.Dialect != "" {
		u = p.db.cfg.monitorURL
	}
	if u.Dialect == "" || u.Memory {
		return nil, errNoReserved
	}
	o := p.db.monitorOptions(u)
	o.PrePing = true
	o.ReconnectWait = 0 // a probe says that the server is away, and does not wait for it
	o.ConnectTimeout = min(o.ConnectTimeout, p.opts.Timeout)
	o.BusyTimeout = p.opts.Timeout / 4 // the driver does not end this wait with the context
	u.Params = maps.Clone(u.Params)
	if u.Params == nil {
		u.Params = map[string]string{}
	}
	switch u.Dialect {
	case dburl.SQLite:
		delete(u.Params, "_busy_timeout") // it would go before ours
		if u.Params["mode"] == "" {
			u.Params["mode"] = "rw" // a file that is gone is not to be made
		}
	case dburl.MySQL:
		// MySQL does not notice that the client of a statement which waits for a table's
		// lock has gone, and waits for a year: each probe would leave a session behind
		// until the server has none for anybody.
		limit := strconv.Itoa(max(1, int((p.opts.Timeout / 4).Seconds())))
		u.Params["lock_wait_timeout"], u.Params["innodb_lock_wait_timeout"] = limit, limit
	}
	connector, err := dialect.Connector(u, o)
	if err != nil {
		return nil, err
	}
	connector = p.db.watch.connector(connector, PoolMonitor)
	p.own = sqlx.NewDb(sql.OpenDB(connector), p.db.pool.DriverName())
	lifetime := jitter(reservedLifetime, 0.1)
	limitPool(p.own, 1, lifetime, 0)
	if o.Credentials != nil { // the application's pool tells the log of it
		p.retired = newRetirement(p.own, o.Credentials, lifetime, slog.New(slog.DiscardHandler))
	}
	return p.own, nil
}

// asking is a function to call beside a probe.
type asking[T any] struct {
	every time.Duration // how often at most
	limit time.Duration // how long one call may take
	call  func(context.Context) (T, error)
}

// aside calls such a function, for which the probe cannot be made to wait: once at
// a time, and seldom.
type aside[T any] struct {
	mu      sync.Mutex
	running bool
	begun   time.Time
	last    told[T]
}

// told is what the function has said.
type told[T any] struct {
	value T
	err   error
	at    time.Time // zero: it has said nothing yet
	took  time.Duration
}

// errNotYet means that the function has not returned.
var errNotYet = errors.New("it has not returned yet")

// ask starts the function, if it is time, and waits for it until ctx ends. What it
// returns later is for the next probe; meanwhile its last word counts, until it
// should be asked again.
func (a *aside[T]) ask(ctx context.Context, p *prober, q asking[T]) told[T] {
	a.mu.Lock()
	if !a.running && (a.last.at.IsZero() || time.Since(a.begun) >= q.every) {
		done := make(chan struct{})
		a.running, a.begun = true, time.Now()
		own, cancel := context.WithTimeout(p.ctx, q.limit)
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			defer cancel()
			value, err := guarded(own, q.call)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.running, a.last = false, told[T]{value: value, err: err, at: time.Now(), took: time.Since(a.begun)}
			close(done)
		}()
		a.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if a.running && (a.last.at.IsZero() || time.Since(a.begun) >= q.every) {
		return told[T]{err: errNotYet, at: a.begun, took: time.Since(a.begun)}
	}
	return a.last
}

// guarded calls a function of the program, and takes a panic for an error: a
// probe must not end the process that it watches.
func guarded[T any](ctx context.Context, call func(context.Context) (T, error)) (value T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the function panicked")
		}
	}()
	return call(ctx)
}
