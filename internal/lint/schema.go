package lint

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/tldwdblint"
)

// This file remembers what the migrations have made so far, as far as rules ask for it. It knows only what the files
// say: a table that was there before them is unknown, and what is unknown is judged as if it were the worst.

// schema is what is known of the database at a statement.
type schema struct {
	tables  map[string]*table
	indexes map[string]*index
	types   map[string]bool     // enum types
	domains map[string]bool     // domains
	views   map[string][]string // view → the words of its text, in small letters

	policies map[string]bool // tables with a policy

	// What follows is kept for MySQL, MariaDB and SQLite alone, as are the parts of tables and columns that say so.
	full     bool
	triggers map[string]trigger
	children map[string][]string // table → tables that have, or had, a foreign key to it

	definitions []definition // where the next ones go
}

// trigger is what is known of a trigger.
type trigger struct {
	name  tldwdblint.Name
	table string   // key
	words []string // in small letters
	text  string
}

// table is what is known of a table.
type table struct {
	name        tldwdblint.Name
	columns     []column
	constraints []constraint
	partitioned bool
	rest        tldwdblint.Name // its default partition
	partial     bool            // it was there before the migrations, or is like another one: there may be more than is known

	text    string   // full: of CREATE TABLE
	indexes []*index // full: those of CREATE INDEX; MySQL's others are among the constraints, without a kind
}

// column is what is known of a column.
type column struct {
	name       string
	kind       string // its type
	notNull    bool
	primaryKey bool
	unique     bool
	check      string
	references tldwdblint.Name

	said *definition // full: all of it
}

// definition is a column as it was said last.
type definition struct {
	tldwdblint.Column
	text string
}

// constraint is a constraint with the state that it is in.
type constraint struct {
	tldwdblint.Constraint
	valid bool
}

// column returns what is known of a column; nil if nothing is.
func (t *table) column(name string) *column {
	if t == nil {
		return nil
	}
	for i := range t.columns {
		if strings.EqualFold(t.columns[i].name, name) {
			return &t.columns[i]
		}
	}
	return nil
}

// known returns a column, which is made if nothing was known of it.
func (t *table) known(name string) *column {
	if t.column(name) == nil {
		t.columns = append(t.columns, column{name: name})
	}
	return t.column(name)
}

// constraint returns a constraint by its name; nil for one that is not known.
func (t *table) constraint(name string) *constraint {
	if t == nil || name == "" {
		return nil
	}
	for i := range t.constraints {
		if strings.EqualFold(t.constraints[i].Name.Name, name) {
			return &t.constraints[i]
		}
	}
	return nil
}

// index is what is known of an index.
type index struct {
	name    tldwdblint.Name
	table   string // key
	columns []string
	unique  bool
	partial bool
	text    string
}

func newSchema() schema {
	return schema{tables: map[string]*table{}, indexes: map[string]*index{}, types: map[string]bool{}, domains: map[string]bool{}, views: map[string][]string{}, policies: map[string]bool{},
		triggers: map[string]trigger{}, children: map[string][]string{}}
}

// key is a name for looking up: the schema that names without one are usually found in is left out.
func key(n tldwdblint.Name) string {
	switch n.Schema {
	case "public", "main":
		n.Schema = ""
	}
	return n.Key()
}

// table returns what is known of a table; nil if nothing is.
func (s *schema) table(n tldwdblint.Name) *table { return s.tables[key(n)] }

// column returns what is known of a column; nil if nothing is.
func (s *schema) column(n tldwdblint.Name, name string) *column {
	return s.table(n).column(name)
}

// defined returns all that is known of a column; nil unless its type is.
func (s *schema) defined(n tldwdblint.Name, name string) *definition {
	if c := s.column(n, name); c != nil && c.said != nil && c.said.Type != "" {
		return c.said
	}
	return nil
}

// remember takes in what a statement has made. Down files are judged by what their up files have made, and leave nothing.
func (c *check) remember(s *stmt) {
	if s.Kind == "CREATE TABLE" && !s.again {
		if known := c.schema.table(s.Name); !s.IfNotExists || known == nil || c.down {
			c.born[key(s.Name)] = true
		}
	}
	for i := range s.Actions {
		if a := &s.Actions[i]; a.Kind == tldwdblint.ActionRenameTable && c.born[key(s.Table)] {
			c.born[key(renamed(s.Table, a.NewName))] = true
		}
	}
	if s.Kind == "DROP INDEX" {
		for _, n := range s.Names {
			c.dropped[strings.ToLower(n.Name)] = c.schema.indexes[strings.ToLower(n.Name)]
		}
	}
	if c.down {
		return
	}
	switch s.Kind {
	case "CREATE TABLE":
		if s.IfNotExists && c.schema.table(s.Name) != nil {
			return
		}
		was := c.schema.table(s.Name)
		t := &table{name: s.Name, columns: make([]column, 0, len(s.Actions)), partial: len(s.Actions) == 0 || hasWords(s, "INHERITS")}
		t.partitioned = hasWords(s, "PARTITION", "BY")
		if parent := c.schema.table(partitionOf(s)); parent != nil && s.toks[len(s.toks)-1].Is("DEFAULT") {
			parent.rest = s.Name
		}
		if c.schema.full {
			t.text = s.Text
		}
		if s.again && was != nil { // a rebuild makes its indexes again
			t.indexes = was.indexes
		}
		c.schema.tables[key(s.Name)] = t
		for i := range s.Actions {
			c.schema.alter(t, &s.Actions[i])
		}
	case "ALTER TABLE":
		t := c.schema.table(s.Table)
		for i := range s.Actions {
			a := &s.Actions[i]
			if t == nil {
				t = &table{name: s.Table, partial: true}
				c.schema.tables[key(s.Table)] = t
			}
			c.schema.alter(t, a)
		}
	case "RENAME TABLE":
		for i := range min(len(s.Names), len(s.Actions)) {
			c.schema.rename(s.Names[i], s.Actions[i].NewName)
		}
	case "DROP TABLE":
		for _, n := range s.Names {
			delete(c.schema.tables, key(n))
			for name, tr := range c.schema.triggers {
				if tr.table == key(n) {
					delete(c.schema.triggers, name)
				}
			}
			for name, x := range c.schema.indexes {
				if x.table == key(n) {
					delete(c.schema.indexes, name)
				}
			}
		}
	case "CREATE INDEX":
		if !s.Name.IsZero() {
			x := &index{name: s.Name, table: key(s.Table), columns: s.Columns, unique: s.Unique, partial: s.Where, text: s.Text}
			c.schema.indexes[key(tldwdblint.Name{Name: s.Name.Name, Text: s.Name.Text})] = x
			if t := c.schema.table(s.Table); t != nil && c.schema.full {
				t.indexes = append(t.indexes, x)
			}
		}
	case "DROP INDEX":
		for _, n := range s.Names {
			if c.schema.full {
				c.schema.dropIndex(s.Table, n)
			}
			delete(c.schema.indexes, strings.ToLower(n.Name))
		}
	case "CREATE TRIGGER":
		if c.schema.full {
			c.schema.triggers[key(s.Name)] = trigger{name: s.Name, table: key(s.Table), words: c.words(s), text: s.Text}
		}
	case "DROP TRIGGER":
		for _, n := range s.Names {
			delete(c.schema.triggers, key(n))
		}
	case "CREATE TYPE":
		c.schema.types[key(s.Name)] = true
	case "CREATE DOMAIN":
		if hasWords(s, "CHECK") || hasWords(s, "NOT", "NULL") {
			c.schema.domains[key(s.Name)] = true
		}
	case "CREATE POLICY":
		c.schema.policies[key(s.Table)] = true
	case "CREATE VIEW", "CREATE MATERIALIZED VIEW":
		c.schema.views[key(s.Name)] = c.words(s)
	case "DROP VIEW", "DROP MATERIALIZED VIEW":
		for _, n := range s.Names {
			delete(c.schema.views, key(n))
		}
	}
}

// words are those of a statement behind what has been read of it, in small letters and without quotes.
func (c *check) words(s *stmt) (list []string) {
	for _, t := range s.toks[min(s.rest, len(s.toks)):] {
		list = append(list, strings.ToLower(t.Name(c.options.Dialect)))
	}
	return list
}

// dropIndex forgets an index. MySQL names its table, and has it among the constraints too; for SQLite the name is enough.
func (s *schema) dropIndex(table, name tldwdblint.Name) {
	t := s.table(table)
	if x := s.indexes[strings.ToLower(name.Name)]; table.IsZero() && x != nil {
		t = s.tables[x.table]
	}
	if t == nil {
		return
	}
	t.indexes = slices.DeleteFunc(t.indexes, func(x *index) bool { return strings.EqualFold(x.name.Name, name.Name) })
	t.constraints = slices.DeleteFunc(t.constraints, func(c constraint) bool { return strings.EqualFold(c.Name.Name, name.Name) })
}

// renamed is the new name with the schema of the old one.
func renamed(old, name tldwdblint.Name) tldwdblint.Name {
	if name.Schema == "" {
		name.Schema = old.Schema
	}
	return name
}

func (s *schema) rename(old, name tldwdblint.Name) {
	t := s.table(old)
	if t == nil {
		return
	}
	name = renamed(old, name)
	delete(s.tables, key(old))
	t.name = name
	s.tables[key(name)] = t
	for _, x := range s.indexes {
		if x.table == key(old) {
			x.table = key(name)
		}
	}
	for n, tr := range s.triggers {
		if tr.table == key(old) {
			tr.table = key(name)
			s.triggers[n] = tr
		}
	}
	for i := range t.columns {
		s.child(t, t.columns[i].references)
	}
	for i := range t.constraints {
		s.child(t, t.constraints[i].References)
	}
}

// child notes that a table refers to another one.
func (s *schema) child(t *table, parent tldwdblint.Name) {
	if s.full && !parent.IsZero() {
		s.children[key(parent)] = append(s.children[key(parent)], key(t.name))
	}
}

// alter takes one action into a table.
func (s *schema) alter(t *table, a *tldwdblint.Action) {
	switch a.Kind {
	case tldwdblint.ActionAddColumn:
		c := &a.Column
		t.columns = append(t.columns, column{
			name: c.Name, kind: c.Type, notNull: c.NotNull || c.PrimaryKey || c.Identity, primaryKey: c.PrimaryKey, unique: c.Unique, check: c.Check, references: c.References,
			said: s.definition(a),
		})
		s.child(t, c.References)
	case tldwdblint.ActionDropColumn:
		t.columns = slices.DeleteFunc(t.columns, func(c column) bool { return strings.EqualFold(c.name, a.Column.Name) })
		t.constraints = slices.DeleteFunc(t.constraints, func(c constraint) bool {
			return slices.ContainsFunc(c.Columns, func(name string) bool { return strings.EqualFold(name, a.Column.Name) })
		})
	case tldwdblint.ActionAlterType:
		c := t.known(a.Column.Name)
		c.kind = a.Column.Type
		if s.full { // MODIFY and CHANGE say all anew, but for the keys
			primary, unique := c.primaryKey || a.Column.PrimaryKey, c.unique || a.Column.Unique
			c.said = s.definition(a)
			c.primaryKey, c.unique, c.notNull = primary, unique, primary || a.Column.NotNull
			c.said.PrimaryKey, c.said.Unique, c.said.NotNull = primary, unique, c.notNull
		}
		if !a.NewName.IsZero() {
			t.renameColumn(a.Column.Name, a.NewName.Name)
		}
	case tldwdblint.ActionSetNotNull, tldwdblint.ActionDropNotNull:
		c := t.known(a.Column.Name)
		if c.notNull = a.Kind == tldwdblint.ActionSetNotNull; c.said != nil {
			c.said.NotNull = c.notNull
		}
	case tldwdblint.ActionRenameColumn:
		t.renameColumn(a.Column.Name, a.NewName.Name)
	case tldwdblint.ActionAddConstraint:
		t.constraints = append(t.constraints, constraint{a.Constraint, !a.Constraint.NotValid})
		s.child(t, a.Constraint.References)
	case tldwdblint.ActionAddIndex:
		t.constraints = append(t.constraints, constraint{a.Constraint, true})
	case tldwdblint.ActionDropIndex:
		s.dropIndex(t.name, a.Constraint.Name)
	case tldwdblint.ActionDropConstraint:
		t.constraints = slices.DeleteFunc(t.constraints, func(c constraint) bool {
			if a.Constraint.Name.IsZero() { // MySQL's DROP PRIMARY KEY
				return c.Kind == a.Constraint.Kind
			}
			return strings.EqualFold(c.Name.Name, a.Constraint.Name.Name)
		})
	case tldwdblint.ActionValidateConstraint:
		if c := t.constraint(a.Constraint.Name.Name); c != nil {
			c.valid = true
		}
	case tldwdblint.ActionRenameTable:
		s.rename(t.name, a.NewName)
	case tldwdblint.ActionAttachPartition:
		if strings.HasSuffix(upper(a.Text), " DEFAULT") {
			t.rest = a.NewName
		}
	}
}

// definition is what an action says of a column, where that is kept.
func (s *schema) definition(a *tldwdblint.Action) *definition {
	if !s.full {
		return nil
	}
	if len(s.definitions) == cap(s.definitions) { // many in one piece of memory; the old ones stay where they are
		s.definitions = make([]definition, 0, 64)
	}
	s.definitions = append(s.definitions, definition{Column: a.Column, text: a.Text})
	d := &s.definitions[len(s.definitions)-1]
	d.NotNull = d.NotNull || d.PrimaryKey || d.Identity
	return d
}

// renameColumn gives a column another name, in the constraints too.
func (t *table) renameColumn(old, name string) {
	if c := t.column(old); c != nil {
		c.name = name
		if c.said != nil {
			c.said.Name = name
		}
	}
	for i := range t.constraints {
		for k, column := range t.constraints[i].Columns {
			if strings.EqualFold(column, old) {
				t.constraints[i].Columns[k] = name
			}
		}
	}
}
