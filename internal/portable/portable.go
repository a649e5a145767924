// Package portable moves the rows of a database as text that every engine reads:
// into an archive, out of it, and from one database into another. The schema is not
// part of it: the migrations make that.
//
// Rows are read in one consistent snapshot. For each table there is a digest of its
// content that does not depend on the order of the rows, nor on the engine: what
// means the same has the same digest (see [Kind] and docs/guide/copy.md).
package portable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Options say what is moved. The zero value moves everything.
type Options struct {
	// Skip lists tables that are left out: names, or patterns as [path.Match] has
	// them. This package's own tables belong here.
	Skip []string
	// Schema is the one whose name is left out before a table's. Default, on
	// PostgreSQL: the session's current one. Other engines have none.
	Schema string
	// Migrations are written into an archive.
	Migrations []Migration
	// Writer is written into an archive: program and version.
	Writer string
	// Started is written into an archive. Default: now.
	Started time.Time
	// Server is written into an archive: product and version.
	Server string
	// Journal is the unqualified name of the table in the target that remembers a
	// load which is not at its end. Default: tldwdb_copy.
	Journal string
	// Chunk is how many bytes of rows are loaded in one transaction. Default: what is
	// good for the engine.
	Chunk int64
	// RoundTimes rounds times to the digits of a second that a target's column keeps. It
	// is for [Copy] and [Plan]: what an archive has is what is loaded.
	RoundTimes bool
	// Progress is told how far it is, now and then.
	Progress func(Progress)
}

func (o *Options) chunk(e engine) int64 {
	if o.Chunk > 0 {
		return o.Chunk
	}
	return e.chunk()
}

// JournalName is the default of Options.Journal.
const JournalName = "tldwdb_copy"

// Progress is how far it is.
type Progress struct {
	Phase     string // dump, load or verify
	Table     string
	Tables    int   // done
	TablesAll int   // in all; 0 where that is not known
	Bytes     int64 // of rows in the archive's form
	BytesAll  int64 // about; 0 where that is not known
}

// Summary is what was moved.
type Summary struct {
	Header Header
	Tables []TableSummary // in the order in which they were moved
	Bytes  int64          // of rows in the archive's form
	Notes  []string       // what a person should know, and no error is
}

// TableSummary is one table of a [Summary].
type TableSummary struct {
	Name    string
	Rows    int64
	Digest  string // 32 hexadecimal digits
	Resumed bool   // it was loaded before, and is the same
	Kept    int64  // its first rows, that were loaded before and are the same
	LeftOut bool   // it was read, and is of the source's engine alone
}

func (o *Options) journal() string {
	if o.Journal == "" {
		return JournalName
	}
	return o.Journal
}

// matches reports whether a pattern is for a table, by its whole name or the part
// behind its schema. Upper and lower case are one.
func matches(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	whole, err := path.Match(pattern, name)
	part, _ := path.Match(pattern, name[strings.IndexByte(name, '.')+1:])
	return err == nil && (whole || part) || pattern == name
}

// cleanup bounds what has to be done when the caller's context has ended.
const cleanup = 10 * time.Second

func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanup)
}

// tablesOf are the tables that are moved, in the order in which they are.
func tablesOf(ctx context.Context, e engine, o *Options) ([]*Table, error) {
	all, err := e.tables(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	var list []*Table
	for _, t := range all {
		if !o.leftOut(t.Name) && !matches(o.journal(), t.Name) {
			list = append(list, t)
		}
	}
	return inOrder(list), nil
}

// Names are those of all tables and sequences that would be in an archive, without what
// is part of another table.
func Names(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (names []string, err error) {
	e := newEngine(d, c, &o)
	tables, err := tablesOf(ctx, e, &o)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if !t.shadow {
			names = append(names, t.Name)
		}
	}
	sequences, err := e.sequences(ctx)
	for _, s := range sequences {
		names = append(names, s.Name)
	}
	return names, err
}

// ErrIncomplete means that a database has content that an archive of rows has not.
var ErrIncomplete = errors.New("the database has what is in no table, and only a native backup holds")

// Dump writes the rows of the database that c is connected to as an archive. It
// opens a transaction of its own, in which everything is read, and ends it.
//
// With [io.Discard] it takes the digests of what is there. The error is
// [ErrIncomplete] where rows are not all that there is.
func Dump(ctx context.Context, d dialect.Dialect, c *sql.Conn, w io.Writer, o Options) (s Summary, err error) {
	e := newEngine(d, c, &o)
	position, err := e.beginRead(ctx)
	defer func() { err = ended(ctx, e.endRead, err) }()
	if err != nil {
		return s, fmt.Errorf("opening the snapshot: %w", err)
	}
	tables, err := tablesOf(ctx, e, &o)
	if err != nil {
		return s, err
	}
	switch rest, err := e.rest(ctx); {
	case err != nil:
		return s, err
	case rest != "":
		return s, fmt.Errorf("%w: %s", ErrIncomplete, rest)
	}
	s.Header = Header{Format: formatName, Version: formatOf(tables), Writer: o.Writer, Engine: d.Name(), Server: o.Server, Position: position, Started: o.Started.UTC(), Migrations: o.Migrations}
	if o.Started.IsZero() {
		s.Header.Started = time.Now().UTC()
	}
	out := newWriter(w)
	if err := out.json(s.Header); err != nil {
		return s, err
	}
	progress := newMeter(&o, "dump", tables)
	if err := e.numbers(ctx, tables); err != nil {
		return s, err
	}
	end := archiveEnd{End: true, Tables: len(tables)}
	for _, t := range tables {
		s.Notes = append(s.Notes, t.notes()...)
		progress.table(t.Name)
		if err := out.json(t); err != nil {
			return s, err
		}
		sum := newDigest()
		kinds := newCanon(t.Columns)
		before := out.bytes
		err := e.read(ctx, t, func(line []byte, row []value) (err error) {
			kinds.add(sum, row)
			if line != nil {
				err = out.raw(line)
			} else {
				err = out.row(row)
			}
			progress.row(len(line), row)
			return err
		})
		if err != nil {
			return s, fmt.Errorf("reading table %s: %w", t.Name, err)
		}
		s.Bytes += out.bytes - before
		s.Notes = append(s.Notes, t.noteOfRows()...)
		if err := out.raw([]byte("\\.\n")); err != nil {
			return s, err
		}
		if err := out.json(tableEnd{Rows: sum.rows, Digest: sum.String(), Next: t.next}); err != nil {
			return s, err
		}
		end.Rows += sum.rows
		s.Tables = append(s.Tables, TableSummary{Name: t.Name, Rows: sum.rows, Digest: sum.String()})
		progress.done()
	}
	if end.Sequences, err = e.sequences(ctx); err != nil {
		return s, fmt.Errorf("reading the sequences: %w", err)
	}
	end.Sequences = slices.DeleteFunc(end.Sequences, func(s Sequence) bool { return o.leftOut(s.Name) })
	end.Lines = out.sums()
	if err := out.json(end); err != nil {
		return s, err
	}
	return s, out.out.Flush()
}

// ended ends what was begun, also when ctx has ended, without hiding err.
func ended(ctx context.Context, end func(context.Context) error, err error) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	if endErr := end(ctx); err == nil && endErr != nil {
		return endErr
	}
	return err
}

// canon takes the digest of rows by the kinds of their columns.
type canon struct {
	from, as []Kind
	a, b, c  []byte
}

func newCanon(columns []Column) *canon {
	k := &canon{}
	for _, c := range columns {
		as := c.Kind
		if c.Rowid { // no other engine has it, and it does not count
			as = ""
		}
		k.from, k.as = append(k.from, c.Kind), append(k.as, as)
	}
	return k
}

func (k *canon) add(d *digest, row []value) {
	for i, v := range row {
		if k.as[i] != "" {
			k.value(d, i, v)
		}
	}
	d.end()
}

// value adds a value in the canonical form of the kind that it is compared as. What
// is of no such kind is compared as it is.
func (k *canon) value(d *digest, i int, v value) {
	if v.null {
		d.null()
		return
	}
	from, as, data := v.kind(k.from[i]), k.as[i], v.data
	if as == KindAny {
		d.value(v.tag, v)
		return
	}
	if from == KindAny {
		from = KindText
	}
	if v.raw {
		if from == as && as.isCanonical() {
			d.value(0, v)
			return
		}
		k.c = v.text(k.c[:0])
		data = k.c
	}
	if from != as {
		var err error
		if k.a, err = convert(k.a[:0], from, as, data); err != nil {
			d.add('?', data)
			return
		}
		data = k.a
	}
	if !as.isCanonical() {
		k.b = canonical(k.b[:0], as, data)
		data = k.b
	}
	d.add(0, data)
}

// meter tells how far it is.
type meter struct {
	o    *Options
	p    Progress
	next int64
}

// tellEvery is how many bytes are between two words about progress.
const tellEvery = 4 << 20

func newMeter(o *Options, phase string, tables []*Table) *meter {
	m := &meter{o: o, p: Progress{Phase: phase, TablesAll: len(tables)}}
	for _, t := range tables {
		m.p.BytesAll += t.bytes
	}
	return m
}

func (m *meter) tell() {
	m.next = m.p.Bytes + tellEvery
	if m.o.Progress != nil {
		m.o.Progress(m.p)
	}
}

func (m *meter) table(name string) {
	m.p.Table = name
	m.tell()
}

func (m *meter) row(line int, row []value) {
	m.p.Bytes += int64(line)
	if line == 0 {
		for _, v := range row {
			m.p.Bytes += int64(v.size()) + 1
		}
	}
	if m.p.Bytes >= m.next {
		m.tell()
	}
}

func (m *meter) done() {
	m.p.Tables++
	m.tell()
}

// Archive is an archive that is being read.
type Archive struct {
	Header Header
	in     *reader
}

// NewerFormatError means that an archive was written by a newer version of this
// package, in a form that cannot be read here.
type NewerFormatError struct {
	Version int
	Writer  string // tldwdb and its version
}

// Error names the form.
func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("the rows are in form %d, and this program knows forms up to %d", e.Version, formatNewest)
}

// Open reads the header of an archive, and nothing else yet: its Migrations say to
// which version the target has to be migrated first.
func Open(r io.Reader) (*Archive, error) {
	a := &Archive{in: newReader(r)}
	if err := a.in.json(&a.Header); err != nil {
		return nil, err
	}
	switch {
	case a.Header.Format != formatName:
		return nil, damaged("its first line is not that of an archive of rows")
	case a.Header.Version > formatNewest:
		return nil, &NewerFormatError{Version: a.Header.Version, Writer: a.Header.Writer}
	}
	return a, nil
}

// Load replaces the rows of the tables that the archive has by its own, and reads them again to compare their digests. The database must have
// the tables, and nobody else may write to it: until Load returns nil its triggers,
// and on PostgreSQL its foreign keys, are not all there. They are remembered in the
// table that Options.Journal names; another Load brings them back.
//
// Errors: [MappingError] for a table that does not fit, when it comes: those before
// it are written by then; [ValueError] for a value that the target cannot hold; [ErrDamaged];
// [DigestError].
func (a *Archive) Load(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (s Summary, err error) {
	s.Header = a.Header
	l, err := newLoader(ctx, d, c, &o, a.Header.Engine)
	if err != nil {
		return s, err
	}
	defer func() { err = ended(ctx, l.e.endLoad, err) }()
	l.filled, l.late = l.tables, true
	if err := l.start(ctx, false); err != nil {
		return s, err
	}
	progress := newMeter(&o, "load", nil)
	seen := map[*Table]bool{}
	var rows int64
	var end archiveEnd
	for {
		var t struct {
			Table
			archiveEnd
		}
		sums := a.in.sums()
		if err := a.in.json(&t); err != nil {
			return s, err
		}
		if t.End {
			end = t.archiveEnd
			if end.Lines != sums {
				return s, damaged("a line that is no row was changed")
			}
			break
		}
		from := t.Table
		if o.leftOut(from.Name) {
			if _, err := a.rows(&from, nil); err != nil {
				return s, err
			}
			continue
		}
		progress.table(from.Name)
		m, problems := l.pair(&from)
		if m != nil && seen[m.to] {
			problems = append(problems, taken(&from, m.to))
		}
		if len(problems) > 0 {
			return s, &MappingError{problems}
		}
		if m == nil { // a table that only this engine has
			end, err := a.rows(&from, nil)
			if err != nil {
				return s, err
			}
			rows += end.Rows
			s.Tables = append(s.Tables, TableSummary{Name: from.Name, Rows: end.Rows, Digest: end.Digest, LeftOut: true})
			s.Notes = append(s.Notes, fmt.Sprintf("table %s belongs to SQLite alone and was left out", from.Name))
			continue
		}
		seen[m.to] = true
		var ended tableEnd
		sum, _, err := l.table(ctx, m, func(feed func(line []byte, row []value) error) (err error) {
			ended, err = a.rows(&from, func(line []byte, row []value) error {
				progress.row(len(line), row)
				return feed(line, row)
			})
			return err
		}, m.plain)
		if err != nil {
			return s, err
		}
		want := sum.String()
		if m.plain {
			want = ended.Digest
		}
		l.next[m.to] = ended.Next
		rows += ended.Rows
		s.Tables = append(s.Tables, TableSummary{Name: from.Name, Rows: ended.Rows, Digest: ended.Digest})
		l.want = append(l.want, wanted{m, want})
		progress.done()
	}
	if end.Tables != len(s.Tables) && len(o.Skip) == 0 || end.Rows != rows && len(o.Skip) == 0 {
		return s, damaged("it does not have all of its tables")
	}
	s.Bytes = progress.p.Bytes
	err = l.finish(ctx, end.Sequences)
	s.Notes = append(s.Notes, l.notes...)
	return s, err
}

// rows reads the rows of a table to their end, and proves them.
func (a *Archive) rows(t *Table, row func(line []byte, row []value) error) (end tableEnd, err error) {
	sum, kinds := newDigest(), newCanon(t.Columns)
	var split rowReader
	for {
		line, values, err := a.in.row(&split, t.Columns)
		switch bad, malformed := errors.AsType[malformed](err); {
		case malformed:
			return end, damaged("table %s, row %d: %v", t.Name, sum.rows+1, bad)
		case err != nil:
			return end, err
		}
		if values == nil {
			break
		}
		for i, v := range values {
			if !v.wellFormed(t.Columns[i].Kind) {
				return end, damaged("table %s, row %d: a value is not of the kind %s", t.Name, sum.rows+1, v.kind(t.Columns[i].Kind))
			}
		}
		kinds.add(sum, values)
		if row != nil {
			if err := row(line, values); err != nil {
				return end, err
			}
		}
	}
	if err := a.in.json(&end); err != nil {
		return end, err
	}
	if end.Rows != sum.rows || end.Digest != sum.String() {
		return end, damaged("table %s has not the rows that were written", t.Name)
	}
	return end, nil
}
