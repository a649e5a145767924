package schemadiff

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// MySQL and MariaDB write a table down line by line, in SHOW CREATE TABLE, and each
// line is what ALTER TABLE takes back: a column, a key, a constraint. So the lines in
// which two tables differ are the plan, in the server's own words, with all that the
// server has, and the names that it gives by itself.

// MySQLSchema are the tables of a database, by name.
type MySQLSchema map[string]*mysqlTable

// mysqlTable is what SHOW CREATE TABLE says.
type mysqlTable struct {
	name    string
	create  string // without the next number
	columns []mysqlLine
	keys    []mysqlLine
	checks  []mysqlLine
	foreign []mysqlLine
	options string
	parts   string // partitions
}

// mysqlLine is one line, without its comma.
type mysqlLine struct {
	name string // of the column, key or constraint; PRIMARY for the primary key
	text string
}

// ReadMySQL reads the tables that are in the catalogue.
func ReadMySQL(ctx context.Context, conn *sql.Conn, c catalog.Catalog) (MySQLSchema, error) {
	s := MySQLSchema{}
	for _, o := range c {
		if o.Kind != "table" {
			continue
		}
		var statement string
		err := each(ctx, conn, "SHOW CREATE TABLE "+backquote(o.Name), func(rows *sql.Rows) error {
			var name string
			return rows.Scan(&name, &statement)
		})
		if err != nil {
			return nil, err
		}
		if s[o.Name], err = parseMySQL(o.Name, statement); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var (
	mysqlNext       = lazyregexp.New(`(?m)^(\).*?) AUTO_INCREMENT=\d+`)
	mysqlReferences = lazyregexp.New("FOREIGN KEY \\((.*?)\\) REFERENCES `((?:[^`]|``)*)` \\((.*?)\\)")
)

// parseMySQL takes a table apart. Of what it does not know it says so.
func parseMySQL(name, statement string) (*mysqlTable, error) {
	t := &mysqlTable{name: name, create: mysqlNext.ReplaceAllString(statement, "$1")}
	lines := strings.Split(t.create, "\n")
	for i, l := range lines[1:] {
		if strings.HasPrefix(l, ")") {
			t.options = strings.TrimSpace(strings.TrimPrefix(l, ")"))
			t.parts = strings.Join(lines[i+2:], "\n")
			return t, nil
		}
		text := strings.TrimSuffix(strings.TrimSpace(l), ",")
		first := mysqlNameIn(text)
		switch word, _, _ := strings.Cut(text, " "); {
		case strings.HasPrefix(text, "`"):
			t.columns = append(t.columns, mysqlLine{first, text})
		case word == "PRIMARY":
			t.keys = append(t.keys, mysqlLine{"PRIMARY", text})
		case word == "KEY", word == "UNIQUE", word == "FULLTEXT", word == "SPATIAL", word == "VECTOR":
			t.keys = append(t.keys, mysqlLine{first, text})
		case word == "CONSTRAINT" && mysqlReferences.MatchString(text):
			t.foreign = append(t.foreign, mysqlLine{first, text})
		case word == "CONSTRAINT", word == "CHECK":
			t.checks = append(t.checks, mysqlLine{first, text})
		default:
			return nil, fmt.Errorf("the table %s has a line that diff does not know: %s", name, text)
		}
	}
	return nil, fmt.Errorf("the definition of the table %s has no end", name)
}

// mysqlNameIn is the first name in quotes.
func mysqlNameIn(text string) string {
	for t := range sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		if t.Kind == sqlscan.QuotedIdent {
			return t.Name(sqlscan.MySQL)
		}
	}
	return ""
}

func backquote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// without lists the lines of a that are not in b as they stand.
func without(a, b []mysqlLine) (list []mysqlLine) {
	for _, l := range a {
		if !slices.Contains(b, l) {
			list = append(list, l)
		}
	}
	return list
}

func lineOf(list []mysqlLine, name string) (mysqlLine, bool) {
	i := slices.IndexFunc(list, func(l mysqlLine) bool { return strings.EqualFold(l.name, name) })
	if i < 0 {
		return mysqlLine{}, false
	}
	return list[i], true
}

// MySQL lists the statements that turn one schema into another.
func MySQL(from, to MySQLSchema) ([]string, error) {
	p := &mysqlPlan{from: from, to: to, changed: map[string]bool{}, moved: map[string]bool{}}
	names := slices.Sorted(maps.Keys(to))
	for _, name := range names {
		p.notice(name)
	}
	// Keys between tables go first and come last, so that neither order nor types of
	// what they tie together matter between.
	var drop, alter, add []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		drop = append(drop, p.untie(from[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if to[name] == nil {
			drop = append(drop, "DROP TABLE "+backquote(name))
		}
	}
	made := map[string]bool{}
	for name := range from {
		made[name] = to[name] != nil
	}
	for _, name := range p.creation(made) {
		statement, later := p.create(to[name], made)
		alter, add = append(alter, statement), append(add, later...)
		made[name] = true
	}
	for _, name := range names {
		if from[name] == nil {
			continue
		}
		statements, err := p.alter(from[name], to[name])
		if err != nil {
			return nil, err
		}
		alter, add = append(alter, statements...), append(add, p.tie(from[name], to[name])...)
	}
	return slices.Concat(drop, alter, add), nil
}

type mysqlPlan struct {
	from, to MySQLSchema
	changed  map[string]bool // columns of kept tables, as table.column, that are written anew
	moved    map[string]bool // foreign keys, as table.name, that have to make room for that
}

// notice finds the columns of a table whose text changes.
func (p *mysqlPlan) notice(name string) {
	if p.from[name] == nil {
		return
	}
	a, b := p.from[name], p.to[name]
	for _, c := range b.columns {
		if old, there := lineOf(a.columns, c.name); there && old.text != c.text || inherited(a.options) != inherited(b.options) {
			p.changed[name+"."+strings.ToLower(c.name)] = true
		}
	}
}

// inTheWay reports whether a foreign key that stays ties a column that changes.
func (p *mysqlPlan) inTheWay(table string, line mysqlLine) bool {
	m := mysqlReferences.FindStringSubmatch(line.text)
	parent := strings.ReplaceAll(m[2], "``", "`")
	touches := func(table, columns string) bool {
		for t := range sqlscan.Tokens(columns, sqlscan.Options{Dialect: sqlscan.MySQL}) {
			if t.Kind == sqlscan.QuotedIdent && p.changed[table+"."+strings.ToLower(t.Name(sqlscan.MySQL))] {
				return true
			}
		}
		return false
	}
	return touches(table, m[1]) || touches(parent, m[3])
}

// untie drops the foreign keys of a table that go, or are in the way of a change.
func (p *mysqlPlan) untie(t *mysqlTable) (list []string) {
	wanted := p.to[t.name]
	for _, line := range t.foreign {
		if wanted != nil {
			if !slices.Contains(wanted.foreign, line) {
				p.moved[t.name+"."+line.name] = true
			} else if p.inTheWay(t.name, line) {
				p.moved[t.name+"."+line.name] = true
			} else {
				continue
			}
		} else if parent := mysqlReferences.FindStringSubmatch(line.text)[2]; p.to[strings.ReplaceAll(parent, "``", "`")] != nil || parent == t.name {
			continue // the key goes with its table
		}
		list = append(list, "ALTER TABLE "+backquote(t.name)+" DROP FOREIGN KEY "+backquote(line.name))
	}
	return list
}

// tie adds the foreign keys that a kept table is to have.
func (p *mysqlPlan) tie(a, b *mysqlTable) (list []string) {
	for _, line := range b.foreign {
		if !slices.Contains(a.foreign, line) || p.moved[b.name+"."+line.name] {
			list = append(list, "ALTER TABLE "+backquote(b.name)+" ADD "+line.text)
		}
	}
	return list
}

// creation is the order in which new tables are made: parents first, as far as
// there is such an order.
func (p *mysqlPlan) creation(made map[string]bool) (order []string) {
	left := []string{}
	for _, name := range slices.Sorted(maps.Keys(p.to)) {
		if p.from[name] == nil {
			left = append(left, name)
		}
	}
	done := maps.Clone(made)
	for len(left) > 0 {
		at := max(0, slices.IndexFunc(left, func(name string) bool {
			return !slices.ContainsFunc(p.to[name].foreign, func(l mysqlLine) bool {
				parent := mysqlReferences.FindStringSubmatch(l.text)[2]
				return parent != name && !done[parent]
			})
		}))
		done[left[at]] = true
		order = append(order, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return order
}

// create makes a table, and leaves for later the keys to parents that are not there
// yet or are still to change.
func (p *mysqlPlan) create(t *mysqlTable, made map[string]bool) (statement string, later []string) {
	var stays []string
	for _, line := range slices.Concat(t.columns, t.keys, t.checks) {
		stays = append(stays, line.text)
	}
	for _, line := range t.foreign {
		parent := strings.ReplaceAll(mysqlReferences.FindStringSubmatch(line.text)[2], "``", "`")
		kept := p.from[parent] != nil && p.from[parent].create != p.to[parent].create
		if parent != t.name && (!made[parent] || kept) {
			later = append(later, "ALTER TABLE "+backquote(t.name)+" ADD "+line.text)
			continue
		}
		stays = append(stays, line.text)
	}
	statement = "CREATE TABLE " + backquote(t.name) + " (\n  " + strings.Join(stays, ",\n  ") + "\n) " + t.options
	if t.parts != "" {
		statement += "\n" + t.parts
	}
	return statement, later
}

// alter changes a table in one statement, so that its rows are copied once at most.
func (p *mysqlPlan) alter(a, b *mysqlTable) ([]string, error) {
	if a.parts != b.parts {
		return nil, fmt.Errorf("the partitions of %s differ: write that migration by hand", b.name)
	}
	var list []string
	again := p.owned(a, b)
	for _, line := range slices.Concat(without(a.keys, b.keys), again) {
		if line.name == "PRIMARY" {
			list = append(list, "DROP PRIMARY KEY")
		} else {
			list = append(list, "DROP KEY "+backquote(line.name))
		}
	}
	for _, line := range without(a.checks, b.checks) {
		if line.name == "" || !strings.HasPrefix(line.text, "CONSTRAINT") {
			return nil, fmt.Errorf("a constraint of %s has no name: %s", b.name, line.text)
		}
		list = append(list, "DROP CONSTRAINT "+backquote(line.name))
	}
	list = append(list, alterColumns(a, b)...)
	for _, line := range slices.Concat(without(b.keys, a.keys), again, without(b.checks, a.checks)) {
		list = append(list, "ADD "+line.text)
	}
	if a.options != b.options {
		list = append(list, alterOptions(a.options, b.options))
	}
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) == 1 {
		return []string{"ALTER TABLE " + backquote(b.name) + " " + list[0]}, nil
	}
	return []string{"ALTER TABLE " + backquote(b.name) + "\n  " + strings.Join(list, ",\n  ")}, nil
}

// owned are the keys that stay, and that the server may have made for a foreign key by
// itself. It would put another in the place of such a key when the foreign key is
// added again, with another name: made by a statement, it stays.
func (p *mysqlPlan) owned(a, b *mysqlTable) (list []mysqlLine) {
	for _, line := range b.foreign {
		if slices.Contains(a.foreign, line) && !p.moved[b.name+"."+line.name] {
			continue
		}
		columns := mysqlReferences.FindStringSubmatch(line.text)[1]
		for _, key := range b.keys {
			if key.text == "KEY "+backquote(key.name)+" ("+columns+")" && key.name != line.name && slices.Contains(a.keys, key) && !slices.Contains(list, key) {
				list = append(list, key)
			}
		}
	}
	return list
}

// generated reports whether a column is computed, and whether it is stored.
func generated(text string) (is, stored bool) {
	for t := range sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		if t.Is("AS") || t.Is("GENERATED") {
			is = true
		}
		if is && (t.Is("STORED") || t.Is("PERSISTENT")) {
			stored = true
		}
	}
	return is, stored
}

// alterColumns brings the columns into their wanted form and order.
func alterColumns(a, b *mysqlTable) (list []string) {
	var order []string // as far as the clauses have brought it
	again := map[string]bool{}
	for _, c := range a.columns {
		wanted, kept := lineOf(b.columns, c.name)
		if kept && wanted.text != c.text {
			is, stored := generated(c.text)
			will, willStored := generated(wanted.text)
			again[strings.ToLower(c.name)] = is != will || stored != willStored // no server changes that in place
		}
		if !kept || again[strings.ToLower(c.name)] {
			list = append(list, "DROP COLUMN "+backquote(c.name))
			continue
		}
		order = append(order, strings.ToLower(c.name))
	}
	for i, c := range b.columns {
		name := strings.ToLower(c.name)
		old, kept := lineOf(a.columns, c.name)
		kept = kept && !again[name]
		place := " FIRST"
		if i > 0 {
			place = " AFTER " + backquote(b.columns[i-1].name)
		}
		switch at := slices.Index(order, name); {
		case !kept && i == len(order):
			list = append(list, "ADD COLUMN "+c.text)
			order = append(order, name)
		case !kept:
			list = append(list, "ADD COLUMN "+c.text+place)
			order = slices.Insert(order, i, name)
		case at != i:
			list = append(list, "MODIFY COLUMN "+c.text+place)
			order = slices.Insert(slices.Delete(order, at, at+1), i, name)
		case old.text != c.text, charset(a.options) != charset(b.options):
			list = append(list, "MODIFY COLUMN "+c.text)
		}
	}
	return list
}

// inherited are the options that foreign keys are in the way of.
func inherited(options string) string {
	engine, _ := lineOf(optionsOf(options), "ENGINE")
	return engine.text + " " + charset(options)
}

// charset is what columns inherit that name no character set.
func charset(options string) string {
	var list []string
	for _, o := range optionsOf(options) {
		if strings.HasSuffix(o.name, "CHARSET") || o.name == "COLLATE" {
			list = append(list, o.text)
		}
	}
	return strings.Join(list, " ")
}

// optionsOf cuts the options of a table: ENGINE=InnoDB COMMENT='a b'.
func optionsOf(text string) (list []mysqlLine) {
	tokens := slices.Collect(sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}))
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i+1].Text != "=" {
			continue
		}
		begin := i
		if i > 0 && tokens[i-1].Is("DEFAULT") {
			begin--
		}
		end := tokens[i+2].Offset + len(tokens[i+2].Text)
		list = append(list, mysqlLine{tokens[i].Text, text[tokens[begin].Offset:end]})
	}
	return list
}

// alterOptions sets the options that are wanted, and those back that are not.
func alterOptions(from, to string) string {
	wanted := optionsOf(to)
	for _, o := range optionsOf(from) {
		if _, there := lineOf(wanted, o.name); there {
			continue
		}
		value := "DEFAULT"
		if o.name == "COMMENT" {
			value = "''"
		}
		to += " " + o.name + "=" + value
	}
	return to
}

// MySQLInTheWay is the statement that has to go before a column is renamed, and the one
// that takes it back: no server renames a column that a check, a computed column or the
// expression of a key names. What is wanted of these is made again by the plan that
// follows. It is empty where nothing is in the way.
func MySQLInTheWay(ctx context.Context, conn *sql.Conn, table, column string) (r Renamed, err error) {
	s, err := ReadMySQL(ctx, conn, catalog.Catalog{{Kind: "table", Name: table}})
	if err != nil {
		return r, err
	}
	t := s[table]
	var drop, add, last []string
	names := func(text, name string) bool { return strings.Contains(text, backquote(name)) }
	gone := map[string]bool{}
	for i, c := range t.columns {
		_, expression, _ := strings.Cut(c.text, " ")
		if is, _ := generated(c.text); !is || !names(expression, column) {
			continue
		}
		gone[c.name] = true
		drop = append(drop, "DROP COLUMN "+backquote(c.name))
		place := " FIRST"
		if i > 0 {
			place = " AFTER " + backquote(t.columns[i-1].name)
		}
		add = append(add, "ADD COLUMN "+c.text+place)
	}
	for _, k := range t.keys {
		_, parts, _ := strings.Cut(k.text, "(")
		away := strings.HasPrefix(parts, "(") && names(parts, column)
		for name := range gone {
			away = away || names(parts, name)
		}
		if away {
			drop = slices.Insert(drop, 0, "DROP KEY "+backquote(k.name))
			last = append(last, "ADD "+k.text)
		}
	}
	for _, c := range t.checks {
		if strings.HasPrefix(c.text, "CONSTRAINT") && names(strings.TrimPrefix(c.text, "CONSTRAINT "+backquote(c.name)), column) {
			drop = append(drop, "DROP CONSTRAINT "+backquote(c.name))
			last = append(last, "ADD "+c.text)
		}
	}
	if len(drop) == 0 {
		return r, nil
	}
	alter := "ALTER TABLE " + backquote(table) + " "
	return Renamed{alter + strings.Join(drop, ", "), alter + strings.Join(append(add, last...), ", ")}, nil
}
