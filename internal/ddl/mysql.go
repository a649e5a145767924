package ddl

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// MySQL writes the database that c is connected to, a MySQL or a MariaDB.
//
// The order is the one in which nothing is missing: sequences, tables, rows,
// routines, views, each behind those that it reads, triggers, events. Foreign keys are
// not checked meanwhile. Who made an object is not written, nor the database's name.
func MySQL(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options) (string, error) {
	return mysql(ctx, d, c, o, nil)
}

// mysql writes the text, or takes the digests of the rows where a map is given.
func mysql(ctx context.Context, d dialect.Dialect, c *sql.Conn, o Options, digests map[string]string) (_ string, err error) {
	w := &mysqlWriter{ctx: ctx, c: c, d: d, o: o}
	before, err := allTexts(ctx, c, "SELECT DATABASE(), @@SESSION.sql_mode, @@SESSION.sql_quote_show_create, @@SESSION.time_zone")
	if err != nil {
		return "", err
	}
	w.database, w.mode = before[0][0], before[0][1]
	if _, err := c.ExecContext(ctx, "SET SESSION sql_mode = '', SESSION sql_quote_show_create = 1, SESSION time_zone = '+00:00'"); err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		_, backErr := c.ExecContext(ctx, fmt.Sprintf("SET SESSION sql_mode = %s, SESSION sql_quote_show_create = %s, SESSION time_zone = %s", d.Literal(w.mode), before[0][2], d.Literal(before[0][3])))
		if err == nil {
			err = backErr
		}
	}()
	objects, err := catalog.MySQLObjects(ctx, c)
	if err != nil {
		return "", err
	}
	if digests != nil {
		return "", w.digests(objects, digests)
	}
	if err := w.objects(objects); err != nil {
		return "", err
	}
	return w.b.String(), nil
}

// digests takes those of the tables' rows.
func (w *mysqlWriter) digests(list []catalog.MySQLObject, into map[string]string) error {
	for _, o := range list {
		if o.Kind != "TABLE" || w.o.excepts(o.Name) {
			continue
		}
		w.b.Reset()
		n, err := w.table(o.Name)
		if err != nil {
			return fmt.Errorf("table %s: %w", o.Name, err)
		}
		into[o.Name] = digest(n, w.b.String())
	}
	return nil
}

// restoreTime bounds the statement that puts the session back.
const restoreTime = 10 * time.Second

type mysqlWriter struct {
	ctx      context.Context
	c        *sql.Conn
	d        dialect.Dialect
	o        Options
	b        strings.Builder
	database string
	mode     string // what the session had
	now      string // what the text has set last
}

// mysqlLoadMode is the sql_mode for tables, rows and views, whatever that of the
// session is: 0 is a value of an AUTO_INCREMENT column and not the wish for the next
// number, zero dates and days that no month has stay what they are, as values and as
// defaults, and a backslash escapes, as the server writes it.
const mysqlLoadMode = "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES"

func (w *mysqlWriter) objects(list []catalog.MySQLObject) error {
	w.b.WriteString("SET FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0;\nSET time_zone = '+00:00';\n\n")
	w.setMode(mysqlLoadMode)
	kinds := []string{"SEQUENCE", "TABLE", "FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY", "VIEW", "TRIGGER", "EVENT"}
	slices.SortStableFunc(list, func(a, b catalog.MySQLObject) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Name, b.Name))
	})
	list = slices.DeleteFunc(list, func(o catalog.MySQLObject) bool {
		return w.o.excepts(o.Name) && o.Kind == "TABLE" || w.o.excepts(o.Of)
	})
	rows := false
	var views []mysqlView
	for _, o := range list {
		text, mode, err := catalog.ShowCreate(w.ctx, w.c, o)
		if err != nil {
			return fmt.Errorf("SHOW CREATE %s %s: %w", o.Kind, o.Name, err)
		}
		if o.Kind != "TABLE" && o.Kind != "SEQUENCE" && !rows {
			rows = true
			if err := w.rows(list); err != nil {
				return err
			}
		}
		switch o.Kind {
		case "VIEW":
			views = append(views, mysqlView{o.Name, w.plain(text)})
			continue
		case "TRIGGER", "EVENT":
			w.views(&views)
		}
		w.object(o, text, mode)
		if o.Kind == "SEQUENCE" && w.o.Rows {
			if err := w.sequence(o.Name); err != nil {
				return err
			}
		}
	}
	if !rows {
		if err := w.rows(list); err != nil {
			return err
		}
	}
	w.views(&views)
	return nil
}

func (w *mysqlWriter) plain(text string) string {
	return catalog.MySQLBody(text, []string{w.database}, w.d.ScanOptions())
}

// object writes a statement. A body is put between marks, by which every client finds
// its end.
func (w *mysqlWriter) object(o catalog.MySQLObject, text, mode string) {
	if o.Kind == "TABLE" || o.Kind == "SEQUENCE" {
		w.b.WriteString(strings.TrimRight(catalog.MySQLWithout(text, []string{w.database}, w.d.ScanOptions()), "; \n") + ";\n\n")
		return
	}
	w.setMode(strings.Trim(w.mode+","+mode, ","))
	w.b.WriteString("DELIMITER ;;\n" + w.plain(text) + ";;\nDELIMITER ;\n\n")
}

// setMode writes under which sql_mode the next objects are made. Routines, triggers and
// events keep it: theirs is that of the session, and what decides how they are read.
func (w *mysqlWriter) setMode(mode string) {
	if w.now != mode {
		fmt.Fprintf(&w.b, "SET SESSION sql_mode = '%s';\n\n", mode)
		w.now = mode
	}
}

func backtick(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

type mysqlView struct{ name, text string }

// views writes views, those first that others read.
func (w *mysqlWriter) views(list *[]mysqlView) {
	waiting := *list
	*list = nil
	reads := func(v mysqlView) bool {
		for t := range sqlscan.Tokens(v.text, w.d.ScanOptions()) {
			name := t.Name(sqlscan.MySQL)
			if (t.Kind == sqlscan.QuotedIdent || t.Kind == sqlscan.Word) && name != v.name &&
				slices.ContainsFunc(waiting, func(o mysqlView) bool { return o.name == name }) {
				return true
			}
		}
		return false
	}
	for len(waiting) > 0 {
		w.setMode(mysqlLoadMode)
		next := slices.IndexFunc(waiting, func(v mysqlView) bool { return !reads(v) })
		if next < 0 { // a column has a view's name: the order of names is as good as any
			next = 0
		}
		w.b.WriteString(waiting[next].text + ";\n\n")
		waiting = slices.Delete(waiting, next, next+1)
	}
}

// sequence writes where a sequence goes on.
func (w *mysqlWriter) sequence(name string) error {
	at, err := allTexts(w.ctx, w.c, "SELECT next_not_cached_value, start_value FROM "+backtick(name))
	if err == nil && at[0][0] != at[0][1] {
		fmt.Fprintf(&w.b, "ALTER SEQUENCE %s RESTART WITH %s;\n\n", backtick(name), at[0][0])
	}
	return err
}

func (w *mysqlWriter) rows(list []catalog.MySQLObject) error {
	if !w.o.Rows {
		return nil
	}
	for _, o := range list {
		if o.Kind != "TABLE" {
			continue
		}
		if _, err := w.table(o.Name); err != nil {
			return fmt.Errorf("table %s: %w", o.Name, err)
		}
	}
	return nil
}

// table writes the rows of a table. Computed columns are left out.
func (w *mysqlWriter) table(name string) (int, error) {
	var columns, values, key []string
	query := "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = " + w.d.Literal(name) +
		" AND COALESCE(generation_expression, '') = '' ORDER BY ordinal_position"
	err := texts(w.ctx, w.c, query, func(row []string) error {
		column := backtick(row[0])
		columns = append(columns, column)
		values = append(values, mysqlLiteral(column, strings.ToLower(row[1])))
		return nil
	})
	if err != nil {
		return 0, err
	}
	query = "SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = " + w.d.Literal(name) +
		" AND index_name = 'PRIMARY' ORDER BY seq_in_index"
	err = texts(w.ctx, w.c, query, func(row []string) error {
		key = append(key, backtick(row[0]))
		return nil
	})
	if err != nil {
		return 0, err
	}
	// To sort rows with large values the server has too little memory (error 1038). By
	// the key it reads them as they lie; without one they are sorted here.
	query = "SELECT " + strings.Join(values, ", ") + " FROM " + backtick(name)
	if len(key) > 0 {
		query += " FORCE INDEX (PRIMARY) ORDER BY " + strings.Join(key, ", ")
	}
	return rowsOf(w.ctx, w.c, &w.b, "INSERT INTO "+backtick(name)+" ("+strings.Join(columns, ", ")+")", query, len(key) > 0)
}

// mysqlLiteral is an expression that gives a column's value as a literal.
func mysqlLiteral(column, kind string) string {
	switch kind {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "double", "year":
		return column
	case "bit":
		return column + " + 0"
	case "float": // is shown with six digits, and has more
		return column + " * 1E0"
	case "date", "datetime", "timestamp", "time", "enum", "set", "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "uuid", "inet4", "inet6":
		// What a backslash means depends on the session that reads the text.
		return "IF(INSTR(" + column + ", CHAR(92)) = 0 AND INSTR(" + column + ", CHAR(0)) = 0, CONCAT('''', REPLACE(" + column + ", '''', ''''''), ''''), CONCAT('_utf8mb4 X''', HEX(CONVERT(" + column + " USING utf8mb4)), ''''))"
	}
	return "CONCAT('X''', HEX(" + column + "), '''')" // bytes, geometry
}
