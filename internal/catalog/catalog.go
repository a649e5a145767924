// Package catalog describes what is in a database as text, one text for each
// object, and compares two descriptions. Two databases that mean the same have
// the same description, whichever road led there: nothing in it depends on when
// an object was made, under which database's name, or in how many steps.
//
// What counts and what does not:
//
//   - The order of a table's columns counts: it shows in SELECT *, and an INSERT
//     … SELECT * of a later migration would put values into the wrong columns.
//     [Options.AnyColumnOrder] says that it does not.
//   - The order of keys, constraints and table options does not count.
//   - The names of constraints count on servers, where a later ALTER TABLE names
//     them, and not in SQLite, where nothing can.
//   - Rows, the next number of a sequence, owners, definers and rights do not
//     count: they are the installation's.
//   - Bodies of routines are compared as they were written.
//
// Objects that belong to an extension, and those of the server itself, are not
// described.
package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Options say what a description leaves out.
type Options struct {
	// Ignore lists objects to leave out, with all that belongs to them, such as
	// the indexes of a table. Each is a name or a pattern as [path.Match] has them,
	// for the whole name (audit.*) or for the part after the schema
	// (alembic_version). Upper and lower case are one.
	Ignore []string
	// AnyColumnOrder takes tables for equal whose columns stand in another order.
	AnyColumnOrder bool
	// Database is the name of the database that this one stands for. On MySQL routines
	// and triggers may name their own database, and a copy of it names the original.
	Database string
}

// Check returns an error that names the first pattern that is none.
func (o Options) Check() error {
	for _, pattern := range o.Ignore {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("the pattern %q cannot be read: a [ needs its ], and a \\ something behind it", pattern)
		}
	}
	return nil
}

// ignored reports whether the options leave out an object of that name.
func (o Options) ignored(name string) bool {
	name = strings.ToLower(name)
	bare := name[strings.Index(name, ".")+1:]
	return slices.ContainsFunc(o.Ignore, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		whole, _ := path.Match(pattern, name) // Check has read the patterns
		part, _ := path.Match(pattern, bare)
		return whole || part
	})
}

// Object is one object of a database.
type Object struct {
	Kind string // such as "table" or "materialized view"
	Name string // with its schema on PostgreSQL, with its arguments for a routine there
	Of   string // name of the table that it belongs to, empty for none
	Text string // what it is, in lines

	Columns []Column // the first lines of Text, where it is a table
}

// Column is a column of a table.
type Column struct {
	// Name is set where Text does not say where it ends: SQLite's has no quotes.
	Name string
	Text string // the line, with the name first
}

// Catalog is what is in a database, sorted by kind and name.
type Catalog []Object

// Read describes the database that c is connected to. It changes nothing, and
// leaves the session as it was. It must not be called inside a transaction.
//
// It costs one statement on SQLite, and one in a transaction of its own on
// PostgreSQL. MySQL and MariaDB tell the whole truth about an object only by
// SHOW CREATE, so that each costs a statement there.
func Read(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (Catalog, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	b := &builder{options: o, drafts: map[identity]*draft{}}
	var err error
	switch d.Name() {
	case dialect.NameSQLite:
		err = readSQLite(ctx, c, b)
	case dialect.NamePostgres:
		err = readPostgres(ctx, d, c, b)
	default:
		err = readMySQL(ctx, d, c, b)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	return b.catalog(), nil
}

// builder collects the lines of each object.
type builder struct {
	options Options
	drafts  map[identity]*draft
}

// identity is what no two objects have in common.
type identity struct{ kind, name string }

// draft is an object in the making.
type draft struct {
	of    string
	lines []line
}

// line is one line of an object. Columns have their place as order; what has no
// order of its own has the order unordered, and is sorted by its text.
type line struct {
	order int
	text  string
	name  string // of a column; see [Column]
}

// unordered is greater than the number of columns of any table.
const unordered = 1 << 20

// add adds a line to an object, which is made by its first one. An empty text
// adds no line.
func (b *builder) add(kind, name, of string, order int, text string) {
	b.addLine(kind, name, of, line{order: order, text: text})
}

func (b *builder) addLine(kind, name, of string, l line) {
	if b.options.ignored(name) || of != "" && b.options.ignored(of) {
		return
	}
	key := identity{kind, name}
	d := b.drafts[key]
	if d == nil {
		d = &draft{of: of}
		b.drafts[key] = d
	}
	if l.text == "" {
		return
	}
	if l.order < unordered && b.options.AnyColumnOrder {
		l.order = 0
	}
	d.lines = append(d.lines, l)
}

func (b *builder) catalog() Catalog {
	list := make(Catalog, 0, len(b.drafts))
	for key, d := range b.drafts {
		slices.SortFunc(d.lines, func(a, b line) int {
			return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.text, b.text))
		})
		texts := make([]string, len(d.lines))
		var columns []Column
		for i, l := range d.lines {
			texts[i] = l.text
			if l.order < unordered {
				columns = append(columns, Column{l.name, l.text})
			}
		}
		list = append(list, Object{Kind: key.kind, Name: key.name, Of: d.of, Text: strings.Join(texts, "\n"), Columns: columns})
	}
	slices.SortFunc(list, compareObjects)
	return list
}

func compareObjects(a, b Object) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// Empty reports whether nothing was made in the database yet. Schemas and
// extensions may be there before.
func (c Catalog) Empty() bool { return !slices.ContainsFunc(c, Object.Made) }

// Made reports whether the object is more than the ground on which others are made,
// or a comment on that.
func (o Object) Made() bool {
	return !slices.Contains([]string{"schema", "extension", "database", "comment"}, o.Kind)
}

// Schema is the schema that an object is in; empty where it is in none, as on MySQL and
// SQLite, or where it belongs to the database as a whole.
func (c Catalog) Schema(o Object) string {
	longest := ""
	for _, s := range c {
		if s.Kind == "schema" && len(s.Name) > len(longest) && strings.HasPrefix(cmp.Or(o.Of, o.Name), s.Name+".") {
			longest = s.Name
		}
	}
	return longest
}

// find returns the object with the kind and name of o.
func (c Catalog) find(o Object) (Object, bool) {
	i, found := slices.BinarySearchFunc(c, o, compareObjects)
	if !found {
		return Object{}, false
	}
	return c[i], true
}

// relations are the kinds of object that others can belong to.
var relations = []string{"table", "view", "materialized view", "foreign table", "type"}

// has reports whether there is a relation of that name.
func (c Catalog) has(name string) bool {
	return name != "" && slices.ContainsFunc(relations, func(kind string) bool {
		_, found := c.find(Object{Kind: kind, Name: name})
		return found
	})
}

// Without returns the catalog without the objects that other names by kind and
// name, and without what belongs to such a one.
func (c Catalog) Without(other []Difference) Catalog {
	gone := func(o Object) bool {
		return slices.ContainsFunc(other, func(d Difference) bool {
			return d.Kind == o.Kind && d.Name == o.Name || o.Of != "" && d.Name == o.Of
		})
	}
	return slices.DeleteFunc(slices.Clone(c), gone)
}
