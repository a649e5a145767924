package trace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// postgres asks pg_locks for what the session holds before and after a statement, in
// its transaction; the files of relations, for what was rewritten; and the counters of
// the transaction, for what was read from end to end.
type postgres struct {
	d     dialect.Dialect
	c     *sql.Conn
	watch Watch

	start map[int64]bool // relations that were there before the migration
}

// lockModes are PostgreSQL's locks of tables, the weakest first.
var lockModes = []struct {
	mode   string // in pg_locks
	name   string
	blocks Blocks
}{
	{"AccessShareLock", "ACCESS SHARE", BlocksNothing},
	{"RowShareLock", "ROW SHARE", BlocksNothing},
	{"RowExclusiveLock", "ROW EXCLUSIVE", BlocksNothing},
	{"ShareUpdateExclusiveLock", "SHARE UPDATE EXCLUSIVE", BlocksSchema},
	{"ShareLock", "SHARE", BlocksWrites},
	{"ShareRowExclusiveLock", "SHARE ROW EXCLUSIVE", BlocksWrites},
	{"ExclusiveLock", "EXCLUSIVE", BlocksWrites},
	{"AccessExclusiveLock", "ACCESS EXCLUSIVE", BlocksAll},
}

// lockSet has a bit for each of lockModes.
type lockSet uint8

func (s *lockSet) add(mode string) {
	for i, m := range lockModes {
		if m.mode == mode {
			*s |= 1 << i
		}
	}
}

// strongest is the index of the strongest one, or -1.
func (s lockSet) strongest() int {
	for i := len(lockModes) - 1; i >= 0; i-- {
		if s&(1<<i) != 0 {
			return i
		}
	}
	return -1
}

func (s lockSet) blocks() Blocks {
	if i := s.strongest(); i >= 0 {
		return lockModes[i].blocks
	}
	return BlocksNothing
}

// relation is one of them as the catalogue has it. Numbers are those of the
// transaction so far.
type relation struct {
	name, bare  string
	kind        string
	of          int64 // of an index: its table
	file        int64 // 0 for one that has none
	valid       bool
	scans, rows int64
	locks       lockSet
}

type pgState map[int64]relation

const pgRelations = `SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, coalesce(i.indrelid::bigint, 0), coalesce(pg_catalog.pg_relation_filenode(c.oid)::bigint, 0), coalesce(i.indisvalid, true),
	coalesce(pg_catalog.pg_stat_get_xact_numscans(c.oid), 0),
	coalesce(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), 0)
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
	WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind <> 'c'`

const pgLocks = `SELECT l.relation::bigint, l.mode, l.granted FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database b ON b.oid = l.database
	WHERE l.locktype = 'relation' AND b.datname = pg_catalog.current_database() AND l.pid = `

func (p *postgres) read(ctx context.Context) (pgState, error) {
	s := pgState{}
	var (
		oid          int64
		schema, kind string
		r            relation
	)
	err := each(ctx, p.c, pgRelations, p.d.QueryArgs(), []any{&oid, &schema, &r.bare, &kind, &r.of, &r.file, &r.valid, &r.scans, &r.rows}, func() {
		r.name, r.kind = schema+"."+r.bare, pgKinds[kind]
		s[oid] = r
	})
	if err != nil {
		return nil, err
	}
	locks, _, err := p.locks(ctx, p.c, "pg_catalog.pg_backend_pid()")
	for oid, set := range locks {
		r := s[oid] // also of one that the transaction has dropped
		r.locks = set
		s[oid] = r
	}
	return s, err
}

// locks are what a session holds, or waits for.
func (p *postgres) locks(ctx context.Context, c *sql.Conn, pid string) (locks map[int64]lockSet, waits bool, err error) {
	locks = map[int64]lockSet{}
	var (
		oid     int64
		mode    string
		granted bool
	)
	err = each(ctx, c, pgLocks+pid, p.d.QueryArgs(), []any{&oid, &mode, &granted}, func() {
		set := locks[oid]
		set.add(mode)
		locks[oid] = set
		waits = waits || !granted
	})
	return locks, waits, err
}

const indexKind = "index"

var pgKinds = map[string]string{"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence", "i": indexKind, "I": "partitioned index"}

func (p *postgres) begin(ctx context.Context) error {
	s, err := p.read(ctx)
	p.start = map[int64]bool{}
	for oid, r := range s {
		p.start[oid] = r.name != ""
	}
	return err
}

func (*postgres) end(context.Context) ([]string, error) { return nil, nil }

func (p *postgres) observe(ctx context.Context, st sqlscan.Statement, class dialect.Class, inside bool, run runner) (Observation, error) {
	if inside {
		return p.within(ctx, st, class, run)
	}
	switch class {
	case dialect.ClassAlone, dialect.ClassRepeatable, dialect.ClassOpaque:
		return p.watched(ctx, st, run)
	case dialect.ClassData, dialect.ClassSchema:
		if _, err := p.c.ExecContext(ctx, "BEGIN"); err != nil {
			return Observation{}, err
		}
		o, err := p.within(ctx, st, class, run)
		end := "COMMIT"
		if err != nil {
			end = "ROLLBACK"
		}
		_, endErr := p.c.ExecContext(ctx, end)
		return o, errors.Join(err, endErr)
	}
	_, err := run(ctx, st) // it is about the session
	return Observation{}, err
}

// within observes a statement from inside its transaction.
func (p *postgres) within(ctx context.Context, st sqlscan.Statement, class dialect.Class, run runner) (Observation, error) {
	before, err := p.read(ctx)
	if err != nil {
		return Observation{}, fmt.Errorf("reading the catalogue: %w", err)
	}
	restore := func(context.Context) error { return nil }
	if class == dialect.ClassData {
		if restore, err = p.withoutSeqScans(ctx); err != nil {
			return Observation{}, err
		}
	}
	if _, err := run(ctx, st); err != nil {
		return Observation{}, err
	}
	if err := restore(ctx); err != nil {
		return Observation{}, err
	}
	after, err := p.read(ctx)
	if err != nil {
		return Observation{}, fmt.Errorf("reading the catalogue: %w", err)
	}
	taken := map[int64]lockSet{}
	for oid, r := range after {
		taken[oid] = r.locks &^ before[oid].locks
	}
	return p.compare(st, before, after, taken), nil
}

// withoutSeqScans makes the planner prefer an index: on a handful of rows it reads the
// whole table where on many it would not.
func (p *postgres) withoutSeqScans(ctx context.Context) (restore func(context.Context) error, err error) {
	var was string
	if err := dialect.QueryRow(ctx, p.c, "SELECT pg_catalog.current_setting('enable_seqscan')", p.d.QueryArgs(), &was); err != nil {
		return nil, err
	}
	set := func(ctx context.Context, to string) error {
		_, err := p.c.ExecContext(ctx, "SET LOCAL enable_seqscan = "+to)
		return err
	}
	return func(ctx context.Context) error { return set(ctx, was) }, set(ctx, "off")
}

// held is how long a statement outside of a transaction is made to wait for its first
// lock at most. One that wants none that can be held is not made to.
const held = 2 * time.Second

// watched observes a statement that cannot be in a transaction, by a second connection.
// That one holds a lock on all tables which lets rows be read and written, and no
// more: so the statement waits for its first lock, and can be seen to.
func (p *postgres) watched(ctx context.Context, st sqlscan.Statement, run runner) (Observation, error) {
	before, err := p.read(ctx)
	if err != nil {
		return Observation{}, fmt.Errorf("reading the catalogue: %w", err)
	}
	taken, note, err := p.underWatch(ctx, before, st, run)
	if err != nil {
		return Observation{}, err
	}
	after, err := p.read(ctx)
	if err != nil {
		return Observation{}, fmt.Errorf("reading the catalogue: %w", err)
	}
	o := p.compare(st, before, after, taken)
	if note != "" {
		o.Notes = append(o.Notes, note)
	}
	for oid, r := range after {
		if was, there := before[oid]; r.name != "" && !r.valid && (!there || was.valid) {
			o.Notes = append(o.Notes, r.name+" is left invalid")
		}
	}
	return o, nil
}

func (p *postgres) underWatch(ctx context.Context, before pgState, st sqlscan.Statement, run runner) (taken map[int64]lockSet, note string, err error) {
	if p.watch == nil {
		_, err := run(ctx, st)
		return nil, "its locks were not seen: there is no second connection", err
	}
	w, done, err := p.watch(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("connecting to watch: %w", err)
	}
	defer done()
	var pid int64
	if err := dialect.QueryRow(ctx, p.c, "SELECT pg_catalog.pg_backend_pid()", p.d.QueryArgs(), &pid); err != nil {
		return nil, "", err
	}
	release, err := p.hold(ctx, w, before)
	if err != nil {
		return nil, "", err
	}
	finished := make(chan error, 1)
	go func() {
		_, err := run(ctx, st)
		finished <- err
	}()
	taken = map[int64]lockSet{}
	const pause = time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	begun := time.Now()
	for {
		select {
		case err := <-finished:
			return taken, "", errors.Join(err, release(context.WithoutCancel(ctx)))
		case <-timer.C:
		}
		// The statement ends with ctx, and so does the watching.
		locks, waits, lookErr := p.locks(context.WithoutCancel(ctx), w, fmt.Sprint(pid))
		for oid, set := range locks {
			taken[oid] |= set
		}
		if waits || lookErr != nil || time.Since(begun) > held {
			lookErr = errors.Join(lookErr, release(context.WithoutCancel(ctx)))
		}
		if lookErr != nil {
			return nil, "", errors.Join(<-finished, fmt.Errorf("watching: %w", lookErr))
		}
		timer.Reset(pause)
	}
}

// hold takes the lock on all tables. release gives it back, once. Where a table belongs
// to another role nothing is held, and what is seen is a matter of luck.
func (p *postgres) hold(ctx context.Context, w *sql.Conn, before pgState) (release func(context.Context) error, err error) {
	var names []string
	for _, r := range before {
		if r.kind == "table" || r.kind == "partitioned table" {
			schema, _ := strings.CutSuffix(r.name, "."+r.bare)
			names = append(names, p.d.Qualify(schema, r.bare))
		}
	}
	slices.Sort(names)
	if _, err := w.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, fmt.Errorf("holding the tables: %w", err)
	}
	if len(names) > 0 {
		// An error shows in the answer: locks are missing there.
		_, _ = w.ExecContext(ctx, "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE UPDATE EXCLUSIVE MODE")
	}
	released := false
	release = func(ctx context.Context) error {
		if released {
			return nil
		}
		released = true
		_, err := w.ExecContext(ctx, "ROLLBACK")
		return err
	}
	return release, nil
}

// compare says what happened between two looks. taken are the locks of the statement.
func (p *postgres) compare(st sqlscan.Statement, before, after pgState, taken map[int64]lockSet) Observation {
	var o Observation
	named := Names(st.Text, p.d.ScanOptions())
	tables := map[int64]*Table{}
	table := func(oid int64) *Table {
		r, was := before[oid]
		if !was || r.name == "" {
			r = after[oid]
		}
		if r.name == "" || r.of != 0 {
			return &Table{} // of the system, or one that came and went
		}
		if tables[oid] == nil {
			tables[oid] = &Table{Name: r.name, Kind: r.kind, New: !p.start[oid]}
		}
		return tables[oid]
	}
	merged := map[int64]bool{}
	for oid := range before {
		merged[oid] = true
	}
	for oid := range after {
		merged[oid] = true
	}
	for oid := range merged {
		is, was, set := after[oid], before[oid], taken[oid]
		if is.of != 0 || was.of != 0 {
			continue // below, when the locks of all tables are known
		}
		held := set.strongest() < 0 && was.locks.blocks() != BlocksNothing && named[strings.ToLower(was.bare)]
		if held {
			set = was.locks
		}
		if i := set.strongest(); i >= 0 {
			t := table(oid)
			t.Lock, t.Held = lockModes[i].name, held
			if b := lockModes[i].blocks; b.over(t.Blocks) {
				t.Blocks = b
			}
		}
		switch {
		case is.name == "" && was.name != "":
			table(oid).Dropped = true
			continue
		case was.name == "" && is.name != "":
			table(oid)
		case is.file != was.file && was.file != 0 && st.Verb != "TRUNCATE" && is.kind != "sequence":
			table(oid).Rewritten = true
		}
		if is.scans > was.scans {
			table(oid).Scanned = true
		}
		if n := is.rows - was.rows; n > 0 {
			table(oid).Rows = n
		}
	}
	// A change of a column's type makes its indexes again, and often each with the file
	// that it had: then nothing is built.
	kept := map[int64]bool{}
	for _, r := range before {
		kept[r.file] = r.kind == indexKind
	}
	for oid := range merged {
		is, was := after[oid], before[oid]
		if is.of == 0 && was.of == 0 {
			continue
		}
		built := is.kind == indexKind && is.file != was.file && !kept[is.file] && is.name != "" && st.Verb != "TRUNCATE"
		// An index that gets another file is locked for that, seen or not. The lock of one
		// that goes is that of its table too, or comes when nobody uses it any more.
		locked := was.name != "" && is.name != "" && (taken[oid].blocks() == BlocksAll || built)
		if !built && !locked {
			continue
		}
		t := table(max(is.of, was.of))
		if locked && t.Blocks != BlocksAll {
			// The planner opens every index of a table that it reads.
			t.Blocks = BlocksAll
			o.Notes = append(o.Notes, was.name+" is locked ACCESS EXCLUSIVE, and no query of its table can be planned meanwhile")
		}
		if built && (was.name == "" || !t.Rewritten) {
			t.Built = append(t.Built, is.bare)
		}
	}
	for _, t := range tables {
		slices.Sort(t.Built)
		t.Scanned = !t.Rewritten && st.Verb != "TRUNCATE" && (t.Scanned || len(t.Built) > 0)
		o.Tables = append(o.Tables, *t)
	}
	slices.Sort(o.Notes)
	return o
}
