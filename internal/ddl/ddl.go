// Package ddl writes a database as the SQL that makes it again: its schema, and if
// asked for its rows. The text is the same for the same database, whenever it is
// written.
//
// It is for schemas that migrations have made on a scratch database, and so for few
// rows; backups are internal/dump's. What it cannot write it does not guess:
// whoever uses it loads the text, and compares.
package ddl

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
)

// Options say what is written.
type Options struct {
	Except []string // tables to leave out, by name
	Rows   bool     // of the tables, too
}

func (o Options) excepts(table string) bool {
	return slices.ContainsFunc(o.Except, func(name string) bool { return strings.EqualFold(name, table) })
}

// Digests stand for the rows of each table of a SQLite, MySQL or MariaDB database, in
// whatever order the tables have them: how many there are, a blank, and a sum.
func Digests(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (map[string]string, error) {
	list := map[string]string{}
	if d.Name() != dialect.NameSQLite {
		_, err := mysql(ctx, d, c, o, list)
		return list, err
	}
	objects, err := catalog.SQLiteObjects(ctx, c)
	for _, object := range objects {
		name := object.Name
		if object.Kind != "table" || o.excepts(name) {
			continue
		}
		var b strings.Builder
		n, err := sqliteRows(ctx, c, &b, name)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		list[name] = digest(n, b.String())
	}
	return list, err
}

func digest(n int, text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprint(n, " ", hex.EncodeToString(sum[:8]))
}

// Enough of an INSERT, in bytes: every server takes one of that size.
const insertSize = 64 << 10

// inserts writes rows, several to a statement. next gives one row's literals, and nil
// behind the last one.
func inserts(b *strings.Builder, head string, next func() ([]string, error)) (n int, err error) {
	size := 0
	for ; ; n++ {
		values, err := next()
		if err != nil {
			return n, err
		}
		if values == nil {
			break
		}
		row := "(" + strings.Join(values, ", ") + ")"
		switch {
		case size == 0:
			b.WriteString(head + " VALUES\n" + row)
		case size > insertSize:
			b.WriteString(";\n\n" + head + " VALUES\n" + row)
			size = 0
		default:
			b.WriteString(",\n" + row)
		}
		size += len(row)
	}
	if size > 0 {
		b.WriteString(";\n\n")
	}
	return n, nil
}

// texts reads rows of texts; NULL is the word.
func texts(ctx context.Context, c *sql.Conn, query string, f func([]string) error) (err error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = "NULL"
			if v.Valid {
				list[i] = v.String
			}
		}
		if err := f(list); err != nil {
			return err
		}
	}
	return rows.Err()
}

// allTexts is texts, all at once.
func allTexts(ctx context.Context, c *sql.Conn, query string) (all [][]string, err error) {
	err = texts(ctx, c, query, func(row []string) error {
		all = append(all, row)
		return nil
	})
	return all, err
}

// rowsOf writes the rows that a query gives as literals, and counts them. Where the
// query has not sorted them it is done here.
func rowsOf(ctx context.Context, c *sql.Conn, b *strings.Builder, head, query string, sorted bool) (int, error) {
	all, err := allTexts(ctx, c, query)
	if err != nil {
		return 0, err
	}
	if !sorted {
		slices.SortFunc(all, slices.Compare)
	}
	return inserts(b, head, func() ([]string, error) {
		if len(all) == 0 {
			return nil, nil
		}
		row := all[0]
		all = all[1:]
		return row, nil
	})
}
