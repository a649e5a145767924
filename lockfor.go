package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// lockWatch is how often somebody who works elsewhere makes sure that the lock's
// session is alive: well within the idle limits that servers, and what stands
// before them, end a session at.
const lockWatch = 2 * time.Second

// underMigrationLock runs fn while this process has the migration lock, so that no
// migration runs beside it: for what reads or copies the database as a whole. It is
// the protocol of [DB.Up], with its wait, its proof and its lease; what is told to
// those who wait for a lease.
//
// The run that fn gets has the connection that holds the lock, which is outside the
// application's pool where one can be made there. What takes long on other
// connections goes through [run.elsewhere]. The context ends when the lock is lost.
// A server that takes no writes is not locked: nobody can migrate there.
//
// Whoever waits on PostgreSQL while a restore replaces the database loses the session in
// which it does. It goes on waiting in the one that is there then.
func (db *DB) underMigrationLock(ctx context.Context, what string, fn func(context.Context, *run) error) error {
	wait := db.newWait()
	for again := false; ; again = true {
		ran, err := db.onceUnderMigrationLock(ctx, what, fn)
		if ran || !interrupted(err, again) || !wait.left() {
			return err
		}
		if wait.say() {
			db.log.LogAttrs(ctx, slog.LevelInfo, "connecting again to wait for the migration lock", slog.String("state", err.Error()))
		}
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}

// onceUnderMigrationLock says whether fn was called.
func (db *DB) onceUnderMigrationLock(ctx context.Context, what string, fn func(context.Context, *run) error) (ran bool, err error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return false, err
	}
	defer r.release(ctx)
	if err := r.aside(ctx); err != nil {
		return false, ended(ctx, err)
	}
	r.store.actor = shorten(r.store.actor+", "+what, 240)
	err = r.locked(ctx, always, func(ctx context.Context, _ *history) error {
		ran = true
		return fn(ctx, r)
	})
	if !ran && errors.Is(err, ErrReadOnly) && r.facts.ReadOnly {
		ran, err = true, fn(ctx, r)
	}
	return ran, ended(ctx, err)
}

// aside gives the connection back to the application's pool, and makes one of its
// own in its place, where that can be done.
func (r *run) aside(ctx context.Context) error {
	if r.side != nil {
		return nil
	}
	side, err := r.db.openSide(ctx)
	if errors.Is(err, errNoSideConnection) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.conn.Close(); err != nil {
		return errors.Join(err, side.Close())
	}
	r.side, r.facts = side, dialect.Facts{} // those of the other connection
	r.conn, err = side.Connx(ctx)
	return err
}

// elsewhere runs fn, which leaves the run's own connection alone, and asks on that
// meanwhile whether the lock's session is alive: a server ends one that is silent
// for long, and the lock with it. A lease has its own signs of life, and a file's
// lock ends with this process only. Behind fn it asks once more.
func (r *run) elsewhere(ctx context.Context, fn func(context.Context) error) error {
	if _, ok := r.lock.(lease); ok || r.lock == nil || !r.lock.NeedsConnection() {
		return fn(ctx)
	}
	kept, lost := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	ask := func() error {
		limited, cancel := context.WithTimeout(kept, cleanupTime)
		defer cancel()
		err := r.conn.PingContext(limited)
		if err == nil || kept.Err() != nil {
			return nil
		}
		err = fmt.Errorf("%w: its session has ended: %w", ErrLockLost, err)
		lost(err)
		return err
	}
	over := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lockWatch)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-kept.Done():
				return
			case <-tick.C:
				_ = ask() // kept ends with it
			}
		}
	}()
	err := fn(kept)
	close(over)
	<-ended
	if err == nil {
		err = ask()
	}
	cause := context.Cause(kept)
	lost(nil)
	if err != nil && errors.Is(cause, ErrLockLost) && !errors.Is(err, ErrLockLost) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
