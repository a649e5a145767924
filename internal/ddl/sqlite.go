package ddl

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
)

// SQLite writes the database that c is connected to.
//
// Tables come first, then rows, and behind them what is about rows, so that no
// trigger runs for them.
func SQLite(ctx context.Context, c *sql.Conn, o Options) (string, error) {
	objects, err := catalog.SQLiteObjects(ctx, c)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	var tables []string
	for _, object := range objects {
		if object.Kind == "table" && !o.excepts(object.Name) {
			b.WriteString(object.Text + ";\n\n")
			tables = append(tables, object.Name)
		}
	}
	for _, name := range tables {
		if o.Rows {
			if _, err := sqliteRows(ctx, c, &b, name); err != nil {
				return "", fmt.Errorf("table %s: %w", name, err)
			}
		}
	}
	if o.Rows {
		if err := sqliteCounters(ctx, c, &b, o); err != nil {
			return "", err
		}
	}
	for _, object := range objects {
		if statement := object.Text; object.Kind != "table" && !o.excepts(object.Of) {
			if strings.Contains(statement[strings.LastIndexByte(statement, '\n')+1:], "--") {
				statement += "\n" // it may end with a comment
			}
			b.WriteString(statement + ";\n\n")
		}
	}
	for _, setting := range []string{"user_version", "application_id"} {
		value, err := allTexts(ctx, c, "PRAGMA main."+setting)
		if err != nil {
			return "", err
		}
		if value[0][0] != "0" {
			fmt.Fprintf(&b, "PRAGMA %s = %s;\n\n", setting, value[0][0])
		}
	}
	return b.String(), nil
}

func sqliteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func sqliteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// sqliteRows writes the rows of a table, in the order of its key.
func sqliteRows(ctx context.Context, c *sql.Conn, b *strings.Builder, table string) (int, error) {
	var columns, values, order []string
	err := texts(ctx, c, "SELECT name FROM pragma_table_xinfo("+sqliteText(table)+", 'main') WHERE hidden = 0 ORDER BY cid", func(row []string) error {
		name := sqliteName(row[0])
		columns = append(columns, name)
		// quote ends a text at its first zero byte.
		values = append(values, "CASE WHEN typeof("+name+") = 'text' AND instr("+name+", char(0)) > 0 THEN 'CAST(X''' || hex("+name+") || ''' AS TEXT)' ELSE quote("+name+") END")
		order = append(order, name)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return rowsOf(ctx, c, b, "INSERT INTO "+sqliteName(table)+" ("+strings.Join(columns, ", ")+")",
		"SELECT "+strings.Join(values, ", ")+" FROM main."+sqliteName(table)+" ORDER BY "+strings.Join(order, ", "), true)
}

// sqliteCounters writes the highest numbers that AUTOINCREMENT has given out, as far as
// rows that were deleted had them: those that are there set them.
func sqliteCounters(ctx context.Context, c *sql.Conn, b *strings.Builder, o Options) error {
	there, err := allTexts(ctx, c, "SELECT name FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")
	if err != nil || len(there) == 0 {
		return err
	}
	return texts(ctx, c, "SELECT name, seq FROM main.sqlite_sequence ORDER BY name", func(row []string) error {
		if !o.excepts(row[0]) {
			fmt.Fprintf(b, "DELETE FROM sqlite_sequence WHERE name = %s;\nINSERT INTO sqlite_sequence (name, seq) VALUES (%[1]s, %s);\n\n", sqliteText(row[0]), row[1])
		}
		return nil
	})
}
