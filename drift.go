package tldwdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
)

// This file finds out what was done to the schema past the migrations.

// Drift compares the database with what its applied migrations make, and returns
// every object in which it differs, by kind and name: a hot-fix that was made by
// hand, and one that was lost. Nothing is returned when they are equal. It writes
// nothing into the database and takes no lock.
//
// The applied migrations are run on a scratch database, in the order in which a
// new database gets them, Go migrations included; see [Verification] for where it
// is, and for what is left out. What they have made is kept for the life of the DB,
// until another migration is applied or the server gets another version: further
// calls only look at the database. What is made by a repeatable migration that has
// to run, or to run again, is not compared. The database is read by
// Config.MigrateURL where that is set, and by the pool otherwise: on MySQL an
// account sees only what it has rights to. Verification.Force has no meaning here.
//
// It returns [ErrNoScratch] when there is no scratch database to be had; a
// *[HistoryError] when an applied migration was changed or has no file, for then
// nobody knows what it made; [ErrHalfApplied] while a migration is under way or
// half applied; and the errors of Up for a migration that fails on the scratch
// database.
func (db *DB) Drift(ctx context.Context, v Verification) ([]Difference, error) {
	if err := db.comparing(v).Check(); err != nil {
		return nil, fmt.Errorf("Verification.Ignore: %w", err)
	}
	is, err := db.present(ctx, v)
	if err != nil {
		return nil, ended(ctx, err)
	}
	should, err := db.replayed(ctx, is, v)
	if err != nil {
		return nil, ended(ctx, err)
	}
	return differences(catalog.Compare(should.want.Without(should.left), is.got.Without(should.left))), nil
}

// present is a schema, and the migrations that have led to it.
type present struct {
	got    catalog.Catalog
	src    *source
	hist   *history
	server string // its version

	settings string // see catalog.Settings; empty where nothing is kept
	all      bool   // no matter what the history says
}

// keeps reports whether a migration is applied as its file stands.
func (p *present) keeps(m *migration) bool {
	if p.all {
		return true
	}
	r := p.hist.find(m.id)
	return r != nil && r.state.done() && (!m.id.Repeatable || r.checksum == m.checksum())
}

// present reads the schema. Should somebody migrate meanwhile it reads again:
// a schema is to be compared with the history that belongs to it.
func (db *DB) present(ctx context.Context, v Verification) (*present, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	if err := r.connectAndInspect(ctx); err != nil {
		return nil, err
	}
	hist, err := r.store.read(ctx, r.conn)
	for err == nil {
		if err := known(r.src, hist); err != nil {
			return nil, err
		}
		got, err := catalog.Read(ctx, r.d, r.conn.Conn, db.comparing(v))
		if err != nil {
			return nil, err
		}
		before := hist
		if hist, err = r.store.read(ctx, r.conn); err != nil {
			return nil, err
		}
		if slices.Equal(before.rows, hist.rows) {
			is := &present{got: got, src: r.src, hist: hist, server: r.facts.Server}
			return is, is.set(ctx, r, v)
		}
	}
	return nil, err
}

// set reads what else decides what a schema is, where it is to be kept.
func (p *present) set(ctx context.Context, r *run, v Verification) (err error) {
	if v.CacheDir != "" {
		p.settings, err = catalog.Settings(ctx, r.d, r.conn.Conn)
	}
	return err
}

// known fails where nobody can say what the applied migrations make.
func known(src *source, hist *history) error {
	list := slices.DeleteFunc(compare(src, hist), func(d Disagreement) bool { return errors.Is(d.Kind, ErrOutOfOrder) })
	if len(list) > 0 {
		return withHint(&HistoryError{Problems: list}, "what the database should be is known to the binary with the files that were applied: ask that one")
	}
	for _, r := range hist.rows {
		if !r.state.done() {
			return withHint(fmt.Errorf("%w, or under way: %s, %s", ErrHalfApplied, r.id, r.standing()), "wait for the run that is at it, or let the next Up or DB.Repair end it")
		}
	}
	return nil
}

// replay is what migrations make.
type replay struct {
	of   [sha256.Size]byte // which ones, where, and what was left out
	want catalog.Catalog
	left []catalog.Difference // what only repeatable migrations make that are not among them
}

// replayed runs the migrations that have led to a schema, unless that was done
// before. Who comes meanwhile waits for the outcome instead of running them too.
func (db *DB) replayed(ctx context.Context, is *present, v Verification) (*replay, error) {
	select {
	case db.replaying <- struct{}{}:
		defer func() { <-db.replaying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	of := is.identity(v)
	if last := db.lastReplay; last != nil && last.of == of {
		return last, nil
	}
	file := is.cacheFile(v)
	if k := readReplay(file); k != nil {
		_ = os.Chtimes(file, time.Time{}, time.Now()) // it is only kept for longer
		db.lastReplay = &replay{of: of, want: k.Want, left: k.Left}
		return db.lastReplay, nil
	}
	want, left, err := db.replay(ctx, is.keeps, v)
	if err != nil {
		return nil, err
	}
	if file != "" {
		db.keepReplay(ctx, file, replayFile{want, left})
	}
	db.lastReplay = &replay{of: of, want: want, left: left}
	return db.lastReplay, nil
}

// identity stands for all that the outcome of a replay depends on.
func (p *present) identity(v Verification) [sha256.Size]byte {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%q %q %q %v\n", p.server, v.ScratchURL, v.Ignore, v.AnyColumnOrder) // a hash takes everything
	for _, m := range p.src.migrations {
		by := ""
		if m.squashed != nil { // it may have been made again from the same files
			by = m.squashed.script.checksum
		}
		_, _ = fmt.Fprintf(sum, "%q %s %s %v\n", m.id, m.checksum(), by, p.keeps(m))
	}
	return [sha256.Size]byte(sum.Sum(nil))
}
