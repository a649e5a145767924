package tldwdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// This file waits for the migration lock and proves it. The mechanism itself is
// the dialect's.

const (
	// lockSlice is the longest single wait inside the server. Between two
	// slices CREATE INDEX CONCURRENTLY of the holder can go on.
	lockSlice = 400 * time.Millisecond

	// The pause between two tries where a try does not wait by itself.
	pollFirst = 10 * time.Millisecond
	pollLast  = 250 * time.Millisecond

	// holderEvery is how often a waiter says whom it waits for.
	holderEvery = 10 * time.Second

	// cleanupTime bounds what has to be done although the caller's context has
	// ended: rolling back, unlocking, restoring a session.
	cleanupTime = 10 * time.Second
)

// detached is a context for cleaning up: it outlives the caller's, and it ends.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// acquire waits for the lock. Between two tries it looks again: when another
// process has done the work it returns false without the lock, so that a
// waiter never queues for nothing.
func (r *run) acquire(ctx context.Context, workLeft func(context.Context) (bool, error)) (bool, error) {
	ctx, end := r.db.watch.start(ctx, r.db.operation(OperationLock))
	got, err := r.await(ctx, workLeft)
	err = r.cutShort(ctx, err)
	end(err)
	return got, err
}

// errInterrupted is the kind of an error of a run that had to wait for the lock, and whose
// session was ended before its work began: the server restarts, or another database takes
// this one's place. Who does the latter ends the session that has the lock, and then those
// that waited, one of which may have it by then.
var errInterrupted = errors.New("the session that waited was ended")

// interrupted reports whether what waited for the lock may go on waiting. again says
// that it does so already: between the two names of a database that changes place, whoever
// connects is told that there is none.
func interrupted(err error, again bool) bool {
	return errors.Is(err, errInterrupted) || again && ClassOf(err) == ErrorClass(dialect.FaultMissingDatabase)
}

// cutShort makes the error of a run whose work has not begun errInterrupted, where it is.
func (r *run) cutShort(ctx context.Context, err error) error {
	if err == nil || !r.waited || ctx.Err() != nil || !dialect.Unreachable(err) || errors.Is(err, errInterrupted) {
		return err
	}
	r.dirty = true // so that it is closed
	return fmt.Errorf("%w: %w", errInterrupted, err)
}

// await is acquire without those who watch.
func (r *run) await(ctx context.Context, workLeft func(context.Context) (bool, error)) (bool, error) {
	start := time.Now()
	deadline := start.Add(r.cfg.LockWait)
	pause, lastSaid := pollFirst, time.Time{}
	// The first try does not wait: most of the time nobody has the lock.
	for slice := time.Duration(0); ; slice = min(lockSlice, max(time.Until(deadline), 0)) {
		got, err := r.lock.Try(ctx, r.conn.Conn, slice)
		if err != nil {
			return false, r.advise(fmt.Errorf("taking the migration lock: %w", err))
		}
		if got {
			r.result.Waited = time.Since(start)
			return true, nil
		}
		r.waited = true
		left, err := workLeft(ctx)
		if err != nil {
			return false, err
		}
		if !left {
			r.result.Waited = time.Since(start)
			return false, nil
		}
		now := time.Now()
		if slice > 0 && now.Sub(lastSaid) >= holderEvery || now.After(deadline) {
			lastSaid = now
			r.result.Holder = r.holder(ctx)
			if now.After(deadline) {
				return false, r.lockTimeout(now.Sub(start))
			}
			r.log.LogAttrs(ctx, slog.LevelInfo, "waiting for the migration lock",
				slog.String("holder", r.result.Holder), slog.Duration("waited", now.Sub(start).Round(time.Millisecond)))
		}
		if slice > 0 && !r.lock.Waits() {
			if err := sleep(ctx, pause/2+rand.N(pause/2)); err != nil {
				return false, err
			}
			pause = min(pause*2, pollLast)
		}
	}
}

// holder names who has the lock. Not to know is no reason to fail.
func (r *run) holder(ctx context.Context) string {
	name, err := r.lock.Holder(ctx, r.conn.Conn)
	if err != nil {
		r.log.LogAttrs(ctx, slog.LevelDebug, "asking who has the migration lock", slog.String("error", err.Error()))
	}
	return name
}

func (r *run) lockTimeout(waited time.Duration) error {
	holder := r.result.Holder
	if holder == "" {
		holder = "a process that cannot be named"
	}
	return withHint(fmt.Errorf("%w: %s has had it for the %s that we waited", ErrLockTimeout, holder, waited.Round(time.Second)),
		"look at what the holder does; if its migration is merely long, raise Config.LockWait (TLDWDB_LOCK_WAIT)")
}

// prove checks that the lock that was just taken keeps others out. A pooler in
// transaction mode, a cluster, or a network file system may grant it to
// everybody, and say so to nobody.
func (r *run) prove(ctx context.Context) error {
	if !r.lock.NeedsConnection() {
		return r.proved(r.lock.Excludes(ctx, nil))
	}
	limited, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	second, done, err := r.secondConnection(limited)
	if err == nil {
		defer done()
		var excludes bool
		excludes, err = r.lock.Excludes(limited, second)
		if limited.Err() == nil {
			return r.proved(excludes, err)
		}
		err = cmp.Or(err, limited.Err())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A role that may have only one connection is no reason not to start.
	r.log.LogAttrs(ctx, slog.LevelWarn, "the migration lock could not be proved: no second connection", slog.String("error", err.Error()))
	return nil
}

func (r *run) proved(excludes bool, err error) error {
	if err != nil {
		return fmt.Errorf("proving the migration lock: %w", err)
	}
	if excludes {
		return nil
	}
	return withHint(fmt.Errorf("%w (%s)", ErrLockUnproved, r.lock.Kind()),
		"something between here and the server shares sessions, most likely a pooler in transaction mode: set Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection")
}

// secondConnection is one that is not the run's, outside the pool where it can
// be made. A borrowed pool without a URL lends one of its own, if it may have
// more than one. The caller calls done.
func (r *run) secondConnection(ctx context.Context) (second *sql.Conn, done func(), err error) {
	side, err := r.db.openSide(ctx)
	if errors.Is(err, errNoSideConnection) {
		if r.db.pool.Stats().MaxOpenConnections == 1 {
			return nil, nil, err
		}
		if second, err = r.db.pool.Conn(ctx); err != nil {
			return nil, nil, err
		}
		return second, func() { _ = second.Close() }, nil // it is as it was
	}
	if err != nil {
		return nil, nil, err
	}
	if second, err = side.Conn(ctx); err != nil {
		_ = side.Close() // it holds nothing
		return nil, nil, err
	}
	return second, func() {
		_ = second.Close() // the pool is closed next
		_ = side.Close()
	}, nil
}

// unlock gives the lock back and reads the answer, also when the caller's
// context has ended.
func (r *run) unlock(ctx context.Context) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	held, err := r.lock.Unlock(ctx, r.conn.Conn)
	if err != nil {
		return fmt.Errorf("giving the migration lock back: %w", err)
	}
	if err := r.db.checkFile(ctx, r.conn); err != nil {
		return err // what was done is lost
	}
	if !held {
		return withHint(fmt.Errorf("%w: it was not held any more at the end of the run", ErrLockLost),
			"a migration gave it away (DISCARD ALL, pg_advisory_unlock_all, RELEASE_ALL_LOCKS), or a pooler switched the server connection: set Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection")
	}
	return nil
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
