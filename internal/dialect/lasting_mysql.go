package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Lasting knows the tables that take part in no transaction, such as MyISAM's: rows
// that are written into one stay there, also when the transaction is rolled back.
//
// It asks the server at the first statement that writes rows, once more for each
// other database that a statement names, and again behind a statement that may have
// made such a table. It belongs to one connection.
type Lasting struct {
	d *mysqlDialect
	// known are the tables, and whatever leads to them, by database. Every name is in
	// lower case; the database of the session is the empty one too.
	known     map[string]map[string]bool
	byDefault bool // a table that names no engine is one
}

// Lasting is for a connection of this server.
func (d *mysqlDialect) Lasting() *Lasting { return &Lasting{d: d} }

// Forget says that the connection may see other tables now.
func (l *Lasting) Forget() { l.known = nil }

// Note is told of each statement that does not only change rows, before it runs.
func (l *Lasting) Note(st sqlscan.Statement, class Class) {
	st = l.d.behindSet(st)
	switch class {
	case ClassOpaque:
		l.Forget()
	case ClassSession:
		if st.Verb == "USE" || strings.Contains(strings.ToUpper(st.Text), "STORAGE_ENGINE") {
			l.Forget()
		}
	case ClassTemporary: // goes with the session, and its rows with it
	default:
		if l.known != nil && (l.byDefault || l.mayMake(st)) {
			l.Forget()
		}
	}
}

// mayMake reports whether a statement may make such a table, or another way to one.
func (l *Lasting) mayMake(st sqlscan.Statement) bool {
	none := true
	for _, tables := range l.known {
		none = none && len(tables) == 0
	}
	if none && !strings.Contains(strings.ToUpper(st.Text), "ENGINE") {
		return false // as nearly all: reading a statement to its end costs more than this
	}
	h := codeOf(st, l.d.ScanOptions())
	return namesEngine(h) || l.mentioned(h)
}

// namesEngine reports whether a statement names a storage engine other than InnoDB.
func namesEngine(h head) bool {
	for i := range h.tokens {
		if !h.is(i, "ENGINE") {
			continue
		}
		at := i + 1
		if h.punct(at, "=") {
			at++
		}
		if at < len(h.tokens) && !strings.EqualFold(strings.Trim(h.tokens[at].Text, "'\"`"), "InnoDB") {
			return true
		}
	}
	return false
}

// mentioned reports whether one of the tables is named anywhere.
func (l *Lasting) mentioned(h head) bool {
	for i := range h.tokens {
		name := strings.ToLower(h.name(i))
		if name == "" {
			continue
		}
		for _, tables := range l.known {
			if tables[name] {
				return true
			}
		}
	}
	return false
}

// Takes reports whether a statement of [ClassData] may write into such a table, or
// into a file, which a second run would find there already. It
// sees the table that is named, a view on it, and the triggers of the table that is
// named; not what a function does, or a trigger in another database.
func (l *Lasting) Takes(ctx context.Context, c *sql.Conn, st sqlscan.Statement) (bool, error) {
	st = l.d.behindSet(st)
	switch st.Verb {
	case "INSERT", "REPLACE":
		h := headOf(st.Text, l.d.ScanOptions())
		if into, _, ok := h.nameAt(h.skip(1, "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO")); ok {
			if err := l.look(ctx, c, "", into.schema); err != nil {
				return false, err
			}
			return l.known[strings.ToLower(into.schema)][strings.ToLower(into.object)], nil
		}
	case "SELECT", "TABLE", "VALUES":
		return l.writesFile(st), nil
	case "WITH":
		if l.writesFile(st) {
			return true, nil
		}
	case "UPDATE", "DELETE", "LOAD", "ANALYZE":
	default:
		return false, nil
	}
	// Several tables may be named, and only some of them written: any one counts.
	h := codeOf(st, l.d.ScanOptions())
	if err := l.look(ctx, c, append(databases(h), "")...); err != nil {
		return false, err
	}
	return l.mentioned(h), nil
}

// writesFile reports whether a query ends with INTO OUTFILE or INTO DUMPFILE.
func (l *Lasting) writesFile(st sqlscan.Statement) bool {
	if text := strings.ToUpper(st.Text); !strings.Contains(text, "OUTFILE") && !strings.Contains(text, "DUMPFILE") {
		return false
	}
	return slices.ContainsFunc([]string{"OUTFILE", "DUMPFILE"}, func(where string) bool { return codeOf(st, l.d.ScanOptions()).says("INTO", where) })
}

// databases are those that the tables of a statement are qualified with.
func databases(h head) (names []string) {
	tables := true // a comma stands between two tables, and not between two columns
	for i := range h.tokens {
		switch h.word(i) {
		case "SET", "WHERE", "ON", "SELECT", "VALUES":
			tables = false
			continue
		case "FROM", "USING":
			tables = true
		}
		switch h.word(i - 1) {
		case "UPDATE", "DELETE", "FROM", "JOIN", "INTO", "TABLE", "USING", "IGNORE", "LOW_PRIORITY", "QUICK":
		default:
			if !tables || !h.punct(i-1, ",") {
				continue
			}
		}
		if n, _, ok := h.nameAt(i); ok && n.schema != "" {
			names = append(names, n.schema)
		}
	}
	return names
}

// look reads which tables the databases have, unless that is known.
func (l *Lasting) look(ctx context.Context, c *sql.Conn, databases ...string) error {
	slices.Sort(databases) // the session's first: it may be named as well
	for _, database := range databases {
		if _, is := l.known[strings.ToLower(database)]; is {
			continue
		}
		if err := l.lookInto(ctx, c, database); err != nil {
			return fmt.Errorf("reading which tables take part in transactions: %w", err)
		}
	}
	return nil
}

func (l *Lasting) lookInto(ctx context.Context, c *sql.Conn, database string) error {
	in := " = DATABASE()"
	if database != "" {
		in = " = " + l.d.Literal(database)
	}
	const lasting = " AND COALESCE(e.TRANSACTIONS, '') <> 'YES'" // unknown, as while a table is made, is not fine
	found, err := texts(ctx, c, "SELECT 'database', COALESCE(DATABASE(), '')"+
		" UNION ALL SELECT 'default', e.ENGINE FROM information_schema.ENGINES e WHERE e.ENGINE = @@default_storage_engine"+lasting+
		" UNION ALL SELECT 'table', t.TABLE_NAME FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE"+
		" WHERE t.TABLE_SCHEMA"+in+" AND t.TABLE_TYPE NOT LIKE '%VIEW'"+lasting)
	if err != nil {
		return err
	}
	tables, current, byDefault := map[string]bool{}, "", false
	for _, f := range found {
		switch f[0] {
		case "database":
			current = strings.ToLower(f[1])
		case "default":
			byDefault = true
		case "table":
			tables[strings.ToLower(f[1])] = true
		}
	}
	if len(tables) > 0 {
		if err := l.follow(ctx, c, in, tables); err != nil {
			return err
		}
	}
	if l.known == nil {
		l.known = map[string]map[string]bool{}
	}
	l.byDefault = byDefault
	l.known[strings.ToLower(database)] = tables
	if database == "" {
		l.known[current] = tables
	}
	return nil
}

// follow adds the views on tables, and the tables with a trigger that names one.
func (l *Lasting) follow(ctx context.Context, c *sql.Conn, in string, tables map[string]bool) error {
	ways, err := texts(ctx, c, "SELECT TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA"+in+
		" UNION ALL SELECT EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA"+in+" AND EVENT_OBJECT_SCHEMA"+in)
	if err != nil {
		return err
	}
	for more := true; more; { // a view on a view, a trigger that fires another
		before := maps.Clone(tables)
		for _, way := range ways {
			for t := range sqlscan.Tokens(way[1], sqlscan.Options{Dialect: sqlscan.MySQL, MariaDB: l.d.mariaDB.Load()}) {
				if name := strings.ToLower(t.Name(sqlscan.MySQL)); before[name] {
					tables[strings.ToLower(way[0])] = true
				}
			}
		}
		more = len(tables) > len(before)
	}
	return nil
}

// texts reads rows of two texts.
func texts(ctx context.Context, c *sql.Conn, query string) (list [][2]string, err error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var first string
		var second sql.NullString
		if err := rows.Scan(&first, &second); err != nil {
			return nil, err
		}
		list = append(list, [2]string{first, second.String})
	}
	return list, rows.Err()
}

// Stayed reports, right behind a ROLLBACK, whether rows stayed that were written in
// the transaction: the server says so, whoever wrote them.
func (*Lasting) Stayed(ctx context.Context, c *sql.Conn) (stayed bool, err error) {
	rows, err := c.QueryContext(ctx, "SHOW WARNINGS")
	if err != nil {
		return false, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var level, text string
		var code int
		if err := rows.Scan(&level, &code, &text); err != nil {
			return false, err
		}
		stayed = stayed || code == 1196 // some non-transactional changed tables couldn't be rolled back
	}
	return stayed, rows.Err()
}

// Hidden reports whether an error means that the server has rolled back by itself,
// so that [Lasting.Stayed] has nothing to tell.
func (*Lasting) Hidden(err error) bool { return mysqlNumber(err) == 1213 }
