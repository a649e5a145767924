package tldwdbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file invents rows. What a check wants nobody can read out of it in general: the
// texts that it names are tried, and a few values of each type.

// inventor writes a row into every table that has none.
type inventor struct {
	tb   TB
	d    dialect.Dialect
	own  []string
	told map[string]bool // tables for which none could be invented
}

func (v *inventor) fill(ctx context.Context, db *tldwdb.DB, _ int64) (err error) {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	objects, err := catalog.Read(ctx, v.d, conn.Conn, catalog.Options{Ignore: v.own})
	if err != nil {
		return err
	}
	rows, err := portable.OpenRows(ctx, v.d, conn.Conn, portable.Options{Skip: v.own})
	if err != nil {
		return err
	}
	labels, err := v.labels(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range rows.Tables() {
		var there int
		if err := dialect.QueryRow(ctx, conn, "SELECT COUNT(*) FROM (SELECT 1 FROM "+v.table(t)+" LIMIT 1) found", v.d.QueryArgs(), &there); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		if there > 0 {
			continue
		}
		if err := v.row(ctx, conn, rows, t, textsIn(objects, t.Name), labels); err != nil {
			if ctx.Err() != nil {
				return err
			}
			if !v.told[t.Name] {
				v.told[t.Name] = true
				v.tb.Logf("tldwdbtest: no row could be invented for table %s, which stays empty: %v", t.Name, err)
			}
		}
	}
	return nil
}

// table is a table's name in statements.
func (v *inventor) table(t *portable.Table) string {
	if schema, name, ok := strings.Cut(t.Name, "."); ok && v.d.Name() == dialect.NamePostgres {
		return v.d.Qualify(schema, name)
	}
	return v.d.Identifier(t.Name)
}

// labels are those of PostgreSQL's enums, by type.
func (v *inventor) labels(ctx context.Context, conn *sqlx.Conn) (map[string][]string, error) {
	list := map[string][]string{}
	if v.d.Name() != dialect.NamePostgres {
		return list, nil
	}
	var all []struct{ Type, Label string }
	err := conn.SelectContext(ctx, &all, "SELECT format_type(enumtypid, NULL) AS type, enumlabel AS label FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder")
	for _, l := range all {
		list[l.Type] = append(list[l.Type], l.Label)
	}
	return list, err
}

var quotedText = lazyregexp.New(`'((?:[^']|'')*)'`)

// textsIn are the texts that a table's checks name, by the line that they stand in.
func textsIn(objects catalog.Catalog, table string) (lines []string) {
	for _, o := range objects {
		if o.Kind != "table" || o.Name != table && !strings.HasSuffix(o.Name, "."+table) {
			continue
		}
		for line := range strings.Lines(o.Text) {
			if strings.Contains(strings.ToLower(line), "check") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// row inserts one row: it takes the first values that the database takes.
func (v *inventor) row(ctx context.Context, conn *sqlx.Conn, rows *portable.Rows, t *portable.Table, checks []string, labels map[string][]string) error {
	var columns []string
	var values [][]string
	tries := 1
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Generated || c.Auto {
			continue
		}
		list := v.values(c, checks, labels)
		if key, to := referenced(rows.ForeignKeys(t), c.Name); key != nil {
			list = []string{"(SELECT " + v.d.Identifier(to) + " FROM " + v.table(key) + " LIMIT 1)"}
			if key == t {
				list = []string{"NULL"}
				if c.NotNull {
					list = []string{"1"}
				}
			}
		}
		columns, values = append(columns, v.d.Identifier(c.Name)), append(values, list)
		tries = max(tries, len(list))
	}
	insert := "INSERT INTO " + v.table(t) + " (" + strings.Join(columns, ", ") + ") VALUES ("
	if len(columns) == 0 {
		insert = "INSERT INTO " + v.table(t) + " DEFAULT VALUES"
		if v.d.Name() == dialect.NameMySQL {
			insert = "INSERT INTO " + v.table(t) + " () VALUES ()"
		}
		_, err := conn.ExecContext(ctx, insert)
		return err
	}
	var first error
	for n := range tries {
		row := make([]string, len(values))
		for i, list := range values {
			row[i] = list[n%len(list)]
		}
		_, err := conn.ExecContext(ctx, insert+strings.Join(row, ", ")+")")
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// referenced is where a column's foreign key leads to.
func referenced(keys []portable.ForeignKey, column string) (table *portable.Table, to string) {
	for _, key := range keys {
		if i := slices.Index(key.Columns, column); i >= 0 && i < len(key.To) {
			return key.Table, key.To[i]
		}
	}
	return nil, ""
}

// values are literals for a column, the likeliest first.
func (v *inventor) values(c *portable.Column, checks []string, labels map[string][]string) (list []string) {
	text := func(words ...string) {
		for _, word := range words {
			list = append(list, v.d.Literal(word))
		}
	}
	text(labels[strings.TrimPrefix(c.Type, "public.")]...)
	if strings.HasPrefix(strings.ToLower(c.Type), "enum") || strings.HasPrefix(strings.ToLower(c.Type), "set(") {
		checks = append([]string{c.Name + c.Type}, checks...)
	}
	if c.Kind == portable.KindText || c.Kind == portable.KindChar || c.Kind == portable.KindOther || c.Kind == portable.KindAny {
		for _, line := range checks {
			if strings.Contains(line, c.Name) {
				for _, m := range quotedText.FindAllStringSubmatch(line, -1) {
					text(strings.ReplaceAll(m[1], "''", "'"))
				}
			}
		}
	}
	switch c.Kind {
	case portable.KindBool:
		list = append(list, "true", "false")
	case portable.KindInt, portable.KindDecimal, portable.KindFloat32, portable.KindFloat64, portable.KindAny:
		list = append(list, "1", "0", "2", "10", "100", "-1")
	case portable.KindBytes:
		list = append(list, map[string]string{dialect.NamePostgres: `'\x01'::bytea`}[v.d.Name()])
		if list[0] == "" {
			list[0] = "x'01'"
		}
	case portable.KindDate:
		text("2026-01-02")
	case portable.KindTime:
		text("03:04:05")
	case portable.KindTimestamp, portable.KindTimestampTZ:
		text("2026-01-02 03:04:05")
	case portable.KindJSON:
		text("{}", "[]")
	case portable.KindUUID:
		text("5f0c5e52-0f6c-4a52-9d63-1f0c5b8f2b11")
	case portable.KindOther:
		text("{}", "1 day", "127.0.0.1", "empty", "<a/>", "(0,0)", "0", "a")
	default:
		text("a", "1", "ab", "", "someone@example.org", "https://example.org/")
	}
	if !c.NotNull {
		list = append(list, "NULL")
	}
	return list
}
