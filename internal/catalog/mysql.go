package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// mysqlList names every object, with the word that SHOW CREATE wants. The texts
// of information_schema have several collations, which UNION does not take.
const mysqlList = `SELECT CASE table_type WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
	CONVERT(table_name USING utf8mb4) COLLATE utf8mb4_bin AS name, CONVERT('' USING utf8mb4) COLLATE utf8mb4_bin AS of_table, 0 AS place, 0 AS reckoned
	FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW', 'SEQUENCE')
UNION ALL SELECT CONVERT(routine_type USING utf8mb4) COLLATE utf8mb4_bin, CONVERT(routine_name USING utf8mb4) COLLATE utf8mb4_bin, '', 0, 0
	FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL SELECT 'TRIGGER', CONVERT(trigger_name USING utf8mb4) COLLATE utf8mb4_bin, CONVERT(event_object_table USING utf8mb4) COLLATE utf8mb4_bin, action_order, 0
	FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL SELECT 'EVENT', CONVERT(event_name USING utf8mb4) COLLATE utf8mb4_bin, '', 0, COALESCE(ABS(TIMESTAMPDIFF(SECOND, created, starts)) < 2, 0)
	FROM information_schema.events WHERE event_schema = DATABASE()`

// MySQLObject is an object as SHOW CREATE names it.
type MySQLObject struct {
	Kind, Name string
	Of         string // the table of a trigger
	Place      int    // of a trigger, among those of one table and event
	Reckoned   bool   // of an event: it starts when it was made, because it was not said when
}

// restoreTime bounds the statement that puts the session back, which is sent when
// the caller's context has ended too.
const restoreTime = 10 * time.Second

// readMySQL works in a session whose sql_mode does not change how statements are
// written, and puts it back.
func readMySQL(ctx context.Context, d dialect.Dialect, c *sql.Conn, b *builder) (err error) {
	var name, charset, collation, mode string
	var quotes int
	err = dialect.QueryRow(ctx, c, "SELECT DATABASE(), @@character_set_database, @@collation_database, @@SESSION.sql_mode, @@SESSION.sql_quote_show_create", nil, &name, &charset, &collation, &mode, &quotes)
	if err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, "SET SESSION sql_mode = '', SESSION sql_quote_show_create = 1"); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		_, backErr := c.ExecContext(ctx, fmt.Sprintf("SET SESSION sql_mode = %s, SESSION sql_quote_show_create = %d", d.Literal(mode), quotes))
		if err == nil {
			err = backErr
		}
	}()
	b.add("database", "", "", unordered, "character set "+charset+" collate "+collation)
	objects, err := MySQLObjects(ctx, c)
	if err != nil {
		return err
	}
	databases, rules := []string{name, b.options.Database}, sqlscan.Options{Dialect: sqlscan.MySQL, MariaDB: d.ScanOptions().MariaDB}
	for _, o := range objects {
		if b.options.ignored(o.Name) || o.Of != "" && b.options.ignored(o.Of) {
			continue
		}
		text, mode, err := ShowCreate(ctx, c, o)
		if err != nil {
			return fmt.Errorf("SHOW CREATE %s %s: %w", o.Kind, o.Name, err)
		}
		kind := strings.ToLower(o.Kind)
		switch o.Kind {
		case "TABLE": // MariaDB names the database of a sequence that a default is taken from
			mysqlTable(b, o.Name, MySQLWithout(text, databases, rules))
			continue
		case "SEQUENCE":
		default:
			text = mysqlTime.ReplaceAllString(mysqlStarts.ReplaceAllString(MySQLBody(text, databases, rules), "$1"), "$1")
		}
		b.add(kind, o.Name, o.Of, unordered, text)
		if mode != "" {
			b.add(kind, o.Name, o.Of, unordered, "sql_mode "+mode)
		}
		if o.Place > 1 {
			b.add(kind, o.Name, o.Of, unordered, fmt.Sprintf("trigger %d of its event", o.Place))
		}
	}
	return nil
}

// MySQLObjects lists the objects of the database that c is connected to.
func MySQLObjects(ctx context.Context, c *sql.Conn) (list []MySQLObject, err error) {
	rows, err := c.QueryContext(ctx, mysqlList)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var o MySQLObject
		if err := rows.Scan(&o.Kind, &o.Name, &o.Of, &o.Place, &o.Reckoned); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// ShowCreate is the statement that makes an object, and the sql_mode that it keeps. It
// finds the statement by its column's name: the place differs from
// kind to kind. The time at which an event starts is in it when somebody has said it.
func ShowCreate(ctx context.Context, c *sql.Conn, o MySQLObject) (text, mode string, err error) {
	rows, err := c.QueryContext(ctx, "SHOW CREATE "+o.Kind+" `"+strings.ReplaceAll(o.Name, "`", "``")+"`")
	if err != nil {
		return "", "", err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return "", "", err
	}
	values, dest := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	var statement sql.NullString
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return "", "", err
		}
		for i, column := range columns {
			switch {
			case strings.HasPrefix(column, "Create ") || column == "SQL Original Statement":
				statement = values[i]
			case column == "sql_mode":
				mode = mysqlMeaning(values[i].String)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return "", "", err
	}
	if !statement.Valid {
		return "", "", errors.New("the account may not see its definition")
	}
	if o.Reckoned {
		return mysqlStarts.ReplaceAllString(statement.String, "$1"), mode, nil
	}
	return statement.String, mode, nil
}

// mysqlMeaning leaves of an object's sql_mode what decides how its text is read.
// The rest is the session's that made it, which a program chooses and not a schema.
func mysqlMeaning(mode string) string {
	known := []string{"PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "NO_BACKSLASH_ESCAPES", "HIGH_NOT_PRECEDENCE", "ORACLE"}
	modes := slices.DeleteFunc(strings.Split(mode, ","), func(m string) bool { return !slices.Contains(known, m) })
	return strings.Join(modes, ",")
}

var (
	// A collation says which character set it is of. Oracle's server shows that too
	// where the statement that made the table has named it, as its own dumps do.
	mysqlCharset = lazyregexp.New("^(`(?:[^`]|``)*` \\w+(?:\\((?:[^')]|'(?:[^']|'')*')*\\))?) CHARACTER SET \\w+ (COLLATE )")
	// The next number counts rows.
	mysqlNext = lazyregexp.New(`^(\).*?) AUTO_INCREMENT=\d+`)
	// Who made it is the installation's. It stands before the name.
	mysqlDefiner = lazyregexp.New("DEFINER=(?:`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?|\\S+) ?")
	// MariaDB keeps the blanks before the body of a trigger as they were written, and
	// those that stand where a dump had the name of the database.
	mysqlHead = lazyregexp.New(`(?is)^CREATE\s+TRIGGER\s.*?\sFOR\s+EACH\s+ROW\s`)
	// An event without STARTS has the time of its making, and behind a dump nobody sees that
	// any more.
	mysqlStarts = lazyregexp.New("^(CREATE (?:DEFINER=(?:`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?|\\S+) )?EVENT `(?:[^`]|``)*` ON SCHEDULE EVERY (?:'[^']*'|\\S+) \\S+) STARTS '[^']*'")
	// Nor that the time of one that is to come, or to end, so long after its making was
	// reckoned.
	mysqlTime = lazyregexp.New("^(CREATE EVENT `(?:[^`]|``)*` ON SCHEDULE (?:AT|EVERY (?:'[^']*'|\\S+) \\S+ ENDS)) '[^']*'")
)

// mysqlTable takes the lines of CREATE TABLE apart. Keys and constraints are
// listed there in the order in which they were made.
func mysqlTable(b *builder, name, statement string) {
	lines := strings.Split(statement, "\n")
	place := 0
	for _, l := range lines[1:] {
		text := strings.TrimSuffix(strings.TrimPrefix(l, "  "), ",")
		switch {
		case strings.HasPrefix(text, "`"):
			b.add("table", name, "", place, mysqlCharset.ReplaceAllString(text, "$1 $2"))
			place++
		case strings.HasPrefix(text, ")"):
			b.add("table", name, "", unordered+1, strings.TrimPrefix(mysqlNext.ReplaceAllString(text, "$1"), ") "))
			place = unordered + 2 // partitions, in their order
		case place > unordered:
			b.add("table", name, "", place, text)
			place++
		default:
			b.add("table", name, "", unordered, text)
		}
	}
}

// MySQLBody takes out of a view or routine who made it, and the names of the
// database where they stand before another: the server writes its own there.
func MySQLBody(statement string, databases []string, o sqlscan.Options) string {
	if at := mysqlDefiner.FindStringIndex(statement); at != nil {
		statement = statement[:at[0]] + statement[at[1]:]
	}
	// Oracle's server keeps the semicolon behind a body.
	return strings.TrimRight(mysqlHead.ReplaceAllStringFunc(MySQLWithout(statement, databases, o), func(head string) string {
		return strings.Join(strings.Fields(head), " ") + " "
	}), "; \n")
}

// MySQLWithout takes out the names of databases where they stand before another name.
func MySQLWithout(statement string, databases []string, o sqlscan.Options) string {
	var text strings.Builder
	done := 0
	var previous sqlscan.Token
	for t := range sqlscan.Tokens(statement, o) {
		if t.Text == "." && (previous.Kind == sqlscan.Word || previous.Kind == sqlscan.QuotedIdent) && slices.Contains(databases, previous.Name(sqlscan.MySQL)) {
			text.WriteString(statement[done:previous.Offset])
			done = t.Offset + len(t.Text)
		}
		previous = t
	}
	text.WriteString(statement[done:])
	return text.String()
}
