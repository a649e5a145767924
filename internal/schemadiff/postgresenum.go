package schemadiff

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
)

// PostgreSQL adds values to an enum, and takes none away. So an enum that loses one is
// made anew: the columns go over by their texts, and what names a value in its
// expression (indexes, checks) is dropped before and made again behind.

// pgEnum is an enum, and what of tables stands on it.
type pgEnum struct {
	pgID
	ident   string // in a statement
	bare    string // without the schema, in quotes
	labels  []string
	columns []pgEnumColumn
	parts   []pgEnumPart
}

// pgEnumColumn is a column of the enum, or of an array of it.
type pgEnumColumn struct {
	table, name, array, standard string
	need                         pgNeed
}

// pgEnumPart is an index or check with an expression over the enum.
type pgEnumPart struct{ name, drop, create string }

const pgEnums = `SELECT n.nspname || '.' || t.typname, t.oid::bigint, t.oid::regtype::text, quote_ident(t.typname), quote_literal(e.enumlabel)
	FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid WHERE ` + pgOwn + ` ORDER BY 1, e.enumsortorder`

const pgEnumColumns = `SELECT n.nspname || '.' || t.typname, o.oid::regclass::text, quote_ident(a.attname), CASE WHEN t.oid <> c.oid THEN '[]' ELSE '' END, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), o.oid::bigint, a.attnum::bigint
	FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_type c ON c.oid = a.atttypid JOIN pg_type t ON t.oid = c.oid OR t.oid = c.typelem JOIN pg_namespace n ON n.oid = t.typnamespace
	LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
	WHERE t.typtype = 'e' AND o.relkind IN ('r', 'p') AND NOT o.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND ` + pgOwn + ` ORDER BY o.oid, a.attnum`

// An expression that names a value stands on the type.
const pgEnumParts = `SELECT DISTINCT n.nspname || '.' || t.typname, i.relname, 'DROP INDEX ' || i.oid::regclass, pg_get_indexdef(i.oid)
	FROM pg_depend d JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.typnamespace
	JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid JOIN pg_index x ON x.indexrelid = i.oid JOIN pg_class o ON o.oid = x.indrelid
	WHERE t.typtype = 'e' AND o.relkind IN ('r', 'p') AND ` + pgOwn + `
UNION SELECT DISTINCT n.nspname || '.' || t.typname, k.conname, 'ALTER TABLE ' || k.conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(k.conname),
	'ALTER TABLE ' || k.conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)
	FROM pg_depend d JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.typnamespace
	JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
	WHERE t.typtype = 'e' AND k.contype = 'c' AND k.conrelid <> 0 AND ` + pgOwn + ` ORDER BY 3`

func readPostgresEnums(ctx context.Context, conn *sql.Conn, s *PostgresSchema) error {
	s.enums = map[string]*pgEnum{}
	err := each(ctx, conn, pgEnums, func(rows *sql.Rows) error {
		e := &pgEnum{pgID: pgID{class: "pg_type"}}
		var name, label string
		if err := rows.Scan(&name, &e.oid, &e.ident, &e.bare, &label); err != nil {
			return err
		}
		if s.enums[name] == nil {
			s.enums[name] = e
		}
		s.enums[name].labels = append(s.enums[name].labels, label)
		return nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, conn, pgEnumColumns, func(rows *sql.Rows) error {
		c := pgEnumColumn{need: pgNeed{pgID: pgID{class: "pg_class"}}}
		var name string
		err := rows.Scan(&name, &c.table, &c.name, &c.array, &c.standard, &c.need.oid, &c.need.column)
		if e := s.enums[name]; e != nil {
			e.columns = append(e.columns, c)
		}
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, conn, pgEnumParts, func(rows *sql.Rows) error {
		var p pgEnumPart
		var name string
		err := rows.Scan(&name, &p.name, &p.drop, &p.create)
		if e := s.enums[name]; e != nil {
			e.parts = append(e.parts, p)
		}
		return err
	})
}

// GrownEnum reports whether an enum of the first values becomes one of the second by
// values that are added.
func GrownEnum(from, to []string) bool {
	i := 0
	for _, label := range to {
		if i < len(from) && from[i] == label {
			i++
		}
	}
	return i == len(from)
}

// shrunk lists the enums that have to be made anew, with what is wanted.
func (p *pgPlan) shrunk() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(p.from.enums)) {
		if wanted := p.to.enums[name]; wanted != nil && p.from.has("type", name) && !GrownEnum(p.from.enums[name].labels, wanted.labels) {
			names = append(names, name)
		}
	}
	return names
}

// makeEnum makes an enum anew.
func (p *pgPlan) makeEnum(is, wanted *pgEnum) {
	for _, label := range is.labels {
		if !slices.Contains(wanted.labels, label) {
			p.Notes = append(p.Notes, "the value "+label+" of "+is.ident+" goes: the migration fails where a row has it")
		}
	}
	add := func(statement string) { p.Before = append(p.Before, statement) }
	for _, part := range is.parts {
		add(part.drop)
	}
	old := quote(strings.ReplaceAll(strings.Trim(is.bare, `"`), `""`, `"`) + "_old")
	add("ALTER TYPE " + is.ident + " RENAME TO " + old)
	add("CREATE TYPE " + is.ident + " AS ENUM (" + strings.Join(wanted.labels, ", ") + ")")
	for _, c := range is.columns {
		column := "ALTER TABLE " + c.table + " ALTER COLUMN " + c.name
		if c.standard != "" {
			add(column + " DROP DEFAULT")
		}
		add(column + " TYPE " + is.ident + c.array + " USING " + c.name + "::text" + c.array + "::" + is.ident + c.array)
		stays := func(o pgEnumColumn) bool { return o.table == c.table && o.name == c.name && o.standard == c.standard }
		if c.standard != "" && slices.ContainsFunc(wanted.columns, stays) {
			add(column + " SET DEFAULT " + c.standard)
		}
	}
	add("DROP TYPE " + strings.TrimSuffix(is.ident, is.bare) + old)
	for _, part := range is.parts {
		if slices.Contains(wanted.parts, part) {
			add(part.create)
		} else {
			p.dropped = append(p.dropped, part.name)
		}
	}
}

// Around puts the statements for the tables between the others. They may drop what had
// to be dropped before.
func (p PostgresPlan) Around(tables []string) []string {
	for i, statement := range tables {
		for _, name := range p.dropped {
			for _, what := range []string{"DROP INDEX ", "DROP CONSTRAINT "} {
				statement = strings.ReplaceAll(statement, what+quote(name), what+"IF EXISTS "+quote(name))
			}
		}
		tables[i] = statement
	}
	return slices.Concat(p.Before, tables, p.After)
}

// AddedValues lists the statements that add values to enums, if what is to be made
// names one of them by now, as used says of a label in quotes. PostgreSQL takes a new
// value only in the next transaction.
func AddedValues(from, to *PostgresSchema, used func(label string) bool) (list []string) {
	early := false
	for _, name := range slices.Sorted(maps.Keys(from.enums)) {
		is, wanted := from.enums[name], to.enums[name]
		if wanted == nil || !GrownEnum(is.labels, wanted.labels) {
			continue
		}
		for i, label := range wanted.labels {
			if slices.Contains(is.labels, label) {
				continue
			}
			statement := "ALTER TYPE " + is.ident + " ADD VALUE " + label
			switch {
			case i > 0:
				statement += " AFTER " + wanted.labels[i-1]
			case len(is.labels) > 0:
				statement += " BEFORE " + is.labels[0]
			}
			list = append(list, statement)
			early = early || used(label)
		}
	}
	if !early {
		return nil
	}
	return list
}
