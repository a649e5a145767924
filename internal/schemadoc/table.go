package schemadoc

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdbdocs"
)

// table reads the lines of a table: first its columns, then what else is said of it.
func (d *describer) table(o catalog.Object) tldwdbdocs.Table {
	t := tldwdbdocs.Table{Name: o.Name, Columns: []tldwdbdocs.Column{}, Keys: []tldwdbdocs.Key{}, ForeignKeys: []tldwdbdocs.ForeignKey{}, Rules: []string{}, Objects: []tldwdbdocs.Object{}}
	rest := o.Text
	for _, c := range o.Columns {
		t.Columns = append(t.Columns, d.column(c))
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, c.Text), "\n")
	}
	for text := range strings.Lines(rest) {
		if l := d.line(strings.TrimSuffix(text, "\n")); len(l.tokens) > 0 {
			l.constraint(&t)
		}
	}
	slices.SortStableFunc(t.Keys, func(a, b tldwdbdocs.Key) int {
		switch {
		case a.Primary == b.Primary:
			return 0
		case a.Primary:
			return -1
		}
		return 1
	})
	return t
}

// line is a line with its tokens.
type line struct {
	*describer
	text   string
	tokens []sqlscan.Token
	at     int // the next token
}

func (d *describer) line(text string) *line {
	return &line{describer: d, text: text, tokens: slices.Collect(sqlscan.Tokens(text, d.options))}
}

func (l *line) end() bool { return l.at >= len(l.tokens) }

// is reports whether these words come next.
func (l *line) is(words ...string) bool {
	for i, word := range words {
		if l.at+i >= len(l.tokens) || !l.tokens[l.at+i].Is(word) {
			return false
		}
	}
	return true
}

func (l *line) take(words ...string) bool {
	if l.is(words...) {
		l.at += len(words)
		return true
	}
	return false
}

func (l *line) op(text string) bool {
	return !l.end() && l.tokens[l.at].Kind == sqlscan.Op && l.tokens[l.at].Text == text
}

// name takes a name, with all of its parts. SQLite's have no quotes here: they end before
// what cannot be in a list of names.
func (l *line) name() string {
	if l.options.Dialect == sqlscan.SQLite {
		from := l.at
		for !l.end() && !l.op(",") && !l.op("(") && !l.op(")") {
			l.at++
		}
		return l.between(from, l.at)
	}
	var parts []string
	for !l.end() {
		parts = append(parts, l.tokens[l.at].Name(l.options.Dialect))
		if l.at++; !l.op(".") {
			break
		}
		l.at++
	}
	return strings.Join(parts, ".")
}

// between is the text of the tokens from one to another.
func (l *line) between(from, to int) string {
	if from >= to {
		return ""
	}
	last := l.tokens[to-1]
	return l.text[l.tokens[from].Offset : last.Offset+len(last.Text)]
}

// skip goes on to the first of the words that stands outside of brackets, or to the end.
func (l *line) skip(words []string) (text string) {
	from, depth := l.at, 0
	for ; !l.end(); l.at++ {
		switch {
		case l.op("("):
			depth++
		case l.op(")"):
			depth--
		case depth == 0 && slices.ContainsFunc(words, func(w string) bool { return l.is(w) }):
			return l.between(from, l.at)
		}
	}
	return l.between(from, l.at)
}

// behindType are the words that a type ends before.
var behindType = []string{"NOT", "NULL", "DEFAULT", "GENERATED", "AS", "COLLATE", "CHARACTER", "AUTO_INCREMENT", "COMMENT", "CHECK", "ON", "INVISIBLE", "WITHOUT", "REF_SYSTEM_ID", "COMPRESSED", "OPTIONS", "VIRTUAL", "STORED"}

// behindDefault are the words that a default ends before. NULL and AS stand in one.
var behindDefault = []string{"NOT", "COLLATE", "COMMENT", "CHECK", "ON", "GENERATED", "INVISIBLE", "WITHOUT", "OPTIONS"}

// column reads a column. What is said of it and has no place of its own is Extra.
func (d *describer) column(is catalog.Column) tldwdbdocs.Column {
	l := d.line(strings.TrimPrefix(is.Text, is.Name))
	c := tldwdbdocs.Column{Name: is.Name}
	if c.Name == "" {
		c.Name = l.tokens[0].Name(d.options.Dialect)
		l.at = 1
	}
	begin := l.at
	if l.is("CHARACTER") { // here it begins a type of PostgreSQL, and behind a type a character set of MySQL
		l.at++
	}
	l.skip(behindType)
	c.Type = l.between(begin, l.at)
	var extra []string
	for !l.end() {
		switch {
		case l.take("NOT", "NULL"):
			c.NotNull = true
		case l.take("NULL"):
		case l.take("DEFAULT"):
			c.Default = l.skip(behindDefault)
		case l.is("COMMENT") && l.at+1 < len(l.tokens) && l.tokens[l.at+1].Kind == sqlscan.String:
			c.Comment = literal(l.tokens[l.at+1].Text)
			l.at += 2
		default:
			from := l.at
			l.at++
			l.skip([]string{"NOT", "DEFAULT", "COMMENT", "CHECK", "COLLATE"})
			extra = append(extra, l.between(from, l.at))
		}
	}
	c.Extra = strings.Join(extra, " ")
	return c
}

// literal is the content of a string of MySQL, as SHOW CREATE writes one.
func literal(text string) string {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'")
	return strings.NewReplacer("''", "'", `\\`, `\`, `\n`, "\n", `\r`, "\r", `\0`, "\x00", `\'`, "'").Replace(text)
}

// constraint reads any other line.
func (l *line) constraint(t *tldwdbdocs.Table) {
	name := ""
	if l.take("CONSTRAINT") {
		name = l.name()
	}
	switch {
	case l.take("PRIMARY", "KEY"):
		if columns, ok := l.columns(); ok {
			t.Keys = append(t.Keys, tldwdbdocs.Key{Name: name, Primary: true, Columns: columns, Extra: l.rest()})
			return
		}
	case l.take("UNIQUE"):
		if l.take("KEY") {
			name = l.name()
		}
		if columns, ok := l.columns(); ok {
			t.Keys = append(t.Keys, tldwdbdocs.Key{Name: name, Columns: columns, Extra: l.rest()})
			return
		}
	case l.take("FOREIGN", "KEY"):
		if columns, ok := l.columns(); ok && l.take("REFERENCES") {
			f := tldwdbdocs.ForeignKey{Name: name, Columns: columns, Table: l.name(), References: []string{}}
			if references, ok := l.columns(); ok {
				f.References = references
			}
			f.Extra = l.rest()
			t.ForeignKeys = append(t.ForeignKeys, f)
			return
		}
	}
	if i := slices.IndexFunc(l.tokens, func(t sqlscan.Token) bool { return t.Is("COMMENT") }); i >= 0 && l.options.Dialect == sqlscan.MySQL && i+2 < len(l.tokens) && l.tokens[i+1].Text == "=" {
		t.Comment = literal(l.tokens[i+2].Text)
	}
	t.Rules = append(t.Rules, l.text)
}

// columns takes a list of names in brackets. What is more than names is none.
func (l *line) columns() (list []string, ok bool) {
	if !l.op("(") {
		return nil, false
	}
	for l.at++; !l.end(); l.at++ {
		from := l.at
		list = append(list, l.name())
		depth := 0
		for ; !l.end() && (depth > 0 || !l.op(",") && !l.op(")")); l.at++ { // the length of a prefix, a direction
			switch {
			case l.op("("):
				depth++
			case l.op(")"):
				depth--
			}
		}
		if l.tokens[from].Kind == sqlscan.Op {
			list[len(list)-1] = l.between(from, l.at) // an expression
		}
		if l.op(")") {
			l.at++
			return list, true
		}
	}
	return nil, false
}

func (l *line) rest() string { return l.between(l.at, len(l.tokens)) }
