package schemadiff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/rebuild"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// SQLite keeps the statements that made its objects, so a schema is its own plan:
// what is new is made by the wanted statement, and a table that ALTER TABLE cannot
// change is rebuilt into it. Nothing that SQLite has is unknown to this.

// SQLiteSchema is what is in a SQLite database.
type SQLiteSchema struct {
	catalog catalog.Catalog
	objects []sqliteObject // in the order in which they were made
	columns map[string][]sqliteColumn
}

type sqliteObject struct{ kind, name, table, statement string }

type sqliteColumn struct {
	name      string
	notNull   bool
	standard  sql.NullString
	generated bool
}

const sqliteColumns = `SELECT t.name, c.name, c."notnull", c.dflt_value, c.hidden FROM pragma_table_list AS t, pragma_table_xinfo(t.name, 'main') AS c WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, c.cid`

// ReadSQLite reads the schema of a database. c is its catalogue, which says what is
// left out.
func ReadSQLite(ctx context.Context, conn *sql.Conn, c catalog.Catalog) (*SQLiteSchema, error) {
	s := &SQLiteSchema{catalog: c, columns: map[string][]sqliteColumn{}}
	objects, err := catalog.SQLiteObjects(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if s.text(o.Kind, o.Name) != "" {
			s.objects = append(s.objects, sqliteObject{o.Kind, o.Name, o.Of, o.Text})
		}
	}
	err = each(ctx, conn, sqliteColumns, func(rows *sql.Rows) error {
		var table string
		var hidden int
		var c sqliteColumn
		if err := rows.Scan(&table, &c.name, &c.notNull, &c.standard, &hidden); err != nil {
			return err
		}
		c.generated = hidden != 0
		s.columns[lower(table)] = append(s.columns[lower(table)], c)
		return nil
	})
	return s, err
}

// each calls row for each row of an answer.
func each(ctx context.Context, conn *sql.Conn, query string, row func(*sql.Rows) error, args ...any) (err error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// lower folds names as SQLite does.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// text is what the catalogue says about an object, or empty.
func (s *SQLiteSchema) text(kind, name string) string {
	for _, o := range s.catalog {
		if o.Kind == kind && o.Name == lower(name) {
			return o.Text
		}
	}
	return ""
}

// find is the object of a kind with a name, in any letters.
func (s *SQLiteSchema) find(kind, name string) (sqliteObject, bool) {
	i := slices.IndexFunc(s.objects, func(o sqliteObject) bool { return o.kind == kind && lower(o.name) == lower(name) })
	if i < 0 {
		return sqliteObject{}, false
	}
	return s.objects[i], true
}

func (s *SQLiteSchema) has(kind, name string) bool {
	_, found := s.find(kind, name)
	return found
}

// SQLite lists the statements that turn one schema into another, each as a
// migration has it, without its semicolon. They are for a transaction in which
// foreign keys are off.
func SQLite(from, to *SQLiteSchema) ([]string, error) {
	var list []string
	same := func(o sqliteObject) bool { return to.text(o.kind, o.name) == from.text(o.kind, o.name) }
	gone := goneViews(from, to)
	kept := func(o sqliteObject) bool {
		return from.has(o.kind, o.name) && same(o) && !gone[o.kind+" "+lower(o.name)]
	}
	// What names tables goes first, the newest first: a view may stand on another.
	for _, kind := range []string{"trigger", "view", "index", "table"} {
		for _, o := range slices.Backward(from.objects) {
			stays := to.has(o.kind, o.name) && (kind == "table" || kept(o))
			withTable := kind != "view" && kind != "table" && !to.has("table", o.table) && !to.has("view", o.table)
			withView := kind == "trigger" && gone["view "+lower(o.table)]
			if o.kind == kind && !stays && !withTable && !withView {
				list = append(list, "DROP "+strings.ToUpper(kind)+" "+quote(o.name))
			}
		}
	}
	for _, o := range to.objects {
		old, there := from.find("table", o.name)
		switch {
		case o.kind != "table" || there && same(o):
		case !there:
			list = append(list, o.statement)
		default:
			changed, err := alter(from, to, old, o)
			if err != nil {
				return nil, err
			}
			list = append(list, changed...)
		}
	}
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range to.objects {
			if o.kind == kind && !kept(o) {
				list = append(list, o.statement)
			}
		}
	}
	return list, nil
}

// goneViews are the views that go or change, by kind and name, and the views and triggers
// that name such a one: an ALTER TABLE reads all of them, and fails at one that names
// what is not there.
func goneViews(from, to *SQLiteSchema) map[string]bool {
	gone := map[string]bool{}
	for _, o := range from.objects {
		if o.kind == "view" && to.text(o.kind, o.name) != from.text(o.kind, o.name) {
			gone["view "+lower(o.name)] = true
		}
	}
	for again := len(gone) > 0; again; {
		again = false
		for _, o := range from.objects {
			key := o.kind + " " + lower(o.name)
			if o.kind != "view" && o.kind != "trigger" || gone[key] {
				continue
			}
			for _, t := range tokens(o.statement) {
				if gone["view "+lower(t.Name(sqlscan.SQLite))] {
					gone[key], again = true, true
					break
				}
			}
		}
	}
	return gone
}

// Lacking lists the columns of tables in both schemas that are new, may not be NULL, and
// have no default: the rows that are there have no value for them.
func (s *SQLiteSchema) Lacking(from *SQLiteSchema) (list []string) {
	for _, o := range s.objects {
		if o.kind != "table" || !from.has("table", o.name) {
			continue
		}
		for _, c := range s.columns[lower(o.name)] {
			is := func(other sqliteColumn) bool { return lower(other.name) == lower(c.name) }
			if c.notNull && !c.standard.Valid && !c.generated && !slices.ContainsFunc(from.columns[lower(o.name)], is) {
				list = append(list, o.name+"."+c.name)
			}
		}
	}
	return list
}

// alter changes a table: by columns at its end where that is enough, and otherwise
// by a rebuild.
func alter(from, to *SQLiteSchema, old, o sqliteObject) ([]string, error) {
	for _, statement := range []string{old.statement, o.statement} {
		if list := tokens(statement); len(list) > 1 && list[1].Is("VIRTUAL") {
			return nil, fmt.Errorf("the virtual table %s differs: nobody but its module can change it; drop it and make it again in a migration by hand", o.name)
		}
	}
	a, b := readTable(old.statement), readTable(o.statement)
	if list, ok := appended(a, b); ok {
		for i, column := range list {
			list[i] = "ALTER TABLE " + quote(o.name) + " ADD COLUMN " + column
		}
		return list, nil
	}
	if list, ok := appended(b, a); ok {
		for i, column := range list {
			list[i] = "ALTER TABLE " + quote(o.name) + " DROP COLUMN " + quote(firstName(column))
		}
		return list, nil
	}
	t := &rebuild.Table{Name: o.name, Create: o.statement}
	for _, c := range from.columns[lower(o.name)] {
		at := slices.IndexFunc(to.columns[lower(o.name)], func(other sqliteColumn) bool { return lower(other.name) == lower(c.name) })
		switch {
		case c.generated:
		case at < 0 || to.columns[lower(o.name)][at].generated:
			t.Drop = append(t.Drop, c.name)
		default:
			wanted := to.columns[lower(o.name)][at]
			if wanted.notNull && !c.notNull && wanted.standard.Valid {
				t.Columns = append(t.Columns, rebuild.Column{Name: wanted.name, From: "coalesce(" + quote(c.name) + ", " + wanted.standard.String + ")"})
			}
		}
	}
	return []string{"-- tldwdb: " + strings.Join(t.Directives(), "\n-- tldwdb: ") + "\n" + t.Create}, nil
}

// tableText is a CREATE TABLE in its parts.
type tableText struct {
	columns     []string // as they are written
	constraints []string
	options     string
	fine        bool
}

func readTable(statement string) (t tableText) {
	_, _, body := tableName(statement, sqlscan.Options{Dialect: sqlscan.SQLite})
	depth, begin := 0, 0
	add := func(end int) {
		text := statement[begin:end]
		list := tokens(text)
		if len(list) == 0 {
			return
		}
		last := list[len(list)-1]
		text = text[list[0].Offset : last.Offset+len(last.Text)] // without the comments around it
		if slices.ContainsFunc([]string{"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}, list[0].Is) {
			t.constraints = append(t.constraints, text)
			return
		}
		t.columns = append(t.columns, text)
	}
	for _, token := range tokens(statement) {
		switch {
		case token.Offset < body || t.fine:
		case token.Text == "(":
			if depth++; depth == 1 {
				begin = token.Offset + 1
			}
		case token.Text == ")":
			if depth--; depth == 0 {
				add(token.Offset)
				t.options = statement[token.Offset+1:]
				t.fine = true
			}
		case token.Text == "," && depth == 1:
			add(token.Offset)
			begin = token.Offset + 1
		}
	}
	return t
}

// appended are the columns that b has behind those of a, if that is all in which
// they differ, and ALTER TABLE can add them.
func appended(a, b tableText) ([]string, bool) {
	n := len(a.columns)
	if !a.fine || !b.fine || len(b.columns) <= n || plain(a.options) != plain(b.options) ||
		!slices.EqualFunc(a.constraints, b.constraints, equal) || !slices.EqualFunc(a.columns, b.columns[:n], equal) {
		return nil, false
	}
	list := slices.Clone(b.columns[n:])
	for _, column := range list {
		if !addable(column) {
			return nil, false
		}
	}
	return list, true
}

func equal(a, b string) bool { return plain(a) == plain(b) }

// addable reports whether ALTER TABLE can add a column to a table with rows, and take
// it away again.
func addable(column string) bool {
	var notNull, hasDefault bool
	list := tokens(column)
	for i, t := range list {
		switch {
		case t.Is("PRIMARY"), t.Is("UNIQUE"), t.Is("GENERATED"), t.Is("AS"), t.Is("REFERENCES"), t.Is("CHECK"), t.Is("CONSTRAINT"):
			return false
		case t.Is("NULL") && i > 0 && list[i-1].Is("NOT"):
			notNull = true
		case t.Is("DEFAULT") && i+1 < len(list):
			next := list[i+1]
			if next.Kind == sqlscan.Word && !next.Is("TRUE") && !next.Is("FALSE") || next.Text == "(" {
				return false
			}
			hasDefault = true
		}
	}
	return !notNull || hasDefault
}

// plain writes a text in one way: without comments and quotes of names, in small letters.
func plain(text string) string {
	var b strings.Builder
	for _, t := range tokens(text) {
		if t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent {
			b.WriteString(lower(t.Name(sqlscan.SQLite)))
		} else {
			b.WriteString(t.Text)
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func firstName(text string) string {
	for _, t := range tokens(text) {
		return t.Name(sqlscan.SQLite)
	}
	return ""
}

func tokens(text string) []sqlscan.Token {
	return slices.Collect(sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.SQLite}))
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
