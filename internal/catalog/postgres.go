package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// pgCatalogs are those with the objects that others are made in or belong to.
var pgCatalogs = []string{"pg_class", "pg_type", "pg_proc", "pg_operator", "pg_opclass", "pg_opfamily", "pg_collation", "pg_conversion", "pg_cast", "pg_language", "pg_am",
	"pg_ts_config", "pg_ts_dict", "pg_statistic_ext", "pg_event_trigger", "pg_publication", "pg_foreign_server", "pg_foreign_data_wrapper", "pg_transform"}

// pgFirst is the lowest number that PostgreSQL gives to what is made behind initdb.
const pgFirst = 16384

// Untouched reports whether nothing was made in the database since the server made it,
// but schemas. It is for those who would call Read to learn just that: to compile
// one condition for each catalogue costs a fraction of what Read costs. When
// it is false nothing is known; on SQLite and MySQL, whose Read costs little on an
// empty database, it always is.
func Untouched(ctx context.Context, d dialect.Dialect, q dialect.Queryer) (untouched bool, err error) {
	if d.Name() != dialect.NamePostgres {
		return false, nil
	}
	conditions := make([]string, len(pgCatalogs))
	for i, name := range pgCatalogs {
		conditions[i] = fmt.Sprintf("NOT EXISTS (SELECT FROM pg_catalog.%s WHERE oid >= %d)", name, pgFirst)
	}
	err = dialect.QueryRow(ctx, q, "SELECT "+strings.Join(conditions, " AND "), d.QueryArgs(), &untouched)
	if err != nil {
		err = fmt.Errorf("reading the catalogue: %w", err)
	}
	return untouched, err
}

// readPostgres asks for everything in one statement, so that it sees one state of
// the catalogue, with an empty search path, so that every name is written with
// its schema. To compile that statement costs five times as much as to run it.
func readPostgres(ctx context.Context, d dialect.Dialect, c *sql.Conn, b *builder) (err error) {
	tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() {
		if endErr := tx.Rollback(); err == nil {
			err = endErr // it has written nothing: this is how it ends
		}
	}()
	if _, err := tx.ExecContext(ctx, pgSession); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, strings.Join(postgresQueries, "\nUNION ALL\n"), d.QueryArgs()...)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var kind, name, of, text string
		var order int
		if err := rows.Scan(&kind, &name, &of, &order, &text); err != nil {
			return err
		}
		b.add(kind, name, of, order, pgArrays(strings.TrimRight(text, "\n")))
	}
	return rows.Err()
}

// pgSession is what decides how the server writes values: a database or a role may have
// its own, and the scratch database has not.
const pgSession = "SET LOCAL search_path = ''; SET LOCAL jit = off; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, MDY'; SET LOCAL IntervalStyle = 'postgres'; " +
	"SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL quote_all_identifiers = off; SET LOCAL xmlbinary = 'base64'; SET LOCAL lc_monetary = 'C'"

// Conditions of the queries below. n is the schema of an object, o the object.
const (
	// pgOurs leaves out the server's own schemas, and those of extensions.
	pgOurs = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_namespace'::regclass AND x.objid = n.oid AND x.deptype = 'e')`
	pgRelation = `NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.deptype = 'e') AND ` + pgOurs
	pgLast     = `1048576` // unordered
	pgName     = `n.nspname || '.' || o.relname`
	pgKind     = `CASE o.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END`
	pgFrom     = `FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace `
)

// pgNotMember leaves out what belongs to an extension, and what the server made
// for another object, such as the functions of a range.
func pgNotMember(class string) string {
	return `NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '` + class + `'::regclass AND x.objid = o.oid AND x.deptype IN ('e', 'i')) AND ` + pgOurs
}

// Each query gives kind, name, the table that the object belongs to, the line's
// place, and the line. Nothing in it is a number that the server has given out.
var postgresQueries = []string{
	`SELECT 'schema', n.nspname::text, '', ` + pgLast + `, '' FROM pg_namespace n WHERE ` + pgOurs,
	`SELECT 'extension', o.extname::text, '', ` + pgLast + `, 'schema ' || n.nspname FROM pg_extension o JOIN pg_namespace n ON n.oid = o.extnamespace WHERE o.extname <> 'plpgsql'`,
	// Tables and views as a whole. The privileges and the owner are the installation's.
	`SELECT ` + pgKind + `, ` + pgName + `, '', ` + pgLast + `, concat_ws(E'\n',
		CASE o.relpersistence WHEN 'u' THEN 'unlogged' END,
		(SELECT CASE WHEN o.relispartition THEN 'partition of ' ELSE 'inherits ' END || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = o.oid HAVING count(*) > 0),
		pg_get_expr(o.relpartbound, o.oid), CASE WHEN o.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(o.oid) END,
		'of type ' || nullif(o.reloftype, 0)::regtype::text,
		'with ' || array_to_string(o.reloptions, ', '),
		(SELECT 'toast with ' || array_to_string(t.reloptions, ', ') FROM pg_class t WHERE t.oid = o.reltoastrelid),
		(SELECT 'using ' || a.amname FROM pg_am a WHERE a.oid = o.relam AND a.amname <> 'heap'),
		(SELECT 'tablespace ' || t.spcname FROM pg_tablespace t WHERE t.oid = o.reltablespace),
		CASE WHEN o.relrowsecurity THEN 'row level security' END, CASE WHEN o.relforcerowsecurity THEN 'forced row level security' END,
		CASE CASE WHEN o.relkind IN ('r', 'p') THEN o.relreplident END WHEN 'n' THEN 'replica identity nothing' WHEN 'f' THEN 'replica identity full'
			WHEN 'i' THEN 'replica identity ' || (SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = o.oid AND i.indisreplident) END,
		(SELECT 'clustered by ' || i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = o.oid AND i.indisclustered),
		(SELECT 'server ' || s.srvname || coalesce(' options ' || f.ftoptions::text, '') FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = o.oid),
		CASE WHEN o.relkind IN ('v', 'm') THEN pg_get_viewdef(o.oid) END)
	` + pgFrom + `WHERE o.relkind IN ('r', 'p', 'v', 'm', 'f') AND ` + pgRelation,
	// attnum counts columns that were dropped, too: only its order is used.
	`SELECT ` + pgKind + `, ` + pgName + `, '', a.attnum::int, concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
		(SELECT 'collate ' || concat_ws('.', nullif(cn.nspname, 'pg_catalog'), quote_ident(c.collname)) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace, pg_type t WHERE t.oid = a.atttypid AND c.oid = a.attcollation AND t.typcollation <> c.oid),
		CASE WHEN a.attnotnull THEN 'not null' END,
		CASE a.attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated by default as identity' END
			|| coalesce((SELECT ' (start ' || s.seqstart || ' by ' || s.seqincrement || ' from ' || s.seqmin || ' to ' || s.seqmax || ' cache ' || s.seqcache || CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END || ')'
				FROM pg_depend x JOIN pg_sequence s ON s.seqrelid = x.objid WHERE x.classid = 'pg_class'::regclass AND x.refclassid = 'pg_class'::regclass
				AND x.refobjid = o.oid AND x.refobjsubid = a.attnum AND x.deptype = 'i'), ''),
		CASE WHEN a.attgenerated = '' THEN 'default ' || pg_get_expr(d.adbin, d.adrelid)
			ELSE 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || CASE a.attgenerated WHEN 's' THEN ') stored' ELSE ') virtual' END END,
		CASE WHEN a.attstorage <> (SELECT t.typstorage FROM pg_type t WHERE t.oid = a.atttypid) THEN 'storage ' || a.attstorage::text END,
		'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''), 'statistics ' || nullif(a.attstattarget, -1), 'set ' || a.attoptions::text,
		'options ' || a.attfdwoptions::text)
	FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0 AND NOT a.attisdropped AND o.relkind IN ('r', 'p', 'f', 'c') AND ` + pgRelation,
	// A switched off key is one that nobody keeps: ALTER TABLE … DISABLE TRIGGER ALL does that.
	`SELECT DISTINCT ` + pgKind + `, ` + pgName + `, '', ` + pgLast + `, 'constraint ' || quote_ident(k.conname) || CASE g.tgenabled WHEN 'D' THEN ' has disabled triggers' WHEN 'R' THEN ' has triggers on replicas' ELSE ' has triggers always' END
	FROM pg_trigger g JOIN pg_constraint k ON k.oid = g.tgconstraint JOIN pg_class o ON o.oid = g.tgrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE g.tgisinternal AND g.tgenabled <> 'O' AND ` + pgRelation,
	// The text of a materialized view has not all of its columns.
	`SELECT 'materialized view', ` + pgName + `, '', ` + pgLast + `, concat_ws(' ', 'column ' || quote_ident(a.attname),
		CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END, 'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''),
		'statistics ' || nullif(a.attstattarget, -1), 'set ' || a.attoptions::text)
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE a.attnum > 0 AND o.relkind = 'm' AND (a.attstorage <> t.typstorage OR to_jsonb(a) ->> 'attcompression' <> '' OR a.attstattarget >= 0 OR a.attoptions IS NOT NULL) AND ` + pgRelation,
	// A view's columns are in its text, but for what an INSERT into it puts there.
	`SELECT 'view', ` + pgName + `, '', ` + pgLast + `, quote_ident(a.attname) || ' default ' || pg_get_expr(d.adbin, d.adrelid)
	FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum JOIN pg_class o ON o.oid = d.adrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE o.relkind = 'v' AND ` + pgRelation,
	// A NOT NULL has a name from version 18 on, which nothing but a DROP by hand needs.
	`SELECT ` + pgKind + `, ` + pgName + `, '', ` + pgLast + `, CASE WHEN k.contype = 'n' THEN '' ELSE 'constraint ' || quote_ident(k.conname) || ' ' END || pg_get_constraintdef(k.oid)
		|| coalesce(' with ' || array_to_string(i.reloptions, ', '), '') || coalesce((SELECT ' tablespace ' || t.spcname FROM pg_tablespace t WHERE t.oid = i.reltablespace), '')
	FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_namespace n ON n.oid = o.relnamespace LEFT JOIN pg_class i ON i.oid = k.conindid AND k.contype IN ('p', 'u', 'x')
	WHERE k.contype <> 't' AND (k.contype <> 'n' OR NOT k.convalidated OR k.connoinherit) AND ` + pgRelation,
	// The index of a constraint is described by the constraint.
	`SELECT 'index', n.nspname || '.' || i.relname, ` + pgName + `, ` + pgLast + `, pg_get_indexdef(x.indexrelid) || CASE WHEN x.indisvalid THEN '' ELSE E'\ninvalid' END
		|| coalesce((SELECT E'\ntablespace ' || t.spcname FROM pg_tablespace t WHERE t.oid = i.reltablespace), '')
		|| coalesce((SELECT string_agg(E'\nstatistics of column ' || a.attnum || ' ' || a.attstattarget, '' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0), '')
	FROM pg_index x JOIN pg_class o ON o.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x')) AND o.relkind IN ('r', 'p', 'm') AND ` + pgRelation,
	`SELECT 'trigger', ` + pgName + ` || '.' || g.tgname, ` + pgName + `, ` + pgLast + `, pg_get_triggerdef(g.oid)
		|| CASE g.tgenabled WHEN 'D' THEN E'\ndisabled' WHEN 'R' THEN E'\nenabled on replicas' WHEN 'A' THEN E'\nalways enabled' ELSE '' END
	FROM pg_trigger g JOIN pg_class o ON o.oid = g.tgrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE NOT g.tgisinternal AND ` + pgRelation,
	`SELECT 'rule', ` + pgName + ` || '.' || r.rulename, ` + pgName + `, ` + pgLast + `, pg_get_ruledef(r.oid)
		|| CASE r.ev_enabled WHEN 'D' THEN E'\ndisabled' WHEN 'R' THEN E'\nenabled on replicas' WHEN 'A' THEN E'\nalways enabled' ELSE '' END
	FROM pg_rewrite r JOIN pg_class o ON o.oid = r.ev_class JOIN pg_namespace n ON n.oid = o.relnamespace WHERE r.rulename <> '_RETURN' AND ` + pgRelation,
	`SELECT 'policy', ` + pgName + ` || '.' || p.polname, ` + pgName + `, ` + pgLast + `, concat_ws(E'\n',
		CASE p.polcmd WHEN '*' THEN 'for all' WHEN 'r' THEN 'for select' WHEN 'a' THEN 'for insert' WHEN 'w' THEN 'for update' WHEN 'd' THEN 'for delete' END,
		CASE WHEN NOT p.polpermissive THEN 'restrictive' END,
		'to ' || (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END, ', ' ORDER BY r) FROM unnest(p.polroles) r),
		'using ' || pg_get_expr(p.polqual, p.polrelid), 'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
	FROM pg_policy p JOIN pg_class o ON o.oid = p.polrelid JOIN pg_namespace n ON n.oid = o.relnamespace WHERE ` + pgRelation,
	// The sequence of an identity column is described there.
	`SELECT 'sequence', ` + pgName + `, coalesce((SELECT tn.nspname || '.' || t.relname FROM pg_depend x JOIN pg_class t ON t.oid = x.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
			WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.refclassid = 'pg_class'::regclass AND x.deptype = 'a'), ''), ` + pgLast + `,
		concat_ws(E'\n', CASE o.relpersistence WHEN 'u' THEN 'unlogged' END, 'as ' || format_type(s.seqtypid, NULL), 'start ' || s.seqstart || ' by ' || s.seqincrement,
		'from ' || s.seqmin || ' to ' || s.seqmax, 'cache ' || s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
		(SELECT 'owned by ' || x.refobjid::regclass::text || '.' || quote_ident(a.attname) FROM pg_depend x JOIN pg_attribute a ON a.attrelid = x.refobjid AND a.attnum = x.refobjsubid
			WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.refclassid = 'pg_class'::regclass AND x.deptype = 'a'))
	FROM pg_sequence s JOIN pg_class o ON o.oid = s.seqrelid JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.deptype = 'i') AND ` + pgRelation,
	`SELECT 'type', n.nspname || '.' || o.typname, '', ` + pgLast + `, CASE o.typtype
		WHEN 'e' THEN 'enum (' || coalesce((SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = o.oid), '') || ')'
		WHEN 'd' THEN concat_ws(E'\n', 'domain ' || format_type(o.typbasetype, o.typtypmod), CASE WHEN o.typnotnull THEN 'not null' END, 'default ' || o.typdefault,
			(SELECT 'collate ' || concat_ws('.', nullif(cn.nspname, 'pg_catalog'), quote_ident(c.collname)) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace, pg_type t WHERE t.oid = o.typbasetype AND c.oid = o.typcollation AND t.typcollation <> c.oid),
			(SELECT string_agg('constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), E'\n' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = o.oid AND k.contype <> 'n'))
		WHEN 'r' THEN (SELECT 'range of ' || format_type(r.rngsubtype, NULL) || coalesce(' canonical ' || nullif(r.rngcanonical::oid, 0)::regproc::text, '') || coalesce(' difference ' || nullif(r.rngsubdiff::oid, 0)::regproc::text, '')
			|| coalesce(' multirange ' || format_type((to_jsonb(r) ->> 'rngmultitypid')::oid, NULL), '') FROM pg_range r WHERE r.rngtypid = o.oid)
		WHEN 'c' THEN 'composite' ELSE 'base ' || o.typinput::text || ' ' || o.typoutput::text END
	FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_class c ON c.oid = o.typrelid
	WHERE (o.typtype IN ('d', 'e', 'r') OR o.typtype = 'c' AND c.relkind = 'c' OR o.typtype = 'b' AND o.typelem = 0 AND o.typisdefined) AND ` + pgNotMember("pg_type"),
	// An aggregate has no statement; it is told by its parts.
	`SELECT CASE o.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, n.nspname || '.' || o.proname || '(' || pg_get_function_identity_arguments(o.oid) || ')', '', ` + pgLast + `,
		CASE WHEN o.prokind <> 'a' THEN pg_get_functiondef(o.oid) ELSE (SELECT concat_ws(E'\n', 'returns ' || format_type(o.prorettype, NULL), 'state ' || format_type(g.aggtranstype, NULL) || ' by ' || g.aggtransfn::text,
			'final ' || nullif(g.aggfinalfn::oid, 0)::regproc::text, 'combine ' || nullif(g.aggcombinefn::oid, 0)::regproc::text, 'initially ' || g.agginitval,
			'sort ' || nullif(g.aggsortop, 0)::regoperator::text, 'moving ' || format_type(nullif(g.aggmtranstype, 0), NULL) || ' by ' || g.aggmtransfn::text || ' and ' || g.aggminvtransfn::text,
			'final moving ' || nullif(g.aggmfinalfn::oid, 0)::regproc::text, 'moving initially ' || g.aggminitval, 'serial ' || nullif(g.aggserialfn::oid, 0)::regproc::text, CASE o.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' END) FROM pg_aggregate g WHERE g.aggfnoid = o.oid) END
	FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE ` + pgNotMember("pg_proc"),
	`SELECT 'operator', n.nspname || '.' || o.oprname || '(' || coalesce(format_type(nullif(o.oprleft, 0), NULL), 'none') || ', ' || coalesce(format_type(nullif(o.oprright, 0), NULL), 'none') || ')', '', ` + pgLast + `, concat_ws(' ', o.oprcode, 'commutator ' || nullif(o.oprcom, 0)::regoperator, 'negator ' || nullif(o.oprnegate, 0)::regoperator,
		'restrict ' || nullif(o.oprrest::oid, 0)::regproc, 'join ' || nullif(o.oprjoin::oid, 0)::regproc, CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
	FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE ` + pgNotMember("pg_operator"),
	`SELECT 'cast', format_type(o.castsource, NULL) || ' as ' || format_type(o.casttarget, NULL), '', ` + pgLast + `, concat_ws(' ', o.castcontext::text, o.castmethod::text, nullif(o.castfunc, 0)::regprocedure::text)
	FROM pg_cast o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_cast'::regclass AND x.objid = o.oid AND x.deptype IN ('e', 'i'))`,
	`SELECT 'collation', n.nspname || '.' || o.collname, '', ` + pgLast + `, concat_ws(' ', o.collprovider::text, o.collcollate, CASE WHEN o.collctype <> o.collcollate THEN 'ctype ' || o.collctype END,
		coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale'), 'rules ' || (to_jsonb(o) ->> 'collicurules'), CASE WHEN NOT o.collisdeterministic THEN 'not deterministic' END)
	FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE ` + pgNotMember("pg_collation"),
	`SELECT 'conversion', n.nspname || '.' || o.conname, '', ` + pgLast + `, concat_ws(' ', pg_encoding_to_char(o.conforencoding), 'to', pg_encoding_to_char(o.contoencoding), 'by', o.conproc::text, CASE WHEN o.condefault THEN 'default' END)
	FROM pg_conversion o JOIN pg_namespace n ON n.oid = o.connamespace WHERE ` + pgNotMember("pg_conversion"),
	`SELECT 'operator family', n.nspname || '.' || o.opfname || ' using ' || m.amname, '', ` + pgLast + `, concat_ws(E'\n',
		(SELECT string_agg(concat_ws(' ', 'operator', x.amopstrategy, x.amopopr::regoperator), E'\n' ORDER BY x.amopstrategy, x.amopopr::regoperator::text) FROM pg_amop x WHERE x.amopfamily = o.oid),
		(SELECT string_agg(concat_ws(' ', 'function', x.amprocnum, x.amproc::regprocedure, format_type(x.amproclefttype, NULL), format_type(x.amprocrighttype, NULL)), E'\n' ORDER BY x.amprocnum, x.amproc::regprocedure::text) FROM pg_amproc x WHERE x.amprocfamily = o.oid))
	FROM pg_opfamily o JOIN pg_namespace n ON n.oid = o.opfnamespace JOIN pg_am m ON m.oid = o.opfmethod WHERE ` + pgNotMember("pg_opfamily"),
	`SELECT 'operator class', n.nspname || '.' || o.opcname || ' using ' || m.amname, '', ` + pgLast + `, concat_ws(' ', 'for', format_type(o.opcintype, NULL), CASE WHEN o.opcdefault THEN 'default' END, 'storage ' || format_type(nullif(o.opckeytype, 0), NULL))
	FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod WHERE ` + pgNotMember("pg_opclass"),
	`SELECT 'access method', o.amname::text, '', ` + pgLast + `, o.amtype::text || ' ' || o.amhandler::text
	FROM pg_am o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_am'::regclass AND x.objid = o.oid AND x.deptype = 'e')`,
	`SELECT 'language', o.lanname::text, '', ` + pgLast + `, concat_ws(' ', CASE WHEN o.lanpltrusted THEN 'trusted' END, o.lanplcallfoid::regproc)
	FROM pg_language o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_language'::regclass AND x.objid = o.oid AND x.deptype = 'e')`,
	`SELECT 'text search configuration', n.nspname || '.' || o.cfgname, '', ` + pgLast + `, concat_ws(E'\n', (SELECT 'parser ' || concat_ws('.', nullif(pn.nspname, 'pg_catalog'), p.prsname) FROM pg_ts_parser p JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE p.oid = o.cfgparser),
		(SELECT string_agg(m.maptokentype || ' ' || m.mapseqno || ' ' || m.mapdict::regdictionary::text, E'\n' ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid))
	FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace WHERE ` + pgNotMember("pg_ts_config"),
	`SELECT 'text search dictionary', n.nspname || '.' || o.dictname, '', ` + pgLast + `, concat_ws(' ', (SELECT concat_ws('.', nullif(tn.nspname, 'pg_catalog'), t.tmplname) FROM pg_ts_template t JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE t.oid = o.dicttemplate), o.dictinitoption)
	FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace WHERE ` + pgNotMember("pg_ts_dict"),
	`SELECT 'statistics', n.nspname || '.' || o.stxname, coalesce((SELECT tn.nspname || '.' || t.relname FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = o.stxrelid), ''), ` + pgLast + `, concat_ws(' ', pg_get_statisticsobjdef(o.oid), 'target ' || nullif(to_jsonb(o) ->> 'stxstattarget', '-1'))
	FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace WHERE ` + pgNotMember("pg_statistic_ext"),
	`SELECT 'event trigger', o.evtname::text, '', ` + pgLast + `, concat_ws(' ', 'on', o.evtevent, 'when tag in ' || o.evttags::text, 'execute', o.evtfoid::regproc::text, CASE o.evtenabled WHEN 'O' THEN NULL ELSE 'enabled ' || o.evtenabled::text END)
	FROM pg_event_trigger o WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_event_trigger'::regclass AND x.objid = o.oid AND x.deptype = 'e')`,
	`SELECT 'publication', o.pubname::text, '', ` + pgLast + `, concat_ws(E'\n', CASE WHEN o.puballtables THEN 'all tables' ELSE (SELECT string_agg(t.schemaname || '.' || t.tablename || coalesce(' where ' || (to_jsonb(t) ->> 'rowfilter'), ''), E'\n' ORDER BY t.schemaname, t.tablename) FROM pg_publication_tables t WHERE t.pubname = o.pubname) END,
		(SELECT string_agg('columns of ' || r.prrelid::regclass || ' ' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = r.prrelid AND to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum)), E'\n' ORDER BY r.prrelid::regclass::text)
			FROM pg_publication_rel r WHERE r.prpubid = o.oid),
		(SELECT string_agg('schema ' || n.nspname, E'\n' ORDER BY n.nspname) FROM pg_depend p JOIN pg_depend s ON s.classid = p.classid AND s.objid = p.objid AND s.refclassid = 'pg_namespace'::regclass JOIN pg_namespace n ON n.oid = s.refobjid
			WHERE p.classid = to_regclass('pg_catalog.pg_publication_namespace') AND p.refclassid = 'pg_publication'::regclass AND p.refobjid = o.oid),
		concat_ws(' ', CASE WHEN o.pubinsert THEN 'insert' END, CASE WHEN o.pubupdate THEN 'update' END, CASE WHEN o.pubdelete THEN 'delete' END, CASE WHEN o.pubtruncate THEN 'truncate' END),
		CASE WHEN (to_jsonb(o) ->> 'pubviaroot')::bool THEN 'via partition root' END, 'generated columns ' || nullif(to_jsonb(o) ->> 'pubgencols', 'n')) FROM pg_publication o`,
	`SELECT 'foreign data wrapper', o.fdwname::text, '', ` + pgLast + `, concat_ws(' ', 'handler ' || nullif(o.fdwhandler, 0)::regproc, 'validator ' || nullif(o.fdwvalidator, 0)::regproc)
	FROM pg_foreign_data_wrapper o WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_foreign_data_wrapper'::regclass AND x.objid = o.oid AND x.deptype = 'e')`,
	`SELECT 'transform', 'for ' || format_type(o.trftype, NULL) || ' language ' || l.lanname, '', ` + pgLast + `, concat_ws(' ', 'from sql ' || nullif(o.trffromsql::oid, 0)::regprocedure, 'to sql ' || nullif(o.trftosql::oid, 0)::regprocedure)
	FROM pg_transform o JOIN pg_language l ON l.oid = o.trflang WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_transform'::regclass AND x.objid = o.oid AND x.deptype = 'e')`,
	// Where a foreign server is, and who signs in there, is the installation's.
	`SELECT 'foreign server', o.srvname::text, '', ` + pgLast + `, 'wrapper ' || w.fdwname FROM pg_foreign_server o JOIN pg_foreign_data_wrapper w ON w.oid = o.srvfdw`,
	`SELECT 'comment', i.type || ' ' || i.identity, coalesce(n.nspname || '.' || o.relname, ''), ` + pgLast + `, c.description
	FROM pg_description c CROSS JOIN LATERAL pg_identify_object(c.classoid, c.objoid, c.objsubid) i
	LEFT JOIN pg_class o ON c.classoid = 'pg_class'::regclass AND o.oid = c.objoid LEFT JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE (c.objoid >= 16384 OR c.classoid = 'pg_namespace'::regclass AND i.identity = 'public') AND NOT (i.type = 'schema' AND i.identity = 'public' AND c.description = 'standard public schema') AND c.classoid <> 'pg_extension'::regclass AND coalesce(i.schema, '') !~ '^pg_' AND i.schema IS DISTINCT FROM 'information_schema'
	AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = c.classoid AND x.objid = c.objoid AND x.deptype = 'e')`,
}
