package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Status is what files and database say about each other. Reading it takes no
// lock and writes nothing.
type Status struct {
	Set         string            `json:"set"`
	Environment string            `json:"environment"` // stamped into the database; empty before the first run
	Lock        string            `json:"lock"`        // the kind of migration lock that the last run chose, and why; empty before the first run
	Current     int64             `json:"current"`     // highest applied version; 0 for none
	Head        int64             `json:"head"`        // highest version that this binary knows; 0 for none
	Pending     int               `json:"pending"`     // steps that Up would take
	Migrations  []MigrationStatus `json:"migrations"`  // in running order, those that only the database knows included
	Problems    []Disagreement    `json:"problems"`    // every point in which files and database differ
}

// State says where a migration stands.
type State string

// The states of a migration.
const (
	StatePending  State = "pending"  // not applied
	StateApplied  State = "applied"  // applied by a run
	StateBaseline State = "baseline" // taken as applied by [DB.Baseline]
	StateSnapshot State = "snapshot" // made by a snapshot, together with others
	StateRunning  State = "running"  // being applied, or its process died half-way
	StateFailed   State = "failed"   // stopped at a statement that the server refused
	StateChanged  State = "changed"  // a repeatable migration whose text is new
	StateUnknown  State = "unknown"  // applied, and there is no file for it
)

// MigrationStatus is one migration in a [Status].
type MigrationStatus struct {
	Migration   ID            `json:"migration"`
	State       State         `json:"state"`
	File        string        `json:"file"`                // empty for a Go migration and for one that only the database knows
	Reversible  bool          `json:"reversible"`          // there is a way back
	StartedAt   time.Time     `json:"started_at,omitzero"` // zero when it has not run; UTC; left out of JSON then
	FinishedAt  time.Time     `json:"finished_at,omitzero"`
	Duration    time.Duration `json:"duration_ns"`  // nanoseconds in JSON
	Done        int           `json:"done"`         // statements done
	Statements  int           `json:"statements"`   // statements in all; 0 before it has run
	Actor       string        `json:"actor"`        // who ran it
	ToolVersion string        `json:"tool_version"` // the version of this package that ran it
	Error       string        `json:"error"`        // of the last attempt; of a forced baseline: the differences that were accepted
}

// Status reads where the database stands, with one SELECT.
func (db *DB) Status(ctx context.Context) (*Status, error) {
	status, _, err := db.status(ctx)
	return status, err
}

// status returns beside the Status what [decide] says about Up.
func (db *DB) status(ctx context.Context) (*Status, error, error) {
	src, hist, err := db.readHistory(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &Status{Set: db.cfg.Set, Environment: hist.environment, Lock: hist.lock.String(), Problems: compare(src, hist)}
	s.Current, _ = hist.current()
	s.Head, _ = src.head()
	s.Migrations = slices.Grow(s.Migrations, len(src.migrations))
	for _, m := range src.migrations {
		s.Migrations = append(s.Migrations, describe(m, hist.find(m.id)))
	}
	for i := range hist.rows {
		if r := &hist.rows[i]; src.find(r.id) == nil {
			s.Migrations = append(s.Migrations, describe(nil, r))
		}
	}
	slices.SortStableFunc(s.Migrations, func(a, b MigrationStatus) int { return compareIDs(a.Migration, b.Migration) })
	var wrong error
	s.Pending, _, wrong = db.pending(src, hist)
	return s, wrong, nil
}

// pending is how many steps Up would take, or has to take once files and database
// agree again; and what is odd about the history, or wrong.
func (db *DB) pending(src *source, hist *history) (n int, warnings []Disagreement, wrong error) {
	steps, warnings, wrong := decide(src, hist, Request{}, planOptions{outOfOrder: db.cfg.OutOfOrder, strict: db.cfg.Strict})
	if wrong == nil {
		for _, s := range steps {
			n++
			if s.snapshot != nil {
				n += len(s.snapshot.holds) - 1
			}
		}
		return n, warnings, nil
	}
	for _, m := range src.migrations {
		if r := hist.find(m.id); r == nil || !r.state.done() || m.id.Repeatable && r.checksum != m.checksum() {
			n++
		}
	}
	return n, warnings, wrong
}

// describe says where one migration stands. Either of m and r may be nil.
func describe(m *migration, r *row) MigrationStatus {
	var s MigrationStatus
	if r != nil {
		s = MigrationStatus{Migration: r.id, State: State(r.state), Reversible: r.hasDown, StartedAt: r.started, FinishedAt: r.finished,
			Duration: r.duration, Done: r.done, Statements: r.steps, Actor: r.actor, ToolVersion: r.tool, Error: r.fault}
	}
	switch {
	case m == nil:
		if r.state.done() {
			s.State = StateUnknown
		}
		return s
	case r == nil:
		s = MigrationStatus{State: StatePending}
	case r.id.Repeatable && r.state.done() && r.checksum != m.checksum():
		s.State = StateChanged
	}
	s.Migration = m.id
	if m.up != nil {
		s.File = m.up.file
	}
	s.Reversible = s.Reversible || m.down != nil || m.code != nil && m.code.Down != nil
	if m.up != nil && m.up.directives.Irreversible != "" {
		s.Reversible = false
	}
	return s
}

// readHistory is the look of the calls that take no lock.
func (db *DB) readHistory(ctx context.Context) (*source, *history, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer r.release(ctx)
	hist, err := r.store.readDetails(ctx, r.conn)
	if err == nil {
		db.tellSchema(r.src, hist)
	}
	return r.src, hist, ended(ctx, err)
}

// Check returns nil when the schema is what this binary needs, an error that
// is [ErrPending] when migrations are pending, and a *[HistoryError] when files
// and database disagree. It takes no lock and writes nothing.
func (db *DB) Check(ctx context.Context) error {
	status, wrong, err := db.status(ctx)
	switch {
	case err != nil:
		return err
	case wrong != nil:
		return wrong
	case status.Pending > 0:
		return withHint(fmt.Errorf("%w: %d to apply, the database is at version %d and this binary at %d", ErrPending, status.Pending, status.Current, status.Head),
			"call DB.Up, or run the init step of the deployment")
	}
	return nil
}

// The pause between two looks while somebody else has to migrate.
const (
	waitFirst = 50 * time.Millisecond
	waitLast  = 2 * time.Second
)

// wait spaces the looks of a process for which somebody else has to migrate.
type wait struct {
	deadline time.Time
	next     time.Duration
	lastSaid time.Time
}

func (db *DB) newWait() *wait {
	return &wait{deadline: time.Now().Add(db.cfg.LockWait), next: waitFirst}
}

// left reports whether there is time for another look.
func (w *wait) left() bool { return time.Now().Before(w.deadline) }

// say reports whether it is time for another line in the log.
func (w *wait) say() bool {
	now := time.Now()
	if now.Sub(w.lastSaid) < holderEvery {
		return false
	}
	w.lastSaid = now
	return true
}

// pause waits until the next look.
func (w *wait) pause(ctx context.Context) error {
	pause := w.next/2 + rand.N(w.next/2)
	w.next = min(w.next*2, waitLast)
	return sleep(ctx, pause)
}

// Wait returns as soon as nothing is pending: for workers whose migrations are
// applied by somebody else, an init container for example. It ends with the
// context, or after Config.LockWait with an error that is [ErrPending]; other
// errors of [DB.Check] end it at once, but for a history table that may not be read:
// it may be about to be made, with the right to read it; and for rows that are not all
// there: somebody may be bringing them.
func (db *DB) Wait(ctx context.Context) error {
	defer db.settled()
	wait := db.newWait()
	for {
		err := db.Check(ctx)
		if err == nil || !errors.Is(err, ErrPending) && !errors.Is(err, ErrHalfLoaded) && !dialect.Refused(err) || !wait.left() {
			return err
		}
		db.activity.waits()
		if wait.say() {
			db.log.LogAttrs(ctx, slog.LevelInfo, "waiting for the migrations", slog.String("state", err.Error()))
		}
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}
