package tldwdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file moves a service from one database into another, of the same engine or
// not. The migrations make the schema there; internal/portable moves the rows.

// Why a copy was refused, or failed.
var (
	// ErrCopyUnfit means that the migrations, tables or columns of the two databases
	// do not fit. Nothing was written.
	ErrCopyUnfit = errors.New("the two databases do not fit")
	// ErrCopyValue means that the target cannot hold a value. It is named by table,
	// column and key. The copy can go on when the value, or the column, is another.
	ErrCopyValue = errors.New("the target cannot hold a value")
	// ErrCopyDiffers means that what is read from the target, at the end, is not what
	// was read from the source: something else writes there.
	ErrCopyDiffers = errors.New("the target does not have what the source has")
)

// CopyOptions say how [Copy] works. The zero value copies everything.
type CopyOptions struct {
	// DryRun says how each table and column would go over, and what does not fit. It
	// writes nothing into either database. While the target is not migrated yet, its
	// tables are made on a scratch database, as [DB.BaselineVerified] does it.
	DryRun bool
	// Check reads, in a dry run, every row of the source, and looks for the first
	// value that the target cannot hold.
	Check bool
	// Replace throws away the rows that the target has in tables which are at the source
	// too. Default: they are a reason to refuse, unless an earlier copy that was cut short
	// has put them there. Other tables stay as they are, and are named in Copied.Notes.
	Replace bool
	// Skip lists tables that are not copied: names, or patterns as [path.Match] has
	// them. This package's own tables never are: the history of the target is that of
	// its own migrations.
	Skip []string
	// RoundTimes rounds times to the digits of a second that the target's columns keep,
	// and says in Copied.Notes how many: Go's driver for SQLite writes nine, PostgreSQL
	// keeps six, and MySQL as many as the column says, none by default. Default: a time
	// that has more is a reason to refuse.
	RoundTimes bool
	// Progress is told how far it is, now and then, by the goroutine that does the
	// work. Default: nobody is told.
	Progress func(BackupProgress)
}

// Copied is what [Copy] did, or would do.
type Copied struct {
	From     string        `json:"from"`               // without its password
	To       string        `json:"to"`                 // likewise
	Version  int64         `json:"version"`            // of the migrations, in both databases
	Position string        `json:"position,omitempty"` // in the source's log: that of the snapshot, or a moment behind it
	Tables   []CopiedTable `json:"tables"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes"` // of rows, as text
	Took     time.Duration `json:"took_ns"`
	DryRun   bool          `json:"dry_run"`
	Problems []CopyProblem `json:"problems"` // of a dry run: why the copy would not be made
	Notes    []string      `json:"notes"`    // what a person should know, and no error is
}

// CopiedTable is one table of a [Copied].
type CopiedTable struct {
	Name    string         `json:"name"`
	Rows    int64          `json:"rows"`
	Digest  string         `json:"digest,omitempty"`  // of its content, the same on both sides whatever the engines are
	Resumed bool           `json:"resumed,omitempty"` // an earlier copy that was cut short has brought it over
	Columns []CopiedColumn `json:"columns,omitempty"` // of a dry run
}

// CopiedColumn is how a column goes over.
type CopiedColumn struct {
	Name     string `json:"name"`
	From     string `json:"from"` // type, as the source's engine says it
	To       string `json:"to"`
	Kind     string `json:"kind"`               // as which the two are compared
	Computed bool   `json:"computed,omitempty"` // by the target
}

// CopyProblem is one reason of a [CopyError].
type CopyProblem struct {
	Table  string `json:"table"`
	Column string `json:"column,omitempty"`
	Key    string `json:"key,omitempty"` // of the row, such as id=42; empty where it is about all of them
	Reason string `json:"reason"`
}

// String is the problem in a line.
func (p CopyProblem) String() string {
	line := "table " + p.Table
	if p.Table == "" {
		line = "migrations"
	}
	if p.Column != "" {
		line += ", column " + p.Column
	}
	if p.Key != "" {
		line += ", " + p.Key
	}
	return line + ": " + p.Reason
}

// CopyError says what does not fit. [errors.Is] finds its kind: [ErrCopyUnfit],
// [ErrCopyValue] or [ErrCopyDiffers].
type CopyError struct {
	Kind     error
	Problems []CopyProblem // at least one
}

// Error gives the kind, and a line for each problem.
func (e *CopyError) Error() string {
	lines := []string{e.Kind.Error()}
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if len(e.Problems) == 1 {
		return strings.Join(lines, ": ")
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the kind.
func (e *CopyError) Unwrap() error { return e.Kind }

// copyError gives the errors of package portable the names that they have here.
func copyError(err error) error {
	if fit, ok := errors.AsType[*portable.MappingError](err); ok {
		return &CopyError{Kind: ErrCopyUnfit, Problems: copyProblems(fit.Problems)}
	}
	if value, ok := errors.AsType[*portable.ValueError](err); ok {
		hint := "change the value at the source, or the column's type in a migration, and copy again: what was copied is kept"
		if value.Fine {
			hint = "set CopyOptions.RoundTimes, where so much of a second does not matter; or " + hint
		}
		return withHint(&CopyError{Kind: ErrCopyValue, Problems: []CopyProblem{{Table: value.Table, Column: value.Column, Key: value.Key, Reason: value.Reason}}}, "%s", hint)
	}
	if differs, ok := errors.AsType[*portable.DigestError](err); ok {
		return withHint(&CopyError{Kind: ErrCopyDiffers, Problems: []CopyProblem{{Table: differs.Table, Reason: fmt.Sprintf("%d rows are there; digest %s, want %s", differs.Rows, differs.Got, differs.Want)}}},
			"let nothing write to the target, and copy again: what differs is copied once more")
	}
	return err
}

func copyProblems(list []portable.Problem) []CopyProblem {
	problems := make([]CopyProblem, len(list))
	for i, p := range list {
		problems[i] = CopyProblem{Table: p.Table, Column: p.Column, Reason: p.Reason}
	}
	return problems
}

// Copy replaces the rows of one database by those of another, of any engine, in every
// table of the source. The target is migrated to the version of the source, with the files for its own
// dialect; then the rows of every table are read in one snapshot of the source,
// written, read again and compared. Both migration locks are held meanwhile; the
// source may be written to. The target must not be: its triggers, and on PostgreSQL
// its foreign keys, come back at the end.
//
// A copy that was cut short, by whatever, goes on when it is called again: a table
// that is over, and has at the source what it had, is not written again. Values are
// not changed to fit, but for what CopyOptions.RoundTimes allows. On a database stamped as production, and where
// Config.Environment says so, the target has to be named in its Config.Confirm.
//
// What was done is valid beside an error. Errors: [CopyError], [ErrNotEmpty],
// [ErrProtected], *[HistoryError] and [ErrHalfApplied] when the source is not in
// order, and those of [DB.Up] for the target.
func Copy(ctx context.Context, from, to *DB, o CopyOptions) (*Copied, error) {
	start := time.Now()
	c := &copyRun{from: from, to: to, o: o, meter: newMeter(o.Progress), done: &Copied{From: from.url.String(), To: to.url.String(), DryRun: o.DryRun, Tables: []CopiedTable{}, Problems: []CopyProblem{}, Notes: []string{}}}
	if from.sameAs(to) { // it would wait for a lock that it has itself
		return c.done, &CopyError{Kind: ErrCopyUnfit, Problems: []CopyProblem{{Reason: "the source and the target are one database"}}}
	}
	err := from.underMigrationLock(ctx, "copying from it", c.locked)
	c.done.Took = time.Since(start)
	return c.done, copyError(err)
}

// copyRun is one copy.
type copyRun struct {
	from, to *DB
	o        CopyOptions
	meter    *meter
	done     *Copied
	seeds    map[string]string // files of the source that have run once: their rows go over
}

// sameAs reports whether two can be seen to be one database without asking it: not
// where one server has two addresses.
func (db *DB) sameAs(other *DB) bool {
	a, b := db.url, other.url
	if a.Dialect == dburl.SQLite {
		path, otherPath := db.file.knownPath(), other.file.knownPath()
		if path == "" || otherPath == "" {
			return db == other
		}
		info, err := os.Stat(path)
		otherInfo, otherErr := os.Stat(otherPath)
		return err == nil && otherErr == nil && os.SameFile(info, otherInfo)
	}
	return db == other || a.Dialect != "" && a.Dialect == b.Dialect && a.Database == b.Database && slices.Equal(a.Endpoints, b.Endpoints)
}

// locked runs while nobody migrates the source.
func (c *copyRun) locked(ctx context.Context, source *run) error {
	hist, err := source.store.read(ctx, source.conn)
	if err != nil {
		return err
	}
	if err := hist.halfLoaded(); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	c.seeds = hist.seeds
	if err := c.agree(source, hist); err != nil {
		return err
	}
	return c.withSide(ctx, source, func(ctx context.Context, from portable.Side) error {
		if c.o.DryRun {
			return c.plan(ctx, from)
		}
		return c.copy(ctx, from)
	})
}

// agree compares what was applied at the source with what the target's migrations
// are. They may be other files, in the folder of its dialect, but not other
// migrations.
func (c *copyRun) agree(source *run, hist *history) error {
	target, err := c.to.source()
	if err != nil {
		return err
	}
	var problems []CopyProblem
	problem := func(format string, args ...any) {
		problems = append(problems, CopyProblem{Reason: fmt.Sprintf(format, args...)})
	}
	for _, r := range hist.rows {
		switch m := target.find(r.id); {
		case !r.state.done():
			return withHint(fmt.Errorf("%w: %s at the source is %s", ErrHalfApplied, r.id, r.state), "finish it with DB.Up there")
		case m == nil:
			problem("%s is applied at the source, and the target's files do not have it", r.id)
		case !r.id.Repeatable && m.id.Name != r.id.Name && r.id.Name != "":
			problem("version %d is %s at the source, and %s in the target's files", r.id.Version, r.id, m.id)
		default:
			mine := source.src.find(r.id)
			if mine != nil && mine.up != nil && m.up != nil && mine.up.file == m.up.file && r.checksum != m.checksum() {
				problem("%s was applied at the source with another text than the target's file %s has", r.id, m.up.file)
			}
		}
	}
	c.done.Version, _ = hist.current()
	for _, m := range target.migrations {
		if !m.id.Repeatable && m.id.Version <= c.done.Version && hist.find(m.id) == nil {
			problem("%s of the target's files is not applied at the source, and a later one is", m.id)
		}
	}
	if len(problems) > 0 {
		return &CopyError{Kind: ErrCopyUnfit, Problems: problems}
	}
	if c.done.Version == 0 {
		return withHint(fmt.Errorf("%w: no migration is applied at the source", ErrCopyUnfit), "the migrations make the target's tables: take the source over with DB.Baseline first")
	}
	return nil
}

// withSide gives fn a database as package portable has it, by a connection beside that
// of the lock, where one can be made. Neither side's own tables go over, whatever they
// are called there.
func (c *copyRun) withSide(ctx context.Context, r *run, fn func(context.Context, portable.Side) error) error {
	if err := r.inspect(ctx); err != nil {
		return err
	}
	o := portableOptions(r.facts.Schema, c.meter, c.o.Skip, c.from.ownTables(), c.to.ownTables())
	o.RoundTimes = c.o.RoundTimes
	return r.besideLock(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return fn(ctx, portable.Side{Dialect: r.d, Conn: conn, Options: o})
	})
}

// copy migrates the target and copies into it.
func (c *copyRun) copy(ctx context.Context, from portable.Side) error {
	goesOn, err := c.mark(ctx, from)
	if err != nil {
		return err
	}
	if !goesOn {
		if err := c.migrate(ctx); err != nil {
			return fmt.Errorf("migrating the target: %w", err)
		}
	}
	return c.to.underMigrationLock(ctx, "copying into it", func(ctx context.Context, target *run) error {
		if err := target.beginLoading(ctx, loadingCopy); err != nil {
			return err
		}
		err := c.withSide(ctx, target, func(ctx context.Context, to portable.Side) error {
			return c.rows(ctx, target, from, to)
		})
		if err != nil {
			return err
		}
		return target.endLoading(ctx, c.seeds)
	})
}

// migrate brings the target to the source's version.
func (c *copyRun) migrate(ctx context.Context) error {
	src, err := c.to.source()
	if err == nil {
		_, err = c.to.Migrate(ctx, src.requestTo(c.done.Version))
	}
	return err
}

// rows copies them.
func (c *copyRun) rows(ctx context.Context, target *run, from, to portable.Side) error {
	c.to.log.LogAttrs(ctx, slog.LevelInfo, "copying", slog.String("database", databaseLabel(target.facts.Database)), slog.Int64("version", c.done.Version))
	sum, err := portable.Copy(ctx, from, to)
	c.done.Position, c.done.Bytes = sum.Header.Position, sum.Bytes
	c.done.Notes = append(c.done.Notes, sum.Notes...)
	for _, t := range sum.Tables {
		c.done.Rows += t.Rows
		c.done.Tables = append(c.done.Tables, CopiedTable{Name: t.Name, Rows: t.Rows, Digest: t.Digest, Resumed: t.Resumed})
	}
	return err
}

// mark makes sure that the target may be written to, and remembers in it that a
// copy is about to be made: rows that its migrations put there are then known not to
// be a user's, also by the next copy if this one is cut short. goesOn says that an
// earlier one has begun to bring rows, and that the target is migrated.
func (c *copyRun) mark(ctx context.Context, from portable.Side) (goesOn bool, err error) {
	err = c.to.underMigrationLock(ctx, "looking at it before a copy", func(ctx context.Context, r *run) error {
		hist, err := r.store.read(ctx, r.conn)
		if err != nil {
			return err
		}
		if r.facts.ReadOnly {
			return r.readOnly()
		}
		if err := r.unprotected(hist); err != nil {
			return err
		}
		version, _ := hist.current()
		if version > c.done.Version {
			return withHint(&CopyError{Kind: ErrCopyUnfit, Problems: []CopyProblem{{Reason: fmt.Sprintf("the target is at version %d, and the source at %d", version, c.done.Version)}}},
				"migrate the source first, or take an empty database for the target")
		}
		return c.withSide(ctx, r, func(ctx context.Context, side portable.Side) error {
			is, err := portable.Look(ctx, from, side)
			switch {
			case err != nil:
				return err
			case is.Begun && version != c.done.Version: // a migration would miss the foreign keys
				return withHint(&CopyError{Kind: ErrCopyUnfit, Problems: []CopyProblem{{Reason: fmt.Sprintf("the copy that was cut short is of version %d, and the source is at %d", version, c.done.Version)}}},
					"take an empty database for the target")
			case is.Marked:
				goesOn = hist.loading != ""
				return nil
			case len(is.HasRows) > 0 && !c.o.Replace:
				return withHint(fmt.Errorf("%w: it has rows in %s", ErrNotEmpty, someOf(is.HasRows)), "copy into an empty database, or set CopyOptions.Replace to throw those rows away")
			}
			return portable.Mark(ctx, side.Dialect, side.Conn, side.Options)
		})
	})
	return goesOn, err
}

// someOf names a few of many.
func someOf(names []string) string {
	const some = 5
	if len(names) > some {
		return fmt.Sprintf("%s and %d more tables", strings.Join(names[:some], ", "), len(names)-some)
	}
	return strings.Join(names, ", ")
}

// plan says how the rows would go over.
func (c *copyRun) plan(ctx context.Context, from portable.Side) (err error) {
	_, hist, err := c.to.readHistory(ctx)
	if err != nil {
		return err
	}
	target := c.to
	if version, _ := hist.current(); version != c.done.Version {
		s, err := c.to.openScratch(ctx, "")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.close(ctx)) }()
		if _, err := s.migrated(ctx, s.src.part(upTo(c.done.Version)), catalog.Options{}); err != nil {
			return err
		}
		target = s.DB
	}
	r, err := target.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	return c.withSide(ctx, r, func(ctx context.Context, to portable.Side) error {
		plans, problems, notes, err := portable.Plan(ctx, from, to, c.o.Check)
		for _, p := range plans {
			t := CopiedTable{Name: p.Table}
			for _, column := range p.Columns {
				t.Columns = append(t.Columns, CopiedColumn{Name: column.Name, From: column.From, To: column.To, Kind: string(column.Kind), Computed: column.Computed})
			}
			c.done.Tables = append(c.done.Tables, t)
		}
		c.done.Problems = append(c.done.Problems, copyProblems(problems)...)
		c.done.Notes = append(c.done.Notes, notes...)
		if value, ok := errors.AsType[*portable.ValueError](err); ok {
			c.done.Problems = append(c.done.Problems, CopyProblem{Table: value.Table, Column: value.Column, Key: value.Key, Reason: value.Reason})
			return nil
		}
		return err
	})
}
