package portable

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Rows finds, inserts and changes single rows, in a transaction that is the
// caller's: for seeds. Triggers and foreign keys see what it does.
type Rows struct {
	e       engine
	s       session
	tables  []*Table // in the order of their foreign keys
	unique  map[*Table][][]string
	foreign map[*Table][]ForeignKey
}

// ForeignKey is a reference of a table.
type ForeignKey struct {
	Columns []string
	Table   *Table
	To      []string // the columns that it leads to
}

// Cell is a value that its column can hold.
type Cell struct{ v value }

// cellOf is a value that was read. Cells have bytes in digits, as files and archives do.
func cellOf(v value) Cell {
	if v.raw {
		v.data, v.raw = v.text(nil), false
	}
	return Cell{v}
}

// IsNull reports whether it is NULL.
func (c Cell) IsNull() bool { return c.v.null }

// Size is what it takes, about.
func (c Cell) Size() int { return len(c.v.data) + 16 }

// Clone is the value, valid for ever.
func (c Cell) Clone() Cell {
	c.v.data = slices.Clone(c.v.data)
	return c
}

// Input is the value as what it is, for a column of another kind.
func (c Cell) Input(column *Column) Input {
	return Input{Kind: c.v.kind(column.Kind), Text: c.v.data, Null: c.v.null}
}

// String is how a person knows the value: for messages and keys.
func (c Cell) String() string {
	if c.v.null {
		return "NULL"
	}
	return string(c.v.data)
}

// Input is a value as it comes: of any kind, for a column of any kind.
type Input struct {
	Kind Kind
	Text []byte // in the form of its kind
	// Raw is a number or a truth value as it was written, for a column of text: 007
	// stays what it is. Of bytes it is what they are as text. nil: Text.
	Raw  []byte
	Null bool
}

// OpenRows reads the catalogue. Before rows are read or written the session has to be
// as [Settings] sets it up.
func OpenRows(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (*Rows, error) {
	r := &Rows{e: newEngine(d, c, &o), s: session{d: d, c: c, options: &o}, unique: map[*Table][][]string{}, foreign: map[*Table][]ForeignKey{}}
	var err error
	if r.tables, err = tablesOf(ctx, r.e, &o); err != nil {
		return nil, err
	}
	if err := r.readKeys(ctx); err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	return r, nil
}

// Snapshot runs look on what is there at one instant. Nothing can be written.
func Snapshot(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options, look func(*Rows) error) (err error) {
	e := newEngine(d, c, &o)
	_, err = e.beginRead(ctx)
	defer func() { err = ended(ctx, e.endRead, err) }()
	if err != nil {
		return fmt.Errorf("opening the snapshot: %w", err)
	}
	r, err := OpenRows(ctx, d, c, o)
	if err != nil {
		return err
	}
	return look(r)
}

// Settings are the statements that set the session up, behind those that open the
// transaction. Unlike the settings of a load they leave alone what triggers may
// depend on.
func Settings(d dialect.Dialect) []string {
	switch d.Name() {
	case dialect.NamePostgres:
		var list []string
		for _, s := range pgSettings {
			if !strings.Contains(s, "search_path") && !strings.Contains(s, "_timeout") && !strings.Contains(s, "row_security") {
				list = append(list, s)
			}
		}
		return append(list, "SET CONSTRAINTS ALL DEFERRED")
	case dialect.NameMySQL:
		return []string{mysqlStrict, "SET SESSION time_zone = '+00:00'", "SET NAMES utf8mb4"}
	}
	return []string{"PRAGMA defer_foreign_keys = ON"} // until the commit
}

// Tables are in an order in which they can be filled, as far as there is one.
func (r *Rows) Tables() []*Table { return r.tables }

// Table finds a table by its name, or is nil.
func (r *Rows) Table(name string) *Table { return find(r.tables, name) }

// Unique lists the keys of a table that allow no row twice, the primary key first.
func (r *Rows) Unique(t *Table) [][]string { return r.unique[t] }

// ForeignKeys lists the references of a table.
func (r *Rows) ForeignKeys(t *Table) []ForeignKey { return r.foreign[t] }

// Column finds a column by its name, or is nil.
func (t *Table) Column(name string) *Column { return t.column(name) }

// Wanted reports whether a row has to say what is in the column.
func (c *Column) Wanted() bool { return c.NotNull && !c.hasDefault && !c.Auto && !c.Generated }

// Cell makes a value one of the column, behind room, which it returns grown. Its
// error says why the column cannot hold it.
func (c *Column) Cell(room []byte, in Input) (Cell, []byte, error) {
	v := value{null: in.Null}
	if in.Null {
		return Cell{v}, room, c.holds(v)
	}
	data, from := in.Text, in.Kind
	if in.Raw != nil && (c.Kind.isText() || c.Kind == KindOther || from == KindBytes && c.Kind != KindBytes && c.Kind != KindAny) {
		data, from = in.Raw, KindText
	}
	start := len(room)
	switch {
	case c.Kind == KindAny:
		switch from {
		case KindBool:
			v.tag, data = tagInt, []byte{"01"[b2i(data[0] == 't')]}
		case KindInt:
			v.tag = tagInt
		case KindFloat32, KindFloat64, KindDecimal:
			v.tag = tagFloat
		case KindBytes:
			v.tag = tagBytes
		default:
			v.tag = tagText
		}
		room = append(room, data...)
	case from == KindText && (c.Kind == KindInt && plainInt(data) || plainTime(c.Kind, data)): // most of what files have
		room = append(room, data...)
	case c.Kind == KindDate && (from == KindTimestamp || from == KindTimestampTZ):
		room = append(room, data[:min(len(data), len("2006-01-02"))]...)
	default:
		var err error
		if room, err = convert(room, from, c.Kind, data); err != nil {
			return Cell{}, room[:start], err
		}
	}
	v.data = room[start:len(room):len(room)]
	return Cell{v}, room, c.holds(v)
}

// holds is check without a target: that is what a copy has.
func (c *Column) holds(v value) error {
	err := c.check(v)
	if err == nil {
		return nil
	}
	return refusal(withoutTarget.Replace(strings.ReplaceAll(err.Error(), "the target's "+c.Type, c.Type)))
}

// withoutTarget makes words of a copy those of rows that come from no other database.
var withoutTarget = strings.NewReplacer("the target's column", "the column", "the target's", "the", "the target", "the database")

// plainInt reports whether text is a whole number in its one form.
func plainInt(text []byte) bool {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(text) > 1 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Same reports whether two values of the column mean the same.
func (c *Column) Same(a, b Cell) bool {
	if a.v.null || b.v.null {
		return a.v.null && b.v.null
	}
	kind := c.Kind
	if c.json {
		kind = KindJSON
	}
	if string(a.v.data) == string(b.v.data) && a.v.kind(kind) == b.v.kind(kind) {
		return true
	}
	if words := c.words(); words != nil {
		return string(c.choice(words, a.v.data)) == string(c.choice(words, b.v.data))
	}
	return string(canonical(nil, a.v.kind(kind), a.v.data)) == string(canonical(nil, b.v.kind(kind), b.v.data))
}

// words are those that a MySQL column of type ENUM or SET chooses from; nil for one of
// another type.
func (c *Column) words() (list []string) {
	head, rest, ok := strings.Cut(c.Type, "(")
	if !ok || c.Kind != KindText || head != "enum" && head != "set" {
		return nil
	}
	for strings.HasPrefix(rest, "'") {
		var word strings.Builder
		for {
			part, behind, _ := strings.Cut(rest[1:], "'")
			word.WriteString(part)
			if rest = behind; !strings.HasPrefix(rest, "'") { // else it is one that is doubled
				break
			}
			word.WriteByte('\'')
		}
		list = append(list, word.String())
		rest = strings.TrimPrefix(rest, ",")
	}
	return list
}

// choice writes what a column of words is given as the server keeps it: it does not look at
// upper and lower case where the collation does not, and a SET has an order.
func (c *Column) choice(words []string, data []byte) []byte {
	own := func(text string) int {
		if i := slices.Index(words, text); i >= 0 {
			return i
		}
		return slices.IndexFunc(words, func(word string) bool { return strings.EqualFold(word, text) })
	}
	var chosen []int
	parts := []string{string(data)}
	if strings.HasPrefix(c.Type, "set(") {
		parts = strings.Split(parts[0], ",")
	}
	for _, part := range parts {
		i := own(part)
		if i < 0 {
			return data
		}
		chosen = append(chosen, i)
	}
	slices.Sort(chosen)
	return fmt.Append(nil, slices.Compact(chosen))
}

// AppendKey writes values so that those of two rows are equal when they mean the
// same.
func AppendKey(dst []byte, columns []*Column, row []Cell) []byte {
	for i, c := range columns {
		if row[i].v.null {
			dst = append(dst, 1, 0)
			continue
		}
		dst = canonical(append(dst, 2), row[i].v.kind(c.Kind), row[i].v.data)
		dst = append(dst, 0)
	}
	return dst
}

// literal writes a value as the engine reads it.
func (r *Rows) literal(dst []byte, c *Column, v value) ([]byte, error) {
	if v.null {
		return append(dst, "NULL"...), nil
	}
	switch r.s.d.Name() {
	case dialect.NameMySQL:
		return c.appendLiteral(dst, v), nil
	case dialect.NamePostgres:
		return append(dst, r.s.d.Literal(string(v.data))...), nil
	}
	arg, err := c.argument(v)
	if err != nil {
		return dst, err
	}
	switch arg := arg.(type) {
	case int64:
		return strconv.AppendInt(dst, arg, 10), nil
	case float64:
		return append(dst, strings.NewReplacer("+Inf", "9e999", "-Inf", "-9e999").Replace(string(appendReal(nil, arg)))...), nil
	case []byte:
		return append(hex.AppendEncode(append(dst, "X'"...), arg), '\''), nil
	}
	text := fmt.Sprint(arg)
	if strings.IndexByte(text, 0) >= 0 { // which would end the statement
		return append(hex.AppendEncode(append(dst, "CAST(X'"...), []byte(text)), "' AS TEXT)"...), nil
	}
	return append(dst, r.s.d.Literal(text)...), nil
}

// among is the condition that a row's key is one of these.
func (r *Rows) among(key []*Column, rows [][]Cell) (string, error) {
	names := make([]string, len(key))
	for i, c := range key {
		names[i] = r.s.d.Identifier(c.Name)
	}
	list := make([]byte, 0, 32*len(rows))
	if len(key) == 1 {
		list = append(append(list, names[0]...), " IN ("...)
	} else {
		list = append(append(append(list, '('), strings.Join(names, ", ")...), ") IN ("...)
		if r.s.d.Name() == dialect.NameSQLite {
			list = append(list, "VALUES "...)
		}
	}
	var err error
	for n, row := range rows {
		if n > 0 {
			list = append(list, ", "...)
		}
		if len(key) > 1 {
			list = append(list, '(')
		}
		for i, c := range key {
			if i > 0 {
				list = append(list, ", "...)
			}
			if list, err = r.literal(list, c, row[i].v); err != nil {
				return "", err
			}
		}
		if len(key) > 1 {
			list = append(list, ')')
		}
	}
	return string(append(list, ')')), nil
}

// Find looks for rows by their keys, and calls found with the index of the key and
// what the row has in columns; the values are valid until found returns. Which values
// are equal is the database's word, with its collations: where that is not what the
// bytes say, it is asked again, a key at a time. No key has NULL in it.
func (r *Rows) Find(ctx context.Context, t *Table, key, columns []*Column, keys [][]Cell, found func(n int, row []Cell) error) error {
	if len(keys) == 0 {
		return nil
	}
	index := make(map[string]int, len(keys))
	var room []byte
	for n, k := range keys {
		room = AppendKey(room[:0], key, k)
		index[string(room)] = n
	}
	part := *t
	part.Columns = nil
	for _, c := range slices.Concat(key, columns) {
		part.Columns = append(part.Columns, *c)
	}
	row := make([]Cell, len(part.Columns))
	read := func(keys [][]Cell, each func() error) error {
		where, err := r.among(key, keys)
		if err != nil {
			return err
		}
		part.where = " WHERE " + where
		return r.e.read(ctx, &part, func(_ []byte, got []value) error {
			for i, v := range got {
				row[i] = cellOf(v)
			}
			return each()
		})
	}
	seen := make([]bool, len(keys))
	odd := false
	err := read(keys, func() error {
		room = AppendKey(room[:0], key, row)
		n, ok := index[string(room)]
		if !ok {
			odd = true
			return nil
		}
		seen[n] = true
		return found(n, row[len(key):])
	})
	if err != nil || !odd {
		return err
	}
	for n := range keys {
		if !seen[n] {
			if err := read(keys[n:n+1], func() error { return found(n, row[len(key):]) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairsAtOnce is how many pairs of keys are asked for at once.
const pairsAtOnce = 100

// Collates reports whether keys of other bytes may be one key to the database: whether
// [Rows.Equal] is worth asking.
func (r *Rows) Collates(key []*Column) bool {
	return r.s.d.Name() == dialect.NameMySQL && slices.ContainsFunc(key, func(c *Column) bool { return c.Kind.isText() || c.Kind == KindOther })
}

// Equal reports which pairs of keys are one key to the database, by its collations, where
// that may be another one than their bytes say.
func (r *Rows) Equal(ctx context.Context, t *Table, key []*Column, pairs [][2][]Cell) (equal []bool, err error) {
	equal = make([]bool, len(pairs))
	if !r.Collates(key) {
		return equal, nil
	}
	for from := 0; from < len(pairs); from += pairsAtOnce {
		// A column of the table, without a row, gives the values its collation.
		query, names := []byte("SELECT -1 AS n"), ""
		for i, c := range key {
			query = fmt.Appendf(query, ", %s AS k%d", r.s.d.Identifier(c.Name), i)
			names += fmt.Sprintf(", k%d", i)
		}
		query = append(query, " FROM "+t.of+" WHERE FALSE"...)
		for n := from; n < min(from+pairsAtOnce, len(pairs)); n++ {
			for _, row := range pairs[n] {
				query = fmt.Appendf(query, " UNION ALL SELECT %d", n)
				for i, c := range key {
					if query, err = r.literal(append(query, ", "...), c, row[i].v); err != nil {
						return nil, err
					}
				}
			}
		}
		var n int64
		err := each(ctx, r.s.c, "SELECT n FROM ("+string(query)+") AS x GROUP BY n"+names+" HAVING COUNT(*) > 1", nil, []any{&n}, func() error {
			equal[n] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return equal, nil
}

// HasRows reports whether a table has any.
func (r *Rows) HasRows(ctx context.Context, t *Table) (bool, error) {
	var n int
	err := dialect.QueryRow(ctx, r.s.c, "SELECT COUNT(*) FROM (SELECT 1 AS one FROM "+t.of+" LIMIT 1) AS found", r.s.d.QueryArgs(), &n)
	return n > 0, err
}

// RowError is a row that the database did not take.
type RowError struct {
	Row    int    // its index
	Column string // empty where the database does not say
	Err    error
}

// Error is the database's word.
func (e *RowError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// rowsMark is the savepoint to which rows are taken back.
const rowsMark = "tldwdb_rows"

// pinned runs all rows at once, and when that fails one after the other, so that the
// error names the row. What was written of them is taken back then.
func (r *Rows) pinned(ctx context.Context, n int, write func(from, to int) error) error {
	if err := r.s.exec(ctx, "SAVEPOINT "+rowsMark); err != nil {
		return err
	}
	err := write(0, n)
	if err == nil {
		return r.s.exec(ctx, "RELEASE SAVEPOINT "+rowsMark)
	}
	if ctx.Err() != nil || r.s.d.IsLockTimeout(err) {
		return err
	}
	if r.s.exec(ctx, "ROLLBACK TO SAVEPOINT "+rowsMark) != nil {
		return err // the connection may be gone
	}
	for i := range n {
		if err := write(i, i+1); err != nil {
			refused := &RowError{Row: i, Err: err}
			if bad, ok := errors.AsType[*badRow](err); ok {
				refused.Column, bad.reason = bad.column, withoutTarget.Replace(bad.reason)
			}
			return refused
		}
	}
	return err // one by one they can be written: somebody else was in between
}

// Insert writes rows. Columns that are left out get their defaults.
func (r *Rows) Insert(ctx context.Context, t *Table, columns []*Column, rows [][]Cell) error {
	if len(columns) == 0 {
		return fmt.Errorf("table %s: a row needs a column", t.Name)
	}
	return r.pinned(ctx, len(rows), func(from, to int) error {
		return r.pour(ctx, t, columns, false, func(write func([]Cell) error) error {
			for _, row := range rows[from:to] {
				if err := write(row); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// pour writes rows as they come. binary is how PostgreSQL reads them fastest, where all of
// them have such a form: else the error is errNoBinary.
func (r *Rows) pour(ctx context.Context, t *Table, columns []*Column, binary bool, feed func(write func([]Cell) error) error) error {
	m := &mapping{from: t, to: t, binary: binary}
	for i, c := range columns {
		m.insert = append(m.insert, i)
		m.columns = append(m.columns, pair{source: i, from: c, to: c})
	}
	k, err := r.e.sink(ctx, m)
	if err != nil {
		return err
	}
	out := make([]value, len(columns))
	err = feed(func(row []Cell) error {
		for i, c := range row {
			out[i] = c.v
		}
		return k.write(nil, out)
	})
	if err != nil {
		k.abort()
		return err
	}
	return k.close()
}

// Stream writes any number of rows, without keeping them. It fails as a whole: then
// nothing of them is there, and which row it was is not known. feed may be called twice,
// the second time from the first row on; of sequences that defaults and triggers ask, the
// first time uses up numbers.
func (r *Rows) Stream(ctx context.Context, t *Table, columns []*Column, feed func(write func([]Cell) error) error) error {
	binary := r.s.d.Name() == dialect.NamePostgres
	err := r.marked(ctx, func() error { return r.pour(ctx, t, columns, binary, feed) })
	if errors.Is(err, errNoBinary) {
		err = r.marked(ctx, func() error { return r.pour(ctx, t, columns, false, feed) })
	}
	return err
}

// marked takes back what work has done when it fails.
func (r *Rows) marked(ctx context.Context, work func() error) error {
	if err := r.s.exec(ctx, "SAVEPOINT "+rowsMark); err != nil {
		return err
	}
	err := work()
	if err == nil {
		return r.s.exec(ctx, "RELEASE SAVEPOINT "+rowsMark)
	}
	if ctx.Err() == nil && !r.s.d.IsLockTimeout(err) {
		err = errors.Join(err, r.s.exec(ctx, "ROLLBACK TO SAVEPOINT "+rowsMark))
	}
	return err
}

// updatesAtOnce is how many rows one UPDATE changes. Each is a branch of its CASE.
const updatesAtOnce = 50

// Update changes rows, which keys name, to what is in columns.
func (r *Rows) Update(ctx context.Context, t *Table, key, columns []*Column, keys, rows [][]Cell) error {
	for len(rows) > updatesAtOnce {
		if err := r.Update(ctx, t, key, columns, keys[:updatesAtOnce], rows[:updatesAtOnce]); err != nil {
			return err
		}
		keys, rows = keys[updatesAtOnce:], rows[updatesAtOnce:]
	}
	return r.pinned(ctx, len(rows), func(from, to int) error {
		where, err := r.among(key, keys[from:to])
		if err != nil {
			return err
		}
		conditions := make([]string, to-from)
		for i := range conditions {
			if conditions[i], err = r.among(key, keys[from+i:from+i+1]); err != nil {
				return err
			}
		}
		text := []byte("UPDATE " + t.of + " SET ")
		for i, c := range columns {
			if i > 0 {
				text = append(text, ", "...)
			}
			name := r.s.d.Identifier(c.Name)
			text = append(append(text, name...), " = "...)
			if to-from == 1 { // without a CASE, which has a type of its own
				if text, err = r.literal(text, c, rows[from][i].v); err != nil {
					return err
				}
				continue
			}
			text = append(text, "CASE"...)
			for n, row := range rows[from:to] {
				text = append(append(append(text, " WHEN "...), conditions[n]...), " THEN "...)
				if text, err = r.literal(text, c, row[i].v); err != nil {
					return err
				}
			}
			text = append(append(append(text, " ELSE "...), name...), " END"...)
		}
		_, err = r.s.c.ExecContext(ctx, string(text)+" WHERE "+where) // whose text has values that belong into no error
		return err
	})
}

// MoveOn makes the next row of a table get a number behind last, where the engine
// does not see to that by itself.
func (r *Rows) MoveOn(ctx context.Context, t *Table, last int64) error {
	if r.s.d.Name() != dialect.NamePostgres || t.sequence == "" {
		return nil
	}
	if err := r.e.numbers(ctx, []*Table{t}); err != nil || last < t.next {
		return err
	}
	return r.e.setNumbers(ctx, map[*Table]int64{t: last + 1})
}

// Circular reports whether the references of a table lead back to it.
func (r *Rows) Circular(t *Table) bool {
	seen := map[*Table]bool{}
	var leads func(from *Table) bool
	leads = func(from *Table) bool {
		for _, f := range r.foreign[from] {
			if f.Table == t {
				return true
			}
			if f.Table != nil && !seen[f.Table] {
				seen[f.Table] = true
				if leads(f.Table) {
					return true
				}
			}
		}
		return false
	}
	return leads(t)
}

// Unwatched runs work on tables whose references go in a circle. MySQL looks at
// references row by row, and has no other way than not to look at all: what it
// missed is looked for behind the work.
func (r *Rows) Unwatched(ctx context.Context, tables []*Table, work func() error) error {
	var circles []*Table
	for _, t := range tables {
		if r.s.d.Name() == dialect.NameMySQL && r.Circular(t) {
			circles = append(circles, t)
		}
	}
	if len(circles) == 0 {
		return work()
	}
	if err := r.s.exec(ctx, "SET SESSION foreign_key_checks = 0"); err != nil {
		return err
	}
	err := work()
	behind, cancel := detached(ctx)
	defer cancel()
	if backErr := r.s.exec(behind, "SET SESSION foreign_key_checks = 1"); err == nil {
		err = backErr
	}
	for _, t := range circles {
		if err != nil {
			return err
		}
		err = r.orphans(ctx, t)
	}
	return err
}

func (r *Rows) orphans(ctx context.Context, t *Table) error {
	for _, f := range r.foreign[t] {
		if f.Table == nil {
			continue
		}
		var join, orphan []string
		for i, c := range f.Columns {
			join = append(join, "p."+r.s.d.Identifier(f.To[i])+" = c."+r.s.d.Identifier(c))
			orphan = append(orphan, "c."+r.s.d.Identifier(c)+" IS NOT NULL")
		}
		var n int64
		query := "SELECT COUNT(*) FROM " + t.of + " c WHERE " + strings.Join(orphan, " AND ") + " AND NOT EXISTS (SELECT 1 FROM " + f.Table.of + " p WHERE " + strings.Join(join, " AND ") + ")"
		if err := dialect.QueryRow(ctx, r.s.c, query, nil, &n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("table %s: %d rows have no partner in table %s (%s)", t.Name, n, f.Table.Name, strings.Join(f.Columns, ", "))
		}
	}
	return nil
}

// Orphans tells which references a commit was refused for, on the engine that does
// not say it, or returns nil.
func (r *Rows) Orphans(ctx context.Context) error {
	s, ok := r.e.(*sqlite)
	if !ok {
		return nil
	}
	orphans, err := s.settle(ctx, r.tables)
	if err != nil || len(orphans) == 0 {
		return err
	}
	return errors.New(strings.Join(orphans, "; "))
}

const pgUniqueKeys = `SELECT n.nspname::text, c.relname::text, i.indexrelid::bigint::text, a.attname::text
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY k (number, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
	WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.at <= i.indnkeyatts AND c.relkind IN ('r', 'p') AND ` + pgUser + ` ORDER BY 1, 2, i.indisprimary DESC, 3, k.at`

const pgForeignKeys = `SELECT n.nspname::text, c.relname::text, k.oid::bigint::text, a.attname::text, fn.nspname::text, f.relname::text, fa.attname::text
	FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
	CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) WITH ORDINALITY u (mine, theirs, at)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.mine JOIN pg_catalog.pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = u.theirs
	WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2, 3, u.at`

const mysqlUniqueKeys = `SELECT '' AS none, table_name, index_name, coalesce(column_name, '') FROM information_schema.statistics
	WHERE table_schema = DATABASE() AND non_unique = 0 ORDER BY table_name, index_name <> 'PRIMARY', index_name, seq_in_index`

const mysqlForeignKeys = `SELECT '' AS none, table_name, constraint_name, column_name, '' AS nothing, referenced_table_name, referenced_column_name FROM information_schema.key_column_usage
	WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE() ORDER BY table_name, constraint_name, ordinal_position`

const sqliteUniqueKeys = `SELECT '', t.name, i.name, coalesce(c.name, '') FROM pragma_table_list t JOIN pragma_index_list(t.name, t.schema) i JOIN pragma_index_info(i.name, t.schema) c
	WHERE t.schema = 'main' AND i."unique" AND NOT i.partial ORDER BY t.name, i.origin <> 'pk', i.seq, c.seqno`

const sqliteForeignKeys = `SELECT '', t.name, CAST(f.id AS TEXT), f."from", '', f."table", coalesce(f."to", '') FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name, t.schema) f
	WHERE t.schema = 'main' ORDER BY t.name, f.id, f.seq`

// readKeys fills in what is unique, and where references lead.
func (r *Rows) readKeys(ctx context.Context) error {
	unique, foreign := sqliteUniqueKeys, sqliteForeignKeys
	full := func(_, name string) string { return name }
	switch e := r.e.(type) {
	case *postgres:
		unique, foreign, full = pgUniqueKeys, pgForeignKeys, e.full
	case *mysql:
		unique, foreign = mysqlUniqueKeys, mysqlForeignKeys
		if err := r.findJSON(ctx, e); err != nil {
			return err
		}
	}
	var schema, table, index, column, toSchema, to, target, last string
	usable := map[*Table][]bool{}
	for _, t := range r.tables {
		if len(t.Key) > 0 {
			r.unique[t], usable[t] = [][]string{t.Key}, []bool{true}
		}
	}
	err := each(ctx, r.s.c, unique, nil, []any{&schema, &table, &index, &column}, func() error {
		t := find(r.tables, full(schema, table))
		if t == nil {
			return nil
		}
		if id := schema + "\x00" + table + "\x00" + index; id != last {
			last = id
			r.unique[t], usable[t] = append(r.unique[t], nil), append(usable[t], true)
		}
		n := len(r.unique[t]) - 1
		r.unique[t][n] = append(r.unique[t][n], column)
		usable[t][n] = usable[t][n] && column != "" // else it is of an expression
		return nil
	})
	if err != nil {
		return err
	}
	for t, keys := range r.unique {
		var list [][]string
		for i, k := range keys {
			if usable[t][i] && !slices.ContainsFunc(list, func(have []string) bool { return slices.Equal(have, k) }) {
				list = append(list, k)
			}
		}
		r.unique[t] = list
	}
	last = ""
	err = each(ctx, r.s.c, foreign, nil, []any{&schema, &table, &index, &column, &toSchema, &to, &target}, func() error {
		t := find(r.tables, full(schema, table))
		if t == nil {
			return nil
		}
		if id := schema + "\x00" + table + "\x00" + index; id != last {
			last = id
			r.foreign[t] = append(r.foreign[t], ForeignKey{Table: find(r.tables, full(toSchema, to))})
		}
		f := &r.foreign[t][len(r.foreign[t])-1]
		if target == "" && f.Table != nil && len(f.Columns) < len(f.Table.Key) { // SQLite: the primary key
			target = f.Table.Key[len(f.Columns)]
		}
		f.Columns, f.To = append(f.Columns, column), append(f.To, target)
		return nil
	})
	return err
}

const mariaJSON = "SELECT table_name, check_clause FROM information_schema.check_constraints WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json\\_valid(%'"

// findJSON marks the columns that MariaDB made of JSON: text to it, whose blanks it keeps
// as they were written.
func (r *Rows) findJSON(ctx context.Context, m *mysql) error {
	text := func(c Column) bool { return c.Type == "longtext" }
	if !m.mariaDB || !slices.ContainsFunc(r.tables, func(t *Table) bool { return slices.ContainsFunc(t.Columns, text) }) {
		return nil
	}
	var table, clause string
	return each(ctx, r.s.c, mariaJSON, nil, []any{&table, &clause}, func() error {
		if t := find(r.tables, table); t != nil {
			for i := range t.Columns {
				if c := &t.Columns[i]; clause == "json_valid("+m.d.Identifier(c.Name)+")" {
					c.json = true
				}
			}
		}
		return nil
	})
}

// ReadAll calls row with every row of a table, in the order of its primary key.
func (r *Rows) ReadAll(ctx context.Context, t *Table, row func([]Cell) error) error {
	part := *t
	if len(t.Key) > 0 {
		names := make([]string, len(t.Key))
		for i, name := range t.Key {
			names[i] = r.s.d.Identifier(name)
		}
		part.where = " ORDER BY " + strings.Join(names, ", ")
	}
	cells := make([]Cell, len(t.Columns))
	return r.e.read(ctx, &part, func(_ []byte, got []value) error {
		for i, v := range got {
			cells[i] = cellOf(v)
		}
		return row(cells)
	})
}

// IsRefusal reports whether an error says why a column cannot hold a value.
func IsRefusal(err error) bool { return errors.As(err, new(refusal)) }
