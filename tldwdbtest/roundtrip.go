package tldwdbtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/versionfs"
)

// RoundTrip proves that every migration can be taken back: with rows in the tables it
// goes up, down and up again, one version after the other, on a database of its own,
// and compares the schema after each way with the one before. What differs is an
// error of the test that names the migration, the object, and the lines. The order of
// columns does not count, because a column that comes back comes back as the last one.
//
// A migration that cannot be taken back has to say so, with '-- tldwdb: irreversible
// REASON', or in Go by having no Down. Those after it are tried all the same.
// Repeatable migrations are left out: they are nobody's way back. What a snapshot
// stands for whose files are gone is made by it, and where its files are there they
// run one by one.
//
// Rows are written before each way, into every table that has none: by Config.Fill, or
// invented, one for each table, from types, keys and the texts that checks name. Where
// none fits a line of the test's log says why.
func RoundTrip(tb TB, cfg Config) {
	tb.Helper()
	empty := cfg
	empty.Migrations, empty.GoMigrations, empty.Seeds, empty.GoSeeds, empty.Setup, empty.SetupKey, empty.InMemory = nil, nil, nil, nil, nil, "", false
	empty.Base.Migrations, empty.Base.GoMigrations, empty.Base.Seeds, empty.Base.GoSeeds = nil, nil, nil, nil
	p := placeOf(tb, New(tb, empty))

	own, base := p.config, cfg.base()
	own.Migrations, own.MigrationsDir, own.GoMigrations = versionfs.New(base.Migrations), base.MigrationsDir, base.GoMigrations
	db, err := tldwdb.Open(tb.Context(), own)
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			tb.Errorf("tldwdbtest: closing: %v", err)
		}
	}()
	d, err := inspected(tb.Context(), db, own)
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	list, err := tldwdb.Files(own, d.Name())
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	t := &trip{tb: tb, db: db, d: d, own: ownTables(own), fill: cfg.Fill}
	if t.fill == nil {
		t.fill = (&inventor{tb: tb, d: d, own: t.own, told: map[string]bool{}}).fill
	}
	for _, file := range list {
		if err := t.one(tb.Context(), file); err != nil {
			tb.Fatalf("tldwdbtest: %s: %v", file.Migration, withHint(err))
		}
	}
}

// inspected is the dialect of the database, which has seen the server.
func inspected(ctx context.Context, db *tldwdb.DB, own tldwdb.Config) (_ dialect.Dialect, err error) {
	d, err := dialect.New(dialectNames[db.Pool().DriverName()], own.WrapConnector == nil)
	if err != nil {
		return nil, err
	}
	conn, err := db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = d.Inspect(ctx, conn.Conn, tableOf(own))
	return d, err
}

// tableOf is the name of the history table.
func tableOf(own tldwdb.Config) string { return cmp.Or(own.Table, "tldwdb_history") }

// ownTables are those of tldwdb itself.
func ownTables(own tldwdb.Config) []string { return []string{tableOf(own), tableOf(own) + "_lease"} }

// withHint puts what to do behind an error: a test's log is all that its reader has.
func withHint(err error) error {
	if hint := tldwdb.Hint(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

// trip is one round trip.
type trip struct {
	tb   TB
	db   *tldwdb.DB
	d    dialect.Dialect
	own  []string // names of this package's tables
	fill func(ctx context.Context, db *tldwdb.DB, version int64) error
	at   int64 // version of the database
}

// one takes one migration up, down and up again.
func (t *trip) one(ctx context.Context, file tldwdb.File) error {
	version := file.Migration.Version
	if t.at == 0 {
		if err := t.begin(ctx, version); err != nil {
			return err
		}
	}
	before, err := t.read(ctx)
	if err != nil {
		return err
	}
	after, err := t.up(ctx, version)
	if err != nil {
		return err
	}
	if !file.Reversible {
		if !file.Go && !declared(file) {
			t.tb.Errorf("tldwdbtest: %s has no way back: write its down file, or '-- tldwdb: irreversible REASON' at the head of the file", file.Migration)
		}
		return nil
	}
	if _, err := t.db.Down(ctx, 1); err != nil {
		t.tb.Errorf("tldwdbtest: %s: down with rows in the tables: %v", file.Migration, withHint(err))
		return t.mend(ctx, version)
	}
	back, err := t.read(ctx)
	if err != nil {
		return err
	}
	t.compare(file.Migration, "after up and down", before, back)
	again, err := t.up(ctx, version)
	if err != nil {
		return fmt.Errorf("up for the second time: %w", err)
	}
	t.compare(file.Migration, "after up, down and up", after, again)
	return nil
}

// begin loads the snapshot, where files are gone for which it stands.
func (t *trip) begin(ctx context.Context, version int64) error {
	plan, err := t.db.Plan(ctx, tldwdb.Request{Goal: tldwdb.GoalVersion, Version: version})
	if err != nil || len(plan.Steps) < 2 || plan.Steps[0].Reason != "snapshot" {
		return err
	}
	t.at = plan.Steps[0].Migration.Version
	if _, err := t.db.MigrateTo(ctx, t.at); err != nil {
		return err
	}
	return t.fill(ctx, t.db, t.at)
}

// up applies one migration, reads what is there then, and writes rows.
func (t *trip) up(ctx context.Context, version int64) (catalog.Catalog, error) {
	if _, err := t.db.MigrateTo(ctx, version); err != nil {
		return nil, fmt.Errorf("up with rows in the tables: %w", err)
	}
	t.at = version
	objects, err := t.read(ctx)
	if err == nil {
		err = t.fill(ctx, t.db, version)
	}
	return objects, err
}

// mend ends a way back that failed in the middle, where it could: the next migration
// is tried on what is there.
func (t *trip) mend(ctx context.Context, version int64) error {
	status, err := t.db.Status(ctx)
	if err == nil && status.Current == version {
		return nil
	}
	return errors.Join(err, errors.New("the way back stopped in the middle: those after it cannot be tried"))
}

func declared(file tldwdb.File) bool {
	for _, text := range []*tldwdb.FileText{file.Up, file.Down} {
		if text != nil && slices.ContainsFunc(text.Directives, func(d string) bool { return strings.HasPrefix(d, "irreversible") }) {
			return true
		}
	}
	return false
}

func (t *trip) read(ctx context.Context) (_ catalog.Catalog, err error) {
	conn, err := t.db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return catalog.Read(ctx, t.d, conn.Conn, catalog.Options{Ignore: t.own, AnyColumnOrder: true})
}

func (t *trip) compare(id tldwdb.ID, when string, want, got catalog.Catalog) {
	t.tb.Helper()
	for _, d := range catalog.Compare(want, got) {
		t.tb.Errorf("tldwdbtest: %s: the schema is not the same %s: %s", id, when, d)
	}
}
