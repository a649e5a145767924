package schemadiff

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
)

// Tables, their columns, keys, indexes and enums are planned by whoever is asked for
// them. This plans what stands around them on PostgreSQL: views, routines, triggers,
// policies, rules, domains, sequences, extensions. The server writes each of them as a
// statement, and knows which needs which.

// PostgresPlan are the statements around those for the tables.
type PostgresPlan struct {
	Before, After []string
	// Notes are what whoever applies it has to know: which objects are dropped and made
	// again, so that rights that were granted on them are gone, and which values of enums
	// may not be there any more.
	Notes []string

	dropped []string // indexes and checks that are gone before the tables change
}

// PostgresSchema is what a database has around its tables.
type PostgresSchema struct {
	catalog catalog.Catalog
	known   map[[2]string]string // the texts of the catalogue, by kind and name
	objects []*pgObject          // in the order in which they were made
	byName  map[[2]string]*pgObject
	byID    map[pgID]*pgObject
	needs   map[pgID][]pgNeed // what an object stands on
	columns map[[2]string]pgColumn
	held    map[pgID]bool // functions that a default, check or index needs
	secured map[string][2]bool
	enums   map[string]*pgEnum
}

// pgID is an object of the catalogue: its table there, and its number.
type pgID struct {
	class string
	oid   int64
}

// pgNeed is an object that another one stands on; of a table, perhaps one column.
type pgNeed struct {
	pgID
	column int64
}

// pgColumn is a column of a table.
type pgColumn struct {
	table int64
	place int64
	kind  string
}

// pgObject is one object, under the name that the comparison of catalogues has for it.
type pgObject struct {
	pgID
	kind, name string
	of         string // the table or view that it is of
	create     string
	drop       string // the name in a DROP; of a constraint the statement
	shape      string // what CREATE OR REPLACE does not change: columns of a view, arguments and result of a function
}

func (o *pgObject) key() [2]string { return [2]string{o.kind, o.name} }

// Routines, and where the comparison names types it does so with their schemas.
const pgNames = `SELECT 'pg_proc', o.oid::bigint, CASE o.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, n.nspname || '.' || o.proname || '(' || pg_get_function_identity_arguments(o.oid) || ')'
	FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE o.prokind <> 'a' AND ` + pgOwn

// pgCollation is the collation of a column: PostgreSQL 12 has no regcollation.
const pgCollation = `(SELECT k.collname FROM pg_collation k WHERE k.oid = a.attcollation)`

const pgOwn = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// pgObjects gives the catalogue's table, number, kind, name (empty where pgNames has
// it), table that it is of, statement, name for DROP, and shape.
const pgObjects = `SELECT 'pg_extension', o.oid::bigint, 'extension', o.extname::text, '', 'CREATE EXTENSION ' || quote_ident(o.extname) || CASE n.nspname WHEN current_schema() THEN '' ELSE ' SCHEMA ' || quote_ident(n.nspname) END, quote_ident(o.extname), ''
	FROM pg_extension o JOIN pg_namespace n ON n.oid = o.extnamespace
UNION ALL SELECT 'pg_type', o.oid::bigint, 'type', n.nspname || '.' || o.typname, '', CASE o.typtype
	WHEN 'd' THEN concat_ws(' ', 'CREATE DOMAIN', o.oid::regtype, 'AS', format_type(o.typbasetype, o.typtypmod), 'DEFAULT ' || o.typdefault, CASE WHEN o.typnotnull THEN 'NOT NULL' END,
		(SELECT string_agg('CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = o.oid AND k.contype <> 'n'))
	ELSE 'CREATE TYPE ' || o.oid::regtype || E' AS (\n  ' || (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), E',\n  ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = o.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || E'\n)' END,
	o.oid::regtype::text, ''
	FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_class c ON c.oid = o.typrelid WHERE (o.typtype = 'd' OR c.relkind = 'c') AND ` + pgOwn + `
UNION ALL SELECT 'pg_class', o.oid::bigint, 'sequence', n.nspname || '.' || o.relname, '', concat_ws(' ', 'CREATE SEQUENCE', o.oid::regclass, 'AS', format_type(s.seqtypid, NULL), 'INCREMENT', s.seqincrement, 'MINVALUE', s.seqmin, 'MAXVALUE', s.seqmax,
		'START', s.seqstart, 'CACHE', s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' END), o.oid::regclass::text, ''
	FROM pg_sequence s JOIN pg_class o ON o.oid = s.seqrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.refclassid = 'pg_class'::regclass AND x.deptype IN ('a', 'i')) AND ` + pgOwn + `
UNION ALL SELECT 'pg_proc', o.oid::bigint, '', '', '', rtrim(pg_get_functiondef(o.oid), E'\n'), o.oid::regprocedure::text, pg_get_function_arguments(o.oid) || coalesce(' returns ' || pg_get_function_result(o.oid), '')
	FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE o.prokind <> 'a' AND ` + pgOwn + `
UNION ALL SELECT 'pg_class', o.oid::bigint, CASE o.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, n.nspname || '.' || o.relname, '',
	CASE o.relkind WHEN 'v' THEN 'CREATE VIEW ' ELSE 'CREATE MATERIALIZED VIEW ' END || o.oid::regclass || coalesce(' WITH (' || array_to_string(o.reloptions, ', ') || ')', '') || E' AS\n' || pg_get_viewdef(o.oid, true), o.oid::regclass::text,
	(SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) || coalesce(' ' || ` + pgCollation + `, ''), E'\n' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0)
	FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('v', 'm') AND ` + pgOwn + `
UNION ALL SELECT 'pg_class', i.oid::bigint, 'index', n.nspname || '.' || i.relname, n.nspname || '.' || o.relname, pg_get_indexdef(i.oid), i.oid::regclass::text, ''
	FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class o ON o.oid = x.indrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind = 'm' AND ` + pgOwn + `
UNION ALL SELECT 'pg_trigger', g.oid::bigint, 'trigger', n.nspname || '.' || o.relname || '.' || g.tgname, n.nspname || '.' || o.relname, pg_get_triggerdef(g.oid, true), quote_ident(g.tgname) || ' ON ' || o.oid::regclass, ''
	FROM pg_trigger g JOIN pg_class o ON o.oid = g.tgrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE NOT g.tgisinternal AND ` + pgOwn + `
UNION ALL SELECT 'pg_rewrite', r.oid::bigint, 'rule', n.nspname || '.' || o.relname || '.' || r.rulename, n.nspname || '.' || o.relname, pg_get_ruledef(r.oid, true), quote_ident(r.rulename) || ' ON ' || o.oid::regclass, ''
	FROM pg_rewrite r JOIN pg_class o ON o.oid = r.ev_class JOIN pg_namespace n ON n.oid = o.relnamespace WHERE r.rulename <> '_RETURN' AND ` + pgOwn + `
UNION ALL SELECT 'pg_policy', p.oid::bigint, 'policy', n.nspname || '.' || o.relname || '.' || p.polname, n.nspname || '.' || o.relname, concat_ws(' ', 'CREATE POLICY', quote_ident(p.polname), 'ON', o.oid::regclass,
		CASE WHEN NOT p.polpermissive THEN 'AS RESTRICTIVE' END, CASE p.polcmd WHEN 'r' THEN 'FOR SELECT' WHEN 'a' THEN 'FOR INSERT' WHEN 'w' THEN 'FOR UPDATE' WHEN 'd' THEN 'FOR DELETE' END,
		'TO ' || (SELECT string_agg(CASE r WHEN 0 THEN NULL ELSE r::regrole::text END, ', ' ORDER BY r) FROM unnest(p.polroles) r),
		'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', 'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'), quote_ident(p.polname) || ' ON ' || o.oid::regclass, ''
	FROM pg_policy p JOIN pg_class o ON o.oid = p.polrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE ` + pgOwn + `
UNION ALL SELECT 'pg_statistic_ext', o.oid::bigint, 'statistics', n.nspname || '.' || o.stxname, coalesce((SELECT tn.nspname || '.' || t.relname FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = o.stxrelid), ''),
	pg_get_statisticsobjdef(o.oid), quote_ident(n.nspname) || '.' || quote_ident(o.stxname), ''
	FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace WHERE ` + pgOwn + `
ORDER BY 2`

// pgNeeds gives who stands on what. A view stands on things by its rule, and on a
// relation by the type of its rows.
const pgNeeds = `SELECT CASE WHEN r.rulename = '_RETURN' THEN 'pg_class' ELSE d.classid::regclass::text END, CASE WHEN r.rulename = '_RETURN' THEN r.ev_class ELSE d.objid END::bigint,
	CASE WHEN t.typrelid <> 0 AND c.relkind <> 'c' THEN 'pg_class' ELSE d.refclassid::regclass::text END, CASE WHEN t.typrelid <> 0 AND c.relkind <> 'c' THEN t.typrelid ELSE d.refobjid END::bigint, d.refobjsubid::bigint
	FROM pg_depend d LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
	LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid LEFT JOIN pg_class c ON c.oid = t.typrelid
	WHERE d.refobjid >= 16384 AND d.deptype IN ('n', 'a')`

const pgColumns = `SELECT n.nspname || '.' || o.relname, a.attname, o.oid::bigint, a.attnum::bigint, concat_ws(' ', format_type(a.atttypid, a.atttypmod), ` + pgCollation + `, CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END)
	FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
	WHERE o.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND ` + pgOwn

// PostgresConstraints is the condition for those constraints, k in pg_constraint, that
// whoever plans the tables leaves to this: exclusions, what can be deferred, and foreign
// keys with MATCH FULL or actions on some of their columns.
const PostgresConstraints = `(k.contype = 'x' OR k.contype IN ('f', 'u') AND k.condeferrable
	OR k.contype = 'f' AND (k.confmatchtype = 'f' OR pg_get_constraintdef(k.oid) ~ ' SET (NULL|DEFAULT) [(]'))`

// pgConstraints makes them. Foreign keys come last, for what they refer to.
const pgConstraints = `SELECT 'pg_constraint', k.oid::bigint, 'constraint', n.nspname || '.' || o.relname || '.' || k.conname, n.nspname || '.' || o.relname,
	'ALTER TABLE ' || o.oid::regclass || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), 'ALTER TABLE ' || o.oid::regclass || ' DROP CONSTRAINT ' || quote_ident(k.conname), ''
	FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE ` + PostgresConstraints + ` AND k.conparentid = 0 AND ` + pgOwn + `
	ORDER BY k.contype = 'f', k.oid`

const pgSecured = `SELECT o.oid::regclass::text, o.relrowsecurity, o.relforcerowsecurity FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p') AND ` + pgOwn

// ReadPostgres reads what is around the tables of a database. c is its catalogue,
// which says what is left out.
func ReadPostgres(ctx context.Context, conn *sql.Conn, c catalog.Catalog) (*PostgresSchema, error) {
	s := &PostgresSchema{
		catalog: c, known: map[[2]string]string{}, byName: map[[2]string]*pgObject{}, byID: map[pgID]*pgObject{}, needs: map[pgID][]pgNeed{},
		columns: map[[2]string]pgColumn{}, held: map[pgID]bool{}, secured: map[string][2]bool{},
	}
	for _, o := range c {
		s.known[[2]string{o.Kind, o.Name}] = o.Text
	}
	routines, err := readPostgresNames(ctx, conn)
	if err != nil {
		return nil, err
	}
	object := func(rows *sql.Rows) error {
		o := &pgObject{}
		if err := rows.Scan(&o.class, &o.oid, &o.kind, &o.name, &o.of, &o.create, &o.drop, &o.shape); err != nil {
			return err
		}
		if routine := routines[o.pgID]; o.class == "pg_proc" {
			o.kind, o.name = routine[0], routine[1]
		}
		o.create = strings.TrimSuffix(strings.TrimSpace(o.create), ";")
		if o.kind == "constraint" && s.has("table", o.of) { // whose text it is part of
			s.known[o.key()] = o.create
		}
		if s.has(o.kind, o.name) {
			s.objects = append(s.objects, o)
			s.byName[o.key()], s.byID[o.pgID] = o, o
		}
		return nil
	}
	for _, query := range []string{pgObjects, pgConstraints} {
		if err := each(ctx, conn, query, object); err != nil {
			return nil, err
		}
	}
	err = each(ctx, conn, pgNeeds, func(rows *sql.Rows) error {
		var from pgID
		var need pgNeed
		if err := rows.Scan(&from.class, &from.oid, &need.class, &need.oid, &need.column); err != nil {
			return err
		}
		s.needs[from] = append(s.needs[from], need)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := readPostgresEnums(ctx, conn, s); err != nil {
		return nil, err
	}
	for from, needs := range s.needs {
		for _, need := range needs {
			if need.class == "pg_proc" && (from.class == "pg_attrdef" || from.class == "pg_constraint" || from.class == "pg_class" && s.byID[from] == nil) {
				s.hold(need.pgID)
			}
		}
	}
	err = each(ctx, conn, pgColumns, func(rows *sql.Rows) error {
		var key [2]string
		var c pgColumn
		err := rows.Scan(&key[0], &key[1], &c.table, &c.place, &c.kind)
		s.columns[key] = c
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, conn, pgSecured, func(rows *sql.Rows) error {
		var table string
		var on [2]bool
		err := rows.Scan(&table, &on[0], &on[1])
		s.secured[table] = on
		return err
	})
	return s, err
}

// readPostgresNames names routines as the comparison does: without a search path.
func readPostgresNames(ctx context.Context, conn *sql.Conn) (names map[pgID][2]string, err error) {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }() // it has written nothing: this is how it ends
	if _, err := tx.ExecContext(ctx, "SET LOCAL search_path = ''"); err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, pgNames)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names = map[pgID][2]string{}
	for rows.Next() {
		var id pgID
		var name [2]string
		if err := rows.Scan(&id.class, &id.oid, &name[0], &name[1]); err != nil {
			return nil, err
		}
		names[id] = name
	}
	return names, rows.Err()
}

// hold marks a function that tables need, and those that it needs.
func (s *PostgresSchema) hold(id pgID) {
	if s.held[id] {
		return
	}
	s.held[id] = true
	for _, need := range s.needs[id] {
		if need.class == "pg_proc" {
			s.hold(need.pgID)
		}
	}
}

// has reports whether the catalogue describes an object; it leaves some out.
func (s *PostgresSchema) has(kind, name string) bool {
	_, has := s.known[[2]string{kind, name}]
	return has
}

// Postgres lists the statements around those for the tables.
func Postgres(from, to *PostgresSchema) PostgresPlan {
	p := &pgPlan{from: from, to: to, gone: map[*pgObject]bool{}}
	p.losses()
	for _, table := range slices.Sorted(maps.Keys(to.secured)) {
		p.secure(table)
	}
	p.drops()
	for _, name := range p.shrunk() {
		p.makeEnum(p.from.enums[name], p.to.enums[name])
	}
	for _, o := range to.order() {
		p.make(o)
	}
	p.comments()
	p.After = append(p.After, p.last...)
	return p.PostgresPlan
}

type pgPlan struct {
	PostgresPlan
	from, to *PostgresSchema
	gone     map[*pgObject]bool // of from: dropped, be it to be made again
	last     []string
}

// same reports whether both sides have an object alike.
func (p *pgPlan) same(kind, name string) bool {
	is, has := p.from.known[[2]string{kind, name}]
	wanted, will := p.to.known[[2]string{kind, name}]
	return has && will && is == wanted
}

// losses finds what has to be dropped: what is not wanted, what cannot be replaced, and
// all that stands on such a thing, or on a column that goes or gets another type.
func (p *pgPlan) losses() {
	columns := map[pgNeed]bool{}
	for key, c := range p.from.columns {
		if wanted, there := p.to.columns[key]; !there || wanted.kind != c.kind {
			columns[pgNeed{pgID{"pg_class", c.table}, c.place}] = true
		}
		if !p.to.has("table", key[0]) {
			columns[pgNeed{pgID{"pg_class", c.table}, 0}] = true
		}
	}
	for _, name := range p.shrunk() {
		e := p.from.enums[name]
		columns[pgNeed{pgID: e.pgID}] = true
		for _, c := range e.columns {
			columns[c.need] = true
		}
	}
	for _, o := range p.from.objects {
		wanted := p.to.byName[o.key()]
		p.gone[o] = wanted == nil || !p.same(o.kind, o.name) && !replaceable(o, wanted)
	}
	for again := true; again; {
		again = false
		for _, o := range p.from.objects {
			if p.gone[o] || o.kind == "constraint" { // the server carries it along
				continue
			}
			for _, need := range p.from.needs[o.pgID] {
				if below := p.from.byID[need.pgID]; columns[need] || below != nil && p.gone[below] && below.kind != "extension" {
					p.gone[o], again = true, true
				}
			}
		}
	}
}

// replaceable reports whether CREATE OR REPLACE turns one object into the other: a view
// may get columns at its end, a routine another body.
func replaceable(o, wanted *pgObject) bool {
	switch o.kind {
	case "view":
		return wanted.shape == o.shape || strings.HasPrefix(wanted.shape, o.shape+"\n")
	case "function", "procedure":
		return wanted.shape == o.shape
	case "sequence":
		return true
	}
	return false
}

// withTable reports whether an object goes when its table does.
func (p *pgPlan) withTable(o *pgObject) bool {
	if o.of == "" || o.kind == "constraint" { // which may stand on one that goes, too
		return false
	}
	for _, kind := range []string{"table", "view", "materialized view"} {
		if of := p.from.byName[[2]string{kind, o.of}]; of != nil && p.gone[of] || kind == "table" && p.from.has(kind, o.of) && !p.to.has(kind, o.of) {
			return true
		}
	}
	return false
}

// needed reports whether a function cannot go before tables have changed: one of them
// needs it, or a trigger that goes with one.
func (p *pgPlan) needed(o *pgObject) bool {
	return p.from.held[o.pgID] || slices.ContainsFunc(p.from.objects, func(above *pgObject) bool {
		return p.withTable(above) && slices.ContainsFunc(p.from.needs[above.pgID], func(need pgNeed) bool { return need.pgID == o.pgID })
	})
}

// drops drops what stands on others first. What tables may stand on goes behind them.
func (p *pgPlan) drops() {
	for _, o := range slices.Backward(p.from.order()) {
		if !p.gone[o] || p.withTable(o) {
			continue
		}
		statement := "DROP " + strings.ToUpper(o.kind) + " " + o.drop
		wanted := p.to.byName[o.key()] != nil
		switch o.kind {
		case "constraint":
			statement = o.drop
		case "extension", "type", "sequence":
			if !wanted { // what differs there is refused: tables stand on it
				p.last = append(p.last, statement)
			}
			continue
		case "function", "procedure":
			if !wanted && p.needed(o) {
				p.last = append(p.last, statement)
				continue
			}
		}
		p.Before = append(p.Before, statement)
		if wanted && slices.Contains([]string{"view", "materialized view", "function", "procedure"}, o.kind) {
			p.Notes = append(p.Notes, "the "+o.kind+" "+o.drop+" is dropped and made again: rights that were granted on it go")
		}
	}
}

// make makes or replaces an object of the wanted schema.
func (p *pgPlan) make(o *pgObject) {
	old := p.from.byName[o.key()]
	switch {
	case old != nil && !p.gone[old] && p.same(o.kind, o.name):
		return
	case old != nil && o.kind == "extension", old != nil && o.kind == "type":
		return
	case old != nil && o.kind == "sequence":
		change := strings.Replace(o.create, "CREATE", "ALTER", 1)
		if !strings.HasSuffix(change, " CYCLE") {
			change += " NO CYCLE"
		}
		p.Before = append(p.Before, change)
	case old != nil && !p.gone[old] && o.kind == "view":
		p.After = append(p.After, strings.Replace(o.create, "CREATE", "CREATE OR REPLACE", 1))
	case o.kind == "extension", o.kind == "type", o.kind == "sequence", p.to.held[o.pgID]:
		p.Before = append(p.Before, o.create)
	default:
		p.After = append(p.After, o.create)
	}
}

// secure switches the policies of a table on or off.
func (p *pgPlan) secure(table string) {
	is, wanted := p.from.secured[table], p.to.secured[table]
	for i, words := range [][2]string{{"DISABLE", "ENABLE"}, {"NO FORCE", "FORCE"}} {
		if is[i] != wanted[i] {
			word := words[0]
			if wanted[i] {
				word = words[1]
			}
			p.After = append(p.After, "ALTER TABLE "+table+" "+word+" ROW LEVEL SECURITY")
		}
	}
}

// commented are the kinds of objects whose comments are written here. Those of tables
// come with the tables.
var commented = []string{
	"view", "materialized view", "function", "procedure", "trigger", "policy", "rule", "type", "domain", "sequence", "statistics object", "view column", "materialized view column",
}

// comments writes those that differ, and those of objects that were made again.
func (p *pgPlan) comments() {
	write := func(o catalog.Object, text string) {
		for _, kind := range commented {
			identity, is := strings.CutPrefix(o.Name, kind+" ")
			if !is || strings.HasPrefix(identity, "column ") {
				continue
			}
			word := strings.ToUpper(kind)
			switch kind {
			case "view column", "materialized view column":
				word = "COLUMN"
			case "statistics object":
				word = "STATISTICS"
			}
			p.After = append(p.After, "COMMENT ON "+word+" "+identity+" IS "+text)
			return
		}
	}
	for _, o := range p.to.catalog {
		if o.Kind == "comment" && (!p.same(o.Kind, o.Name) || p.remade(o)) {
			write(o, "'"+strings.ReplaceAll(o.Text, "'", "''")+"'")
		}
	}
	for _, o := range p.from.catalog {
		if o.Kind == "comment" && !p.to.has(o.Kind, o.Name) && !p.remade(o) {
			write(o, "NULL")
		}
	}
}

// remade reports whether a comment is on something that is dropped, or of such a thing.
func (p *pgPlan) remade(comment catalog.Object) bool {
	for o, gone := range p.gone {
		if !gone {
			continue
		}
		parts := strings.Split(o.name, ".")
		on := o.kind + " " + o.name
		if o.of != "" {
			on = o.kind + " " + parts[len(parts)-1] + " on " + o.of
		}
		if comment.Name == on || o.of == "" && comment.Of == o.name {
			return true
		}
	}
	return false
}

// order are the objects, those first that others stand on, and otherwise as they were
// made.
func (s *PostgresSchema) order() (list []*pgObject) {
	done := map[*pgObject]bool{}
	var visit func(o *pgObject)
	visit = func(o *pgObject) {
		if done[o] {
			return
		}
		done[o] = true
		for _, need := range s.needs[o.pgID] {
			if below := s.byID[need.pgID]; below != nil {
				visit(below)
			}
		}
		list = append(list, o)
	}
	for _, o := range s.objects {
		visit(o)
	}
	return list
}
