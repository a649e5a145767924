package schemadiff

import (
	"context"
	"database/sql"
	"strings"
)

// Renamed is a statement that gives something another name, and the one that takes
// that back.
type Renamed struct{ Up, Down string }

// postgresNamed lists what PostgreSQL has named after a table and its columns, which
// keeps its name when they are renamed: constraints, other indexes, sequences of its columns.
const postgresNamed = `SELECT 'constraint', conname FROM pg_constraint WHERE conrelid = $1::regclass
UNION ALL SELECT 'index', c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = $1::regclass AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
UNION ALL SELECT 'sequence', c.relname FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
	WHERE c.relkind = 'S' AND d.refobjid = $1::regclass AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
ORDER BY 1, 2`

// PostgresNames lists the renames that have to follow that of a table, or of a column
// of it, so that what was renamed and what was made so are the same. table is the new
// name as a statement has it; h has the bare names, and all are the hints that there
// are: of a table that is renamed with a column of it, what is named for both gets its
// last name at once. Only names that the wanted schema has are given.
func PostgresNames(ctx context.Context, from, to *sql.Conn, schema, table string, h Hint, all []Hint) ([]Renamed, error) {
	read := func(conn *sql.Conn) (list [][2]string, err error) {
		err = each(ctx, conn, postgresNamed, func(rows *sql.Rows) error {
			var object [2]string
			err := rows.Scan(&object[0], &object[1])
			list = append(list, object)
			return err
		}, table)
		return list, err
	}
	is, err := read(from)
	if err != nil {
		return nil, err
	}
	wanted, err := read(to)
	if err != nil {
		return nil, err
	}
	has := map[[2]string]bool{}
	for _, w := range wanted {
		has[w] = true
	}
	var list []Renamed
	for _, object := range is {
		kind, name := object[0], object[1]
		will, named := h.follows(name)
		for _, o := range all {
			if named && o.Column != "" && h.Column == "" && o.Schema == h.Schema && o.Table == h.Table && !has[[2]string{kind, will}] {
				if next, also := o.follows(will); also {
					will = next
				}
			}
		}
		if !named || has[object] || !has[[2]string{kind, will}] {
			continue
		}
		if kind == "constraint" {
			prefix := "ALTER TABLE " + table + " RENAME CONSTRAINT "
			list = append(list, Renamed{prefix + quote(name) + " TO " + quote(will), prefix + quote(will) + " TO " + quote(name)})
			continue
		}
		prefix := "ALTER " + strings.ToUpper(kind) + " " + schema
		list = append(list, Renamed{prefix + quote(name) + " RENAME TO " + quote(will), prefix + quote(will) + " RENAME TO " + quote(name)})
	}
	return list, nil
}

// follows is what something is called after the rename that was named for the table, as
// in person_name_key, or for the column of it.
func (h Hint) follows(name string) (will string, named bool) {
	if h.Column == "" {
		rest, named := strings.CutPrefix(name, h.From+"_")
		return h.Table + "_" + rest, named
	}
	before, rest, named := strings.Cut(name+"_", "_"+h.From+"_")
	return strings.TrimSuffix(before+"_"+h.Column+"_"+rest, "_"), named
}
