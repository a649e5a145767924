package seed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/tldw/tldwdb/internal/portable"
)

// Plan is sets that fit the database.
type Plan struct {
	rows  *portable.Rows
	fsys  fs.FS
	world World
	named map[*portable.Table]map[string]*Row
	parts map[*Set][]part

	problems []Problem

	keys  maphash.Seed
	would map[uint64]struct{} // rows that a dry run would have inserted
}

// part is files of rows that are written together, or one file of another kind.
type part struct {
	file  *File
	waves []wave
}

// wave is rows of one table of one file, which wait for no other of it.
type wave struct {
	table *Table
	rows  []*Row
	late  map[*Row][]int // the cells that are NULL at first
}

// tableDef is what the database has under the name of a table.
type tableDef struct {
	*portable.Table
	key    []*portable.Column
	header []*portable.Column // of a CSV file

	unique bool      // the database takes no key twice
	of     *applying // whose keys these are
	hashes map[uint64]struct{}
}

// cell is a value of a row: what it is, or where it is to be had.
type cell struct {
	portable.Cell
	column *portable.Column
	known  bool
	once   bool // it counts for a new row only
	of     *Row // the row that it is a value of
	from   string
}

// Prepare holds sets against the catalogue. Files that passes says true of are not
// written: their rows are there to be referred to, like those of passive. The error is the
// database's.
func Prepare(ctx context.Context, rows *portable.Rows, fsys fs.FS, w World, sets []*Set, passive *Set, passes func(*File) bool) (*Plan, []Problem, error) {
	p := &Plan{rows: rows, fsys: fsys, world: w, named: map[*portable.Table]map[string]*Row{}, parts: map[*Set][]part{}, keys: maphash.MakeSeed(), would: map[uint64]struct{}{}}
	active := func(set *Set, f *File) bool { return set != passive && !passes(f) }
	all := sets
	if passive != nil {
		all = append([]*Set{passive}, sets...)
	}
	for _, set := range all {
		for _, f := range set.Files {
			for _, t := range f.Tables {
				p.define(t, active(set, f))
			}
		}
	}
	for _, set := range all {
		for _, f := range set.Files {
			for _, t := range f.Tables {
				if t.def == nil || !active(set, f) {
					continue
				}
				for _, r := range t.Rows {
					p.row(r)
				}
				if t.CSV != "" && !t.looked {
					p.begin(t)
				}
			}
		}
	}
	if len(p.problems) > 0 {
		return p, p.problems, nil
	}
	for _, set := range sets {
		if err := p.duplicates(ctx, set, passes); err != nil {
			return p, nil, err
		}
		p.arrange(set, passes)
	}
	if len(p.problems) == 0 {
		for _, set := range sets {
			p.looked(set, passes)
		}
	}
	return p, p.problems, nil
}

// looked remembers whose first rows are in order.
func (p *Plan) looked(set *Set, passes func(*File) bool) {
	for _, f := range set.Files {
		for _, t := range f.Tables {
			t.looked = t.CSV != "" && !passes(f)
		}
	}
}

func (p *Plan) problem(at Problem, format string, args ...any) {
	at.Msg = fmt.Sprintf(format, args...)
	p.problems = append(p.problems, at)
}

// define finds the table of a file, and how its rows are known.
func (p *Plan) define(t *Table, active bool) {
	t.def, t.head = nil, nil
	at := Problem{File: t.File, Line: t.Line, Table: t.Name}
	found := p.rows.Table(t.Name)
	if found == nil {
		if active {
			var names []string
			for _, t := range p.rows.Tables() {
				names = append(names, t.Name)
			}
			p.problem(at, "no such table%s", nearest(t.Name, names))
		}
		return
	}
	def := &tableDef{Table: found}
	given := p.given(t, def, active)
	if given == nil {
		return
	}
	names := t.Key
	if names == nil {
		var why string
		if names, why = p.keyOf(found, given); why != "" {
			if !active || len(t.Rows) == 0 && t.CSV == "" {
				return
			}
			p.problem(at, "%s", why) // and go on: there may be more to say of the rows
		}
	}
	for _, name := range names {
		c := found.Column(name)
		if c == nil {
			if active {
				p.problem(Problem{File: t.File, Line: t.keyLine, Table: t.Name, Column: name}, "no such column, which is to be the key%s", nearest(name, columnNames(found)))
			}
			return
		}
		def.key = append(def.key, c)
		if t.CSV != "" && !slices.Contains(def.header, c) {
			p.problem(Problem{File: t.CSV, Line: 1, Table: t.Name, Column: name}, "the column is the key, and the file does not have it")
			return
		}
	}
	def.unique = slices.ContainsFunc(p.rows.Unique(found), func(k []string) bool {
		return len(k) == len(def.key) && !slices.ContainsFunc(def.key, func(c *portable.Column) bool { return !slices.Contains(k, c.Name) })
	})
	for _, name := range t.Only {
		if found.Column(name) == nil && active {
			p.problem(Problem{File: t.File, Line: t.Line, Table: t.Name, Column: name}, "no such column, which is to be updated%s", nearest(name, columnNames(found)))
		}
	}
	t.def = def
	for _, r := range t.Rows {
		r.cells, r.needs, r.values, r.here = nil, nil, nil, false
		if r.Name == "" {
			continue
		}
		if p.named[found] == nil {
			p.named[found] = map[string]*Row{}
		}
		if other := p.named[found][r.Name]; other != nil && active && other.table.File == t.File {
			p.problem(Problem{File: t.File, Line: r.Line, Table: t.Name, Row: r.Name}, "the name is taken, by line %d", other.Line)
		}
		p.named[found][r.Name] = r
	}
}

// given lists the columns that every row of a table has. nil means that this cannot be
// said.
func (p *Plan) given(t *Table, def *tableDef, active bool) []string {
	if t.CSV != "" {
		if !active {
			return nil
		}
		return p.header(t, def)
	}
	list := []string{}
	for i, r := range t.Rows {
		var names []string
		for _, f := range r.fields {
			if c := def.Column(f.name); c != nil && (i == 0 || slices.Contains(list, c.Name)) {
				names = append(names, c.Name)
			}
		}
		list = append([]string{}, names...)
	}
	return list
}

func columnNames(t *portable.Table) []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// header reads the first line of a CSV file.
func (p *Plan) header(t *Table, def *tableDef) []string {
	at := Problem{File: t.CSV, Line: 1, Table: t.Name}
	before := len(p.problems)
	names := []string{}
	err := readCSV(p.fsys, t.CSV, func(c *csvReader) error {
		for i := range c.fields() {
			text, _ := c.field(i)
			name := strings.TrimSpace(string(text))
			column := def.Column(name)
			at := at
			at.Column = name
			switch {
			case column == nil:
				p.problem(at, "no such column%s", nearest(name, columnNames(def.Table)))
			case column.Generated:
				p.problem(at, "the database computes it")
			case slices.Contains(def.header, column):
				p.problem(at, "it is there twice")
			default:
				names = append(names, column.Name)
			}
			def.header = append(def.header, column)
		}
		return io.EOF
	})
	switch line, ok := errors.AsType[*lineError](err); {
	case ok:
		at.Line = line.line
		p.problem(at, "%s", line.msg)
	case err != nil:
		p.problem(at, "%s", err)
	case len(def.header) == 0:
		p.problem(at, "the file is empty: its first line names the columns")
	}
	if len(p.problems) == before {
		p.wanted(at, def, names)
	}
	if len(p.problems) > before {
		return nil
	}
	return names
}

// readCSV calls row after each row that was read, until it returns an error; io.EOF ends
// it well.
func readCSV(fsys fs.FS, name string, row func(*csvReader) error) (err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("it cannot be read: %s", plain(err))
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	reader := newCSV(file)
	for {
		if err = reader.read(); err == nil {
			err = row(reader)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

const (
	// csvLooked is how many rows of a CSV file are looked at before anything is written.
	// Those of a large file cost as much to read as a fifth of what writing them does.
	csvLooked = 10_000
	// csvFaults is how many of its faults are told at once.
	csvFaults = 20
)

// begin looks at the first rows of a CSV file, as at those of other files.
func (p *Plan) begin(t *Table) {
	def := t.def
	rows, faults := -1, 0 // the first line is no row
	fault := func(line int, column, format string, args ...any) {
		faults++
		p.problem(Problem{File: t.CSV, Line: line, Table: t.Name, Column: column}, format, args...)
	}
	var room []byte
	cells := make([]portable.Cell, len(def.header))
	key := make([]int, len(def.key)) // in the header
	for i, column := range def.key {
		key[i] = slices.Index(def.header, column)
	}
	var keys []portable.Cell
	err := readCSV(p.fsys, t.CSV, func(c *csvReader) error {
		if rows++; rows == 0 {
			return nil
		}
		if rows > csvLooked || faults >= csvFaults {
			return io.EOF
		}
		if err := def.fits(c); err != nil {
			return err
		}
		room = room[:0]
		before := faults
		for i, column := range def.header {
			text, null := c.field(i)
			var err error
			if cells[i], room, err = def.csvCell(room, column, text, null); err != nil {
				fault(c.line, column.Name, "%s", err)
			}
		}
		if faults > before {
			return nil
		}
		for _, i := range key {
			keys = append(keys, cells[i].Clone())
		}
		t.head = append(t.head, keyed{table: t, line: c.line, key: keys[len(keys)-len(key) : len(keys) : len(keys)]})
		return nil
	})
	if line, ok := errors.AsType[*lineError](err); ok {
		fault(line.line, "", "%s", line.msg)
	} else if err != nil {
		fault(0, "", "%s", err)
	}
}

// fits reports a row that has not as many fields as the first line.
func (def *tableDef) fits(c *csvReader) error {
	if c.fields() != len(def.header) {
		return faultf(c.line, "the row has %d fields, and the first line %d", c.fields(), len(def.header))
	}
	return nil
}

// csvCell makes a field a value, behind room, which it returns grown.
func (def *tableDef) csvCell(room []byte, column *portable.Column, text []byte, null bool) (portable.Cell, []byte, error) {
	v, room, err := column.Cell(room, portable.Input{Kind: portable.KindText, Text: text, Null: null})
	if err == nil && null && slices.Contains(def.key, column) {
		err = errors.New("it is part of the key, and NULL")
	}
	return v, room, err
}

// wanted reports the columns that a row needs and does not have.
func (p *Plan) wanted(at Problem, def *tableDef, names []string) {
	for i := range def.Columns {
		if c := &def.Columns[i]; c.Wanted() && !slices.Contains(names, c.Name) {
			at.Column = c.Name
			p.problem(at, "it is NOT NULL and has no default: give it a value")
		}
	}
}

// keyOf finds the key that the rows are known by: the primary key where they have it, or
// else the only other unique key that they have.
func (p *Plan) keyOf(t *portable.Table, given []string) (key []string, why string) {
	const advice = "say what a row is known by: key: [column]"
	has := func(k []string) bool {
		return !slices.ContainsFunc(k, func(name string) bool { return !slices.Contains(given, name) })
	}
	if len(t.Key) > 0 && has(t.Key) {
		return t.Key, ""
	}
	var fit [][]string
	for _, k := range p.rows.Unique(t) {
		if has(k) {
			fit = append(fit, k)
		}
	}
	switch len(fit) {
	case 0:
		return nil, "no unique key of the table is in all rows; " + advice
	case 1:
		return fit[0], ""
	}
	names := make([]string, len(fit))
	for i, k := range fit {
		names[i] = strings.Join(k, " and ")
	}
	slices.Sort(names) // the catalogue has no order
	return nil, fmt.Sprintf("the rows have several unique keys (%s); %s", strings.Join(names, ", "), advice)
}

// row holds the values of a row against their columns.
func (p *Plan) row(r *Row) {
	def := r.table.def
	at := Problem{File: r.table.File, Line: r.Line, Table: r.table.Name, Row: r.label()}
	var names []string
	for _, f := range r.fields {
		at := at
		at.Line, at.Column = f.line, f.name
		column := def.Column(f.name)
		switch {
		case column == nil:
			p.problem(at, "no such column%s", nearest(f.name, columnNames(def.Table)))
			continue
		case column.Generated:
			p.problem(at, "the database computes it")
			continue
		case slices.Contains(names, column.Name):
			p.problem(at, "it is there twice")
			continue
		}
		names = append(names, column.Name)
		c, err := p.cell(r, f, column)
		if err != nil {
			p.problem(at, "%s", err)
			continue
		}
		isKey := slices.Contains(def.key, column)
		switch {
		case isKey && c.known && c.IsNull():
			p.problem(at, "it is part of the key, and NULL")
		case isKey && c.once:
			p.problem(at, "it is part of the key, and has another value at each run or row: write it down")
		}
		r.cells = append(r.cells, c)
	}
	for _, c := range def.key {
		if !slices.Contains(names, c.Name) {
			at := at
			at.Column = c.Name
			p.problem(at, "it is part of the key, and the row does not have it")
		}
	}
	p.wanted(at, def, names)
}

// cell makes a value, or finds the row that has it.
func (p *Plan) cell(r *Row, f field, column *portable.Column) (cell, error) {
	c := cell{column: column, once: f.value.once()}
	if f.value.kind == formRef {
		return c, p.refer(r, &c, f.value.ref)
	}
	in, err := f.value.value(p.world, p.fsys, r, column.Name)
	if err != nil {
		return c, err
	}
	c.known = true
	c.Cell, _, err = column.Cell(nil, in)
	return c, err
}

// refer finds the row that a value is a reference to, and which of its columns it is.
func (p *Plan) refer(r *Row, c *cell, to reference) error {
	target := p.rows.Table(to.table)
	if target == nil {
		return fmt.Errorf("it refers to table %s, which is not there", to.table)
	}
	c.of = p.named[target][to.row]
	if c.of == nil {
		var names []string
		for name := range p.named[target] {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("it refers to %s.%s, and no row of that table has this name%s", to.table, to.row, nearest(to.row, names))
	}
	name := to.column
	if name == "" {
		for _, k := range p.rows.ForeignKeys(r.table.def.Table) {
			if i := slices.Index(k.Columns, c.column.Name); i >= 0 && k.Table == target {
				name = k.To[i]
			}
		}
	}
	if name == "" && len(target.Key) == 1 {
		name = target.Key[0]
	}
	if name == "" {
		return fmt.Errorf("it refers to %s.%s: say which column, as in %[1]s.%[2]s.id", to.table, to.row)
	}
	column := target.Column(name)
	if column == nil {
		return fmt.Errorf("it refers to column %s of table %s, which is not there", name, to.table)
	}
	c.from = column.Name
	if c.of == r {
		return p.own(r, c, column)
	}
	if !slices.Contains(c.of.needs, c.from) {
		c.of.needs = append(c.of.needs, c.from)
	}
	return nil
}

// own makes a reference of a row to itself the value that the row has there. Where the
// database is to make it, the row is completed behind itself.
func (p *Plan) own(r *Row, c *cell, column *portable.Column) error {
	if column == c.column {
		return errors.New("it refers to itself")
	}
	i := slices.IndexFunc(r.fields, func(f field) bool { return r.table.def.Column(f.name) == column })
	if i < 0 || r.fields[i].value.kind == formRef {
		if !slices.Contains(r.needs, c.from) {
			r.needs = append(r.needs, c.from)
		}
		return nil
	}
	in, err := r.fields[i].value.value(p.world, p.fsys, r, column.Name)
	if err == nil {
		c.Cell, _, err = c.column.Cell(nil, in)
	}
	c.of, c.known, c.once = nil, err == nil, r.fields[i].value.once()
	return err
}

// key is the values that a row is known by. ok is false while one is not known.
func (r *Row) key() (key []portable.Cell, ok bool) {
	for _, column := range r.table.def.key {
		i := slices.IndexFunc(r.cells, func(c cell) bool { return c.column == column })
		if i < 0 || !r.cells[i].known {
			return nil, false
		}
		key = append(key, r.cells[i].Cell)
	}
	return key, true
}

// keyed is a row of a file with the key that it is known by.
type keyed struct {
	table *Table
	line  int
	name  string // empty: the key
	key   []portable.Cell
}

// alike are pairs of rows that a collation may take for one.
type alike struct {
	rows  [][2]keyed
	pairs [][2][]portable.Cell
}

// keyedRows are the rows of a table whose keys are known, and the first ones of its CSV file.
func (t *Table) keyedRows() []keyed {
	list := make([]keyed, 0, len(t.Rows)+len(t.head))
	for _, r := range t.Rows {
		if key, ok := r.key(); ok {
			list = append(list, keyed{table: t, line: r.Line, name: r.label(), key: key})
		}
	}
	list = append(list, t.head...)
	t.head = nil
	return list
}

// duplicates finds rows of a set that have the same key. Of keys that only look alike the
// database says whether they are the same.
func (p *Plan) duplicates(ctx context.Context, set *Set, passes func(*File) bool) error {
	seen, folded := map[string]map[string]keyed{}, map[string]map[string]keyed{} // by the table and what its key is
	ask := map[string]*alike{}
	var order []string
	var room []byte
	for _, f := range set.Files {
		if passes(f) {
			continue
		}
		for _, t := range f.Tables {
			rows := t.keyedRows()
			if len(rows) == 0 {
				continue
			}
			of, collates := hashesOf(t), p.rows.Collates(t.def.key)
			if seen[of] == nil {
				seen[of], folded[of] = make(map[string]keyed, len(rows)), map[string]keyed{}
			}
			for _, r := range rows {
				room = portable.AppendKey(room[:0], t.def.key, r.key)
				if other, there := seen[of][string(room)]; there {
					p.thereAlready(r, other)
					continue
				}
				seen[of][string(room)] = r
				if !collates {
					continue
				}
				like := fold(r.key)
				if other, there := folded[of][like]; there {
					if ask[of] == nil {
						ask[of] = &alike{}
						order = append(order, of)
					}
					ask[of].rows = append(ask[of].rows, [2]keyed{r, other})
					ask[of].pairs = append(ask[of].pairs, [2][]portable.Cell{r.key, other.key})
				}
				folded[of][like] = r
			}
		}
	}
	for _, of := range order {
		list := ask[of]
		def := list.rows[0][0].table.def
		equal, err := p.rows.Equal(ctx, def.Table, def.key, list.pairs)
		if err != nil {
			return fmt.Errorf("table %s: comparing keys: %w", def.Name, err)
		}
		for i, rows := range list.rows {
			if equal[i] {
				p.thereAlready(rows[0], rows[1])
			}
		}
	}
	return nil
}

func (p *Plan) thereAlready(r, other keyed) {
	text, was := keyName(r.table.def.key, r.key), ""
	if first := keyName(other.table.def.key, other.key); first != text {
		was = " as " + first // which is the same to the database
	}
	p.problem(Problem{File: r.file(), Line: r.line, Table: r.table.Name, Row: cmp.Or(r.name, text)}, "%s is there already%s, in %s:%d", text, was, other.file(), other.line)
}

// file is the one that the row stands in.
func (r keyed) file() string { return cmp.Or(r.table.CSV, r.table.File) }

// fold makes one text of keys that a collation may take for one: without accents, upper
// case, other forms of a letter and blanks at the end.
func fold(key []portable.Cell) string {
	text := ""
	for _, c := range key {
		plain := strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Mn, r) {
				return -1
			}
			return unicode.ToLower(r)
		}, norm.NFKD.String(c.String()))
		text += "\x00" + strings.TrimRight(plain, " ")
	}
	return text
}

func columnList(columns []*portable.Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// longestKey is how much of a value a person is shown.
const longestKey = 100

// keyName is what a row is called by: username=admin.
func keyName(columns []*portable.Column, key []portable.Cell) string {
	parts := make([]string, len(key))
	for i, c := range key {
		text := c.String()
		if len(text) > longestKey {
			text = strings.ToValidUTF8(text[:longestKey], "") + "…"
		}
		parts[i] = columns[i].Name + "=" + text
	}
	return strings.Join(parts, ", ")
}

// arrange decides the order of a set.
func (p *Plan) arrange(set *Set, passes func(*File) bool) {
	var together []*Table
	flush := func() {
		if len(together) > 0 {
			p.parts[set] = append(p.parts[set], part{waves: p.waves(together)})
		}
		together = nil
	}
	for _, f := range set.Files {
		switch {
		case passes(f):
		case f.Script:
			flush()
			p.parts[set] = append(p.parts[set], part{file: f})
		case f.Once:
			flush() // what is recorded of it is about its rows alone
			p.parts[set] = append(p.parts[set], part{file: f, waves: p.waves(filled(f.Tables))})
		default:
			together = append(together, filled(f.Tables)...)
		}
	}
	flush()
}

// filled are the tables that have rows: of the others not even a key is known.
func filled(list []*Table) (some []*Table) {
	for _, t := range list {
		if len(t.Rows) > 0 || t.CSV != "" {
			some = append(some, t)
		}
	}
	return some
}

// waves puts rows behind those that they need.
func (p *Plan) waves(list []*Table) (waves []wave) {
	o := &ordering{written: map[*Row]bool{}, mine: map[*Row]bool{}}
	left := map[*Table][]*Row{}
	for _, t := range list {
		left[t] = t.Rows
		for _, r := range t.Rows {
			o.mine[r] = true
		}
	}
	for round := p.inOrder(list); len(round) > 0; {
		before := len(o.written)
		var stuck []*Table
		for _, t := range round {
			if t.CSV != "" {
				o.waves = append(o.waves, wave{table: t})
			}
			if left[t] = o.table(t, left[t]); len(left[t]) > 0 {
				stuck = append(stuck, t)
			}
		}
		if len(stuck) > 0 && len(o.written) == before {
			r := left[stuck[0]][0]
			c := r.cells[slices.IndexFunc(r.cells, o.waits)]
			p.problem(Problem{File: r.table.File, Line: r.Line, Table: r.table.Name, Row: r.label(), Column: c.column.Name},
				"its references go in a circle, and it cannot be NULL until the other rows are there")
			return nil
		}
		round = stuck
	}
	return o.waves
}

// ordering is the order of rows in the making.
type ordering struct {
	mine, written map[*Row]bool
	waves         []wave
}

// waits reports whether a value comes from a row that has not had its turn.
func (o *ordering) waits(c cell) bool { return c.of != nil && o.mine[c.of] && !o.written[c.of] }

// table gives the rows of a table their turn, and returns those that cannot have it
// before rows of other tables.
func (o *ordering) table(t *Table, left []*Row) []*Row {
	for len(left) > 0 {
		w := wave{table: t}
		rest := left[:0:0]
		for _, r := range left {
			if slices.ContainsFunc(r.cells, o.waits) {
				rest = append(rest, r)
			} else {
				w.rows = append(w.rows, r)
			}
		}
		if len(w.rows) == 0 { // a circle, or rows of another table: one begins
			at := o.breakable(rest)
			if at < 0 {
				return rest
			}
			r := rest[at]
			w.late = map[*Row][]int{}
			for i, c := range r.cells {
				if o.waits(c) {
					w.late[r] = append(w.late[r], i)
				}
			}
			w.rows, rest = []*Row{r}, slices.Delete(rest, at, at+1)
		}
		for _, r := range w.rows {
			o.written[r] = true
		}
		o.waves, left = append(o.waves, w), rest
	}
	return nil
}

// breakable finds a row whose references can all be NULL at first, or returns -1.
func (o *ordering) breakable(rows []*Row) int {
	return slices.IndexFunc(rows, func(r *Row) bool {
		return !slices.ContainsFunc(r.cells, func(c cell) bool {
			return o.waits(c) && (c.column.NotNull || slices.Contains(r.table.def.key, c.column))
		})
	})
}

// inOrder sorts tables by the foreign keys of the database and the references of the
// rows, and as the files have them otherwise.
func (p *Plan) inOrder(list []*Table) []*Table {
	// True for a reference that must not be NULL.
	needs := map[*portable.Table]map[*portable.Table]bool{}
	for _, t := range list {
		needs[t.def.Table] = map[*portable.Table]bool{}
	}
	need := func(from, to *portable.Table, strict bool) {
		if from != to && needs[to] != nil {
			needs[from][to] = needs[from][to] || strict
		}
	}
	for _, t := range list {
		for _, k := range p.rows.ForeignKeys(t.def.Table) {
			need(t.def.Table, k.Table, !slices.ContainsFunc(k.Columns, func(name string) bool { return !t.def.Column(name).NotNull }))
		}
		for _, r := range t.Rows {
			for _, c := range r.cells {
				if c.of != nil {
					need(t.def.Table, c.of.table.def.Table, c.column.NotNull)
				}
			}
		}
	}
	strict := func(t *portable.Table) (n int) {
		for _, s := range needs[t] {
			if s {
				n++
			}
		}
		return n
	}
	var order []*Table
	for len(needs) > 0 {
		var next *portable.Table
		for _, t := range p.rows.Tables() {
			if _, left := needs[t]; !left {
				continue
			}
			if len(needs[t]) == 0 {
				next = t
				break
			}
			if next == nil || strict(next) > 0 && strict(t) == 0 { // a circle: it begins where it may
				next = t
			}
		}
		for _, t := range list {
			if t.def.Table == next {
				order = append(order, t)
			}
		}
		delete(needs, next)
		for _, others := range needs {
			delete(others, next)
		}
	}
	return order
}
