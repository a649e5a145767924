package seed

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/portable"
)

// batchRows is how many rows are asked for, and written, at once.
const batchRows = 2000

// batchBytes ends a batch of large values early.
const batchBytes = 4 << 20

// KeysKept is how many keys of each kind a [Change] lists.
const KeysKept = 1000

// Change is what was done to a table, or would be.
type Change struct {
	Table                        string
	Inserted, Updated, Unchanged int64
	InsertedKeys, UpdatedKeys    []string
}

// Options are how a plan is carried out.
type Options struct {
	// Dry says what would be done. With Stop it ends at the first row or script that
	// there is work for.
	Dry, Stop bool
	// Script runs a file that is no rows, and remembers it if it runs once.
	Script func(context.Context, *File) error
	// Record remembers a file that runs once, behind its rows.
	Record func(context.Context, *File) error
}

// ErrWork ends a look with Options.Stop: there is something to do.
var ErrWork = errors.New("there is work")

// Apply writes a set, inside the caller's transaction. The changes are in the order in
// which the tables were written.
func (p *Plan) Apply(ctx context.Context, set *Set, o Options) ([]Change, error) {
	for _, f := range set.Files { // of a try that was taken back
		for _, t := range f.Tables {
			for _, r := range t.Rows {
				r.values, r.here, r.touched = nil, false, false
			}
		}
	}
	a := &applying{Plan: p, o: o, seed: maphash.MakeSeed(), changes: map[*portable.Table]*Change{}, hashes: map[string]map[uint64]struct{}{}}
	for _, part := range p.parts[set] {
		a.empty, a.last = map[*portable.Table]bool{}, map[*portable.Table]int64{} // a script may have written rows
		if err := a.part(ctx, part); err != nil {
			return a.list(), err
		}
	}
	return a.list(), nil
}

type applying struct {
	*Plan
	o       Options
	seed    maphash.Seed
	empty   map[*portable.Table]bool
	last    map[*portable.Table]int64 // the greatest number that a row came with
	hashes  map[string]map[uint64]struct{}
	room    []byte
	changes map[*portable.Table]*Change
	order   []*portable.Table
}

func (a *applying) list() []Change {
	list := make([]Change, len(a.order))
	for i, t := range a.order {
		list[i] = *a.changes[t]
	}
	return list
}

func (a *applying) change(t *portable.Table) *Change {
	c := a.changes[t]
	if c == nil {
		c = &Change{Table: t.Name}
		a.changes[t] = c
		a.order = append(a.order, t)
	}
	return c
}

func (a *applying) part(ctx context.Context, p part) error {
	if p.file != nil && a.o.Dry && a.o.Stop {
		return ErrWork // one that has run is not among them
	}
	if p.file != nil && p.file.Script {
		if a.o.Dry {
			return nil
		}
		return a.o.Script(ctx, p.file)
	}
	var tables []*portable.Table
	for _, w := range p.waves {
		if !slices.Contains(tables, w.table.def.Table) {
			tables = append(tables, w.table.def.Table)
		}
	}
	write := func() error {
		for _, w := range p.waves {
			if err := a.wave(ctx, w); err != nil {
				return err
			}
		}
		return a.complete(ctx, p.waves)
	}
	if a.o.Dry {
		return write()
	}
	if err := a.rows.Unwatched(ctx, tables, write); err != nil {
		return err
	}
	for t, last := range a.last {
		if err := a.rows.MoveOn(ctx, t, last); err != nil {
			return fmt.Errorf("moving the numbers of table %s on: %w", t.Name, err)
		}
	}
	if p.file != nil && p.file.Once {
		return a.o.Record(ctx, p.file)
	}
	return nil
}

// entry is a row on its way.
type entry struct {
	shape   *shape
	cells   []portable.Cell
	line    int
	row     *Row // nil for one of a CSV file
	known   bool // false: a value of its key comes from a row that would be inserted
	there   int  // how many rows have its key
	differs bool
}

// shape is the columns of a row.
type shape struct {
	columns []*portable.Column
	key     []int // in columns
	compare []int // what is changed where it differs
}

func newShape(t *Table, columns []*portable.Column, changes func(i int) bool) *shape {
	s := &shape{columns: columns}
	for _, c := range t.def.key {
		s.key = append(s.key, slices.Index(columns, c))
	}
	for i, c := range columns {
		if !t.Update || slices.Contains(s.key, i) || !changes(i) {
			continue
		}
		if len(t.Only) == 0 || slices.ContainsFunc(t.Only, func(name string) bool { return t.def.Column(name) == c }) {
			s.compare = append(s.compare, i)
		}
	}
	return s
}

func (e *entry) key() []portable.Cell { return e.pick(e.shape.key) }

func (e *entry) pick(at []int) []portable.Cell {
	list := make([]portable.Cell, len(at))
	for i, k := range at {
		list[i] = e.cells[k]
	}
	return list
}

func (e *entry) label(t *Table) string {
	if e.row != nil {
		return e.row.label()
	}
	return keyName(t.def.key, e.key())
}

// fault is an error at a row, in a column if that is known.
func (e *entry) fault(t *Table, column string, err error, format string, args ...any) error {
	file := t.File
	if e.row == nil {
		file = t.CSV
	}
	return &Fault{Problem{File: file, Line: e.line, Table: t.Name, Row: e.label(t), Column: column, Msg: fmt.Sprintf(format, args...)}, err}
}

func (a *applying) wave(ctx context.Context, w wave) error {
	if w.table.CSV != "" {
		return a.stream(ctx, w.table)
	}
	shapes := map[string]*shape{}
	for rows := range slices.Chunk(w.rows, batchRows) {
		entries := make([]entry, len(rows))
		for i, r := range rows {
			e, err := a.entry(ctx, r, w.late[r], shapes)
			if err != nil {
				return err
			}
			entries[i] = e
		}
		if err := a.batch(ctx, w.table, entries); err != nil {
			return err
		}
	}
	return nil
}

// entry fetches what a row refers to.
func (a *applying) entry(ctx context.Context, r *Row, late []int, shapes map[string]*shape) (entry, error) {
	e := entry{line: r.Line, row: r, known: true, cells: make([]portable.Cell, len(r.cells))}
	var id strings.Builder
	columns := make([]*portable.Column, len(r.cells))
	skip := make([]bool, len(r.cells)) // of an update
	for i := range r.cells {
		c := &r.cells[i]
		columns[i], skip[i] = c.column, c.once
		switch {
		case slices.Contains(late, i):
			null, _, err := c.column.Cell(nil, portable.Input{Null: true})
			if err != nil {
				return e, e.fault(r.table, "", err, "%s", err)
			}
			e.cells[i], skip[i] = null, true
		case c.of != nil:
			known, err := a.fetch(ctx, r, c)
			if err != nil {
				return e, err
			}
			if skip[i] = !known; !known && slices.Contains(r.table.def.key, c.column) {
				e.known = false
			}
			e.cells[i] = c.Cell
		default:
			e.cells[i] = c.Cell
		}
		fmt.Fprintf(&id, "%s\x00%v\x00", c.column.Name, skip[i])
	}
	if e.shape = shapes[id.String()]; e.shape == nil {
		e.shape = newShape(r.table, columns, func(i int) bool { return !skip[i] })
		shapes[id.String()] = e.shape
	}
	return e, nil
}

// fetch makes a reference the value that it leads to. known is false for one that a dry
// run cannot know.
func (a *applying) fetch(ctx context.Context, r *Row, c *cell) (known bool, err error) {
	at := Problem{File: r.table.File, Line: r.Line, Table: r.table.Name, Row: r.label(), Column: c.column.Name}
	target, there := c.of.values[c.from]
	if !there {
		if err := a.find(ctx, c.of, at); err != nil {
			return false, err
		}
		if target, there = c.of.values[c.from]; !there {
			if a.o.Dry {
				return false, nil
			}
			at.Msg = fmt.Sprintf("it refers to %s.%s, which is not in the database yet", c.of.table.Name, c.of.label())
			return false, &Fault{Problem: at}
		}
	}
	c.Cell, _, err = c.column.Cell(nil, target.Input(target.column))
	if err != nil {
		at.Msg = err.Error()
		return false, &Fault{Problem: at}
	}
	c.known = true
	return true, nil
}

// find looks for a row that is not written here.
func (a *applying) find(ctx context.Context, r *Row, at Problem) error {
	if r.cells == nil {
		for _, column := range r.table.def.key {
			i := slices.IndexFunc(r.fields, func(f field) bool { return r.table.def.Column(f.name) == column })
			if i < 0 {
				at.Msg = fmt.Sprintf("it refers to %s.%s, which does not say what it is known by", r.table.Name, r.label())
				return &Fault{Problem: at}
			}
			c, err := a.cell(r, r.fields[i], column)
			if err == nil && c.of != nil {
				_, err = a.fetch(ctx, r, &c)
			}
			if err != nil {
				at.Msg = fmt.Sprintf("it refers to %s.%s: %s", r.table.Name, r.label(), err)
				return &Fault{Problem: at}
			}
			r.cells = append(r.cells, c)
		}
	}
	key, ok := r.key()
	if !ok {
		return nil
	}
	columns := a.columnsOf(r.table, r.needs)
	return a.rows.Find(ctx, r.table.def.Table, r.table.def.key, columns, [][]portable.Cell{key}, func(_ int, got []portable.Cell) error {
		r.remember(columns, got)
		return nil
	})
}

func (a *applying) columnsOf(t *Table, names []string) []*portable.Column {
	list := make([]*portable.Column, len(names))
	for i, name := range names {
		list[i] = t.def.Column(name)
	}
	return list
}

// remember keeps what others refer to.
func (r *Row) remember(columns []*portable.Column, got []portable.Cell) {
	if r.values == nil {
		r.values = map[string]cell{}
	}
	for i, c := range columns {
		r.values[c.Name] = cell{Cell: got[i].Clone(), column: c, known: true}
	}
}

// stream writes the rows of a CSV file: into a table without rows as they come.
func (a *applying) stream(ctx context.Context, t *Table) error {
	empty, err := a.isEmpty(ctx, t)
	if err != nil {
		return err
	}
	if empty && !a.o.Dry {
		err := a.pour(ctx, t)
		if err == nil || errors.As(err, new(*Fault)) || ctx.Err() != nil {
			return err
		}
		if again := a.batches(ctx, t); again != nil { // slowly, to know the row
			return again
		}
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return a.batches(ctx, t)
}

// pour writes the rows without asking for them.
func (a *applying) pour(ctx context.Context, t *Table) error {
	var change Change
	var last int64
	var keys []uint64
	takeBack := func() {
		for _, hash := range keys {
			delete(t.def.hashes, hash)
		}
		keys = nil
	}
	auto := slices.IndexFunc(t.def.header, func(c *portable.Column) bool { return c.Auto })
	err := a.rows.Stream(ctx, t.def.Table, t.def.header, func(write func([]portable.Cell) error) error {
		change, last = *a.change(t.def.Table), a.last[t.def.Table]
		takeBack() // of a try before this one
		return a.csvRows(t, func(e *entry) (bool, error) {
			if !t.def.unique { // else the database looks, and the second try tells which row it was
				hash, err := a.twice(t, e)
				if err != nil {
					return true, err
				}
				keys = append(keys, hash)
			}
			change.inserted(t, e)
			if auto >= 0 {
				last = max(last, number(e.cells[auto]))
			}
			return true, write(e.cells)
		})
	})
	if err != nil {
		takeBack()
		return err
	}
	*a.change(t.def.Table) = change
	if auto >= 0 {
		a.last[t.def.Table] = last
	}
	return nil
}

// batches writes the rows a batch at a time.
func (a *applying) batches(ctx context.Context, t *Table) error {
	entries := make([]entry, 0, batchRows)
	flush := func() error {
		err := a.batch(ctx, t, entries)
		entries = entries[:0]
		return err
	}
	size := 0
	err := a.csvRows(t, func(e *entry) (bool, error) {
		if _, err := a.twice(t, e); err != nil {
			return true, err
		}
		entries = append(entries, *e)
		for _, c := range e.cells {
			size += c.Size()
		}
		if len(entries) < batchRows && size < batchBytes {
			return false, nil
		}
		size = 0
		return true, flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// csvRows calls row with each row of a CSV file. What it is given is valid until row
// returns true.
func (a *applying) csvRows(t *Table, row func(*entry) (done bool, err error)) error {
	def := t.def
	s := newShape(t, def.header, func(int) bool { return true })
	var room []byte
	var cells []portable.Cell
	first := true
	var outcome error // what is not about the file's form
	err := readCSV(a.fsys, t.CSV, func(c *csvReader) error {
		if first {
			first = false
			return nil
		}
		if err := def.fits(c); err != nil {
			return err
		}
		start := len(cells)
		for i, column := range def.header {
			text, null := c.field(i)
			var v portable.Cell
			var err error
			if v, room, err = def.csvCell(room, column, text, null); err != nil {
				outcome = &Fault{Problem: Problem{File: t.CSV, Line: c.line, Table: t.Name, Column: column.Name, Msg: err.Error()}}
				return outcome
			}
			cells = append(cells, v)
		}
		e := entry{shape: s, line: c.line, known: true, cells: cells[start:len(cells):len(cells)]}
		var done bool
		if done, outcome = row(&e); done {
			room, cells = room[:0], cells[:0]
		}
		return outcome
	})
	if outcome != nil {
		return outcome
	}
	if line, ok := errors.AsType[*lineError](err); ok {
		return &Fault{Problem: Problem{File: t.CSV, Line: line.line, Table: t.Name, Msg: line.msg}}
	}
	if err != nil {
		return &Fault{Problem{File: t.CSV, Table: t.Name, Msg: err.Error()}, err}
	}
	return nil
}

// number is a whole number, or 0.
func number(c portable.Cell) int64 {
	n, err := strconv.ParseInt(c.String(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func hashesOf(t *Table) string { return t.def.Name + "\x00" + columnList(t.def.key) }

// twice notices a key that was there before in the files of the set. Of the keys it
// keeps 64 bits, by a seed of its own, which it returns: large files are to take little memory.
func (a *applying) twice(t *Table, e *entry) (hash uint64, err error) {
	if t.def.hashes == nil || t.def.of != a {
		id := hashesOf(t)
		if a.hashes[id] == nil {
			a.hashes[id] = map[uint64]struct{}{}
		}
		t.def.hashes, t.def.of = a.hashes[id], a
	}
	a.room = a.room[:0]
	for i, k := range e.shape.key {
		a.room = portable.AppendKey(a.room, t.def.key[i:i+1], e.cells[k:k+1])
	}
	hash = maphash.Bytes(a.seed, a.room)
	if _, there := t.def.hashes[hash]; there {
		return hash, e.fault(t, "", nil, "the files of the set have a row with the key %s before", keyName(t.def.key, e.key()))
	}
	t.def.hashes[hash] = struct{}{}
	return hash, nil
}

// batch writes rows of one table.
func (a *applying) batch(ctx context.Context, t *Table, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	table := t.def.Table
	empty, err := a.isEmpty(ctx, t)
	if err != nil {
		return err
	}
	for i := range entries {
		if e := &entries[i]; e.row != nil && e.known {
			if _, err := a.twice(t, e); err != nil {
				return err
			}
		}
	}
	if !empty {
		if err := a.look(ctx, t, entries); err != nil {
			return err
		}
	}
	if a.o.Dry {
		a.pretend(t, entries)
	}
	change := a.change(table)
	var insert, update []*entry
	for i := range entries {
		e := &entries[i]
		switch {
		case e.there == 0:
			insert = append(insert, e)
			change.inserted(t, e)
		case e.differs && e.there > 1:
			return e.fault(t, "", nil, "%d rows of the table have the key %s: one cannot be told from the other", e.there, keyName(t.def.key, e.key()))
		case e.differs:
			update = append(update, e)
			change.updated(t, e)
			if e.row != nil {
				e.row.touched = true
			}
		default:
			change.Unchanged++
		}
	}
	if a.o.Dry {
		if a.o.Stop && len(insert)+len(update) > 0 {
			return ErrWork
		}
		return nil
	}
	if err := a.insert(ctx, t, insert); err != nil {
		return err
	}
	return a.update(ctx, t, update)
}

// isEmpty reports whether the table had no row when its first one was to be written.
func (a *applying) isEmpty(ctx context.Context, t *Table) (bool, error) {
	empty, asked := a.empty[t.def.Table]
	if asked {
		return empty, nil
	}
	some, err := a.rows.HasRows(ctx, t.def.Table)
	if err != nil {
		return false, fmt.Errorf("table %s: %w", t.Name, err)
	}
	a.empty[t.def.Table] = !some
	return !some, nil
}

func (c *Change) inserted(t *Table, e *entry) {
	c.Inserted++
	if len(c.InsertedKeys) < KeysKept {
		c.InsertedKeys = append(c.InsertedKeys, keyName(t.def.key, e.key()))
	}
}

func (c *Change) updated(t *Table, e *entry) {
	c.Updated++
	if len(c.UpdatedKeys) < KeysKept {
		c.UpdatedKeys = append(c.UpdatedKeys, keyName(t.def.key, e.key()))
	}
}

// pretend remembers, in a dry run, which rows would be there for the sets that follow,
// and finds those that would be there by then.
func (a *applying) pretend(t *Table, entries []entry) {
	for i := range entries {
		e := &entries[i]
		if e.there > 0 || !e.known {
			continue
		}
		a.room = append(append(a.room[:0], hashesOf(t)...), 0)
		a.room = portable.AppendKey(a.room, t.def.key, e.key())
		hash := maphash.Bytes(a.keys, a.room)
		if _, there := a.would[hash]; there {
			e.there, e.differs = 1, len(e.shape.compare) > 0
		}
		a.would[hash] = struct{}{}
	}
}

// look asks which rows are there, and which of them differ.
func (a *applying) look(ctx context.Context, t *Table, entries []entry) error {
	var names []string
	var ask []*entry
	var keys [][]portable.Cell
	for i := range entries {
		e := &entries[i]
		if !e.known {
			continue
		}
		ask, keys = append(ask, e), append(keys, e.key())
		for _, k := range e.shape.compare {
			if name := e.shape.columns[k].Name; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if e.row != nil {
			for _, name := range e.row.needs {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	columns := a.columnsOf(t, names)
	err := a.rows.Find(ctx, t.def.Table, t.def.key, columns, keys, func(n int, got []portable.Cell) error {
		e := ask[n]
		e.there++
		for _, k := range e.shape.compare {
			c := e.shape.columns[k]
			if !c.Same(e.cells[k], got[slices.Index(columns, c)]) {
				e.differs = true
			}
		}
		if e.row != nil && len(e.row.needs) > 0 {
			e.row.remember(columns, got)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("table %s: looking for its rows: %w", t.Name, err)
	}
	return nil
}

// byShape groups rows that have the same columns.
func byShape(list []*entry) (shapes []*shape, groups map[*shape][]*entry) {
	groups = map[*shape][]*entry{}
	for _, e := range list {
		if groups[e.shape] == nil {
			shapes = append(shapes, e.shape)
		}
		groups[e.shape] = append(groups[e.shape], e)
	}
	return shapes, groups
}

// named makes the error of a batch that of its row.
func named(t *Table, list []*entry, err error) error {
	if row, ok := errors.AsType[*portable.RowError](err); ok {
		return list[row.Row].fault(t, row.Column, row.Err, "%s", row.Err)
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}

func (a *applying) insert(ctx context.Context, t *Table, list []*entry) error {
	shapes, groups := byShape(list)
	for _, s := range shapes {
		rows := make([][]portable.Cell, len(groups[s]))
		for i, e := range groups[s] {
			rows[i] = e.cells
		}
		if err := named(t, groups[s], a.rows.Insert(ctx, t.def.Table, s.columns, rows)); err != nil {
			return err
		}
		for i, c := range s.columns {
			if !c.Auto {
				continue
			}
			for _, row := range rows {
				a.last[t.def.Table] = max(a.last[t.def.Table], number(row[i]))
			}
		}
	}
	var wanted []entry // what the database has given them
	for _, e := range list {
		if e.row == nil {
			continue
		}
		e.row.here = true
		if len(e.row.needs) > 0 {
			wanted = append(wanted, entry{shape: &shape{columns: e.shape.columns, key: e.shape.key}, cells: e.cells, row: e.row, line: e.line, known: true})
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return a.look(ctx, t, wanted)
}

func (a *applying) update(ctx context.Context, t *Table, list []*entry) error {
	shapes, groups := byShape(list)
	for _, s := range shapes {
		columns := make([]*portable.Column, len(s.compare))
		for i, k := range s.compare {
			columns[i] = s.columns[k]
		}
		var keys, rows [][]portable.Cell
		for _, e := range groups[s] {
			keys, rows = append(keys, e.key()), append(rows, e.pick(s.compare))
		}
		if err := named(t, groups[s], a.rows.Update(ctx, t.def.Table, t.def.key, columns, keys, rows)); err != nil {
			return err
		}
	}
	return nil
}

// complete gives rows of a circle the values that were NULL at first: those that were
// inserted, and those that are to be what the file says.
func (a *applying) complete(ctx context.Context, waves []wave) error {
	for _, w := range waves {
		for _, r := range w.rows {
			late := w.late[r]
			if len(late) == 0 || !r.here && !w.table.Update {
				continue
			}
			e, err := a.entry(ctx, r, nil, map[string]*shape{})
			if err != nil {
				return err
			}
			if !e.known {
				continue
			}
			if e.shape.compare = nil; r.here {
				e.shape.compare = late
			} else {
				all := newShape(w.table, e.shape.columns, func(i int) bool { return slices.Contains(late, i) && r.cells[i].known })
				e.shape.compare = all.compare
			}
			if len(e.shape.compare) == 0 {
				continue
			}
			entries := []entry{e}
			if err := a.look(ctx, w.table, entries); err != nil {
				return err
			}
			if !entries[0].differs {
				continue
			}
			if !r.here && !r.touched { // it was taken for one that does not differ
				c := a.change(w.table.def.Table)
				c.Unchanged--
				c.updated(w.table, &e)
			}
			if a.o.Dry {
				if a.o.Stop {
					return ErrWork
				}
				continue
			}
			if err := a.update(ctx, w.table, []*entry{&e}); err != nil {
				return err
			}
		}
	}
	return nil
}
