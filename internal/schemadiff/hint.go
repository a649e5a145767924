// Package schemadiff has what a comparison of a wanted schema with the one at hand
// needs beside the catalogues of both: hints about renames, which no comparison can
// see, and for SQLite the statements that turn one schema into the other.
package schemadiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Hint says what a table, or a column of one, was called before.
type Hint struct {
	Line   int    // in the text
	Schema string // of the table; empty for the usual one
	Table  string // as it is called now
	Column string // as it is called now; empty for the table itself
	From   string // what it was called
}

// String names the place for messages.
func (h Hint) String() string {
	name := h.Table
	if h.Column != "" {
		name += "." + h.Column
	}
	return fmt.Sprintf("line %d: %s renamed from %s", h.Line, name, h.From)
}

var hintForm = lazyregexp.New(`^--\s*tldwdb:\s*renamed from\s+(.+?)\s*$`)

// Hints reads the comments of a schema that say "-- tldwdb: renamed from NAME":
// above a CREATE TABLE for the table, and inside it for a column, at the end of the
// column's line or on a line of its own above it. It returns the statements without
// them, each with the line that it has in the text. Errors begin with their line.
func Hints(text string, rules sqlscan.Options) (hints []Hint, statements []sqlscan.Statement, err error) {
	statements, err = sqlscan.Split(text, rules)
	if err != nil {
		return nil, nil, err
	}
	r := &hintReader{rules: rules, text: text}
	end := 0
	for i, st := range statements {
		r.above(end, st.Offset)
		r.inside(st)
		end = st.Offset + len(st.Text) + len(st.Data)
		if r.pending != nil {
			return nil, nil, fmt.Errorf("%d: there is nothing below this hint that was renamed", r.pending.Line)
		}
		statements[i].Text = r.without(st)
	}
	return r.hints, statements, nil
}

type hintReader struct {
	rules   sqlscan.Options
	text    string
	cuts    [][2]int // where hints are, with what would be left of their lines
	hints   []Hint
	pending *Hint // it waits for what it is about
}

// without is a statement without its hints: SQLite would keep them with the table.
func (r *hintReader) without(st sqlscan.Statement) string {
	text := st.Text
	for _, cut := range slices.Backward(r.cuts) {
		if begin, end := cut[0]-st.Offset, cut[1]-st.Offset; begin >= 0 && end <= len(text) {
			text = text[:begin] + text[end:]
		}
	}
	return text
}

// cut notes where a hint is, with the blanks before it, and the whole line where that
// has nothing else.
func (r *hintReader) cut(begin, end int) {
	for begin > 0 && (r.text[begin-1] == ' ' || r.text[begin-1] == '\t') {
		begin--
	}
	if begin > 0 && r.text[begin-1] == '\n' {
		begin--
	}
	r.cuts = append(r.cuts, [2]int{begin, end})
}

// hint reads a comment, and takes it out of the text if it is a hint.
func (r *hintReader) hint(t sqlscan.Token, offset int) *Hint {
	comment := strings.TrimRight(t.Text, "\r\n")
	m := hintForm.FindStringSubmatch(comment)
	if t.Kind != sqlscan.Comment || m == nil {
		return nil
	}
	r.cut(offset, offset+len(comment))
	from := m[1]
	for name := range sqlscan.Tokens(from, r.rules) {
		from = name.Name(r.rules.Dialect)
		break
	}
	return &Hint{Line: strings.Count(r.text[:offset], "\n") + 1, From: from}
}

func (r *hintReader) tokens(begin, end int, each func(t sqlscan.Token, offset int)) {
	rules := r.rules
	rules.Comments = true
	for t := range sqlscan.Tokens(r.text[begin:end], rules) {
		each(t, begin+t.Offset)
	}
}

func (r *hintReader) above(begin, end int) {
	r.tokens(begin, end, func(t sqlscan.Token, offset int) {
		if h := r.hint(t, offset); h != nil {
			r.pending = h
		}
	})
}

// inside reads a CREATE TABLE.
func (r *hintReader) inside(st sqlscan.Statement) {
	schema, table, body := tableName(st.Text, r.rules)
	if table == "" {
		return
	}
	if h := r.pending; h != nil {
		h.Schema, h.Table = schema, table
		r.hints = append(r.hints, *h)
		r.pending = nil
	}
	depth, fresh := 0, true // the next token begins a column
	column, line := "", -1
	r.tokens(st.Offset+body, st.Offset+len(st.Text), func(t sqlscan.Token, offset int) {
		here := strings.Count(r.text[:offset], "\n")
		if h := r.hint(t, offset); h != nil {
			h.Schema, h.Table = schema, table
			if here == line && column != "" {
				h.Column = column
				r.hints = append(r.hints, *h)
				return
			}
			r.pending = h
			return
		}
		if t.Kind == sqlscan.Comment {
			return
		}
		line = here
		switch {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case depth == 1 && t.Text == ",":
			fresh = true
		case depth == 1 && fresh:
			fresh = false
			column = t.Name(r.rules.Dialect)
			if r.pending != nil {
				r.pending.Column = column
				r.hints = append(r.hints, *r.pending)
				r.pending = nil
			}
		}
	})
}

// tableName is the table that a CREATE TABLE makes, and where the text behind its
// name begins. table is empty for any other statement.
func tableName(text string, rules sqlscan.Options) (schema, table string, body int) {
	var list []sqlscan.Token
	for t := range sqlscan.Tokens(text, rules) {
		list = append(list, t)
		if t.Text == "(" {
			break
		}
	}
	is := func(i int, word string) bool { return i < len(list) && list[i].Is(word) }
	i := 1
	if !is(0, "CREATE") {
		return "", "", 0
	}
	for is(i, "UNLOGGED") || is(i, "OR") || is(i, "REPLACE") {
		i++
	}
	if !is(i, "TABLE") {
		return "", "", 0
	}
	i++
	if is(i, "IF") {
		i += 3
	}
	if i+2 < len(list) && list[i+1].Text == "." {
		schema = list[i].Name(rules.Dialect)
		i += 2
	}
	if i >= len(list) {
		return "", "", 0
	}
	return schema, list[i].Name(rules.Dialect), list[i].Offset + len(list[i].Text)
}
