package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Client writes for the program with which a person runs a script: psql, mysql,
// mariadb or the shell of SQLite. What it returns are lines, or several lines
// with newlines between them, each with the mark that ends a statement.
type Client interface {
	// Product is what the script is for, Command how it is run, and Notes what else
	// somebody who runs it has to know.
	Product() string
	Command() string
	Notes() []string
	// Open comes first: it sets up the client and its session.
	Open() []string
	// Table is how the statements of the script name the history table.
	Table() string
	// Lock takes the migration lock, waiting for it.
	Lock(wait time.Duration) []string
	// Unlock gives it back.
	Unlock() []string
	// Refuse stops the script with a message where a condition is true. The message
	// has no quotes of any kind.
	Refuse(condition, message string) []string
	// IsDatabase is a condition: the connection is to the database of that name.
	IsDatabase(name string) string
	// Say prints a line.
	Say(text string) string
	// Statement is one of a file, as it stands there.
	Statement(st sqlscan.Statement) string
	// File is the whole script as the client has to find it.
	File(script string) string
	// Limit bounds what every statement of a file takes, where Timeouts does not and
	// the server can; 0 is the session's own limit.
	Limit(d time.Duration) []string
	// Before keeps what the statements of a file are going to set in the session,
	// After sets it back. What they make for the session alone it takes away.
	Before(file []sqlscan.Statement) []string
	After(file []sqlscan.Statement) []string
}

// ForeignKeyClient is implemented by the client of a [ForeignKeyGuard].
type ForeignKeyClient interface {
	// ForeignKeys turns enforcement on or off, outside a transaction.
	ForeignKeys(on bool) string
	// Violations counts what is broken, and MoreViolations stops the script where it
	// is more than it was.
	Violations() []string
	MoreViolations() []string
}

// ClientOptions are what a [Client] follows.
type ClientOptions struct {
	Table    string    // unqualified name of the history table
	Database string    // MySQL: the database that the files come back to after USE; empty where none has one
	URL      dburl.URL // how this package would connect; the zero URL for the default
}

// psql is the client of PostgreSQL. What is looked up in the server when the
// script runs is in psql's variables: the schema of the history table, and the
// key of the lock that follows from it.
type psql struct {
	d     *postgres
	table string
}

// Client is psql, from version 10 on.
func (p *postgres) Client(o ClientOptions) Client { return psql{p, o.Table} }

const (
	psqlTable = "tldwdb_history"
	psqlKey   = "tldwdb_key"
	psqlFault = "tldwdb_fault"
)

func (psql) Product() string { return "PostgreSQL" }
func (psql) Command() string { return "psql -X -v ON_ERROR_STOP=1 -d DATABASE -f FILE" }
func (psql) Table() string   { return ":" + psqlTable }
func (psql) Notes() []string {
	return []string{"Connect to the server itself: behind a pooler in transaction mode the migration",
		"lock would keep nobody out. The schema is the first of the search_path."}
}

// encoding is set again after each RESET ALL, which takes it back.
const psqlEncoding = "SET client_encoding = 'UTF8';"

func (c psql) Open() []string {
	name := c.d.Literal(c.table)
	schema := "coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(quote_ident(" + name + "))), current_schema())"
	return []string{
		`\set ON_ERROR_STOP on`, `\set QUIET on`, psqlEncoding,
		"SELECT quote_ident(s) || '.' || quote_ident(" + name + ") AS " + psqlTable + ", " + c.key("s", name) + " AS " + psqlKey + " FROM (SELECT " + schema + `::text AS s) x \gset`,
	}
}

// key is how Lock computes it, as an expression.
func (psql) key(schema, table string) string {
	return `('x' || encode(substring(sha256('tldwdb'::bytea || '\000'::bytea || convert_to(` + schema + `, 'UTF8') || '\000'::bytea || convert_to(` + table + `, 'UTF8')) for 8), 'hex'))::bit(64)::bigint`
}

// Lock ends its transaction after each try: waiting inside one would stop CREATE
// INDEX CONCURRENTLY of the holder for ever. psql puts no variables into a quoted
// block, so that the key comes by way of a setting.
func (c psql) Lock(wait time.Duration) []string {
	return []string{
		"SELECT set_config('tldwdb.key', :'" + psqlKey + "', false) AS " + psqlFault + ` \gset`,
		"SET statement_timeout = 0;",
		"DO $tldwdb$\nDECLARE\n\tuntil timestamptz := clock_timestamp() + interval '" + fmt.Sprint(max(0, wait).Milliseconds()) + " milliseconds';\nBEGIN\n" +
			"\tWHILE NOT pg_catalog.pg_try_advisory_lock(current_setting('tldwdb.key')::bigint) LOOP\n" +
			"\t\tIF clock_timestamp() >= until THEN\n\t\t\tRAISE EXCEPTION 'tldwdb: another process has the migration lock';\n\t\tEND IF;\n" +
			"\t\tPERFORM pg_catalog.pg_sleep(0.1);\n\t\tCOMMIT;\n\tEND LOOP;\nEND\n$tldwdb$;",
		"RESET ALL;", psqlEncoding,
	}
}

func (psql) Unlock() []string {
	return []string{"SELECT pg_catalog.pg_advisory_unlock(:" + psqlKey + ") AS " + psqlFault + ` \gset`,
		`\if :` + psqlFault, `\else`, psqlRaise("the migration lock was not held any more at the end"), `\endif`}
}

func psqlRaise(message string) string {
	return "DO $tldwdb$ BEGIN RAISE EXCEPTION 'tldwdb: " + message + "'; END $tldwdb$;"
}

func (psql) Refuse(condition, message string) []string {
	return []string{"SELECT " + condition + " AS " + psqlFault + ` \gset`, `\if :` + psqlFault, psqlRaise(message), `\endif`}
}

func (c psql) IsDatabase(name string) string { return "current_database() = " + c.d.Literal(name) }

// Say quotes the text: psql would run what stands in backquotes.
func (psql) Say(text string) string {
	return `\echo '` + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + `'`
}

// Statement writes the text as it is where psql sends that. Where psql would
// read it otherwise than the server, it is sent as the answer of a query.
func (c psql) Statement(st sqlscan.Statement) string {
	switch {
	case st.CopyIn:
		data := st.Data
		if data != "" && !strings.HasSuffix(data, "\n") {
			data += "\n"
		}
		return st.Text + ";\n" + data + `\.`
	case !c.differs(st):
		return st.Text + ";"
	}
	tag := "$tldwdb$"
	for n := 1; strings.Contains(st.Text, tag); n++ {
		tag = fmt.Sprintf("$tldwdb%d$", n)
	}
	return "SELECT " + tag + st.Text + tag + ` \gexec`
}

// differs knows what psql reads otherwise: a colon before a word may be one of
// its variables, every END in a routine is a keyword to it, and strings that go
// on in the next line it reads one by one.
func (c psql) differs(st sqlscan.Statement) bool {
	var last sqlscan.Token
	for t := range sqlscan.Tokens(st.Text, c.d.ScanOptions()) {
		adjacent := last.Offset+len(last.Text) == t.Offset
		switch {
		case t.Is("ATOMIC"),
			last.Kind == sqlscan.String && t.Kind == sqlscan.String,
			last.Kind == sqlscan.Op && last.Text == ":" && adjacent && t.Kind != sqlscan.Op:
			return true
		}
		last = t
	}
	return false
}

func (psql) File(script string) string           { return script }
func (psql) Limit(time.Duration) []string        { return nil } // Timeouts has it
func (psql) Before([]sqlscan.Statement) []string { return nil }
func (c psql) After([]sqlscan.Statement) []string {
	// Of the session's own settings the script has none.
	return []string{strings.Join(append(c.d.Restore(Session{Pooled: true}), psqlEncoding), "; ")}
}

// mysqlClient is the client of MySQL or of MariaDB.
type mysqlClient struct {
	d *mysqlDialect
	o ClientOptions
}

// Client is mysql or mariadb.
func (d *mysqlDialect) Client(o ClientOptions) Client { return mysqlClient{d, o} }

func (c mysqlClient) Product() string {
	if c.d.mariaDB.Load() {
		return "MariaDB"
	}
	return "MySQL"
}

// Command keeps line ends and comments, as they are in the files.
func (c mysqlClient) Command() string {
	return strings.ToLower(c.Product()) + " --binary-mode --comments --show-warnings DATABASE < FILE"
}

func (c mysqlClient) Notes() []string {
	return []string{"Without --force the client stops at the first error. Connect to the server itself,",
		"and not through a proxy that shares its connections."}
}

// Table has no database in front where no file changes that, so that the script
// runs in any.
func (c mysqlClient) Table() string { return c.d.Qualify(c.o.Database, c.o.Table) }

func (c mysqlClient) Open() []string {
	collation, settings := "utf8mb4_general_ci", []string{} // the driver's own
	if cfg, err := mysqlConfig(c.o.URL, ConnectOptions{}); err == nil && c.o.URL.Dialect == dburl.MySQL {
		if cfg.Collation != "" {
			collation = cfg.Collation
		}
		for _, key := range slices.Sorted(maps.Keys(cfg.Params)) {
			settings = append(settings, "SET SESSION "+key+" = "+cfg.Params[key]+";")
		}
	}
	list := append([]string{"SET NAMES utf8mb4 COLLATE " + collation + ";"}, settings...)
	list = append(list, c.d.Autocommit(false)+";")
	wrong := "VERSION() LIKE '%MariaDB%'"
	if c.d.mariaDB.Load() {
		wrong = "VERSION() NOT LIKE '%MariaDB%'"
	}
	return append(list, c.Refuse(wrong, "this script is for "+c.Product())...)
}

const mysqlLockName = "@tldwdb_lock"

// Lock has the name as [mysqlDialect.Lock] makes it.
func (c mysqlClient) Lock(wait time.Duration) []string {
	seconds := strconv.FormatFloat(max(0, wait).Seconds(), 'f', 3, 64)
	list := []string{
		"SET " + mysqlLockName + " = CONCAT('tldwdb:', LEFT(SHA2(CONCAT(CONVERT(DATABASE() USING utf8mb4), CHAR(0), " + c.d.Literal(c.o.Table) + "), 256), 32));",
		"SET @tldwdb_got = GET_LOCK(" + mysqlLockName + ", " + seconds + ");",
	}
	return append(list, c.Refuse("COALESCE(@tldwdb_got, 0) <> 1", "another process has the migration lock")...)
}

func (c mysqlClient) Unlock() []string {
	return append([]string{"SET @tldwdb_got = RELEASE_LOCK(" + mysqlLockName + ");"},
		c.Refuse("COALESCE(@tldwdb_got, 0) <> 1", "the migration lock was not held any more at the end")...)
}

// Refuse asks for a column that has the message for its name: SIGNAL is for
// routines only, and to make one takes a right that the user may not have.
func (mysqlClient) Refuse(condition, message string) []string {
	return []string{
		"SET @tldwdb_check = IF(" + condition + ", 'DO `tldwdb: " + message + "`', 'DO 0');",
		"PREPARE tldwdb_check FROM @tldwdb_check; EXECUTE tldwdb_check; DEALLOCATE PREPARE tldwdb_check;",
	}
}

func (c mysqlClient) IsDatabase(name string) string { return "DATABASE() = " + c.d.Literal(name) }
func (c mysqlClient) Say(text string) string {
	return "SELECT " + c.d.Literal(text) + " AS tldwdb;"
}

// endInComment is a semicolon that ends a statement inside its comment, as a dump
// has it of a trigger that was made together with other statements. The client
// asks for several statements at once, and the server would take what is left of
// the comment for the second.
var endInComment = lazyregexp.New(`;(\s*\*/)$`)

func (c mysqlClient) Statement(st sqlscan.Statement) string {
	text := endInComment.ReplaceAllString(st.Text, "$1")
	if !strings.Contains(text, ";") {
		return text + ";"
	}
	mark := "//"
	for n := 1; strings.Contains(text, mark); n++ {
		mark = fmt.Sprintf("//%d//", n)
	}
	return "DELIMITER " + mark + "\n" + text + "\n" + mark + "\nDELIMITER ;"
}

// File is the script as it is: the client reads it with --binary-mode.
func (mysqlClient) File(script string) string { return script }

// Limit is for MariaDB: MySQL has a limit for SELECT only.
func (c mysqlClient) Limit(d time.Duration) []string {
	if !c.d.mariaDB.Load() {
		return nil
	}
	limit := "DEFAULT"
	if d > 0 {
		limit = strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
	}
	return []string{"SET SESSION max_statement_time = " + limit + ";"}
}

// saved is the user variable that keeps a session's.
func saved(variable string) string { return "@tldwdb_" + variable }

func (c mysqlClient) Before(file []sqlscan.Statement) []string {
	var list []string
	for _, name := range c.d.assigned(file) {
		if name != "timestamp" {
			list = append(list, saved(name)+" = @@SESSION."+name)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return []string{"SET " + strings.Join(list, ", ") + ";"}
}

func (c mysqlClient) After(file []sqlscan.Statement) []string {
	var list, set []string
	var values []string
	role, tables, database := false, false, false
	for _, st := range file {
		values = append(values, c.d.Values(st).Writes...)
		h := headOf(st.Text, c.d.ScanOptions())
		role = role || st.Verb == "SET" && (h.is(1, "ROLE") || h.is(1, "DEFAULT", "ROLE"))
		tables = tables || st.Verb == "LOCK"
		database = database || st.Verb == "USE"
	}
	if tables {
		list = append(list, "UNLOCK TABLES;")
	}
	if role {
		list = append(list, "SET ROLE DEFAULT;")
	}
	drop := func() {
		for _, st := range file {
			if c.d.Class(st) != ClassTemporary {
				continue
			}
			if text := c.d.DropTemporary(st); text != "" {
				list = append(list, text+";")
			}
		}
	}
	drop()
	if database && c.o.Database != "" {
		list = append(list, "USE "+backtick(c.o.Database)+";")
		drop() // it may have been made before the USE or after it
	}
	for _, name := range c.d.assigned(file) {
		value := saved(name)
		if name == "timestamp" {
			value = "DEFAULT" // its own value would stop the clock
		}
		set = append(set, "SESSION "+name+" = "+value)
	}
	if len(set) > 0 {
		list = append(list, "SET "+strings.Join(set, ", ")+";")
	}
	if forget := c.d.Forget(values); forget != "" {
		list = append(list, forget+";")
	}
	return list
}

// assigned are the session's variables that a file sets by SET, in order.
func (d *mysqlDialect) assigned(file []sqlscan.Statement) []string {
	names := map[string]bool{}
	add := func(list ...string) {
		for _, name := range list {
			if !volatile[name] || name == "timestamp" {
				names[name] = true
			}
		}
	}
	isolation, readOnly := "transaction_isolation", "transaction_read_only"
	if d.mariaDB.Load() {
		isolation, readOnly = "tx_isolation", "tx_read_only"
	}
	for _, st := range file {
		if st.Verb != "SET" {
			continue
		}
		h := codeOf(st, d.ScanOptions())
		if h.is(1, "STATEMENT") {
			continue // it holds for the statement behind it
		}
		next := true // an assignment begins here
		for i := range h.outside() {
			begins := next
			next = i == 0 || h.punct(i, ",")
			if !begins || i == 0 {
				continue
			}
			at := h.skip(i, "SESSION", "LOCAL")
			switch {
			case h.is(at, "NAMES"), h.is(at, "CHARACTER", "SET"), h.is(at, "CHARSET"):
				add("character_set_client", "character_set_results", "collation_connection")
			case h.is(at, "TRANSACTION"):
				if at > i { // without SESSION it is about the next transaction
					add(isolation, readOnly)
				}
			case h.is(at, "GLOBAL"), h.is(at, "PERSIST"), h.is(at, "PERSIST_ONLY"), h.is(at, "ROLE"), h.is(at, "PASSWORD"), h.is(at, "DEFAULT"):
			case h.punct(at, "@") && h.punct(at+1, "@"):
				at += 2
				if h.is(at, "GLOBAL") || h.is(at, "PERSIST") || h.is(at, "PERSIST_ONLY") {
					continue
				}
				if (h.is(at, "SESSION") || h.is(at, "LOCAL")) && h.punct(at+1, ".") {
					at += 2
				}
				add(strings.ToLower(h.name(at)))
			case h.punct(at, "@"):
			default:
				add(strings.ToLower(h.name(at)))
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// sqliteClient is the shell of SQLite.
type sqliteClient struct {
	d     *sqlite
	table string
}

// Client is the sqlite3 shell.
func (s *sqlite) Client(o ClientOptions) Client { return sqliteClient{s, o.Table} }

func (sqliteClient) Product() string { return "SQLite" }
func (sqliteClient) Command() string { return "sqlite3 -bail DATABASE < FILE" }
func (sqliteClient) Notes() []string {
	return []string{"The shell cannot take the migration lock, which is a lock on a file beside the",
		"database. Each migration is an immediate transaction: a worker that boots meanwhile",
		"waits for that, and whoever comes second to a migration stops or leaves it out."}
}

func (c sqliteClient) Table() string { return c.d.Qualify("", c.table) }

func (c sqliteClient) Open() []string { return []string{".bail on", c.ForeignKeys(false)} }

// Lock waits for the database's own lock.
func (sqliteClient) Lock(wait time.Duration) []string {
	return []string{fmt.Sprintf(".timeout %d", max(0, wait).Milliseconds())}
}

func (sqliteClient) Unlock() []string { return nil }

// Refuse breaks a constraint that has the message for its name.
func (sqliteClient) Refuse(condition, message string) []string {
	return []string{
		`CREATE TEMP TABLE tldwdb_check (ok integer CONSTRAINT "tldwdb: ` + message + `" CHECK (ok));`,
		"INSERT INTO temp.tldwdb_check SELECT CASE WHEN " + condition + " THEN 0 ELSE 1 END;",
		"DROP TABLE temp.tldwdb_check;",
	}
}

// IsDatabase compares the name of the file.
func (c sqliteClient) IsDatabase(name string) string {
	lit := c.d.Literal(name)
	return fmt.Sprintf(`EXISTS (SELECT 1 FROM pragma_database_list WHERE name = 'main' AND (file = %s OR substr(file, -length(%s) - 1) IN ('/' || %s, '\' || %s)))`, lit, lit, lit, lit)
}

func (c sqliteClient) Say(text string) string { return "SELECT " + c.d.Literal(text) + ";" }

func (sqliteClient) Statement(st sqlscan.Statement) string { return st.Text + ";" }

// File has a second carriage return where there is one at the end of a line: the
// shell drops the last.
func (sqliteClient) File(script string) string { return strings.ReplaceAll(script, "\r\n", "\r\r\n") }

func (sqliteClient) Limit(time.Duration) []string        { return nil }
func (sqliteClient) Before([]sqlscan.Statement) []string { return nil }

// defaults are the settings that change what a statement means, as the shell has
// them when it starts. Those that only cost time are left as they are.
var defaults = map[string]string{
	"foreign_keys": "OFF", "recursive_triggers": "OFF", "legacy_alter_table": "OFF", "ignore_check_constraints": "OFF", "writable_schema": "RESET",
	"trusted_schema": "ON", "query_only": "OFF", "reverse_unordered_selects": "OFF", "automatic_index": "ON", "defer_foreign_keys": "OFF",
}

func (c sqliteClient) After(file []sqlscan.Statement) []string {
	var list []string
	for _, st := range slices.Backward(file) { // a trigger or a view goes before its table
		h := headOf(st.Text, c.d.ScanOptions())
		switch {
		case st.Verb == "PRAGMA":
			i := 1
			if h.punct(i+1, ".") {
				i += 2
			}
			if value, is := defaults[strings.ToLower(h.name(i))]; is {
				list = append(list, "PRAGMA "+strings.ToLower(h.name(i))+" = "+value+";")
			}
		case st.Verb == "CREATE" && c.d.Class(st) == ClassTemporary:
			if n, _, ok := h.nameAt(h.skip(3, "IF NOT EXISTS")); ok {
				list = append(list, "DROP "+h.word(2)+` IF EXISTS temp."`+strings.ReplaceAll(n.object, `"`, `""`)+`";`)
			}
		case st.Verb == "ATTACH": // ATTACH file AS name
			for i := range h.tokens {
				if h.word(i) == "AS" && i+1 < len(h.tokens) {
					list = append(list, "DETACH "+h.tokens[i+1].Text+";")
				}
			}
		}
	}
	return list
}

func (sqliteClient) ForeignKeys(on bool) string {
	if on {
		return "PRAGMA foreign_keys = ON;"
	}
	return "PRAGMA foreign_keys = OFF;"
}

const sqliteViolations = `SELECT "table" AS child, coalesce(parent, '?') AS parent, count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2`

func (sqliteClient) Violations() []string {
	return []string{"CREATE TEMP TABLE tldwdb_before AS " + sqliteViolations + ";"}
}

func (c sqliteClient) MoreViolations() []string {
	more := "EXISTS (SELECT 1 FROM (" + sqliteViolations + ") a LEFT JOIN temp.tldwdb_before b ON b.child = a.child AND b.parent = a.parent WHERE a.n > coalesce(b.n, 0))"
	return append(c.Refuse(more, "rows would break a foreign key: see PRAGMA foreign_key_check"), "DROP TABLE temp.tldwdb_before;")
}
