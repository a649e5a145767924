package portable

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// loader puts rows into a database. Triggers are taken away for the time, because
// they have run at the source, and foreign keys on PostgreSQL; what brings them back
// is written into the journal first, so that the next run can do it when this one is
// killed. A table is one transaction or several, each with its line of the journal: how
// many of its rows are there.
type loader struct {
	e       engine
	base    *session
	d       dialect.Dialect
	o       *Options
	from    string   // engine of the source
	tables  []*Table // that rows can go into
	filled  []*Table // of those: that get rows; where it is not known yet, all
	late    bool     // it is not known yet: a table is emptied when its rows come
	journal string   // quoted
	there   bool     // the journal was found: a load was cut short
	resumed bool     // and it goes on
	entries map[[2]string]string
	next    map[*Table]int64
	want    []wanted
	notes   []string // of finish
}

// wanted is what a table is to have at the end.
type wanted struct {
	m   *mapping
	sum string
}

// The kinds of journal entries.
const (
	entryObstacle = "obstacle" // what to bring back
	entryReady    = "ready"    // everything is out of the way, and the tables were emptied
	entryTable    = "table"    // its rows are there, with this digest
	entryPart     = "part"     // its first rows are there: how many, and their digest
)

func newLoader(ctx context.Context, d dialect.Dialect, c *sql.Conn, o *Options, from string) (*loader, error) {
	l := &loader{e: newEngine(d, c, o), base: &session{d: d, c: c, options: o}, d: d, o: o, from: from, next: map[*Table]int64{}}
	all, err := l.e.tables(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	for _, t := range all {
		switch {
		case strings.EqualFold(t.name, o.journal()):
			l.there = true
		case !o.leftOut(t.Name) && (!t.shadow || from == d.Name()):
			l.tables = append(l.tables, t)
		}
	}
	l.journal = d.Identifier(o.journal())
	switch d.Name() {
	case dialect.NameSQLite:
		l.journal = d.Qualify("main", o.journal())
	case dialect.NamePostgres:
		schema := o.Schema
		if schema == "" {
			if err := dialect.QueryRow(ctx, c, "SELECT coalesce(current_schema(), 'public')", nil, &schema); err != nil {
				return nil, err
			}
		}
		l.journal = d.Qualify(schema, o.journal())
	}
	return l, l.e.beginLoad(ctx)
}

// transaction runs work, and commits.
func (l *loader) transaction(ctx context.Context, work func() error) error {
	if err := l.base.exec(ctx, l.e.begin()...); err != nil {
		return err
	}
	err := work()
	if err == nil {
		err = l.base.exec(ctx, "COMMIT")
	}
	if err != nil {
		clean, cancel := detached(ctx)
		defer cancel()
		_ = l.base.exec(clean, "ROLLBACK") // the connection may be gone, and the transaction with it
	}
	return err
}

func (l *loader) makeJournal(ctx context.Context) error {
	text, end := "TEXT", ""
	if l.d.Name() == dialect.NameMySQL { // whose own words for it might hold fewer characters, or take two names for one
		text, end = "LONGTEXT", " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return l.base.exec(ctx, "CREATE TABLE "+l.journal+" (kind VARCHAR(20) NOT NULL, name VARCHAR(400) NOT NULL, body "+text+" NOT NULL, PRIMARY KEY (kind, name))"+end)
}

func (l *loader) readJournal(ctx context.Context) error {
	l.entries = map[[2]string]string{}
	var kind, name, body string
	return each(ctx, l.base.c, "SELECT kind, name, body FROM "+l.journal, nil, []any{&kind, &name, &body}, func() error {
		l.entries[[2]string{kind, name}] = body
		return nil
	})
}

// note replaces an entry of the journal.
func (l *loader) note(ctx context.Context, kind, name, body string) error {
	return l.base.exec(ctx, "DELETE FROM "+l.journal+" WHERE kind = "+l.d.Literal(kind)+" AND name = "+l.d.Literal(name),
		"INSERT INTO "+l.journal+" (kind, name, body) VALUES ("+l.d.Literal(kind)+", "+l.d.Literal(name)+", "+l.d.Literal(body)+")")
}

// forget takes out of the journal what is there of a table, or of all.
func (l *loader) forget(ctx context.Context, name string) error {
	statement := "DELETE FROM " + l.journal + " WHERE kind IN (" + l.d.Literal(entryTable) + ", " + l.d.Literal(entryPart) + ")"
	if name != "" {
		statement += " AND name = " + l.d.Literal(name)
	}
	return l.base.exec(ctx, statement)
}

// Mark makes the journal in a database that has none: from then on it is the
// target of a copy, whose rows may be replaced.
func Mark(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (err error) {
	l, err := newLoader(ctx, d, c, &o, "")
	if err != nil {
		return err
	}
	defer func() { err = ended(ctx, l.e.endLoad, err) }()
	if l.there {
		return nil
	}
	return l.makeJournal(ctx)
}

// A Standing is what a database is to a copy.
type Standing struct {
	Marked  bool     // it is the target of a load that is not at its end
	Begun   bool     // and that has taken away what stood in between
	HasRows []string // the tables that have rows, of those that the source has too
}

// Look says what a database is to a copy from another one.
func Look(ctx context.Context, from, to Side) (s Standing, err error) {
	o := &to.Options
	source, err := tablesOf(ctx, newEngine(from.Dialect, from.Conn, &from.Options), &from.Options)
	if err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	tables, err := newEngine(to.Dialect, to.Conn, o).tables(ctx)
	if err != nil {
		return s, fmt.Errorf("target: reading the catalogue: %w", err)
	}
	exists := func(query string) (bool, error) {
		var n int
		err := dialect.QueryRow(ctx, to.Conn, "SELECT COUNT(*) FROM ("+query+" LIMIT 1) AS found", nil, &n)
		return n > 0, err
	}
	for _, t := range tables {
		if strings.EqualFold(t.name, o.journal()) {
			s.Marked = true
			if s.Begun, err = exists("SELECT 1 AS one FROM " + t.of + " WHERE kind = '" + entryReady + "'"); err != nil {
				return s, err
			}
			continue
		}
		if o.leftOut(t.Name) || t.shadow || !slices.ContainsFunc(source, func(s *Table) bool { return strings.EqualFold(s.Name, t.Name) }) {
			continue
		}
		some, err := exists("SELECT 1 AS one FROM " + t.of)
		if err != nil {
			return s, err
		}
		if some {
			s.HasRows = append(s.HasRows, t.Name)
		}
	}
	return s, nil
}

// start takes away what stands in between, and the rows of the tables that get others;
// of a load that was cut short, when resume says so, only what it had not.
func (l *loader) start(ctx context.Context, resume bool) error {
	if l.there {
		if err := l.readJournal(ctx); err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		_, ready := l.entries[[2]string{entryReady, ""}]
		l.resumed = ready && resume
	}
	prepare := func() error {
		if !l.there {
			if err := l.makeJournal(ctx); err != nil {
				return err
			}
			l.there, l.entries = true, map[[2]string]string{}
		}
		list, err := l.e.suspend(ctx, l.filled)
		if err != nil {
			return fmt.Errorf("looking for triggers and foreign keys: %w", err)
		}
		for i, o := range list {
			o.Order = len(l.entries) + i
			body, err := json.Marshal(o)
			if err != nil {
				return err
			}
			// By table and name: PostgreSQL's names are unique in a table only.
			name := o.Table + "/" + o.Name
			if _, there := l.entries[[2]string{entryObstacle, name}]; there {
				continue
			}
			if err := l.note(ctx, entryObstacle, name, string(body)); err != nil {
				return err
			}
		}
		if err := l.readJournal(ctx); err != nil {
			return err
		}
		for _, o := range list {
			if err := l.base.exec(ctx, o.Away); err != nil {
				return err
			}
		}
		return nil
	}
	drain := func() error {
		if err := l.forget(ctx, ""); err != nil {
			return err
		}
		if !l.late {
			if err := l.e.empty(ctx, l.filled); err != nil {
				return fmt.Errorf("emptying the tables: %w", err)
			}
		}
		return l.note(ctx, entryReady, "", "")
	}
	var err error
	if l.d.TransactionalDDL() {
		err = l.transaction(ctx, prepare)
	} else {
		err = prepare()
	}
	// MySQL's triggers may be back already: the run before was killed among them.
	if err == nil && !l.resumed {
		err = l.transaction(ctx, drain)
	}
	if err != nil {
		return fmt.Errorf("preparing the target: %w", err)
	}
	return l.readJournal(ctx)
}

// pair finds the target of a table. It is nil for one that only the source's engine
// has.
func (l *loader) pair(from *Table) (*mapping, []Problem) {
	to := find(l.tables, from.Name)
	if to == nil {
		if from.shadow {
			return nil, nil
		}
		return nil, []Problem{{Table: from.Name, Reason: "the target has no such table"}}
	}
	m, problems := pairUp(from, to, l.from == l.d.Name())
	m.round = l.o.RoundTimes && !m.same && !l.late
	m.native = l.from == l.d.Name() && l.from == dialect.NameSQLite
	m.loose = l.from == dialect.NameSQLite && !m.native
	return m, problems
}

// table loads the rows that read feeds, and returns their digest by the kinds as which
// the two sides are compared, unless proved says that the caller has that. kept is how
// many of them were there, of a load that was cut short.
func (l *loader) table(ctx context.Context, m *mapping, read reading, proved bool) (sum *digest, kept int64, err error) {
	part := l.part(m)
	if proved { // an archive is always read from its beginning
		part = nil
	}
	sum, err = l.fill(ctx, m, read, proved, part)
	if errors.Is(err, errMoved) {
		part = nil
		sum, err = l.fill(ctx, m, read, proved, nil)
	}
	if part != nil {
		kept = part.Rows
	}
	if err != nil && !errors.As(err, new(*ValueError)) && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("loading table %s: %w", m.to.Name, err)
	}
	return sum, kept, err
}

// reading feeds the rows of a table.
type reading func(feed func(line []byte, row []value) error) error

// part is what the journal says of a table whose first rows are there.
type part struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
}

// errMoved means that the rows that are there are not those with which the source
// begins now.
var errMoved = errors.New("the first rows of the source have changed")

// part is where a load of the table that was cut short goes on; nil: at its beginning.
func (l *loader) part(m *mapping) *part {
	body, there := l.entries[[2]string{entryPart, m.to.Name}]
	if !l.resumed || !there {
		return nil
	}
	p := &part{}
	if json.Unmarshal([]byte(body), p) != nil {
		return nil // it begins anew
	}
	return p
}

func (l *loader) notePart(ctx context.Context, m *mapping, p part) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return l.note(ctx, entryPart, m.to.Name, string(body))
}

// fill loads the rows of a table, behind those of part.
func (l *loader) fill(ctx context.Context, m *mapping, read reading, proved bool, from *part) (sum *digest, err error) {
	err = l.transaction(ctx, func() (err error) {
		if l.resumed || l.late { // what is there is not all of it, or too much
			if from == nil {
				err = l.e.empty(ctx, []*Table{m.to})
			}
			if err == nil {
				err = l.forget(ctx, m.to.Name)
			}
			if err == nil && from != nil {
				err = l.notePart(ctx, m, *from)
			}
			if err != nil {
				return err
			}
		}
		f := newFeeder(m, nil)
		defer f.abort()
		f.proved, f.from = proved, from
		open := func() (err error) {
			f.before = f.keys.rows
			f.to, err = l.e.sink(ctx, m)
			return err
		}
		if err := open(); err != nil {
			return err
		}
		// What is read in one piece again, and what has no transactions, has no parts.
		noted := !proved && !m.to.unsafe
		if f.most = l.o.chunk(l.e); f.most > 0 && (noted || !l.d.TransactionalDDL()) {
			f.full = func() error {
				if err := f.close(); err != nil {
					return err
				}
				if noted {
					if err := l.notePart(ctx, m, part{f.sum.rows, f.sum.String()}); err != nil {
						return err
					}
				}
				if err := l.base.exec(ctx, append([]string{"COMMIT"}, l.e.begin()...)...); err != nil {
					return err
				}
				return open()
			}
		}
		if err := read(f.feed); err != nil {
			return f.named(err)
		}
		if f.moved || from != nil && f.rows < from.Rows {
			return errMoved
		}
		if err := f.close(); err != nil {
			return f.named(err)
		}
		sum = f.sum
		if proved {
			return nil
		}
		if noted { // rows may be added at the source
			if err := l.notePart(ctx, m, part{sum.rows, sum.String()}); err != nil {
				return err
			}
		}
		return l.note(ctx, entryTable, m.to.Name, sum.String())
	})
	return sum, err
}

// DigestError means that a table has not the content that it was to have.
type DigestError struct {
	Table     string
	Rows      int64 // that are there
	Want, Got string
}

// Error names the table.
func (e *DigestError) Error() string {
	return fmt.Sprintf("table %s: what is read from the target is not what was read from the source (%d rows are there; digest %s, want %s)", e.Table, e.Rows, e.Got, e.Want)
}

// verify reads every table again.
func (l *loader) verify(ctx context.Context) (err error) {
	list := make([]*Table, len(l.want))
	for i, w := range l.want {
		list[i] = w.m.to
	}
	progress := newMeter(l.o, "verify", list)
	if _, err := l.e.beginRead(ctx); err != nil {
		return err
	}
	defer func() { err = ended(ctx, l.e.endRead, err) }()
	for _, w := range l.want {
		progress.table(w.m.to.Name)
		part := *w.m.to
		part.Columns = nil
		by := &canon{}
		for _, p := range w.m.columns {
			part.Columns = append(part.Columns, *p.to)
			by.from, by.as = append(by.from, p.to.Kind), append(by.as, p.compare)
		}
		sum := newDigest()
		err := l.e.read(ctx, &part, func(line []byte, row []value) error {
			by.add(sum, row)
			progress.row(len(line), row)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading table %s again: %w", w.m.to.Name, err)
		}
		if got := sum.String(); got != w.sum {
			return &DigestError{Table: w.m.to.Name, Rows: sum.rows, Want: w.sum, Got: got}
		}
		progress.done()
	}
	return nil
}

// settle refuses rows that break a foreign key. Where the engine is the source's they
// broke it there, which SQLite and MySQL allow in some sessions: then they are what
// was to be loaded.
func (l *loader) settle(ctx context.Context) error {
	orphans, err := l.e.settle(ctx, l.filled)
	switch {
	case err != nil || len(orphans) == 0:
		return err
	case l.from != l.d.Name() || slices.ContainsFunc(l.filled, l.lacksParent):
		return errors.New(strings.Join(orphans, "; "))
	}
	for _, text := range orphans {
		l.notes = append(l.notes, text+", as at the source")
	}
	return nil
}

// lacksParent reports whether a table refers to one that is left out.
func (l *loader) lacksParent(t *Table) bool { return slices.ContainsFunc(t.refs, l.o.leftOut) }

// finish brings back what was taken away, and proves what is there.
func (l *loader) finish(ctx context.Context, sequences []Sequence) error {
	work := func() error {
		var list []obstacle
		for key, body := range l.entries {
			if key[0] != entryObstacle {
				continue
			}
			var o obstacle
			if err := json.Unmarshal([]byte(body), &o); err != nil {
				return fmt.Errorf("the journal's entry for %s cannot be read: %w", key[1], err)
			}
			list = append(list, o)
		}
		slices.SortFunc(list, func(a, b obstacle) int { return a.Order - b.Order })
		for _, o := range list {
			there, err := l.e.isThere(ctx, o)
			if err == nil && !there {
				err = l.base.exec(ctx, o.Back...)
			}
			if err != nil {
				return fmt.Errorf("bringing back %s: %w", o.label(), err)
			}
		}
		for _, s := range sequences {
			if err := l.e.setSequence(ctx, s); err != nil {
				return err
			}
		}
		if err := l.e.setNumbers(ctx, l.next); err != nil {
			return fmt.Errorf("setting the next numbers: %w", err)
		}
		return l.settle(ctx)
	}
	if err := l.verify(ctx); err != nil {
		if differs, ok := errors.AsType[*DigestError](err); ok { // the next run loads it again
			err = errors.Join(err, l.forget(ctx, differs.Table))
		}
		return err
	}
	drop := func() error { return l.base.exec(ctx, "DROP TABLE "+l.journal) }
	if l.d.TransactionalDDL() {
		return l.transaction(ctx, func() error {
			if err := work(); err != nil {
				return err
			}
			return drop()
		})
	}
	if err := work(); err != nil {
		return err
	}
	return drop()
}
