package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"github.com/jackc/pgx/v5"

	"github.com/tldw/tldwdb/internal/schemadiff"
)

// planChanges lists the statements that turn one PostgreSQL schema into another, by
// Atlas. It is here because nothing that services link should bring Atlas along. What
// Atlas does not know (views, triggers, routines, policies) is none of its statements
// either: diff compares the outcome with what was wanted, and refuses to write less.
func planChanges(ctx context.Context, from, to *sql.Conn, ignore []string) ([]string, error) {
	driver, err := postgres.Open(from)
	if err != nil {
		return nil, err
	}
	other, err := postgres.Open(to)
	if err != nil {
		return nil, err
	}
	a, err := inspect(ctx, driver, from, ignore)
	if err != nil {
		return nil, err
	}
	b, err := inspect(ctx, other, to, ignore)
	if err != nil {
		return nil, err
	}
	markQuotes(a)
	markQuotes(b)
	grownEnums(a, b)
	list, err := renumbered(ctx, from, to, a, b)
	if err != nil {
		return nil, err
	}
	list = append(list, recomputed(a, b)...)
	var changes []schema.Change
	options := []migrate.PlanOption{func(o *migrate.PlanOptions) { o.Indent = "  " }}
	if oneSchema(a, b) {
		changes, err = driver.SchemaDiff(a.Schemas[0], b.Schemas[0], schema.DiffNormalized())
		options = append(options, func(o *migrate.PlanOptions) { o.SchemaQualifier = new(string) })
	} else {
		changes, err = driver.RealmDiff(a, b, schema.DiffNormalized())
	}
	if err != nil {
		return nil, fmt.Errorf("comparing the schemas: %w", err)
	}
	withDefaults(changes)
	if changes, err = withUsing(ctx, from, to, changes); err != nil {
		return nil, err
	}
	plainActions(a)
	plainActions(b)
	plan, err := driver.PlanChanges(ctx, "diff", changes, options...)
	if err != nil {
		return nil, fmt.Errorf("planning the changes: %w", err)
	}
	for _, change := range plan.Changes {
		text := strings.TrimSuffix(strings.TrimSpace(change.Cmd), ";")
		for _, torn := range []string{"ADD \nCONSTRAINT", "ADD\nCONSTRAINT"} { // by the indentation, which is for CREATE TABLE
			text = strings.ReplaceAll(text, torn, "ADD CONSTRAINT")
		}
		list = append(list, text)
	}
	for i, text := range list {
		list[i] = quotesDoubled(text)
	}
	return list, nil
}

// oneSchema reports whether there is one schema alone: then, as people write it, no
// statement names it.
func oneSchema(a, b *schema.Realm) bool {
	return len(a.Schemas) == 1 && len(b.Schemas) == 1 && a.Schemas[0].Name == b.Schemas[0].Name
}

// qualifier quotes the names of what is in a schema.
func qualifier(a, b *schema.Realm, s *schema.Schema) func(name string) string {
	return func(name string) string {
		if oneSchema(a, b) {
			return pgx.Identifier{name}.Sanitize()
		}
		return pgx.Identifier{s.Name, name}.Sanitize()
	}
}

// withDefaults sets the default again of every column that gets another type: the old
// one stays a value of the old type, and Atlas takes 'x' for 'x'.
func withDefaults(changes []schema.Change) {
	for _, change := range changes {
		table, ok := change.(*schema.ModifyTable)
		if !ok {
			continue
		}
		for _, change := range table.Changes {
			if c, ok := change.(*schema.ModifyColumn); ok && c.Change.Is(schema.ChangeType) && c.To.Default != nil {
				c.Change |= schema.ChangeDefault
			}
		}
	}
}

// grownEnums hides the enums that lose values: internal/schemadiff makes those anew.
func grownEnums(a, b *schema.Realm) {
	wanted := map[string][]string{}
	for _, s := range b.Schemas {
		for _, o := range s.Objects {
			if e, ok := o.(*schema.EnumType); ok {
				wanted[s.Name+"."+e.T] = e.Values
			}
		}
	}
	hide := func(s *schema.Schema, t any) {
		e, ok := t.(*schema.EnumType)
		if values, known := []string(nil), false; ok {
			if e.Schema != nil {
				s = e.Schema
			}
			if values, known = wanted[s.Name+"."+e.T]; known && !schemadiff.GrownEnum(e.Values, values) {
				e.Values = values
			}
		}
	}
	for _, s := range a.Schemas {
		for _, o := range s.Objects {
			hide(s, o)
		}
		for _, t := range s.Tables {
			for _, c := range t.Columns {
				hide(s, c.Type.Type)
			}
		}
	}
}

// recomputed drops the columns that are computed in another way, or of columns of
// another type: no server changes these in place, and Atlas refuses. They are taken out
// of a, with the indexes that go with them, so that Atlas makes both anew.
func recomputed(a, b *schema.Realm) (drops []string) {
	for _, s := range a.Schemas {
		for _, t := range s.Tables {
			wanted := tableOf(b, s.Name, t.Name)
			if wanted == nil {
				continue
			}
			for _, c := range slices.Clone(t.Columns) {
				to, ok := wanted.Column(c.Name)
				if !ok || !stale(t, wanted, c, to) {
					continue
				}
				drops = append(drops, "ALTER TABLE "+qualifier(a, b, s)(t.Name)+" DROP COLUMN "+pgx.Identifier{c.Name}.Sanitize())
				t.Columns = slices.DeleteFunc(t.Columns, func(o *schema.Column) bool { return o == c })
				t.Indexes = slices.DeleteFunc(t.Indexes, func(i *schema.Index) bool {
					return slices.ContainsFunc(i.Parts, func(p *schema.IndexPart) bool { return p.C == c })
				})
			}
		}
	}
	return drops
}

// stale reports whether a computed column cannot stay as it is.
func stale(from, to *schema.Table, was, will *schema.Column) bool {
	var is, wanted schema.GeneratedExpr
	if !has(was, &is) {
		return has(will, &wanted)
	}
	if has(will, &wanted) && is.Expr != wanted.Expr {
		return true
	}
	return slices.ContainsFunc(from.Columns, func(c *schema.Column) bool {
		o, ok := to.Column(c.Name)
		return strings.Contains(is.Expr, c.Name) && ok && typeOf(c) != typeOf(o)
	})
}

// typeOf is empty for a type that Atlas does not know.
func typeOf(c *schema.Column) string {
	text, err := postgres.FormatType(c.Type.Type)
	if err != nil {
		return ""
	}
	return text
}

func has(c *schema.Column, expr *schema.GeneratedExpr) bool {
	for _, attr := range c.Attrs {
		if g, ok := attr.(*schema.GeneratedExpr); ok {
			*expr = *g
			return true
		}
	}
	return false
}

func tableOf(realm *schema.Realm, in, name string) *schema.Table {
	if s, ok := realm.Schema(in); ok {
		if t, ok := s.Table(name); ok {
			return t
		}
	}
	return nil
}

// withUsing says how values become those of another type where the server does not know
// by itself: text that holds numbers, or an enum. A value that does not fit makes the
// migration fail. The old default is in the way then, and goes first.
func withUsing(ctx context.Context, from, to *sql.Conn, changes []schema.Change) (list []schema.Change, err error) {
	for _, change := range changes {
		table, ok := change.(*schema.ModifyTable)
		if !ok {
			list = append(list, change)
			continue
		}
		first := &schema.ModifyTable{T: table.T}
		for _, change := range table.Changes {
			c, ok := change.(*schema.ModifyColumn)
			if !ok || !c.Change.Is(schema.ChangeType) {
				continue
			}
			expression, err := converted(ctx, from, to, table.T, c)
			if err != nil {
				return nil, fmt.Errorf("reading the type of %s.%s: %w", table.T.Name, c.To.Name, err)
			}
			if expression == "" {
				continue
			}
			c.Extra = append(c.Extra, &postgres.ConvertUsing{X: expression})
			if c.From.Default != nil {
				bare := *c.From
				bare.Default = nil
				first.Changes = append(first.Changes, &schema.ModifyColumn{From: c.From, To: &bare, Change: schema.ChangeDefault})
			}
		}
		if len(first.Changes) > 0 {
			list = append(list, first)
		}
		list = append(list, table)
	}
	return list, nil
}

// converted is a column's value as one of its new type; empty where the server converts
// it by itself. The length of the type is left out: a cast would cut what is longer.
func converted(ctx context.Context, from, to *sql.Conn, table *schema.Table, c *schema.ModifyColumn) (string, error) {
	const kind = `SELECT format_type(a.atttypid, -1), coalesce(e.typcategory, t.typcategory) = 'S' FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
		JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' WHERE n.nspname = $1 AND o.relname = $2 AND a.attname = $3`
	var was, is string
	var wasText, isText bool
	if err := from.QueryRowContext(ctx, kind, serverName(table.Schema.Name), serverName(table.Name), serverName(c.From.Name)).Scan(&was, &wasText); err != nil {
		return "", err
	}
	if err := to.QueryRowContext(ctx, kind, serverName(table.Schema.Name), serverName(table.Name), serverName(c.To.Name)).Scan(&is, &isText); err != nil {
		return "", err
	}
	value := pgx.Identifier{c.To.Name}.Sanitize()
	switch {
	case was == is, isText && !strings.HasSuffix(is, "[]"):
		return "", nil
	case strings.HasSuffix(was, "[]") != strings.HasSuffix(is, "[]"):
		return value + "::text::" + is, nil
	case isText:
		return "", nil
	}
	const casts = `SELECT count(*), count(*) FILTER (WHERE castcontext <> 'e') FROM pg_cast WHERE castsource = to_regtype($1) AND casttarget = to_regtype($2)`
	var can, alone int
	if err := to.QueryRowContext(ctx, casts, strings.TrimSuffix(was, "[]"), strings.TrimSuffix(is, "[]")).Scan(&can, &alone); err != nil {
		return "", err
	}
	switch {
	case alone > 0:
		return "", nil
	case can > 0, wasText:
		return value + "::" + is, nil
	}
	return value + "::text::" + is, nil
}

// plainActions leaves out what a foreign key does where nothing was said: Atlas would
// write NO ACTION twice behind each.
func plainActions(realm *schema.Realm) {
	for _, s := range realm.Schemas {
		for _, table := range s.Tables {
			for _, key := range table.ForeignKeys {
				for _, action := range []*schema.ReferenceOption{&key.OnUpdate, &key.OnDelete} {
					if *action == schema.NoAction {
						*action = ""
					}
				}
			}
		}
	}
}

// inspect reads a database, without the tables that are to be left out, by the
// patterns of our own comparison.
func inspect(ctx context.Context, driver migrate.Driver, conn *sql.Conn, ignore []string) (*schema.Realm, error) {
	realm, err := driver.InspectRealm(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ofDomains(ctx, conn, realm), withoutDeferred(ctx, conn, realm)); err != nil {
		return nil, err
	}
	for _, s := range realm.Schemas {
		s.Tables = slices.DeleteFunc(s.Tables, func(t *schema.Table) bool {
			return slices.ContainsFunc(ignore, func(pattern string) bool {
				pattern = strings.ToLower(pattern)
				whole, _ := path.Match(pattern, strings.ToLower(s.Name+"."+t.Name)) // diff has read the patterns
				bare, _ := path.Match(pattern, strings.ToLower(t.Name))
				return whole || bare
			})
		})
	}
	return realm, nil
}

// ofDomains tells Atlas of columns that are only not NULL because their domain is: to
// it, and to the standard's views that it reads, the column itself says so.
func ofDomains(ctx context.Context, conn *sql.Conn, realm *schema.Realm) error {
	return inTables(ctx, conn, realm, `SELECT n.nspname, o.relname, a.attname FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
		JOIN pg_type t ON t.oid = a.atttypid WHERE t.typtype = 'd' AND t.typnotnull AND NOT a.attnotnull AND o.relkind IN ('r', 'p')`, func(t *schema.Table, name string) {
		if c, ok := t.Column(name); ok {
			c.Type.Null = true
		}
	})
}

// withoutDeferred takes away the constraints that Atlas would write without what it
// does not know of them. internal/schemadiff writes these, as the server does.
func withoutDeferred(ctx context.Context, conn *sql.Conn, realm *schema.Realm) error {
	return inTables(ctx, conn, realm, `SELECT n.nspname, o.relname, k.conname FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_namespace n ON n.oid = o.relnamespace
		WHERE `+schemadiff.PostgresConstraints, func(t *schema.Table, name string) {
		key := func(k *schema.ForeignKey) bool { return k.Symbol == name }
		t.ForeignKeys = slices.DeleteFunc(t.ForeignKeys, key)
		t.Indexes = slices.DeleteFunc(t.Indexes, func(i *schema.Index) bool { return i.Name == name })
		for _, c := range t.Columns {
			c.ForeignKeys = slices.DeleteFunc(c.ForeignKeys, key)
			c.Indexes = slices.DeleteFunc(c.Indexes, func(i *schema.Index) bool { return i.Name == name })
		}
	})
}

// inTables calls f for each table and name that a query gives, as schema, table, name.
func inTables(ctx context.Context, conn *sql.Conn, realm *schema.Realm, query string, f func(t *schema.Table, name string)) (err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var in, table, name string
		if err := rows.Scan(&in, &table, &name); err != nil {
			return err
		}
		if t := tableOf(realm, in, table); t != nil {
			f(t, name)
		}
	}
	return rows.Err()
}
