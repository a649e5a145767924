package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/schemadoc"
	"github.com/tldw/tldwdb/tldwdbdocs"
)

// DocumentOptions say what a document of the schema is about.
type DocumentOptions struct {
	// Verification says where the migrations are run, and what is left out. Its
	// AnyColumnOrder and Force have no meaning here.
	Verification

	// Live describes the database as it is, with what somebody has made by hand.
	// Default: what all migrations make, whichever of them are applied.
	Live bool
}

// Document describes the schema for people: tables, columns, keys, comments, and from
// which migration each is. To know that, it runs the migrations on a scratch database, one
// after the other, and looks behind each; see [Verification] for where that is. Nothing is
// written into the database, and no lock is taken.
//
// It returns [ErrNoScratch] when there is no scratch database to be had, and the errors of
// [DB.Up] for a migration that fails there. With Live it returns the errors of [DB.Drift]
// as well.
func (db *DB) Document(ctx context.Context, o DocumentOptions) (*tldwdbdocs.Schema, error) {
	s, err := db.document(ctx, o)
	return s, ended(ctx, err)
}

func (db *DB) document(ctx context.Context, o DocumentOptions) (*tldwdbdocs.Schema, error) {
	o.AnyColumnOrder = false
	if err := db.comparing(o.Verification).Check(); err != nil {
		return nil, fmt.Errorf("DocumentOptions.Ignore: %w", err)
	}
	keep := func(*migration) bool { return true }
	var is *present
	if o.Live {
		var err error
		if is, err = db.present(ctx, o.Verification); err != nil {
			return nil, err
		}
		keep = is.keeps
	}
	empty, steps, err := db.steps(ctx, keep, o.Verification)
	if err != nil {
		return nil, err
	}
	var now catalog.Catalog
	switch {
	case o.Live:
		now = is.got
	case len(steps) > 0:
		now = steps[len(steps)-1].Catalog
	}
	now = slices.DeleteFunc(slices.Clone(now), func(o catalog.Object) bool { // as it is in every database, nobody has made it
		return o.Kind == "schema" && o.Name == "public" && slices.ContainsFunc(empty, func(e catalog.Object) bool { return e.Kind == o.Kind && e.Name == o.Name && e.Text == o.Text })
	})
	s := schemadoc.Describe(db.dialect.ScanOptions(), now, steps)
	s.Live = o.Live
	return s, nil
}

// steps runs the migrations that keep accepts on a scratch database, and describes what
// is there before them all and behind each.
func (db *DB) steps(ctx context.Context, keep func(*migration) bool, v Verification) (empty catalog.Catalog, list []schemadoc.Step, err error) {
	s, err := db.emptyScratch(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if empty, err = s.read(ctx, db.comparing(v)); err != nil {
		return nil, nil, err
	}
	for n, m := range s.src.migrations {
		if !keep(m) {
			continue
		}
		if slices.ContainsFunc(s.src.migrations[n+1:], func(later *migration) bool { return later.squashed != nil }) {
			continue // a snapshot makes them at once, those in Go between them too, behind the last one
		}
		upTo := func(other *migration) bool { return compareIDs(other.id, m.id) <= 0 && keep(other) }
		c, err := s.migrated(ctx, s.src.part(upTo), db.comparing(v))
		if err != nil {
			return nil, nil, err
		}
		list = append(list, schemadoc.Step{Migration: m.id.String(), Catalog: c})
	}
	return empty, list, nil
}
