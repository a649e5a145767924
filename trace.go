package tldwdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/trace"
)

// This file runs migrations on a scratch database to see what their statements lock,
// rewrite and read, before they do so on the database in question.

// TraceRequest says what [DB.Trace] runs. The zero value is everything that is pending,
// on a scratch database that is made and dropped again.
type TraceRequest struct {
	// Versions are the migrations to observe, applied or pending. What stands before
	// them is run too, and not observed. Default: everything that is pending.
	Versions []int64
	// Stats asks the database for the sizes of its tables, as its statistics have
	// them, and estimates how long each statement works there and blocks others.
	Stats bool
	// ScratchURL names an empty database of the same engine, as in [Verification].
	ScratchURL string
}

// Trace is what migrations did on a scratch database.
type Trace struct {
	Server     string            `json:"server"` // product and version
	Migrations []TracedMigration `json:"migrations"`
}

// TracedMigration is one migration of a [Trace].
type TracedMigration struct {
	Migration   ID     `json:"migration"`
	File        string `json:"file"`        // path inside Config.Migrations; empty for a Go migration
	Transaction bool   `json:"transaction"` // what it locks is locked until its end
	// Filled are those of the tables it names that got a few rows that were made up,
	// because on empty tables a server skips what it does on others.
	Filled     []string          `json:"filled"`
	Statements []TracedStatement `json:"statements"`
	// Lost are the objects, with their kinds, that are gone and that no statement names:
	// the indexes of a column that goes, the triggers of a table that is made again.
	Lost  []string `json:"lost"`
	Notes []string `json:"notes"` // about the migration as a whole
}

// TracedStatement is one statement of a [TracedMigration], or the function of a Go
// migration.
type TracedStatement struct {
	Statement
	Tables []TracedTable `json:"tables"` // by name
	Notes  []string      `json:"notes"`
	// OnRows is the server's error while the tables had rows that were made up. Without
	// them the statement ran. It may be about their values, or about rows as such.
	OnRows string `json:"on_rows,omitempty"`
}

// TracedTable is what a statement did with one table, or view.
type TracedTable struct {
	Name      string   `json:"name"` // on PostgreSQL with its schema
	Kind      string   `json:"kind"`
	New       bool     `json:"new"` // made by the same migration: nobody waits for it
	Dropped   bool     `json:"dropped"`
	Lock      string   `json:"lock"`                // the strongest, as the server calls it; empty for none that was seen
	Held      bool     `json:"held"`                // the lock is that of an earlier statement of the transaction
	Blocks    string   `json:"blocks"`              // what others cannot do: "reads and writes", "writes", "schema changes", or nothing
	Algorithm string   `json:"algorithm,omitempty"` // MySQL, MariaDB: the lightest one that the server takes
	Scanned   bool     `json:"scanned"`             // read from end to end
	Rewritten bool     `json:"rewritten"`           // written anew, with its indexes
	Built     []string `json:"built"`               // indexes
	Rows      int64    `json:"rows"`                // written, among those of the scratch database

	// Size is what the database in question has; nil without TraceRequest.Stats, and
	// for a table that it does not have.
	Size *TraceSize `json:"size,omitempty"`
}

// TraceSize is how big a table is, and what that means for a statement. The times are
// about: the least, on a server with the table in memory and nothing else to do, and
// the most that is usual. What waits for a lock before the statement is not in them.
type TraceSize struct {
	Rows    int64            `json:"rows"`       // -1: not known
	Bytes   int64            `json:"bytes"`      // with indexes
	Work    [2]time.Duration `json:"work_ns"`    // how long the statement works on the table
	Blocked [2]time.Duration `json:"blocked_ns"` // for how long Blocks holds: to the end of the transaction where there is one
}

// Trace runs migrations on a scratch database and observes what each statement locks,
// rewrites and reads there. It writes nothing into the database and takes no lock.
//
// The applied migrations are run first, as [DB.Drift] does it; see [Verification] for
// where that is. Then the tables that a migration names get a few rows that are made up,
// where they have none. With nothing to observe there is no scratch database, and the
// Trace is empty.
//
// It returns what was observed beside a *[MigrationError] for a statement that fails,
// [ErrUnknownVersion], [ErrSquashed] for a version whose file is gone, and the errors of
// Drift.
func (db *DB) Trace(ctx context.Context, req TraceRequest) (*Trace, error) {
	out := &Trace{}
	live, err := db.traceable(ctx, req)
	if err != nil {
		return out, ended(ctx, err)
	}
	out.Server = live.server
	stages, err := live.stages(req.Versions)
	if err != nil || len(stages) == 0 {
		return out, err
	}
	err = db.traceStages(ctx, req, stages, out)
	if req.Stats {
		live.estimate(db.dialectName, out)
	}
	return out, ended(ctx, err)
}

// traceable is what there is to trace, and the sizes of the tables that it is for.
type traceable struct {
	present
	sizes map[string]trace.Size
}

func (db *DB) traceable(ctx context.Context, req TraceRequest) (*traceable, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	if err := r.connectAndInspect(ctx); err != nil {
		return nil, err
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return nil, err
	}
	if err := known(r.src, hist); err != nil {
		return nil, err
	}
	live := &traceable{present: present{src: r.src, hist: hist, server: r.facts.Server}}
	if req.Stats {
		if live.sizes, err = trace.Sizes(ctx, r.d, r.conn.Conn); err != nil {
			return nil, fmt.Errorf("reading the sizes of tables: %w", err)
		}
	}
	return live, nil
}

// stage is a migration to run on the scratch database.
type stage struct {
	*migration
	seen bool // it is to be observed
}

// stages are the migrations to run, in order; none without one to observe. What is
// applied comes first, as it does in the database, up to the first one that is to be
// observed and applied already.
func (l *traceable) stages(versions []int64) ([]stage, error) {
	for _, v := range versions {
		switch m := l.src.find(ID{Version: v}); {
		case m == nil:
			return nil, fmt.Errorf("%w: version %d", ErrUnknownVersion, v)
		case m.squashed != nil:
			return nil, withHint(fmt.Errorf("%w: %s, by %s", ErrSquashed, m.id, m.squashed.script.file), "its statements are gone with its file: name a later version")
		}
	}
	wanted := func(m *migration) bool {
		if m.squashed != nil { // its work comes with the snapshot
			return false
		}
		if len(versions) == 0 {
			return !l.keeps(m)
		}
		return !m.id.Repeatable && slices.Contains(versions, m.id.Version)
	}
	var first, rest []stage
	for _, m := range l.src.migrations {
		if l.keeps(m) && !m.id.Repeatable && !wanted(m) && !slices.ContainsFunc(rest, func(s stage) bool { return s.seen && l.keeps(s.migration) }) {
			first = append(first, stage{m, false})
			continue
		}
		rest = append(rest, stage{m, wanted(m)})
	}
	// A migration that somebody else will run behind those that are wanted is no part of it.
	last := len(rest)
	for last > 0 && !rest[last-1].seen {
		last--
	}
	if last == 0 {
		return nil, nil
	}
	return slices.Concat(first, rest[:last]), nil
}

// traceStages runs them on a scratch database.
func (db *DB) traceStages(ctx context.Context, req TraceRequest, stages []stage, out *Trace) (err error) {
	s, err := db.openScratch(ctx, req.ScratchURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	options := db.comparing(Verification{})
	before, err := s.read(ctx, options)
	if err != nil {
		return err
	}
	if !s.own && !before.Empty() {
		return withHint(fmt.Errorf("%w: %s is not empty", ErrNoScratch, s.url), "the migrations would run into what is there: name an empty database")
	}
	quiet, changed := map[ID]bool{}, false
	for _, st := range stages {
		if !st.seen {
			quiet[st.id], changed = true, true
			continue
		}
		if changed {
			if before, err = s.migrated(ctx, s.src.part(func(m *migration) bool { return quiet[m.id] }), options); err != nil {
				return err
			}
			changed = false
		}
		traced, err := s.trace(ctx, st.migration)
		out.Migrations = append(out.Migrations, traced)
		if err != nil {
			return fmt.Errorf("on the scratch database %s: %w", databaseLabel(s.url.DatabaseName()), err)
		}
		after, err := s.read(ctx, options)
		if err != nil {
			return err
		}
		m := &out.Migrations[len(out.Migrations)-1]
		m.Lost = s.lost(m.Statements, catalog.Compare(before, after))
		before = after
	}
	return nil
}

// lost are those of the objects which are gone that no statement names.
func (s *scratch) lost(statements []TracedStatement, changes []catalog.Difference) (list []string) {
	named := map[string]bool{}
	for _, st := range statements {
		maps.Copy(named, trace.Names(st.SQL, s.dialect.ScanOptions()))
	}
	for _, d := range changes {
		name, _, _ := strings.Cut(d.Name, "(") // a routine's arguments
		name = name[strings.LastIndex(name, ".")+1:]
		if d.Got == "" && !named[strings.ToLower(name)] {
			list = append(list, d.Kind+" "+d.Name)
		}
	}
	return list
}

// trace observes one migration, on tables with rows in them. Where it fails there it is
// run once more on tables without: rows that are made up may have values that no real
// row has.
func (s *scratch) trace(ctx context.Context, m *migration) (TracedMigration, error) {
	t := TracedMigration{Migration: m.id}
	named, err := s.named(ctx, m)
	if err != nil {
		return t, err
	}
	err = s.filling(ctx, func(c *sql.Conn) (err error) {
		t.Filled, err = trace.Fill(ctx, s.dialect, c, []string{s.cfg.Table, s.leaseTable()}, named)
		return err
	})
	if ctx.Err() != nil {
		return t, ctx.Err()
	}
	if err != nil { // the statements can be observed all the same
		t.Notes = append(t.Notes, "no rows were made up: "+err.Error())
	}
	failed, onRows := s.traceOnce(ctx, m, 0, &t)
	if onRows == nil || len(t.Filled) == 0 || ctx.Err() != nil || !errors.As(onRows, new(*MigrationError)) {
		return t, onRows
	}
	if s.filling(ctx, func(c *sql.Conn) error { return trace.Empty(ctx, s.dialect, c, t.Filled) }) != nil {
		return t, onRows
	}
	again := TracedMigration{Migration: m.id}
	start := 0
	if !t.Transaction { // what stands before it is done
		start = failed
	}
	_, err = s.traceOnce(ctx, m, start, &again)
	// What was seen with rows says more.
	again.Statements = slices.Concat(t.Statements, again.Statements[min(len(again.Statements), failed-start):])
	again.Filled, again.Notes = t.Filled, append(t.Notes, again.Notes...)
	switch cause := errors.Unwrap(onRows).Error(); {
	case err != nil:
	case failed < len(again.Statements):
		again.Statements[failed].OnRows = cause
	default: // at the end of the transaction
		again.Notes = append(again.Notes, "fails on rows that were made up: "+cause)
	}
	return again, err
}

// named are the names in a migration's statements; nil for what names its tables
// somewhere else.
func (s *scratch) named(ctx context.Context, m *migration) (map[string]bool, error) {
	r, j, err := s.jobFor(ctx, m)
	if err != nil {
		return nil, err
	}
	r.release(ctx)
	if j.code != nil || slices.Contains(j.classes, dialect.ClassOpaque) {
		return nil, nil
	}
	named := map[string]bool{}
	for _, st := range j.statements {
		if st.Verb == "DO" { // its statements are in a literal
			return nil, nil
		}
		maps.Copy(named, trace.Names(st.Text, s.dialect.ScanOptions()))
	}
	return named, nil
}

// jobFor prepares a migration to run on the connection of the run.
func (s *scratch) jobFor(ctx context.Context, m *migration) (r *run, j *job, err error) {
	if r, err = s.newRun(ctx); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			r.release(ctx)
		}
	}()
	if err := r.inspect(ctx); err != nil {
		return nil, nil, err
	}
	r.src = s.src
	jobs, err := r.prepare(ctx, []step{{migration: m, id: m.id, direction: DirectionUp, reason: reasonPending}})
	if err != nil {
		return nil, nil, err
	}
	return r, jobs[0], nil
}

// filling calls work with a connection whose session nobody uses afterwards.
func (s *scratch) filling(ctx context.Context, work func(*sql.Conn) error) error {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	err = work(conn.Conn)
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // this is how database/sql is told to close it
	_ = conn.Close()                                           // sql.ErrConnDone after the line above
	return err
}

// traceOnce runs a migration from statement start on, and writes what it has seen into
// t. It returns the index of the statement that failed, and has taken back then what
// can be.
func (s *scratch) traceOnce(ctx context.Context, m *migration, start int, t *TracedMigration) (failed int, err error) {
	r, j, err := s.jobFor(ctx, m)
	if err != nil {
		return 0, err
	}
	defer r.release(ctx)
	t.File, t.Transaction = j.file, !j.journaled
	if s.own {
		if err := s.confineTo(j); err != nil {
			return 0, err
		}
	}
	r.session = dialect.Session{StatementTimeout: r.cfg.StatementTimeout, Facts: r.facts}
	r.dirty = true
	if keeper, ok := r.d.(dialect.SessionKeeper); ok {
		if r.before, err = keeper.Snapshot(ctx, r.conn.Conn); err != nil {
			return 0, fmt.Errorf("reading the session's settings: %w", err)
		}
	}
	if err := r.d.Prepare(ctx, r.conn.Conn, r.session); err != nil {
		return 0, fmt.Errorf("preparing the connection: %w", err)
	}
	err = r.withoutForeignKeys(ctx, j, func() (err error) {
		failed, err = r.traced(ctx, j, start, t)
		return err
	})
	if restoreErr := r.restoreSession(ctx, j); err == nil {
		err = restoreErr
	}
	return failed, err
}

// confineTo is confine for a job that is not run by Up.
func (s *scratch) confineTo(j *job) error {
	confiner, ok := s.dialect.(dialect.Confiner)
	if !ok {
		return nil
	}
	for k, st := range j.statements {
		if what := confiner.Beyond(st.Text, s.others); what != "" {
			return withHint(j.fail(s.dialect, k, fmt.Errorf("%w: %s", ErrNoScratch, what)),
				"on a scratch database beside the real one this would reach further than that: set TraceRequest.ScratchURL to an empty database of the same name on another server")
		}
	}
	return nil
}

// traced runs the statements of a job under observation.
func (r *run) traced(ctx context.Context, j *job, start int, t *TracedMigration) (failed int, err error) {
	tracer := trace.New(r.d, r.conn.Conn, func(ctx context.Context) (*sql.Conn, func(), error) {
		side, err := r.db.openSide(ctx)
		if err != nil {
			return nil, nil, err
		}
		c, err := side.Conn(ctx)
		if err != nil {
			return nil, nil, errors.Join(err, side.Close())
		}
		return c, func() { _ = c.Close(); _ = side.Close() }, nil // it has nothing to lose
	})
	var open []string
	if !j.journaled {
		open = r.d.Begin(r.sessionFor(j))
	}
	if err := tracer.Begin(ctx, open); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			ctx, cancel := detached(ctx)
			defer cancel()
			_ = tracer.Rollback(ctx) // the connection is closed behind it
		}
	}()
	check, err := r.checkForeignKeys(ctx, j)
	if err != nil {
		return 0, err
	}
	if j.code != nil {
		o, err := tracer.Call(ctx, func(ctx context.Context) error { return r.callGo(ctx, j.code) })
		if err != nil {
			return 0, j.fail(r.d, -1, err)
		}
		t.Statements = append(t.Statements, tracedStatement(Statement{}, o))
	}
	for k := start; k < len(j.statements); k++ {
		st := j.statements[k]
		o, err := r.observed(ctx, tracer, j, k)
		if err != nil {
			return k, j.fail(r.d, k, err)
		}
		t.Statements = append(t.Statements, tracedStatement(Statement{SQL: j.shown(st), Line: st.Line}, o))
	}
	failed = len(j.statements)
	if err := check(ctx); err != nil {
		return failed, err
	}
	notes, err := tracer.End(ctx)
	if err != nil {
		return failed, j.fail(r.d, -1, err)
	}
	t.Notes = append(t.Notes, notes...)
	return failed, nil
}

// observed runs statement k of a job. A rebuild is more than its statement: it is observed as a whole.
func (r *run) observed(ctx context.Context, tracer *trace.Tracer, j *job, k int) (trace.Observation, error) {
	st := j.statements[k]
	if j.rebuilds[st.Offset] != nil {
		return tracer.Call(ctx, func(ctx context.Context) error { return r.statement(ctx, j, k) })
	}
	return tracer.Statement(ctx, st, j.classes[k])
}

func tracedStatement(st Statement, o trace.Observation) TracedStatement {
	out := TracedStatement{Statement: st, Notes: o.Notes}
	for _, t := range o.Tables {
		out.Tables = append(out.Tables, TracedTable{Name: t.Name, Kind: t.Kind, New: t.New, Dropped: t.Dropped, Lock: t.Lock, Held: t.Held, Blocks: string(t.Blocks),
			Algorithm: t.Algorithm, Scanned: t.Scanned, Rewritten: t.Rewritten, Built: t.Built, Rows: t.Rows})
	}
	return out
}

// estimate adds sizes and times. What a statement locks in a transaction stays locked
// while those behind it work.
func (l *traceable) estimate(engine string, out *Trace) {
	for i := range out.Migrations {
		m := &out.Migrations[i]
		var behind trace.Range // what is left to do behind the statement
		for _, st := range slices.Backward(m.Statements) {
			works := make([]trace.Range, len(st.Tables))
			var whole trace.Range
			for k, t := range st.Tables {
				works[k] = trace.Work(engine, trace.Table{Name: t.Name, New: t.New, Dropped: t.Dropped, Scanned: t.Scanned, Rewritten: t.Rewritten, Built: t.Built, Rows: t.Rows}, l.sizes[t.Name])
				whole = whole.Plus(works[k])
			}
			behind = behind.Plus(whole)
			for k := range st.Tables {
				t := &st.Tables[k]
				size, there := l.sizes[t.Name]
				if !there || t.New {
					continue
				}
				var blocked trace.Range
				switch {
				case t.Blocks == "":
				case m.Transaction:
					blocked = behind
				case t.Algorithm != "INSTANT":
					blocked = works[k]
				}
				t.Size = &TraceSize{Rows: size.Rows, Bytes: size.Bytes + max(size.Indexes, 0), Work: times(works[k]), Blocked: times(blocked)}
			}
		}
	}
}

func times(r trace.Range) [2]time.Duration { return [2]time.Duration{r.Least, r.Most} }
