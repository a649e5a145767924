package convert

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file reads what `alembic upgrade base:head --sql` and `alembic downgrade head:base --sql` print. A revision in Python
// cannot be read without running it; Alembic does that, and its output is all that it would have sent.

var (
	alembicMark     = lazyregexp.New(`^-- Running (upgrade|downgrade) (.*?) *-> *(.*)$`)
	alembicRevision = lazyregexp.New(`(?m)^revision *(?::[^=\n]*)?= *['"]([^'"]+)['"]`)
)

// alembicPart is what one revision does in one direction.
type alembicPart struct {
	section
	input    *input
	line     int
	down     bool
	from, to []string // revisions: several at a branch or a merge
}

func (c *converter) alembic() {
	table := "alembic_version"
	var parts []*alembicPart
	found := false
	for _, in := range c.folder.files {
		if !in.sql() || !signOf(Alembic).MatchString(in.text) {
			continue
		}
		c.used[in.path] = true
		found = true
		head, list := c.alembicParts(in)
		table = c.alembicHead(in, head, table)
		parts = append(parts, list...)
	}
	if !found {
		for _, in := range c.folder.files {
			if alembicRevision.MatchString(in.text) {
				c.problem(in.path, 0, "a revision in Python: let Alembic write its SQL into a folder of its own, with alembic upgrade base:head --sql >upgrade.sql and alembic downgrade head:base --sql >downgrade.sql")
			}
		}
		return
	}
	names := c.alembicNames()
	byRevision := map[string]*migration{}
	for _, p := range parts {
		if p.down || len(p.to) != 1 {
			if !p.down {
				c.problem(p.input.path, p.line, "a revision has one name")
			}
			continue
		}
		revision := p.to[0]
		for _, from := range p.from {
			if byRevision[from] == nil {
				c.problem(p.input.path, p.line, "revision %s builds on %s, which is not in the script: write it from the beginning, with alembic upgrade base:head --sql", revision, from)
			}
		}
		if byRevision[revision] != nil {
			c.problem(p.input.path, p.line, "revision %s is there twice", revision)
			continue
		}
		m := &migration{version: revision, name: names[revision], up: c.alembicScript(p, table)}
		if m.name == "" {
			m.name = revision
		}
		byRevision[revision] = m
		c.migrations = append(c.migrations, m)
	}
	for _, p := range parts {
		if !p.down {
			continue
		}
		for _, revision := range p.from[:min(1, len(p.from))] {
			m := byRevision[revision]
			switch {
			case m == nil:
				c.problem(p.input.path, p.line, "there is no upgrade to revision %s in the scripts", revision)
			case m.down != nil:
				c.problem(p.input.path, p.line, "the downgrade of revision %s is there twice", revision)
			default:
				m.down = c.alembicScript(p, table)
			}
		}
	}
}

func signOf(tool Tool) *lazyregexp.Regexp {
	for _, sign := range signs {
		if sign.tool == tool {
			return sign.text
		}
	}
	return nil
}

// alembicParts cuts a script at the lines that name the revisions.
func (c *converter) alembicParts(in *input) (head *section, parts []*alembicPart) {
	head = &section{}
	target := head
	where := c.placesIn(in.text)
	defer where.close()
	offset := 0
	for number, line := range numbered(in.text) {
		begin := offset
		offset += len(line)
		m := alembicMark.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil || !where.begins(begin) {
			target.add(number, line)
			continue
		}
		where.restart(offset)
		p := &alembicPart{input: in, line: number, down: m[1] == "downgrade", from: revisions(m[2]), to: revisions(m[3])}
		parts = append(parts, p)
		target = &p.section
	}
	return head, parts
}

func revisions(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// alembicHead looks at what stands before the first revision: Alembic's own table, whose name it returns.
func (c *converter) alembicHead(in *input, head *section, table string) string {
	statements, _ := sqlscan.Split(string(head.text), c.rules) // a fault ends in a statement that is not known below
	for _, st := range statements {
		switch {
		case c.transaction(st) != noMark:
		case st.Verb == "CREATE" && c.mentions(st, "version_num"):
			table = c.createdTable(st)
		default:
			c.problem(in.path, head.lines[st.Line-1], "this stands before the first revision, and belongs to none: put it into the first, or take it out")
		}
	}
	return table
}

// mentions reports whether a statement has a name in it.
func (c *converter) mentions(st sqlscan.Statement, name string) bool {
	for t := range sqlscan.Tokens(st.Text, c.rules) {
		if (t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent) && t.Name(c.rules.Dialect) == name {
			return true
		}
	}
	return false
}

// bookkeeping reports whether a statement is one of those by which Alembic keeps its table. A revision may look at that
// table too, and what it does is its own.
func (c *converter) bookkeeping(st sqlscan.Statement, table string) bool {
	var names []string
	for t := range sqlscan.Tokens(st.Text, c.rules) {
		if names = append(names, t.Name(c.rules.Dialect)); len(names) == 8 {
			break
		}
	}
	skip := map[string]int{"INSERT": 2, "UPDATE": 1, "DELETE": 2, "DROP": 2}[st.Verb]
	if skip == 0 || len(names) <= skip {
		return false
	}
	names = names[skip:]
	if len(names) > 2 && names[1] == "." { // the schema
		names = names[2:]
	}
	if names[0] != table {
		return false
	}
	switch st.Verb {
	case "INSERT":
		return len(names) > 2 && names[1] == "(" && names[2] == "version_num"
	case "UPDATE":
		return len(names) > 2 && names[2] == "version_num"
	}
	return true
}

// createdTable returns the name of the table that a CREATE TABLE makes, without its schema.
func (c *converter) createdTable(st sqlscan.Statement) string {
	name := ""
	for t := range sqlscan.Tokens(st.Text, c.rules) {
		if t.Text == "(" {
			break
		}
		if t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent {
			name = t.Name(c.rules.Dialect)
		}
	}
	return name
}

// alembicScript leaves of a part what the revision itself does.
func (c *converter) alembicScript(p *alembicPart, table string) *script {
	s := p.script(p.input, false)
	statements, err := sqlscan.Split(s.text, c.rules)
	if err != nil {
		return s // reported when it is settled
	}
	drop := make([]bool, len(statements))
	marks := make([]transactionMark, len(statements))
	own, last := []int{}, -1 // own: the revision's statements; last: the last bookkeeping
	for i, st := range statements {
		marks[i] = c.transaction(st)
		switch {
		case marks[i] != noMark:
		case c.bookkeeping(st, table):
			drop[i], last = true, i
		default:
			own = append(own, i)
		}
	}
	open := true // each part begins inside Alembic's transaction, where the engine has one
	for i := range statements {
		switch {
		case marks[i] == noMark:
			continue
		case marks[i] == closesMark && open:
			open = false
		case marks[i] == opensMark && !open:
			open = true
		default:
			c.problem(p.input.path, s.line(statements[i].Line), "this begins or ends a transaction otherwise than Alembic does")
			s.text = ""
			return s
		}
		drop[i] = true
		if last >= 0 && i > last && (len(own) == 0 || i > own[len(own)-1]) {
			continue // between this revision and the next
		}
		s.noTransaction = true // an autocommit_block
	}
	if s.noTransaction && !c.allOutside(marks, own) {
		c.problem(p.input.path, p.line, "one part of this revision runs in a transaction and another outside of it (autocommit_block): split it")
		s.text = ""
		return s
	}
	removeStatements(s, statements, drop, c.rules)
	if s.text = strings.TrimRight(s.text, "\n") + "\n"; len(own) == 0 {
		s.text, s.lines = "-- The revision does nothing in this direction.\n", nil
	}
	return s
}

// allOutside reports whether the given statements stand between a COMMIT and the BEGIN behind it.
func (c *converter) allOutside(marks []transactionMark, own []int) bool {
	inside := true
	for i, mark := range marks {
		switch {
		case mark != noMark:
			inside = mark == opensMark
		case inside && slices.Contains(own, i):
			return false
		}
	}
	return true
}

// alembicNames finds what the revisions are called: by their files, when those are in the folder.
func (c *converter) alembicNames() map[string]string {
	names := map[string]string{}
	for _, in := range c.folder.files {
		if m := alembicRevision.FindStringSubmatch(in.text); m != nil && strings.HasSuffix(in.name, ".py") {
			names[m[1]] = strings.Trim(strings.ReplaceAll(strings.TrimSuffix(in.name, ".py"), m[1], ""), "_-")
		}
	}
	return names
}
