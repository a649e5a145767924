// Package schemadoc makes of catalogues what a reader wants to know of a schema. All that
// it says comes from the text that internal/catalog has for each object, which is the same
// whichever road led to it; so it asks no database, and what it cannot place it shows as
// it is.
package schemadoc

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdbdocs"
)

// Step is what is there behind a migration.
type Step struct {
	Migration string
	Catalog   catalog.Catalog
}

// Describe makes a document of what now is there, and finds in steps, in the order in
// which the migrations run, from which of them it is. o is how the engine's text is read.
func Describe(o sqlscan.Options, now catalog.Catalog, steps []Step) *tldwdbdocs.Schema {
	d := &describer{options: o}
	var before *state
	for _, step := range steps {
		before = d.state(step.Catalog).from(before, step.Migration)
	}
	is := d.state(now).from(before, "")
	s := &tldwdbdocs.Schema{Migrations: []string{}, Tables: []tldwdbdocs.Table{}, Objects: []tldwdbdocs.Object{}}
	switch o.Dialect {
	case sqlscan.SQLite:
		s.Engine = dialect.NameSQLite
	case sqlscan.Postgres:
		s.Engine = dialect.NamePostgres
	default:
		s.Engine = dialect.NameMySQL
	}
	for _, step := range steps {
		s.Migrations = append(s.Migrations, step.Migration)
	}
	for _, name := range is.names {
		s.Tables = append(s.Tables, *is.tables[name])
	}
	for _, o := range is.objects {
		if t := is.tables[o.of]; t != nil {
			t.Objects = append(t.Objects, o.Object)
		} else if o.Kind != "database" {
			s.Objects = append(s.Objects, o.Object)
		}
	}
	for i := range s.Tables {
		s.Tables[i].Objects = append([]tldwdbdocs.Object{}, is.tables[s.Tables[i].Name].Objects...)
	}
	return s
}

// state is what a catalogue says.
type state struct {
	names   []string // of the tables, sorted
	tables  map[string]*tldwdbdocs.Table
	texts   map[string]string // of the tables: all that is said of one
	objects []object
}

type object struct {
	tldwdbdocs.Object
	of string
}

type describer struct {
	options sqlscan.Options
}

// isTable reports whether objects of that kind have columns to be shown.
func isTable(kind string) bool { return kind == "table" || kind == "foreign table" }

func (d *describer) state(c catalog.Catalog) *state {
	s := &state{tables: map[string]*tldwdbdocs.Table{}, texts: map[string]string{}}
	for _, o := range c {
		if isTable(o.Kind) {
			t := d.table(o)
			s.names, s.tables[o.Name], s.texts[o.Name] = append(s.names, o.Name), &t, o.Text
		}
	}
	slices.Sort(s.names)
	comments := map[string]string{} // by kind and name
	for _, o := range c {
		switch {
		case isTable(o.Kind):
		case o.Kind == "comment":
			if !s.comment(o) {
				comments[o.Name] = o.Text
			}
		default:
			s.objects = append(s.objects, object{tldwdbdocs.Object{Kind: o.Kind, Name: o.Name, Text: o.Text}, o.Of})
		}
	}
	for i := range s.objects {
		s.objects[i].Comment = comments[s.objects[i].Kind+" "+s.objects[i].Name]
	}
	return s
}

// comment puts a comment where it belongs, if that is a table or a column of one.
func (s *state) comment(o catalog.Object) bool {
	for _, name := range []string{o.Of, strings.TrimPrefix(o.Name, "table ")} {
		t := s.tables[name]
		if t == nil {
			continue
		}
		if o.Name == "table "+name {
			t.Comment = o.Text
			return true
		}
		column, is := strings.CutPrefix(o.Name, "table column "+name+".")
		if i := slices.IndexFunc(t.Columns, func(c tldwdbdocs.Column) bool { return c.Name == column }); is && i >= 0 {
			t.Columns[i].Comment = o.Text
			return true
		}
	}
	return false
}

// from says of everything in s since when it is there: for what was there before, as
// before; for the rest, since that migration. Without a migration what is new has no
// origin, and what differs keeps the one that it had.
func (s *state) from(before *state, migration string) *state {
	if before == nil {
		before = &state{}
	}
	since := func(was tldwdbdocs.Origin, there, same bool) tldwdbdocs.Origin {
		switch {
		case !there:
			return tldwdbdocs.Origin{Made: migration}
		case !same && migration != "":
			was.Changed = migration
		}
		return was
	}
	for name, t := range s.tables {
		old := before.tables[name]
		if old == nil {
			old = &tldwdbdocs.Table{}
		}
		_, there := before.tables[name]
		t.Origin = since(old.Origin, there, s.texts[name] == before.texts[name] && t.Comment == old.Comment)
		for i := range t.Columns {
			c := &t.Columns[i]
			k := slices.IndexFunc(old.Columns, func(o tldwdbdocs.Column) bool { return o.Name == c.Name })
			if k < 0 {
				c.Origin = since(tldwdbdocs.Origin{}, false, false)
				continue
			}
			was := old.Columns[k]
			then := was.Origin
			was.Origin = tldwdbdocs.Origin{}
			c.Origin = since(then, true, was == *c)
		}
	}
	for i := range s.objects {
		o := &s.objects[i]
		k := slices.IndexFunc(before.objects, func(b object) bool { return b.Kind == o.Kind && b.Name == o.Name })
		if k < 0 {
			o.Origin = since(tldwdbdocs.Origin{}, false, false)
			continue
		}
		was := before.objects[k]
		o.Origin = since(was.Origin, true, was.Text == o.Text && was.Comment == o.Comment)
	}
	return s
}
