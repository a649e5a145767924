package dialect

import (
	"fmt"
	"strings"
)

// The queries behind [Dialect.TablesNamed].

// namedIn is the condition that an expression, in lower case, is one of the
// names that want accepts.
func namedIn(d Dialect, expression string, names []string, want func(string) bool) string {
	var list []string
	for _, name := range names {
		if want(name) {
			list = append(list, d.Literal(name), d.Literal(strings.ToLower(name))) // SQLite's lower leaves Ä alone
		}
	}
	if len(list) == 0 {
		return "1 = 0"
	}
	return fmt.Sprintf("lower(%s) IN (%s)", expression, strings.Join(list, ", "))
}

func anyName(string) bool        { return true }
func qualified(name string) bool { return strings.Contains(name, ".") }

func (s *sqlite) TablesNamed(names []string) string {
	return "SELECT '', m.name, p.name FROM main.sqlite_master m JOIN pragma_table_info(m.name, 'main') p WHERE m.type = 'table' AND (" +
		namedIn(s, "m.name", names, anyName) + " OR " + namedIn(s, "'main.' || m.name", names, qualified) + ") ORDER BY m.name, p.cid"
}

func (p *postgres) TablesNamed(names []string) string {
	return "SELECT n.nspname::text, c.relname::text, a.attname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace" +
		" JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relkind IN ('r', 'p') AND (" +
		"n.nspname = ANY (current_schemas(false)) AND " + namedIn(p, "c.relname", names, anyName) +
		" OR " + namedIn(p, "n.nspname || '.' || c.relname", names, qualified) + ") ORDER BY array_position(current_schemas(false), n.nspname), n.nspname, c.relname, a.attnum"
}

// TablesNamed looks into other databases only where a name asks for it: MariaDB
// opens every table that a look into the catalogue does not rule out.
func (d *mysqlDialect) TablesNamed(names []string) string {
	const columns = "SELECT CASE WHEN table_schema = DATABASE() THEN '' ELSE table_schema END AS place, table_name AS tab, column_name AS col, ordinal_position AS pos FROM information_schema.columns WHERE "
	query := columns + "table_schema = DATABASE() AND " + namedIn(d, "table_name", names, anyName)
	for _, name := range names {
		if schema, table, ok := strings.Cut(name, "."); ok {
			query += " UNION " + columns + "table_schema = " + d.Literal(schema) + " AND lower(table_name) = " + d.Literal(strings.ToLower(table))
		}
	}
	return "SELECT place, tab, col FROM (" + query + ") found ORDER BY place, tab, pos"
}
