package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// ScratchServer is implemented by an engine whose server holds several
// databases, so that one can be made for a while beside another. Every call gets
// a pool with one connection, in the database that the scratch is made beside.
type ScratchServer interface {
	// DatabaseName is this database's name, as an expression.
	DatabaseName() string
	// MakeScratch makes an empty database with the character set of this one. The
	// connection keeps others from taking it for one that was left.
	MakeScratch(ctx context.Context, pool *sql.DB, name string) error
	// DropScratch drops it, if it is there.
	DropScratch(ctx context.Context, pool *sql.DB, name string) error
	// Scratches lists the databases whose names begin with prefix and that nobody
	// uses, and gives the server's clock in seconds since 1970.
	Scratches(ctx context.Context, pool *sql.DB, prefix string) (names []string, now int64, err error)
	// ScratchSession says what makes a session in a scratch database like one in
	// this one: settings for its URL, and the schemas that they name.
	ScratchSession(ctx context.Context, pool *sql.DB) (settings map[string]string, schemas []string, err error)
	// MakesSchema is the schema that a statement of a user makes and which must not be
	// there before, as far as its text shows it; empty for none.
	MakesSchema(statement, user string) string
	// Databases lists the other databases of the server, as far as the account
	// sees them, and this one.
	Databases(ctx context.Context, pool *sql.DB) ([]string, error)
	// IsNoRight reports whether an error means that the account may not create a
	// database.
	IsNoRight(err error) bool
	// ScratchGrant is the statement that gives the account that right.
	ScratchGrant(user, prefix string) string
}

// Confiner is implemented by every engine.
type Confiner interface {
	// Beyond names what a statement touches outside the database that it runs in,
	// as far as its text shows it: another database, an account, the server. It is
	// empty for nothing. others are the names of the server's databases.
	Beyond(text string, others []string) string
}

// firstWords are the tokens that tell what a statement is, in upper case.
func firstWords(text string, o sqlscan.Options) (words [4]string) {
	i := 0
	for t := range sqlscan.Tokens(text, o) {
		if i == len(words) {
			break
		}
		words[i] = strings.ToUpper(t.Text)
		i++
	}
	return words
}

// Beyond knows what opens another file.
func (s *sqlite) Beyond(text string, _ []string) string {
	w := firstWords(text, s.ScanOptions())
	switch {
	case w[0] == "ATTACH":
		return "ATTACH opens another database"
	case w[0] == "VACUUM" && (w[1] == "INTO" || w[2] == "INTO"):
		return "VACUUM INTO writes another file"
	}
	return ""
}

// Beyond knows what is the whole server's.
func (p *postgres) Beyond(text string, _ []string) string {
	w := firstWords(text, p.ScanOptions())
	of := func(list ...string) bool { return slices.Contains(list, w[1]) }
	switch w[0] {
	case "CREATE", "ALTER", "DROP":
		if of("DATABASE", "ROLE", "GROUP", "TABLESPACE", "SUBSCRIPTION", "SYSTEM") || of("USER") && w[2] != "MAPPING" {
			return w[0] + " " + w[1] + " is not about this database alone"
		}
		if w[0] == "DROP" && of("OWNED") {
			return "DROP OWNED takes rights on other databases away"
		}
	case "GRANT", "REVOKE":
		for t := range sqlscan.Tokens(text, p.ScanOptions()) {
			if t.Is("ON") {
				return ""
			}
		}
		return w[0] + " of a role is not about this database alone"
	}
	return ""
}

func (*postgres) DatabaseName() string { return "current_database()" }

// MakeScratch copies the encoding and the locale.
func (p *postgres) MakeScratch(ctx context.Context, pool *sql.DB, name string) error {
	var encoding, collate, ctype string
	err := QueryRow(ctx, pool, "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database WHERE datname = current_database()", p.QueryArgs(), &encoding, &collate, &ctype)
	if err != nil {
		return err
	}
	// template1 may have what this database was made without, and cannot be copied
	// while anybody is connected to it.
	_, err = pool.ExecContext(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s",
		p.Qualify("", name), p.Literal(encoding), p.Literal(collate), p.Literal(ctype)))
	return err
}

// DropScratch ends what is still connected: a pooler keeps its connections after
// we have closed ours.
func (p *postgres) DropScratch(ctx context.Context, pool *sql.DB, name string) error {
	_, err := pool.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = current_user AND datname = "+p.Literal(name))
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, "DROP DATABASE IF EXISTS "+p.Qualify("", name))
	return err
}

func (p *postgres) Scratches(ctx context.Context, pool *sql.DB, prefix string) (names []string, now int64, err error) {
	if err := QueryRow(ctx, pool, "SELECT extract(epoch FROM now())::bigint", p.QueryArgs(), &now); err != nil {
		return nil, 0, err
	}
	names, err = queryTexts(ctx, pool, fmt.Sprintf("SELECT d.datname FROM pg_catalog.pg_database d WHERE starts_with(d.datname, %s) AND pg_has_role(d.datdba, 'USAGE')"+
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)", p.Literal(prefix)), p.QueryArgs())
	return names, now, err
}

// pgReading are the settings, beside the search path, that decide how a statement is read
// or what it makes without further words. Others are left alone: a limit of time or
// "read only" would stop the migrations there, and a setting of the program's own may be
// a secret.
const pgReading = `'TimeZone', 'DateStyle', 'IntervalStyle', 'standard_conforming_strings', 'backslash_quote', 'array_nulls', 'transform_null_equals', 'xmloption', 'default_text_search_config', ` +
	`'default_table_access_method', 'default_toast_compression', 'lc_monetary', 'lc_numeric', 'lc_time'`

// ScratchSession gives what the role has of its own for this database, or the database
// for all, where it decides what statements make: the search path, or the time zone in
// which a default is read. A pooler would not take every setting, so that none is named
// without need.
func (p *postgres) ScratchSession(ctx context.Context, pool *sql.DB) (map[string]string, []string, error) {
	settings := map[string]string{}
	var searchPath string
	if err := QueryRow(ctx, pool, "SELECT current_setting('search_path')", p.QueryArgs(), &searchPath); err != nil {
		return nil, nil, err
	}
	if searchPath != `"$user", public` {
		settings["search_path"] = searchPath
	}
	schemas, err := queryTexts(ctx, pool, "SELECT s::text FROM unnest(current_schemas(false)) s WHERE s <> 'public'", p.QueryArgs())
	if err != nil {
		return nil, nil, err
	}
	own, err := queryTexts(ctx, pool, "SELECT name || '=' || current_setting(name) FROM pg_settings WHERE source IN ('database', 'database user') AND name IN ("+pgReading+")", p.QueryArgs())
	if err != nil {
		return nil, nil, err
	}
	for _, setting := range own {
		name, value, _ := strings.Cut(setting, "=")
		settings[name] = value
	}
	return settings, schemas, nil
}

func (p *postgres) MakesSchema(statement, user string) string {
	words := firstWords(statement, p.ScanOptions())
	if words[0] != "CREATE" || words[1] != "SCHEMA" || words[2] == "IF" {
		return ""
	}
	i := 2
	if words[2] == "AUTHORIZATION" { // it has the name of its owner
		i = 3
	}
	for t := range sqlscan.Tokens(statement, p.ScanOptions()) {
		if i == 0 {
			if words[2] == "AUTHORIZATION" && (t.Is("CURRENT_USER") || t.Is("SESSION_USER") || t.Is("CURRENT_ROLE")) {
				return user
			}
			return t.Name(sqlscan.Postgres)
		}
		i--
	}
	return ""
}

func (p *postgres) Databases(context.Context, *sql.DB) ([]string, error) {
	return nil, nil // no statement can reach another one
}

func (p *postgres) IsNoRight(err error) bool { return pgCode(err) == "42501" }

func (p *postgres) ScratchGrant(user, _ string) string {
	return "ALTER ROLE " + p.Qualify("", user) + " CREATEDB"
}

// Beyond knows what is the whole server's, and names with another database, or
// this one, before them: run elsewhere, they would still lead there.
func (d *mysqlDialect) Beyond(text string, others []string) string {
	w := firstWords(text, d.ScanOptions())
	switch w[0] {
	case "USE", "GRANT", "REVOKE", "INSTALL", "UNINSTALL", "PURGE", "RESET", "SHUTDOWN", "CHANGE":
		return w[0] + " is not about this database alone"
	case "CREATE", "ALTER", "DROP", "RENAME":
		switch w[1] {
		case "USER", "ROLE", "TABLESPACE", "SERVER", "LOGFILE", "UNDO", "INSTANCE":
			return w[0] + " " + w[1] + " is not about this database alone"
		case "DATABASE", "SCHEMA":
			if w[0] != "ALTER" || !slices.Contains([]string{"DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "COMMENT", "ENCRYPTION", "READ"}, w[2]) {
				return w[0] + " " + w[1] + " is not about this database alone"
			}
		}
	}
	tokens := slices.Collect(sqlscan.Tokens(text, d.ScanOptions()))
	if w[0] == "SET" && slices.ContainsFunc(tokens, isGlobal) {
		return "SET of a global variable is not about this database alone"
	}
	if name := qualifier(tokens, others); name != "" {
		return name + ". leads to the database of that name"
	}
	return ""
}

func isGlobal(t sqlscan.Token) bool {
	upper := strings.ToUpper(t.Text)
	return t.Is("GLOBAL") || t.Is("PERSIST") || t.Is("PERSIST_ONLY") || strings.HasPrefix(upper, "@@GLOBAL") || strings.HasPrefix(upper, "@@PERSIST")
}

// qualifier finds the name of a database before a dot. A name that also stands
// alone in the statement is that of a table.
func qualifier(tokens []sqlscan.Token, databases []string) string {
	found, alone := "", map[string]bool{}
	for i, t := range tokens {
		name := strings.ToLower(t.Name(sqlscan.MySQL))
		switch {
		case t.Kind != sqlscan.Word && t.Kind != sqlscan.QuotedIdent, i > 0 && tokens[i-1].Text == ".":
		case i+1 == len(tokens) || tokens[i+1].Text != ".":
			alone[name] = true
		case found == "" && slices.ContainsFunc(databases, func(d string) bool { return strings.EqualFold(d, name) }):
			found = name
		}
	}
	if alone[found] {
		return ""
	}
	return found
}

func (*mysqlDialect) DatabaseName() string { return "DATABASE()" }

// MakeScratch takes a lock of the name first, by which [mysqlDialect.Scratches]
// sees that the database is in use.
func (d *mysqlDialect) MakeScratch(ctx context.Context, pool *sql.DB, name string) error {
	var locked sql.NullInt64
	var charset, collation string
	err := QueryRow(ctx, pool, "SELECT GET_LOCK("+d.Literal(name)+", 0), @@character_set_database, @@collation_database", nil, &locked, &charset, &collation)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, fmt.Sprintf("CREATE DATABASE %s CHARACTER SET %s COLLATE %s", d.Qualify("", name), charset, collation))
	return err
}

func (d *mysqlDialect) DropScratch(ctx context.Context, pool *sql.DB, name string) error {
	_, err := pool.ExecContext(ctx, "DROP DATABASE IF EXISTS "+d.Qualify("", name))
	return err
}

func (d *mysqlDialect) Scratches(ctx context.Context, pool *sql.DB, prefix string) (names []string, now int64, err error) {
	if err := QueryRow(ctx, pool, "SELECT UNIX_TIMESTAMP()", nil, &now); err != nil {
		return nil, 0, err
	}
	names, err = queryTexts(ctx, pool, fmt.Sprintf("SELECT schema_name FROM information_schema.schemata WHERE LEFT(schema_name, %d) = %s AND IS_FREE_LOCK(schema_name) = 1",
		len([]rune(prefix)), d.Literal(prefix)), nil)
	return names, now, err
}

func (d *mysqlDialect) ScratchSession(context.Context, *sql.DB) (map[string]string, []string, error) {
	return nil, nil, nil // the URL has it all
}

func (d *mysqlDialect) MakesSchema(string, string) string { return "" } // a schema is a database there

func (d *mysqlDialect) Databases(ctx context.Context, pool *sql.DB) ([]string, error) {
	return queryTexts(ctx, pool, "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'sys')", nil)
}

// IsNoRight knows 1044 (no access to this database) and 1227 (needs a privilege).
func (d *mysqlDialect) IsNoRight(err error) bool {
	number := mysqlNumber(err)
	return number == 1044 || number == 1227
}

func (d *mysqlDialect) ScratchGrant(user, prefix string) string {
	pattern := strings.NewReplacer(`_`, `\_`, `%`, `\%`, "`", "``").Replace(prefix)
	return "GRANT ALL ON `" + pattern + "%`.* TO " + d.Literal(user)
}

// queryTexts reads a column of text.
func queryTexts(ctx context.Context, q Queryer, query string, args []any) (list []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}
