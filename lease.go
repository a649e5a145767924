package tldwdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// This file chooses the migration lock, and keeps a lease alive. The session's
// own lock is free the moment its session ends, and so it is the better one
// wherever sessions are what they seem. Behind a pooler in transaction mode they
// are not, and on some clusters their locks are local to one node.

// lease is a lock that lasts only as long as its holder gives signs of life.
type lease interface {
	dialect.Lock
	// Fence wraps an expression that is to be NULL once the lease is another's.
	Fence(expression string) string
	// Guard is a statement that comes first in each transaction that writes to the
	// history, and has to change one row; empty where Fence is enough.
	Guard() string
	// Unsettled reports whether a statement of the holder before may still be at
	// work somewhere.
	Unsettled() bool
	// Beat is the sign of life. held is false when the lease is another's.
	Beat(ctx context.Context, second *sql.Conn) (held bool, err error)
}

// beatsPerTerm is how many signs of life a lease gets: one may be lost on the
// way, and a second one, before others take the holder for dead.
const beatsPerTerm = 3

// chooseLock sets r.lock by what is at the other end of the connection.
func (r *run) chooseLock(ctx context.Context) error {
	shared := false
	if r.facts.Proxied && r.cfg.Lock != LockSession {
		var err error
		if shared, err = r.sharesSessions(ctx); err != nil {
			return err
		}
	}
	kind, why := dialect.ChooseLock(r.d, r.facts, shared, string(r.cfg.Lock))
	if recorded := r.seen.lock; r.cfg.Lock == LockAuto && kind != dialect.LockLease && recorded.kind == dialect.LockLease {
		// Others come through the pooler still: a lock that they do not ask for would
		// not keep them out.
		kind, why = recorded.kind, recorded.why
	}
	return r.useLock(lockChoice{kind, why})
}

// useLock makes the lock that was chosen.
func (r *run) useLock(choice lockChoice) error {
	r.choice, r.store.fence, r.leaseGuard = choice, nil, noGuard
	if choice.kind != dialect.LockLease {
		r.lock = r.d.Lock(r.facts, r.cfg.Table)
		return nil
	}
	l, err := r.d.Lease(r.facts, r.cfg.Table, shorten(r.store.actor, 200)+" ("+r.store.run+")", r.cfg.LeaseTime)
	if err != nil {
		return err
	}
	r.lock, r.store.fence, r.leaseGuard, r.session.Idle = l, l.Fence, l.Guard, r.cfg.LeaseTime
	r.session.Pooled = r.facts.Proxied // whoever has a lease there has no session to himself
	return nil
}

func noGuard() string { return "" }

// guarded runs the lease's guard in the transaction that is open, or that opens
// with it.
func (r *run) guarded(ctx context.Context) error {
	statement := r.leaseGuard()
	if statement == "" {
		return nil
	}
	result, err := r.conn.ExecContext(ctx, statement)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return r.lapsed()
}

// lockChoice is a kind of lock, and why it was chosen.
type lockChoice struct{ kind, why string }

// String is the form in which the history table keeps it, and [Status] shows it.
func (c lockChoice) String() string {
	if c.kind == "" {
		return ""
	}
	return c.kind + ": " + c.why
}

// sharesSessions asks by a second connection whether a proxy gives a session to
// several clients in turn. Without a second connection that cannot be known, and
// neither could a lease be kept alive; a session's lock that is taken on trust
// would stay on the pooler's connection, where nobody can give it back.
func (r *run) sharesSessions(ctx context.Context) (bool, error) {
	// A pooler may let us wait for minutes, and all of a fleet for each other. Chance
	// decides who gives up: most do soon, so that what they have serves somebody else,
	// and a few stay until all have gone by who queue for their first connection.
	patience := cleanupTime
	if r.cfg.LockWait > cleanupTime {
		patience = min(time.Duration(float64(time.Second)/rand.Float64()), time.Minute, r.cfg.LockWait)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	second, done, err := r.secondConnection(limited)
	if err == nil {
		// A pooler lets clients in before it has a session for them.
		if err = second.PingContext(limited); err != nil {
			done()
		}
	}
	if err != nil {
		err = r.crowded(ctx, err)
		return false, withHint(fmt.Errorf("%w: something stands between here and the server, and it takes a second connection to tell whether that shares sessions: %w", ErrLockUnproved, err),
			"allow the pool two connections, or set Config.URL beside the pool that Attach borrows, or Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection; if every client has a session of its own, set Config.Lock (TLDWDB_LOCK) to session")
	}
	defer done()
	asking, stop := context.WithTimeout(ctx, max(cleanupTime, r.cfg.LockWait))
	defer stop()
	shared, err := dialect.SharesSessions(asking, r.d, r.conn.Conn, second)
	if err != nil {
		return false, fmt.Errorf("looking for a pooler: %w", err)
	}
	return shared, nil
}

// errCrowded is the kind of an error of a run that got no second connection, and
// may get one later.
var errCrowded = errors.New("all connections are taken")

// crowded names that kind. The connection that the run has is not kept: behind a
// pooler that gives each client a session, as many processes as there are sessions
// would each keep one, and wait for the second one for ever.
func (r *run) crowded(ctx context.Context, err error) error {
	if ctx.Err() != nil || !dialect.Unreachable(err) && !dialect.PoolerGaveUp(err) {
		return err
	}
	r.dirty = true // so that it is closed
	return fmt.Errorf("%w: %w", errCrowded, err)
}

// keep proves a lease, and gives signs of life for it, on a connection of their
// own, until the heartbeat is stopped. The context that it returns ends when the lease is lost.
func (r *run) keep(ctx context.Context, l lease) (context.Context, *heartbeat, error) {
	taken := time.Now()
	limited, cancelProof := context.WithTimeout(ctx, min(cleanupTime, r.cfg.LeaseTime))
	defer cancelProof()
	second, done, err := r.secondConnection(limited)
	if err != nil {
		err = r.crowded(ctx, err)
		return nil, nil, withHint(fmt.Errorf("a lease needs a second connection, for its signs of life: %w", err),
			"allow the pool two connections, or set Config.URL beside the pool that Attach borrows")
	}
	if err := r.proved(l.Excludes(limited, second)); err != nil {
		done()
		return nil, nil, r.crowded(ctx, err)
	}
	kept, cancel := context.WithCancelCause(ctx)
	h := &heartbeat{run: r, lease: l, second: second, done: done, last: time.Now(), lost: cancel, ending: make(chan struct{}), ended: make(chan struct{})}
	go h.beat(kept, untilBeat(taken, time.Now(), r.cfg.LeaseTime))
	return kept, h, nil
}

// untilBeat is how long the next sign of life has time: a second connection that was
// long in coming has used up some of the term.
func untilBeat(last, now time.Time, term time.Duration) time.Duration {
	return max(0, last.Add(term/beatsPerTerm).Sub(now))
}

// grace gives a statement that the holder before had on its way the time to show
// itself: between its entry in the journal and the statement nothing in the
// database speaks of it.
func (r *run) grace(ctx context.Context, l lease) error {
	if !l.Unsettled() {
		return nil
	}
	pause := r.cfg.LeaseTime / beatsPerTerm
	r.log.LogAttrs(ctx, slog.LevelInfo, "the session of the holder before cannot be seen from here, waiting for what it may have on its way", slog.Duration("for", pause))
	return sleep(ctx, pause)
}

// inDoubt reports whether a statement that seems not to have run may be running:
// its session cannot be seen. A Galera cluster runs DDL in one order on all nodes,
// and reads behind it.
func (r *run) inDoubt() bool {
	l, ok := r.lock.(lease)
	return ok && l.Unsettled() && !r.d.TransactionalDDL() && r.facts.Cluster != dialect.ClusterGalera
}

// heartbeat gives the signs of life of one lease.
type heartbeat struct {
	*run
	lease  lease
	second *sql.Conn // nil after a failure
	done   func()
	last   time.Time // when the last sign of life was sent that arrived
	lost   context.CancelCauseFunc
	ending chan struct{} // closed to stop it
	rested bool          // it is closed
	ended  chan struct{} // closed when it has
}

// stop ends the signs of life. err is what became of the run: what a lost lease
// looks like from there is often no more than a broken connection, which the next
// holder has cut, or a context that has ended.
func (h *heartbeat) stop(ctx context.Context, err error) error {
	if !h.rested {
		close(h.ending)
	}
	h.lost(nil) // a sign of life that nobody answers is not waited for
	<-h.ended
	defer h.close()
	if err == nil || errors.Is(err, ErrLockLost) || h.moved {
		return err
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrLockLost) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	h.last = time.Now()
	held, beatErr := h.once(ctx)
	switch {
	case beatErr == nil && !held:
		return fmt.Errorf("%w: %w", h.lapsed(), err)
	case h.facts.Cluster == dialect.ClusterGalera && (errors.Is(h.cutOff(beatErr), errCutOff) || errors.Is(ctx.Err(), context.DeadlineExceeded)):
		// A node that is on its way out of its cluster answers nothing, and then this.
		return fmt.Errorf("%w: %w", errCutOff, err)
	}
	return err
}

// rest gives no more signs of life: the database that they go to is about to be
// another one, in which nobody has a lease, and that is no loss. One that is under way
// is waited for.
func (h *heartbeat) rest() {
	if h == nil || h.rested {
		return
	}
	h.rested = true
	close(h.ending)
	<-h.ended
}

func (h *heartbeat) beat(ctx context.Context, first time.Duration) {
	defer close(h.ended)
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-h.ending:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		sent := time.Now()
		held, err := h.once(ctx)
		timer.Reset(untilBeat(sent, time.Now(), h.cfg.LeaseTime))
		switch {
		case ctx.Err() != nil:
			if err != nil {
				h.close() // the connection went with the context, and stop wants one that answers
			}
			return
		case err == nil && held:
			h.last = sent
		case err == nil:
			h.lost(h.lapsed())
			return
		case time.Since(h.last) >= h.cfg.LeaseTime:
			h.lost(fmt.Errorf("%w: the lease could not be renewed for %s: %w", ErrLockLost, h.cfg.LeaseTime, err))
			return
		default:
			h.close()
			h.log.LogAttrs(ctx, slog.LevelWarn, "the lease was not renewed, trying again", slog.String("error", err.Error()),
				slog.Duration("left", (h.cfg.LeaseTime-time.Since(h.last)).Round(time.Millisecond)))
		}
	}
}

// once sends one sign of life, and waits no longer for the answer than until the
// lease has run out. On Galera it waits as long as it takes: DDL in total order
// holds up every write of the cluster, and whoever would take the lease too.
func (h *heartbeat) once(ctx context.Context) (held bool, err error) {
	if h.facts.Cluster != dialect.ClusterGalera {
		limited, cancel := context.WithDeadline(ctx, h.last.Add(h.cfg.LeaseTime))
		defer cancel()
		ctx = limited
	}
	if h.second == nil {
		if h.second, h.done, err = h.secondConnection(ctx); err != nil {
			return false, err
		}
	}
	return h.lease.Beat(ctx, h.second)
}

func (h *heartbeat) close() {
	if h.second != nil {
		h.done()
		h.second = nil
	}
}

// holdsLease asks inside a transaction whether the lease is still this run's. It
// is then until the transaction ends.
func (r *run) holdsLease(ctx context.Context) error {
	if err := r.guarded(ctx); err != nil {
		return err
	}
	var lapsed bool
	if err := dialect.QueryRow(ctx, r.conn, "SELECT "+r.store.fence("1")+" IS NULL", r.d.QueryArgs(), &lapsed); err != nil {
		return err
	}
	if lapsed {
		return r.lapsed()
	}
	return nil
}
