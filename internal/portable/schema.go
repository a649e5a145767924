package portable

import (
	"fmt"
	"slices"
	"strings"
)

// Column is a column of a table.
type Column struct {
	Name      string `json:"name"`
	Kind      Kind   `json:"kind"`
	Type      string `json:"type"` // as its engine says it
	NotNull   bool   `json:"not_null,omitempty"`
	Generated bool   `json:"generated,omitempty"` // computed by the database
	Auto      bool   `json:"auto,omitempty"`      // the engine gives it a number
	Rowid     bool   `json:"rowid,omitempty"`     // SQLite's own number of a row, where that is no column of the table; Generated too

	hasDefault bool
	long       string // PostgreSQL: the condition that a value is too long to come with its row
	sequence   string // PostgreSQL: quoted name of what gives an Auto column its numbers
	array      bool   // MySQL: bytes of a type that is none of bytes
	json       bool   // MariaDB: text that a constraint keeps JSON. Known of [Rows] only
	limits     limits
}

// limits say what a column can hold. Zero means that its kind says all.
type limits struct {
	bits             int  // of a whole number
	unsigned         bool // without a sign
	chars, bytes     int  // of text
	precision, scale int  // of a decimal
	hasScale         bool
	timeDigits       int // of a fraction of a second, plus 1
	years            [2]int
	lastRune         rune // of the column's character set
	noSpecial        bool // neither NaN nor infinity
	noNaN            bool // SQLite makes NULL of it
	noNUL            bool
	textOnly         bool // PostgreSQL reads the type's text in another way than its binary form
	noZeroDate       bool
	jsonb            bool // numbers have any size, but \u0000 has no place
	jsonDouble       bool // numbers of more than 64 bits become doubles
	dayHours         bool // a time of day is below 24 hours
	double           bool // a decimal is kept as a double when it is no whole number
}

// Table is a table of a database.
type Table struct {
	Name    string   `json:"table"` // with its schema where that is not the default one
	Columns []Column `json:"columns"`
	Key     []string `json:"key,omitempty"` // columns of the primary key

	schema, name string
	of           string   // what to read: the table's quoted name
	partitioned  bool     // PostgreSQL: rows are in its partitions
	shadow       bool     // SQLite: part of a virtual table
	unsafe       bool     // MySQL: its storage engine has no transactions
	versioned    bool     // MariaDB: it has rows of the past too
	bytes        int64    // what its rows take, about
	longest      int      // MySQL: what a row takes in a statement, where that is more than packet
	packet       int      // MySQL: what its server takes
	next         int64    // of the Auto column; 0 where that is not known
	sequence     string   // PostgreSQL: quoted name of the sequence that next is of, the last Auto column's
	refs         []string // names of the tables that its foreign keys lead to
	where        string   // which rows are read; empty: all
}

// notes are what a person should know who has its rows from here.
func (t *Table) notes() (list []string) {
	if t.unsafe {
		list = append(list, fmt.Sprintf("table %s has no transactions: rows that are written meanwhile may be in it or not", t.Name))
	}
	if t.versioned {
		list = append(list, fmt.Sprintf("table %s keeps its past rows: only those of the present are read", t.Name))
	}
	return list
}

// noteOfRows is the same of what was seen when they were read.
func (t *Table) noteOfRows() (list []string) {
	if t.longest > 0 {
		list = append(list, fmt.Sprintf("table %s: a row takes %d bytes in a statement, and max_allowed_packet is %d here: raise it to that before a restore", t.Name, t.longest, t.packet))
	}
	return list
}

func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	for i := range t.Columns {
		if strings.EqualFold(t.Columns[i].Name, name) {
			return &t.Columns[i]
		}
	}
	return nil
}

// find finds the table of that name. Upper and lower case are one where that leads
// to a single table: not every engine keeps them.
func find(tables []*Table, name string) *Table {
	var near *Table
	for _, t := range tables {
		if t.Name == name {
			return t
		}
		if strings.EqualFold(t.Name, name) {
			if near != nil {
				return nil
			}
			near = t
		}
	}
	return near
}

// inOrder sorts tables so that each comes behind those that its foreign keys lead
// to, as far as there is such an order, and by name otherwise.
func inOrder(tables []*Table) []*Table {
	left := slices.Clone(tables)
	slices.SortFunc(left, func(a, b *Table) int { return strings.Compare(a.Name, b.Name) })
	done := map[string]bool{}
	there := map[string]bool{}
	for _, t := range left {
		there[t.Name] = true
	}
	var list []*Table
	for len(left) > 0 {
		at := slices.IndexFunc(left, func(t *Table) bool {
			return !slices.ContainsFunc(t.refs, func(ref string) bool { return ref != t.Name && there[ref] && !done[ref] })
		})
		at = max(at, 0) // a circle: it begins somewhere
		done[left[at].Name] = true
		list = append(list, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return list
}

// Problem is why a table or column cannot go into a database.
type Problem struct {
	Table  string `json:"table"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
}

// String is the problem in a line.
func (p Problem) String() string {
	if p.Column != "" {
		return fmt.Sprintf("table %s, column %s: %s", p.Table, p.Column, p.Reason)
	}
	return fmt.Sprintf("table %s: %s", p.Table, p.Reason)
}

// taken is the problem of a table whose name means, where upper and lower case are
// one, a table that another one goes into.
func taken(from, to *Table) Problem {
	return Problem{Table: from.Name, Reason: "another table of the source goes into the target's " + to.Name + " already"}
}

// MappingError lists everything in which two schemas do not fit.
type MappingError struct{ Problems []Problem }

// Error gives one line for each problem.
func (e *MappingError) Error() string {
	lines := []string{"the tables do not fit"}
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// mapping is how the rows of one table go into another.
type mapping struct {
	from, to *Table
	columns  []pair // one for each column of from that to has
	insert   []int  // of columns: those that are written; the database computes the others
	key      []int  // of from's columns: what a row is called by
	same     bool   // rows can be handed on as they are
	loose    bool   // from's values need not be of their columns' kinds: SQLite
	native   bool   // both are SQLite: what is of no kind stays so
	plain    bool   // compared by from's own kinds, all columns of it
	binary   bool   // PostgreSQL: values go as the server keeps them, and not as text

	round   bool    // times to the digits of a second that to keeps
	rounded []int64 // how many were, of each of columns
}

// roundNotes says what was rounded.
func (m *mapping) roundNotes() (list []string) {
	for i, n := range m.rounded {
		if n > 0 {
			c := m.columns[i].to
			list = append(list, fmt.Sprintf("table %s, column %s: %d times were rounded to %d digits of a fraction of a second", m.from.Name, c.Name, n, c.limits.timeDigits-1))
		}
	}
	return list
}

// pair is a column on both sides.
type pair struct {
	source   int // in from.Columns
	from, to *Column
	compare  Kind
}

// pairUp finds the way from one table into another. What is computed at the source
// is compared with what is computed at the target.
func pairUp(from, to *Table, sameEngine bool) (*mapping, []Problem) {
	m := &mapping{from: from, to: to, same: sameEngine, plain: true}
	var problems []Problem
	problem := func(column, format string, args ...any) {
		problems = append(problems, Problem{Table: from.Name, Column: column, Reason: fmt.Sprintf(format, args...)})
	}
	used := map[string]bool{}
	for i := range from.Columns {
		c := &from.Columns[i]
		target := to.column(c.Name)
		if target != nil && target.Rowid != c.Rowid { // a column of that name is something else
			target = nil
		}
		if target == nil {
			m.plain = false
			if !c.Generated {
				problem(c.Name, "the target has no such column")
			}
			continue
		}
		used[target.Name] = true
		compare, ok := common(c.Kind, target.Kind)
		if !ok || sameEngine && c.Kind == KindOther && c.Type != target.Type && target.Kind == KindOther {
			problem(c.Name, "%s (%s) does not go into %s (%s)", c.Type, c.Kind, target.Type, target.Kind)
			continue
		}
		m.plain = m.plain && compare == c.Kind && !c.Rowid
		m.same = m.same && c.Kind == target.Kind && c.Type == target.Type
		if !target.Generated || target.Rowid {
			m.insert = append(m.insert, len(m.columns))
		} else {
			m.same = false
		}
		m.columns = append(m.columns, pair{source: i, from: c, to: target, compare: compare})
	}
	for i := range to.Columns {
		c := &to.Columns[i]
		if !used[c.Name] && !c.Generated && c.NotNull && !c.hasDefault && !c.Auto {
			problem(c.Name, "the target wants it, and the source has no such column")
		}
	}
	for _, name := range from.Key {
		if i := slices.IndexFunc(from.Columns, func(c Column) bool { return c.Name == name }); i >= 0 {
			m.key = append(m.key, i)
		}
	}
	m.same = m.same && len(m.insert) == len(from.Columns)
	return m, problems
}

// ValueError is a value that the target cannot hold. Nothing of its row was
// written.
type ValueError struct {
	Table  string
	Column string // empty where the target does not say
	Key    string // id=42; row 17 for a table without a key
	Reason string
	// Fine says that it is a time which Options.RoundTimes would round.
	Fine bool
}

// Error names table, column and row, and not the value.
func (e *ValueError) Error() string {
	column := ""
	if e.Column != "" {
		column = ", column " + e.Column
	}
	return fmt.Sprintf("table %s%s, %s: %s", e.Table, column, e.Key, e.Reason)
}

// longestKey is how much of a key an error shows.
const longestKey = 100

// rowName is what an error calls a row by.
func (m *mapping) rowName(row []value, n int64) string {
	if len(m.key) == 0 {
		return fmt.Sprintf("row %d", n)
	}
	parts := make([]string, len(m.key))
	for i, k := range m.key {
		text := string(row[k].text(nil))
		if row[k].null {
			text = "NULL"
		}
		if len(text) > longestKey {
			text = strings.ToValidUTF8(text[:longestKey], "") + "…"
		}
		parts[i] = fmt.Sprintf("%s=%s", m.from.Columns[k].Name, text)
	}
	return strings.Join(parts, ", ")
}
