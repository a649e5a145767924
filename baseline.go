package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
)

// This file takes a database over whose schema something else has made: it
// makes the same schema from the migrations on a scratch database, and compares.

// Verification says how [DB.BaselineVerified] and [DB.Drift] compare a database with
// what the migrations make. The zero value compares everything, on a scratch database
// that is made and dropped again.
type Verification struct {
	// ScratchURL names a database on which the migrations are run to see what they
	// make. It must exist and be empty, and what is made there stays: empty it
	// before it is used again. Config.Password serves it as it does
	// Config.MigrateURL.
	//
	// Default: a temporary file for SQLite; elsewhere a database beside the one in
	// question, on its server, with _tldwdb_scratch_ in its name, which needs the
	// right to create one. It is dropped at the end. One that a killed process left
	// is dropped by the next verification that is an hour younger.
	ScratchURL string

	// Ignore lists objects that are not compared, with all that belongs to them:
	// another tool's history table (alembic_version), another team's schema
	// (audit.*). Each is a pattern as [path.Match] has them, for the name or, on
	// PostgreSQL, for the name with its schema. The tables of this package are
	// always left out.
	Ignore []string

	// AnyColumnOrder takes tables for equal whose columns stand in another order.
	// They are not by default, because an INSERT … SELECT * in a later migration
	// would put values into the wrong columns.
	AnyColumnOrder bool

	// CacheDir is a folder in which [DB.Drift] and [DB.CompareSchema] keep what the
	// migrations have made, for the next process that asks: a file for each set of
	// checksums, server version and settings, readable by its owner alone. Where a Go
	// migration is among them, or ScratchURL is set, nothing is kept. A file that was
	// changed or cut is made again; one that nobody has asked for in 30 days goes. It is
	// made if it is not there, and trusted: give it to nobody else. BaselineVerified does
	// without.
	//
	// Default: none; the command line has tldwdb in the user's cache folder.
	CacheDir string

	// Force is for BaselineVerified alone. It writes the baseline although the
	// database differs. The differences are kept in the history, as the Error of the
	// version's [MigrationStatus], and returned in [Result.Accepted].
	Force bool
}

// Difference is one object in which a database differs from what the migrations
// make.
type Difference struct {
	// Kind is what it is: table, index, view, materialized view, sequence, type,
	// function, procedure, aggregate, trigger, rule, policy, extension, schema,
	// event, comment and so on. Columns and constraints are part of their table.
	Kind string `json:"kind"`
	// Name is its name, on PostgreSQL with its schema.
	Name string `json:"name"`
	// Change is "missing" when only the migrations make it, "unexpected" when only
	// the database has it, and "different" when both have it, not in the same way.
	Change string `json:"change"`
	// Want is what the migrations make, in lines; empty for what is unexpected. It
	// is a description in a fixed form, and no statement to run.
	Want string `json:"want,omitempty"`
	// Got is what the database has; empty for what is missing.
	Got string `json:"got,omitempty"`
}

// String says what differs in a line, and below it which lines: with a minus
// those that only the migrations make, with a plus those that only the database
// has.
func (d Difference) String() string { return catalog.Difference(d).String() }

// ErrSchemaDiffers is the kind of a [SchemaError].
var ErrSchemaDiffers = errors.New("the schema is not what the migrations make")

// SchemaError lists in what a database differs from what the migrations up to a
// version make.
type SchemaError struct {
	Version     int64
	Differences []Difference // by kind and name; at least one
}

// Error gives the text of each difference.
func (e *SchemaError) Error() string {
	lines := make([]string, len(e.Differences)+1)
	lines[0] = fmt.Sprintf("%s up to version %d: %d differences", ErrSchemaDiffers, e.Version, len(e.Differences))
	if len(e.Differences) == 1 {
		lines[0] = strings.TrimSuffix(lines[0], "s")
	}
	for i, d := range e.Differences {
		lines[i+1] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes [errors.Is] find [ErrSchemaDiffers].
func (e *SchemaError) Is(target error) bool { return target == ErrSchemaDiffers }

// BaselineVerified is [DB.Baseline] for a database whose schema is proved to be
// what the migrations up to version make. They are run on a scratch database, Go
// migrations included; then the two are compared under the migration lock, and
// the history is written when they are equal. What only repeatable migrations
// make is not compared: the next Up runs them.
//
// It returns a *[SchemaError] that lists the differences when there are any,
// and has written nothing then, unless v.Force is set. The other errors are
// those of Baseline, those of Up for a migration that fails on the scratch
// database, and [ErrNoScratch].
func (db *DB) BaselineVerified(ctx context.Context, version int64, v Verification) (*Result, error) {
	ctx, end := db.startRun(ctx, "baseline")
	result, err := db.baselineVerified(ctx, version, v)
	end(err)
	return result, err
}

func (db *DB) baselineVerified(ctx context.Context, version int64, v Verification) (*Result, error) {
	if err := db.mayBaseline(ctx, version); err != nil {
		return &Result{}, err
	}
	want, repeatable, err := db.replay(ctx, upTo(version), v)
	if err != nil {
		return &Result{}, ended(ctx, err)
	}
	return db.baseline(ctx, version, func(ctx context.Context, r *run) ([]Difference, error) {
		got, err := catalog.Read(ctx, r.d, r.conn.Conn, db.comparing(v))
		if err != nil {
			return nil, err
		}
		list := differences(catalog.Compare(want.Without(repeatable), got.Without(repeatable)))
		if len(list) == 0 || v.Force {
			return list, nil
		}
		return nil, withHint(&SchemaError{Version: version, Differences: list},
			"nothing was written: baseline at the version that the database is at, leave out what is not the migrations' business (Verification.Ignore), change the database, or take it as it is (Verification.Force)")
	})
}

// mayBaseline finds out what would be in the way before a scratch database is
// made. It is looked at again under the lock.
func (db *DB) mayBaseline(ctx context.Context, version int64) error {
	r, err := db.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	if r.src.find(ID{Version: version}) == nil {
		return fmt.Errorf("%w: version %d", ErrUnknownVersion, version)
	}
	hist, err := r.store.read(ctx, r.conn)
	if err == nil {
		_, err = r.baselineRows(ctx, hist, r.src.upTo(version))
	}
	return ended(ctx, err)
}

// differences are those of package catalog as this package shows them. An alias would
// spare them, and hide the fields from whoever reads the documentation.
func differences(list []catalog.Difference) []Difference {
	out := make([]Difference, len(list))
	for i, d := range list {
		out[i] = Difference(d)
	}
	return out
}
