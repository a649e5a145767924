package portable

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Side is one of the two databases of a copy.
type Side struct {
	Dialect dialect.Dialect
	Conn    *sql.Conn
	Options Options
}

// TablePlan is the way of a table into another database.
type TablePlan struct {
	Table   string
	Columns []ColumnPlan
	Bytes   int64 // what its rows take at the source, about; 0 where that is not known
}

// ColumnPlan is the way of a column.
type ColumnPlan struct {
	Name     string
	From, To string // types as the engines say them
	Kind     Kind   // as which the two are compared
	Computed bool   // by the target
}

// copying is a copy in the making.
type copying struct {
	from   engine
	tables []*Table
	l      *loader
	ways   []*mapping
	notes  []string
}

// openCopy reads both catalogues, and finds the way of every table.
func openCopy(ctx context.Context, from, to Side) (*copying, []Problem, error) {
	c := &copying{from: newEngine(from.Dialect, from.Conn, &from.Options)}
	var err error
	if c.tables, err = tablesOf(ctx, c.from, &from.Options); err != nil {
		return nil, nil, fmt.Errorf("source: %w", err)
	}
	if c.l, err = newLoader(ctx, to.Dialect, to.Conn, &to.Options, from.Dialect.Name()); err != nil {
		return c, nil, fmt.Errorf("target: %w", err)
	}
	switch rest, err := c.from.rest(ctx); {
	case err != nil:
		return c, nil, fmt.Errorf("source: %w", err)
	case rest != "":
		c.notes = append(c.notes, "the source has "+rest+", which are in no table and are not copied")
	}
	var problems []Problem
	used := map[*Table]bool{}
	for _, t := range c.tables {
		m, bad := c.l.pair(t)
		if m != nil && used[m.to] {
			bad = append(bad, taken(t, m.to))
		}
		problems = append(problems, bad...)
		switch {
		case m == nil && len(bad) == 0:
			c.notes = append(c.notes, fmt.Sprintf("table %s belongs to a virtual table of SQLite and is left out", t.Name))
		case m != nil:
			used[m.to] = true
			c.ways, c.l.filled = append(c.ways, m), append(c.l.filled, m.to)
		}
		c.notes = append(c.notes, t.notes()...)
	}
	for _, t := range c.l.tables {
		if !used[t] && len(problems) == 0 {
			c.notes = append(c.notes, fmt.Sprintf("table %s is not at the source, and stays as it is in the target", t.Name))
		}
	}
	return c, problems, nil
}

// Plan says how the tables of one database go into another, and what does not fit.
// It writes nothing. With check it reads every row of the source, and returns the
// [ValueError] of the first that the target cannot hold.
func Plan(ctx context.Context, from, to Side, check bool) (plans []TablePlan, problems []Problem, notes []string, err error) {
	source := newEngine(from.Dialect, from.Conn, &from.Options)
	if _, err := source.beginRead(ctx); err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = ended(ctx, source.endRead, err) }()
	c, problems, err := openCopy(ctx, from, to)
	if c != nil && c.l != nil {
		defer func() { err = ended(ctx, c.l.e.endLoad, err) }()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	for _, m := range c.ways {
		p := TablePlan{Table: m.from.Name, Bytes: m.from.bytes}
		for _, col := range m.columns {
			p.Columns = append(p.Columns, ColumnPlan{Name: col.from.Name, From: col.from.Type, To: col.to.Type, Kind: col.compare, Computed: col.to.Generated && !col.to.Rowid})
		}
		plans = append(plans, p)
	}
	if !check || len(problems) > 0 {
		return plans, problems, c.notes, nil
	}
	progress := newMeter(&from.Options, "check", c.tables)
	for _, m := range c.ways {
		progress.table(m.from.Name)
		f := newFeeder(m, nowhere{})
		err := c.from.read(ctx, m.from, func(line []byte, row []value) error {
			progress.row(len(line), row)
			return f.feed(line, row)
		})
		if err != nil {
			return plans, nil, c.notes, err
		}
		c.notes = append(c.notes, m.roundNotes()...)
		progress.done()
	}
	return plans, nil, c.notes, nil
}

// nowhere is a sink for rows that are only looked at.
type nowhere struct{}

func (nowhere) write([]byte, []value) error { return nil }
func (nowhere) close() error                { return nil }
func (nowhere) abort()                      {}

// Copy replaces the rows of the tables that both have by those of the source, reads them again and
// compares their digests with what one snapshot of the source has. A copy that was
// cut short goes on: tables that are there already, with what the source has now,
// are not written again.
//
// The errors, and what a target is like that was left half-way, are those of
// [Archive.Load].
func Copy(ctx context.Context, from, to Side) (s Summary, err error) {
	source := newEngine(from.Dialect, from.Conn, &from.Options)
	s.Header.Engine = from.Dialect.Name()
	s.Header.Position, err = source.beginRead(ctx)
	defer func() { err = ended(ctx, source.endRead, err) }()
	if err != nil {
		return s, fmt.Errorf("opening the snapshot: %w", err)
	}
	c, problems, err := openCopy(ctx, from, to)
	if c != nil && c.l != nil {
		defer func() { err = ended(ctx, c.l.e.endLoad, err) }()
	}
	switch {
	case err != nil:
		return s, err
	case len(problems) > 0:
		return s, &MappingError{problems}
	}
	s.Notes = c.notes
	if err := c.from.numbers(ctx, c.tables); err != nil {
		return s, err
	}
	sequences, err := c.sequences(ctx, &s)
	if err != nil {
		return s, err
	}
	if err := c.l.start(ctx, true); err != nil {
		return s, err
	}
	progress := newMeter(&to.Options, "load", c.tables)
	for _, m := range c.ways {
		progress.table(m.from.Name)
		read := func(feed func(line []byte, row []value) error) error {
			return c.from.read(ctx, m.from, func(line []byte, row []value) error {
				progress.row(len(line), row)
				return feed(line, row)
			})
		}
		t := TableSummary{Name: m.from.Name}
		var sum *digest
		if had, there := c.l.entries[[2]string{entryTable, m.to.Name}]; there {
			f := newFeeder(m, nowhere{})
			if err := read(f.feed); err != nil {
				return s, fmt.Errorf("reading table %s: %w", m.from.Name, err)
			}
			sum, t.Resumed = f.sum, had == f.sum.String()
		}
		if !t.Resumed {
			if sum, t.Kept, err = c.l.table(ctx, m, read, false); err != nil {
				return s, err
			}
		}
		t.Rows, t.Digest = sum.rows, sum.String()
		s.Notes = append(s.Notes, m.roundNotes()...)
		c.l.next[m.to] = m.from.next
		c.l.want = append(c.l.want, wanted{m, t.Digest})
		s.Tables = append(s.Tables, t)
		progress.done()
	}
	s.Bytes = progress.p.Bytes
	err = c.l.finish(ctx, sequences)
	s.Notes = append(s.Notes, c.l.notes...)
	return s, err
}

// sequences are those that both have, in the source's positions.
func (c *copying) sequences(ctx context.Context, s *Summary) (list []Sequence, err error) {
	have, err := c.from.sequences(ctx)
	if err != nil {
		return nil, err
	}
	there, err := c.l.e.sequences(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range have {
		found := false
		for _, t := range there {
			found = found || t.Name == q.Name
		}
		if found {
			list = append(list, q)
			continue
		}
		s.Notes = append(s.Notes, fmt.Sprintf("sequence %s is not in the target; it was at %d", q.Name, q.Next))
	}
	return list, nil
}
