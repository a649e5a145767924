package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Dump describes the schema of the database as text: one block per object, sorted, with nothing in
// it that depends on when or under which name the database was made. Two databases with the same
// schema have the same dump, so that a test can compare what two roads lead to. Columns keep
// their order, for it shows in SELECT *. Data is not described. The tables named in except, and
// what belongs to them, are left out: the migration history for one.
func (db *Database) Dump(tb TB, except ...string) string {
	tb.Helper()
	var objects []string
	err := withPool(tb.Context(), db.Engine, db.URL, func(ctx context.Context, pool *sql.DB) (err error) {
		switch db.Engine {
		case SQLite:
			objects, err = sqliteObjects(ctx, pool, except)
		case Postgres:
			objects, err = postgresObjects(ctx, pool, except)
		default:
			objects, err = mysqlObjects(ctx, pool, db.name, except)
		}
		return err
	})
	if err != nil {
		tb.Fatalf("testdb: dump %s: %v", db.Engine, err)
	}
	slices.Sort(objects)
	return strings.Join(objects, "")
}

// sqliteObjects reads the statements that SQLite keeps. A column that ALTER TABLE added stands
// after the table's constraints there, so those are put last everywhere.
func sqliteObjects(ctx context.Context, pool *sql.DB, except []string) (objects []string, err error) {
	rows, err := pool.QueryContext(ctx, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var kind, name, table, statement string
		if err := rows.Scan(&kind, &name, &table, &statement); err != nil {
			return nil, err
		}
		if slices.Contains(except, table) {
			continue
		}
		text := strings.Join(sqliteTokens(statement), " ")
		if kind == "table" {
			text = sqliteTable(sqliteTokens(statement))
		}
		objects = append(objects, fmt.Sprintf("%s %s\n  %s\n", kind, name, text))
	}
	return objects, rows.Err()
}

// sqliteTable lays out CREATE TABLE, one element a line.
func sqliteTable(tokens []string) string {
	open := slices.Index(tokens, "(")
	if open < 0 || strings.EqualFold(tokens[1], "VIRTUAL") {
		return strings.Join(tokens, " ")
	}
	var columns, constraints []string
	depth, from := 0, open+1
	for i := open; i < len(tokens); i++ {
		switch tokens[i] {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth > 1 || depth == 1 && tokens[i] != "," {
			continue
		}
		element := tokens[from:i]
		from = i + 1
		switch strings.ToUpper(element[0]) {
		case "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN":
			constraints = append(constraints, strings.Join(element, " "))
		default:
			columns = append(columns, strings.Join(element, " "))
		}
		if depth == 0 {
			break
		}
	}
	slices.Sort(constraints)
	lines := append([]string{strings.Join(tokens[:open], " ")}, columns...)
	lines = append(lines, constraints...)
	return strings.Join(append(lines, strings.Join(tokens[from:], " ")), "\n    ")
}

// A rename quotes the name it writes, so a quoted plain word and the word alone are one.
var (
	sqliteToken = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\[[^\]]*\]|` + "`(?:[^`]|``)*`" + `|[\pL\pN_$]+|[^\s]`)
	plainWord   = regexp.MustCompile(`^["\[` + "`" + `]([\pL_][\pL\pN_]*)["\]` + "`" + `]$`)
)

// sqliteTokens takes a statement apart, without its blanks and comments.
func sqliteTokens(statement string) []string {
	var tokens []string
	for _, t := range sqliteToken.FindAllString(statement, -1) {
		if strings.HasPrefix(t, "--") || strings.HasPrefix(t, "/*") {
			continue
		}
		tokens = append(tokens, plainWord.ReplaceAllString(t, "$1"))
	}
	return tokens
}

// postgresObjects describes all that is in schemas of the database's users and belongs to no
// extension. Each query gives the name of the table that the object belongs to, and one line.
func postgresObjects(ctx context.Context, pool *sql.DB, except []string) ([]string, error) {
	var objects []string
	for _, q := range postgresQueries {
		found, err := postgresLines(ctx, pool, q, except)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, q)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func postgresLines(ctx context.Context, pool *sql.DB, query string, except []string) (lines []string, err error) {
	rows, err := pool.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var table, line string
		if err := rows.Scan(&table, &line); err != nil {
			return nil, err
		}
		if !slices.Contains(except, table) {
			lines = append(lines, line+"\n")
		}
	}
	return lines, rows.Err()
}

const (
	ours     = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`
	notOwned = `NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = o.oid AND x.deptype = 'e')`
)

var postgresQueries = []string{
	`SELECT '', 'schema '||n.nspname||coalesce(' '||n.nspacl::text, '') FROM pg_namespace n WHERE ` + ours,
	`SELECT '', 'extension '||extname FROM pg_extension WHERE extname <> 'plpgsql'`,
	`SELECT '', 'setting '||unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()`,
	// Tables, views and sequences, without what the server numbers.
	`SELECT o.relname, 'relation '||n.nspname||'.'||o.relname||' kind '||o.relkind::text||' persistence '||o.relpersistence::text
		||' replica identity '||o.relreplident::text||coalesce(' partition of '||(SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = o.oid)
		||' '||coalesce(pg_get_expr(o.relpartbound, o.oid), ''), '')||coalesce(' by '||CASE WHEN o.relkind = 'p' THEN pg_get_partkeydef(o.oid) END, '')
		||coalesce(' with '||array_to_string(o.reloptions, ', '), '')||coalesce(' access '||(SELECT string_agg(g::text, ', ' ORDER BY g::text) FROM unnest(o.relacl) g), '')
		||CASE WHEN o.relrowsecurity THEN ' row security' ELSE '' END||CASE WHEN o.relforcerowsecurity THEN ' forced' ELSE '' END
		||coalesce(' as '||CASE WHEN o.relkind IN ('v', 'm') THEN pg_get_viewdef(o.oid) END, '')
		FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
		WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND ` + ours + ` AND ` + notOwned,
	// attnum counts dropped columns too, so the place among those that are there is given.
	`SELECT o.relname, 'relation '||n.nspname||'.'||o.relname||' column '||to_char(row_number() OVER (PARTITION BY o.oid ORDER BY a.attnum), 'FM0000')||' '||a.attname
		||' '||format_type(a.atttypid, a.atttypmod)||CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
		||CASE WHEN a.attidentity <> '' THEN ' identity '||a.attidentity::text ELSE '' END||CASE WHEN a.attgenerated <> '' THEN ' generated '||a.attgenerated::text ELSE '' END
		||coalesce(' default '||pg_get_expr(d.adbin, d.adrelid), '')
		||coalesce(' collation '||(SELECT c.collname FROM pg_collation c WHERE c.oid = a.attcollation AND c.collname <> 'default'), '')
		||coalesce(' access '||a.attacl::text, '')
		FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attnum > 0 AND NOT a.attisdropped AND o.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ` + ours + ` AND ` + notOwned,
	`SELECT coalesce(r.relname, ''), 'relation '||n.nspname||'.'||coalesce(r.relname, '')||coalesce(' of '||nullif(o.contypid, 0)::regtype::text, '')||' constraint '||o.conname||' '||pg_get_constraintdef(o.oid)
		||CASE WHEN o.convalidated THEN '' ELSE ' (not valid)' END
		FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace LEFT JOIN pg_class r ON r.oid = o.conrelid
		WHERE ` + ours + ` AND ` + notOwned,
	`SELECT t.relname, 'relation '||n.nspname||'.'||t.relname||' index '||pg_get_indexdef(i.indexrelid)||CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
		||CASE WHEN i.indisclustered THEN ' (cluster)' ELSE '' END||CASE WHEN i.indisreplident THEN ' (replica identity)' ELSE '' END
		FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class o ON o.oid = i.indexrelid JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE ` + ours + ` AND ` + notOwned,
	`SELECT t.relname, 'relation '||n.nspname||'.'||t.relname||' trigger '||pg_get_triggerdef(o.oid)||' enabled '||o.tgenabled::text
		FROM pg_trigger o JOIN pg_class t ON t.oid = o.tgrelid JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE NOT o.tgisinternal AND ` + ours + ` AND ` + notOwned,
	`SELECT t.relname, 'relation '||n.nspname||'.'||t.relname||' rule '||pg_get_ruledef(o.oid)
		FROM pg_rewrite o JOIN pg_class t ON t.oid = o.ev_class JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE o.rulename <> '_RETURN' AND ` + ours + ` AND ` + notOwned,
	`SELECT t.relname, 'relation '||n.nspname||'.'||t.relname||' policy '||o.polname||' for '||o.polcmd::text||' permissive '||o.polpermissive::text
		||' to '||o.polroles::regrole[]::text||coalesce(' using '||pg_get_expr(o.polqual, o.polrelid), '')||coalesce(' check '||pg_get_expr(o.polwithcheck, o.polrelid), '')
		FROM pg_policy o JOIN pg_class t ON t.oid = o.polrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE ` + ours,
	`SELECT '', 'sequence '||n.nspname||'.'||o.relname||' '||format_type(s.seqtypid, NULL)||' start '||s.seqstart||' by '||s.seqincrement||' from '||s.seqmin||' to '||s.seqmax
		||' cache '||s.seqcache||' cycle '||s.seqcycle||coalesce(' owned by '||(SELECT d.refobjid::regclass||'.'||a.attname FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
			WHERE d.objid = o.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0), '')
		FROM pg_sequence s JOIN pg_class o ON o.oid = s.seqrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE ` + ours + ` AND ` + notOwned,
	`SELECT '', 'type '||n.nspname||'.'||o.typname||' kind '||o.typtype::text
		||coalesce(' enum '||(SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = o.oid), '')
		||CASE WHEN o.typtype = 'd' THEN ' domain '||format_type(o.typbasetype, o.typtypmod)||CASE WHEN o.typnotnull THEN ' not null' ELSE '' END||coalesce(' default '||o.typdefault, '') ELSE '' END
		||coalesce(' range of '||(SELECT r.rngsubtype::regtype::text FROM pg_range r WHERE r.rngtypid = o.oid), '')
		FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_class c ON c.oid = o.typrelid
		WHERE o.typtype IN ('d', 'e', 'r', 'c') AND (o.typtype <> 'c' OR c.relkind = 'c') AND ` + ours + ` AND ` + notOwned,
	// An aggregate has no definition text; its parts are named instead.
	`SELECT '', 'routine '||n.nspname||'.'||o.proname||'('||pg_get_function_identity_arguments(o.oid)||') '
		||CASE WHEN o.prokind = 'a' THEN (SELECT 'aggregate '||g.aggtransfn::text||' '||g.aggfinalfn::text||' '||g.aggtranstype::regtype::text||' '||coalesce(g.agginitval, '') FROM pg_aggregate g WHERE g.aggfnoid = o.oid)
			ELSE pg_get_functiondef(o.oid) END||coalesce(' access '||o.proacl::text, '')
		FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE ` + ours + ` AND ` + notOwned,
	`SELECT '', 'operator '||n.nspname||'.'||o.oprname||' ('||o.oprleft::regtype||', '||o.oprright::regtype||') '||o.oprcode::text
		FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE ` + ours + ` AND ` + notOwned,
	`SELECT '', 'collation '||n.nspname||'.'||o.collname||' '||o.collprovider::text FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE ` + ours + ` AND ` + notOwned,
	`SELECT '', 'text search configuration '||n.nspname||'.'||o.cfgname FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace WHERE ` + ours + ` AND ` + notOwned,
	`SELECT '', 'statistics '||pg_get_statisticsobjdef(o.oid) FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace WHERE ` + ours,
	`SELECT '', 'event trigger '||evtname||' on '||evtevent||' '||evtfoid::regproc||' enabled '||evtenabled::text FROM pg_event_trigger`,
	`SELECT '', 'publication '||pubname||' all '||puballtables::text||coalesce(' '||(SELECT string_agg(schemaname||'.'||tablename, ', ' ORDER BY schemaname, tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname), '') FROM pg_publication p`,
	`SELECT '', 'default access '||coalesce(n.nspname, '')||' '||d.defaclobjtype::text||' '||d.defaclacl::text FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace`,
	`SELECT coalesce(o.relname, ''), 'comment on '||i.type||' '||i.identity||': '||d.description
		FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
		LEFT JOIN pg_class o ON d.classoid = 'pg_class'::regclass AND o.oid = d.objoid
		WHERE coalesce(i.schema, 'public') !~ '^pg_' AND i.schema IS DISTINCT FROM 'information_schema' AND d.objoid >= 16384
		AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = d.objoid AND x.deptype = 'e') AND d.classoid <> 'pg_extension'::regclass`,
}

// mysqlObjects asks the server for the statements that would make each object.
func mysqlObjects(ctx context.Context, pool *sql.DB, name string, except []string) ([]string, error) {
	// What the views and routines of two databases have in common must not differ by their names.
	unname := strings.NewReplacer("`"+name+"`.", "", name+".", "")
	objects, err := texts(ctx, pool, "SELECT CONCAT('database character set ', @@character_set_database, ' collation ', @@collation_database, CHAR(10))")
	if err != nil {
		return nil, err
	}
	for _, q := range []struct{ kind, list string }{
		{"TABLE", "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"},
		{"VIEW", "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()"},
		{"SEQUENCE", "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'"},
		{"TRIGGER", "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"},
		{"FUNCTION", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'FUNCTION'"},
		{"PROCEDURE", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'PROCEDURE'"},
		{"PACKAGE", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'PACKAGE'"},
		{"PACKAGE BODY", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'PACKAGE BODY'"},
		{"EVENT", "SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE()"},
	} {
		names, err := texts(ctx, pool, q.list)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if slices.Contains(except, n) {
				continue
			}
			text, err := showCreate(ctx, pool, q.kind, n)
			if err != nil {
				return nil, fmt.Errorf("SHOW CREATE %s %s: %w", q.kind, n, err)
			}
			if q.kind == "TABLE" {
				text = mysqlTable(text)
			}
			objects = append(objects, fmt.Sprintf("%s %s\n  %s\n", strings.ToLower(q.kind), n, unname.Replace(text)))
		}
	}
	return objects, nil
}

// showCreate finds the statement by its column's name: the position differs from kind to kind.
func showCreate(ctx context.Context, pool *sql.DB, kind, name string) (text string, err error) {
	rows, err := pool.QueryContext(ctx, "SHOW CREATE "+kind+" "+backtick(name))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(columns, func(c string) bool {
		return strings.HasPrefix(c, "Create ") || c == "SQL Original Statement"
	})
	if at < 0 || !rows.Next() {
		return "", errors.Join(errors.New("the server gives no statement"), rows.Err())
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return "", err
	}
	if !values[at].Valid {
		return "", errors.New("the account may not see the definition")
	}
	// The next number counts rows, an event without STARTS has the time of its creation, and Oracle's
	// server keeps the semicolon after a body when another statement followed it in the packet.
	text = mysqlMoment.ReplaceAllString(values[at].String, "")
	return strings.TrimRight(text, "; \n"), rows.Err()
}

var mysqlMoment = regexp.MustCompile(` AUTO_INCREMENT=\d+| STARTS '[^']*'`)

// mysqlTable sorts the keys and constraints of a table, which the server lists as they were made.
func mysqlTable(statement string) string {
	lines := strings.Split(statement, "\n")
	end := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, ")") })
	if end < 1 {
		return statement
	}
	var columns, keys []string
	for _, l := range lines[1:end] {
		l = strings.TrimSuffix(l, ",")
		if strings.HasPrefix(l, "  `") {
			columns = append(columns, l)
		} else {
			keys = append(keys, l)
		}
	}
	slices.Sort(keys)
	return strings.Join(slices.Concat(lines[:1], columns, keys, lines[end:]), "\n")
}
