package dump

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/tldw/tldwdb/internal/dialect"
)

// The servers keep some texts of a table's definition in characters of up to three bytes,
// and the program writes what they show. What has a character of four bytes, such as 🎉,
// is a question mark behind a restore, without an error: labels of ENUM and SET on both,
// and plain defaults on MariaDB. Comments have lost it when they were made; expressions
// and the texts of views, routines, triggers and events keep it.

// lost refuses a dump that would lose values, and notes defaults, which count for rows
// that come later.
func (m *mysql) lost(ctx context.Context, mariaDB bool) (notes []string, err error) {
	conn, err := m.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := m.labels(ctx, conn); err != nil || !mariaDB {
		return nil, err
	}
	columns, err := tableColumns(ctx, conn, `c.column_default LIKE CONCAT(CHAR(39), '%?%') AND c.data_type NOT IN ('enum', 'set')`)
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		var lost bool // the server tells what a default is also where there is no row
		query := fmt.Sprintf("SELECT %s FROM (SELECT 1) q LEFT JOIN %s t ON FALSE", losing("DEFAULT(t."+m.Dialect.Identifier(c.name)+")"), m.Dialect.Identifier(c.table))
		if err := dialect.QueryRow(ctx, conn, query, nil, &lost); err != nil {
			return nil, fmt.Errorf("table %s: %w", c.table, err)
		}
		if lost {
			notes = append(notes, defaultNote(c.table, c.name))
		}
	}
	return notes, nil
}

func defaultNote(table, column string) string {
	return fmt.Sprintf("table %s, column %s: the default has a character of four bytes, which the server shows as a question mark: set it again behind a restore", table, column)
}

// column is one of a table.
type column struct{ table, name string }

// tableColumns are those of tables, and not of views, for which a condition is true.
func tableColumns(ctx context.Context, conn *sql.Conn, where string) (list []column, err error) {
	rows, err := conn.QueryContext(ctx, `SELECT c.table_name, c.column_name FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type <> 'VIEW'
		WHERE c.table_schema = DATABASE() AND `+where+` ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what was read is read
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.table, &c.name); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// losing is the condition that a text has a character of four bytes.
func losing(value string) string {
	value = "CONVERT(" + value + " USING utf8mb4)"
	return "CAST(" + value + " AS BINARY) <> CAST(CONVERT(CONVERT(" + value + " USING utf8mb3) USING utf8mb4) AS BINARY)"
}

// labels refuses values of ENUM and SET that no dump brings back: the INSERT turns a
// value that is none of the labels into an empty one without an error.
func (m *mysql) labels(ctx context.Context, conn *sql.Conn) error {
	columns, err := tableColumns(ctx, conn, "c.data_type IN ('enum', 'set') AND LOCATE('?', c.column_type) > 0")
	if err != nil {
		return err
	}
	for _, c := range columns {
		var lost bool
		err := dialect.QueryRow(ctx, conn, "SELECT EXISTS (SELECT 1 FROM "+m.Dialect.Identifier(c.table)+" WHERE "+losing(m.Dialect.Identifier(c.name))+")", nil, &lost)
		if err != nil {
			return fmt.Errorf("table %s: %w", c.table, err)
		}
		if lost {
			return refuse("make a portable backup, for which the migrations make the table",
				"the dump would lose values of the column %s of the table %s: the server shows a label with a character of four bytes as a question mark", c.name, c.table)
		}
	}
	return nil
}

// longRows notes tables with a row that makes a statement longer than this server takes.
// The dump has it, and a server that is set up as this one would refuse it.
func longRows(tables map[string]*scanned, packet int64) (notes []string) {
	const around = 1 << 10 // INSERT INTO … VALUES
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if need := tables[name].longest + around; need > packet {
			notes = append(notes, fmt.Sprintf("table %s: a row takes %d bytes in a statement, and max_allowed_packet is %d here: raise it to that before a restore", name, need, packet))
		}
	}
	return notes
}
