package trace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file puts rows where none are: a server does not rewrite, read or refuse what is
// not there.

// invented is how many rows a table gets. With one, a value that has to differ would
// not be seen.
const invented = 3

// Fill puts a few rows into tables that have none, as far as values can be invented
// which the table takes, and returns the names of those that have got some. Tables whose
// names skip holds are left out. named are the names that matter, in lower case, as
// [Names] has them, and nil for all: these tables are filled, and those that their
// references lead to. Each table has a transaction of its own, and the session is not as
// it was.
func Fill(ctx context.Context, d dialect.Dialect, c *sql.Conn, skip []string, named map[string]bool) (filled []string, err error) {
	rows, err := portable.OpenRows(ctx, d, c, portable.Options{Skip: skip})
	if err != nil {
		return nil, err
	}
	v, err := newInventor(ctx, d, c, rows)
	if err != nil {
		return nil, err
	}
	for _, t := range wanted(rows, named) {
		has, err := rows.HasRows(ctx, t)
		if err == nil && !has && v.fillSomehow(ctx, d, c, t) {
			filled = append(filled, t.Name)
		}
		if ctx.Err() != nil {
			return filled, ctx.Err()
		}
	}
	return filled, nil
}

// Empty takes the rows of these tables out again. It fails where something refers to
// them that does not go with them.
func Empty(ctx context.Context, d dialect.Dialect, c *sql.Conn, filled []string) error {
	for _, name := range slices.Backward(filled) {
		schema, table := "", name
		if d.Name() == dialect.NamePostgres {
			if s, t, ok := strings.Cut(name, "."); ok {
				schema, table = s, t
			}
		}
		err := inTransaction(ctx, d, c, func() error {
			_, err := c.ExecContext(ctx, "DELETE FROM "+d.Qualify(schema, table))
			return err
		})
		if err != nil && !d.IsNoTable(err) { // else the migration has given it another name
			return fmt.Errorf("taking out the rows of %s: %w", name, err)
		}
	}
	return nil
}

func inTransaction(ctx context.Context, d dialect.Dialect, c *sql.Conn, work func() error) error {
	begin := "BEGIN"
	if d.Name() == dialect.NameMySQL {
		begin = "START TRANSACTION"
	}
	_, err := c.ExecContext(ctx, begin)
	for _, text := range portable.Settings(d) {
		if err == nil {
			_, err = c.ExecContext(ctx, text)
		}
	}
	if err == nil {
		err = work()
	}
	if err == nil {
		_, err = c.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, backErr := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		if d.Name() == dialect.NameSQLite && backErr != nil { // it has done so already
			backErr = nil
		}
		return errors.Join(err, backErr)
	}
	return nil
}

// wanted are the tables to fill, in the order of their references.
func wanted(rows *portable.Rows, named map[string]bool) []*portable.Table {
	is := map[*portable.Table]bool{}
	var want func(t *portable.Table)
	want = func(t *portable.Table) {
		if t == nil || is[t] {
			return
		}
		is[t] = true
		for _, f := range rows.ForeignKeys(t) {
			want(f.Table)
		}
	}
	for _, t := range rows.Tables() {
		if name := strings.ToLower(t.Name); named == nil || named[name[strings.LastIndex(name, ".")+1:]] {
			want(t)
		}
	}
	return slices.DeleteFunc(slices.Clone(rows.Tables()), func(t *portable.Table) bool { return !is[t] })
}

// fillSomehow tries what is likely to fit: texts that rules about lengths take; texts
// that are numbers, which JSON is too; a single row, where every value has to be another
// one. What a CHECK or a trigger wants beyond that nobody can guess.
func (v *inventor) fillSomehow(ctx context.Context, d dialect.Dialect, c *sql.Conn, t *portable.Table) bool {
	for _, try := range []struct {
		rows  int
		short bool
	}{{invented, false}, {invented, true}, {1, true}} {
		v.short = try.short
		if v.fill(ctx, d, c, t, try.rows) {
			return true
		}
	}
	return false
}

// fill puts n rows into a table, and reports whether it has taken them.
func (v *inventor) fill(ctx context.Context, d dialect.Dialect, c *sql.Conn, t *portable.Table, n int) bool {
	var m made
	for i := range n {
		columns, row, ok := v.row(t, i)
		if !ok || i > 0 && len(columns) != len(m.columns) {
			return false
		}
		m.columns, m.rows = columns, append(m.rows, row)
	}
	if inTransaction(ctx, d, c, func() error { return v.rows.Insert(ctx, t, m.columns, m.rows) }) != nil {
		return false
	}
	v.given[t] = m
	return true
}

// inventor makes rows up.
type inventor struct {
	rows  *portable.Rows
	enums map[string]string // PostgreSQL: a label of each type
	given map[*portable.Table]made
	short bool // texts are digits
}

// made are the rows of a table.
type made struct {
	columns []*portable.Column
	rows    [][]portable.Cell
}

const pgEnums = "SELECT pg_catalog.format_type(e.enumtypid, NULL), min(e.enumlabel)::text FROM pg_catalog.pg_enum e GROUP BY e.enumtypid"

func newInventor(ctx context.Context, d dialect.Dialect, c *sql.Conn, rows *portable.Rows) (*inventor, error) {
	v := &inventor{rows: rows, enums: map[string]string{}, given: map[*portable.Table]made{}}
	if d.Name() != dialect.NamePostgres {
		return v, nil
	}
	var name, label string
	err := each(ctx, c, pgEnums, d.QueryArgs(), []any{&name, &label}, func() { v.enums[name] = label })
	return v, err
}

// row makes row n of a table. A reference leads to a row that was made before. Columns
// for which there is no value are NULL, or have their defaults; where neither may be,
// there is no row.
func (v *inventor) row(t *portable.Table, n int) (columns []*portable.Column, row []portable.Cell, ok bool) {
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Generated || c.Auto && !slices.Contains(t.Key, c.Name) {
			continue
		}
		in, found := v.referred(t, c, n)
		if !found {
			in, found = v.value(c, n)
		}
		cell, _, err := c.Cell(nil, in)
		if !found || err != nil {
			if c.Wanted() {
				return nil, nil, false
			}
			continue
		}
		columns, row = append(columns, c), append(row, cell)
	}
	return columns, row, len(columns) > 0
}

// referred is the value of a column that refers to another table: NULL where nothing
// is there to refer to.
func (v *inventor) referred(t *portable.Table, c *portable.Column, n int) (in portable.Input, is bool) {
	for _, f := range v.rows.ForeignKeys(t) {
		at := slices.Index(f.Columns, c.Name)
		if at < 0 {
			continue
		}
		if f.Table != nil {
			parent := v.given[f.Table]
			for k, column := range parent.columns {
				if column.Name == f.To[at] {
					return parent.rows[n%len(parent.rows)][k].Input(column), true
				}
			}
		}
		return portable.Input{Null: true}, true
	}
	return in, false
}

// value is value n of a column's kind.
func (v *inventor) value(c *portable.Column, n int) (portable.Input, bool) {
	digit := strconv.Itoa(n + 1)
	text := func(s string) (portable.Input, bool) {
		return portable.Input{Kind: portable.KindText, Text: []byte(s)}, true
	}
	of := func(s string) (portable.Input, bool) { return portable.Input{Kind: c.Kind, Text: []byte(s)}, true }
	if label := v.enums[c.Type]; label != "" {
		return text(label)
	}
	switch c.Kind {
	case portable.KindBool:
		return of([]string{"t", "f"}[n%2])
	case portable.KindInt, portable.KindFloat32, portable.KindFloat64, portable.KindDecimal:
		return of(digit)
	case portable.KindAny:
		return portable.Input{Kind: portable.KindInt, Text: []byte(digit)}, true
	case portable.KindText, portable.KindChar:
		if kind, labels, ok := strings.Cut(c.Type, "('"); ok && (strings.EqualFold(kind, "enum") || strings.EqualFold(kind, "set")) {
			label, _, _ := strings.Cut(labels, "'")
			return text(label)
		}
		if long, is := text("made up " + digit); !v.short && is {
			if _, _, err := c.Cell(nil, long); err == nil {
				return long, true
			}
		}
		return text(digit)
	case portable.KindBytes:
		return of(`\x0` + digit)
	case portable.KindDate:
		return of("2026-01-0" + digit)
	case portable.KindTime:
		return of("10:00:0" + digit)
	case portable.KindTimestamp:
		return of("2026-01-0" + digit + " 10:00:00")
	case portable.KindTimestampTZ:
		return of("2026-01-0" + digit + " 10:00:00+00")
	case portable.KindJSON:
		return of("{}")
	case portable.KindUUID:
		return of("00000000-0000-4000-8000-00000000000" + digit)
	}
	switch {
	case strings.HasSuffix(c.Type, "[]"):
		return of("{}")
	case strings.HasSuffix(c.Type, "range"):
		return of("empty")
	case c.Type == "interval":
		return of(digit + " days")
	case c.Type == "inet":
		return of("127.0.0." + digit)
	}
	return portable.Input{}, false
}
