package portable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// postgres reads by COPY … TO STDOUT in a transaction that reads one snapshot, and
// writes by COPY … FROM STDIN. Rows from one to another are handed on as they are.
type postgres struct {
	session
	schema string // the default one
}

// pgSettings fix how values are written, for one transaction. Row-level security
// would leave rows out in silence: with it off the server refuses instead.
var pgSettings = []string{
	"SET LOCAL DateStyle = 'ISO, YMD'", "SET LOCAL IntervalStyle = 'postgres'", "SET LOCAL TimeZone = 'UTC'", "SET LOCAL extra_float_digits = 3",
	"SET LOCAL bytea_output = 'hex'", "SET LOCAL xmloption = 'content'", "SET LOCAL row_security = off", "SET LOCAL search_path = ''",
	"SET LOCAL synchronize_seqscans = off", "SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0", "SET LOCAL client_encoding = 'UTF8'",
	"SET LOCAL standard_conforming_strings = on",
	// Servers before 17 do not know it, and would refuse a SET.
	"SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'",
}

// pgUser is the condition that a relation is a user's, and not an extension's.
const pgUser = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = c.oid AND x.deptype = 'e')`

const pgColumns = `SELECT n.nspname::text, c.relname::text, c.relkind = 'p', pg_catalog.pg_table_size(c.oid), a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), tn.nspname::text, pg_catalog.quote_ident(tn.nspname),
	coalesce(b.typname, t.typname)::text, coalesce(b.typtype, t.typtype)::text, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
	a.attnotnull OR t.typnotnull, a.attgenerated <> '', a.atthasdef OR t.typdefault IS NOT NULL OR a.attidentity <> '',
	coalesce(pg_catalog.pg_get_serial_sequence(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), a.attname), ''),
	coalesce(pg_catalog.array_position(i.indkey::int2[], a.attnum), -1)
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
	LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
	WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname IS NOT NULL AND ` + pgUser + ` ORDER BY 1, 2, a.attnum`

const pgReferences = `SELECT n.nspname::text, c.relname::text, fn.nspname::text, f.relname::text
	FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace WHERE k.contype = 'f' AND k.conparentid = 0`

// full is the name of a relation as an archive has it.
func (p *postgres) full(schema, name string) string {
	if schema == p.schema {
		return name
	}
	return schema + "." + name
}

// typeName is the name of a type as an archive has it. The server leaves the schema
// out where the search path leads there, which it does while a target is looked at
// and not while rows are read.
func (p *postgres) typeName(name, schema, quoted string) string {
	name = strings.TrimPrefix(name, quoted+".")
	if schema == p.schema || schema == "pg_catalog" {
		return name
	}
	return quoted + "." + name
}

// findSchema asks for the default schema before the search path is emptied.
func (p *postgres) findSchema(ctx context.Context) error {
	if p.schema == "" {
		p.schema = p.options.Schema
	}
	if p.schema != "" {
		return nil
	}
	return dialect.QueryRow(ctx, p.c, "SELECT coalesce(current_schema(), 'public')", nil, &p.schema)
}

func (p *postgres) tables(ctx context.Context) (list []*Table, err error) {
	if err := p.findSchema(ctx); err != nil {
		return nil, err
	}
	var schema, table, typeSchema, quoted, base, class, sequence string
	var partitioned bool
	var size int64
	var modifier, key int
	var c Column
	keys := map[*Table]map[int]string{}
	err = each(ctx, p.c, pgColumns, nil, []any{&schema, &table, &partitioned, &size, &c.Name, &c.Type, &typeSchema, &quoted, &base, &class, &modifier, &c.NotNull, &c.Generated, &c.hasDefault, &sequence, &key}, func() error {
		full := p.full(schema, table)
		if n := len(list); n == 0 || list[n-1].Name != full {
			t := &Table{Name: full, schema: schema, name: table, of: p.d.Qualify(schema, table), partitioned: partitioned, bytes: size}
			list, keys[t] = append(list, t), map[int]string{}
		}
		t := list[len(list)-1]
		c.Type = p.typeName(c.Type, typeSchema, quoted)
		c.Kind, c.limits = pgKind(base, class, modifier)
		c.long = pgLong(c.Kind, base, class, c.limits, p.d.Identifier(c.Name))
		c.Auto, c.sequence = sequence != "", sequence
		if c.Auto {
			t.sequence = sequence
		}
		if key >= 0 {
			keys[t][key] = c.Name
		}
		t.Columns = append(t.Columns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		for i := range len(keys[t]) + 1 { // int2vector counts from 0
			if name, ok := keys[t][i]; ok {
				t.Key = append(t.Key, name)
			}
		}
	}
	var toSchema, to string
	err = each(ctx, p.c, pgReferences, nil, []any{&schema, &table, &toSchema, &to}, func() error {
		if t := find(list, p.full(schema, table)); t != nil {
			t.refs = append(t.refs, p.full(toSchema, to))
		}
		return nil
	})
	return list, err
}

// pgKind knows a type by its name and modifier.
func pgKind(base, class string, modifier int) (Kind, limits) {
	l := limits{noNUL: true}
	if class != "b" && class != "e" {
		return KindOther, l
	}
	switch base {
	case "bool":
		return KindBool, l
	case "int2":
		l.bits = 16
		return KindInt, l
	case "int4":
		l.bits = 32
		return KindInt, l
	case "int8":
		l.bits = 64
		return KindInt, l
	case "oid":
		l.bits, l.unsigned = 32, true
		return KindInt, l
	case "float4":
		return KindFloat32, l
	case "float8":
		return KindFloat64, l
	case "numeric":
		if modifier >= 4 {
			l.precision, l.hasScale = (modifier-4)>>16&0xffff, true
			l.scale = ((modifier-4)&0x7ff ^ 1024) - 1024 // it may be negative
		}
		return KindDecimal, l
	case "text", "citext":
		return KindText, l
	case "name", "xml":
		l.textOnly = true
		return KindText, l
	case "varchar":
		l.chars = max(modifier-4, 0)
		return KindText, l
	case "bpchar":
		l.chars = max(modifier-4, 0)
		return KindChar, l
	case "bytea":
		return KindBytes, l
	case "date":
		l.noZeroDate, l.years = true, [2]int{}
		return KindDate, l
	case "time", "timestamp", "timestamptz":
		l.timeDigits, l.noZeroDate, l.dayHours = 7, true, true
		if modifier >= 0 {
			l.timeDigits = modifier + 1
		}
		return Kind(base), l
	case "json":
		return KindJSON, l
	case "jsonb":
		l.jsonb = true
		return KindJSON, l
	case "uuid":
		return KindUUID, l
	}
	if class == "e" {
		return KindText, l
	}
	return KindOther, l
}

func (p *postgres) beginRead(ctx context.Context) (position string, err error) {
	if err := p.findSchema(ctx); err != nil {
		return "", err
	}
	if err := p.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return "", err
	}
	if err := p.exec(ctx, pgSettings...); err != nil {
		return "", err
	}
	err = dialect.QueryRow(ctx, p.c, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END::text", nil, &position)
	return position, err
}

func (p *postgres) endRead(ctx context.Context) error { return p.exec(ctx, "ROLLBACK") }

func (p *postgres) columns(list []Column) string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = p.d.Identifier(c.Name)
	}
	return strings.Join(names, ", ")
}

func (p *postgres) read(ctx context.Context, t *Table, row func(line []byte, row []value) error) error {
	only := "ONLY "
	if t.partitioned {
		only = ""
	}
	if long := p.long(t); long != nil {
		return p.readLong(ctx, t, only+t.of, long, row)
	}
	w := &copyWriter{n: len(t.Columns), row: row}
	// A table by its name leaves computed columns out.
	err := dialect.CopyOut(ctx, p.c, "COPY (SELECT "+p.columns(t.Columns)+" FROM "+only+t.of+t.where+") TO STDOUT", w)
	if w.err != nil {
		return w.err
	}
	return err
}

// long are the conditions of a table's columns that a value is long; nil where none can
// be, and where only some rows are read, in an order.
func (p *postgres) long(t *Table) (long []string) {
	for i, c := range t.Columns {
		if c.long != "" && t.where == "" {
			if long == nil {
				long = make([]string, len(t.Columns))
			}
			long[i] = c.long
		}
	}
	return long
}

// copyWriter takes what the server sends, a row at a time.
type copyWriter struct {
	n      int
	row    func(line []byte, row []value) error
	reader rowReader
	err    error
}

func (w *copyWriter) Write(line []byte) (int, error) {
	var row []value
	if row, w.err = w.reader.split(line[:len(line)-1], w.n); w.err == nil {
		w.err = w.row(line, row)
	}
	return len(line), w.err
}

func (p *postgres) numbers(ctx context.Context, tables []*Table) error {
	for _, t := range tables {
		if t.sequence == "" {
			continue
		}
		if err := dialect.QueryRow(ctx, p.c, p.nextOf(t.sequence), nil, &t.next); err != nil {
			return err
		}
	}
	return nil
}

// nextOf asks which number a sequence gives next, within its bounds: one that is at
// its end stays there.
func (p *postgres) nextOf(sequence string) string {
	return "SELECT least(greatest(CASE WHEN s.is_called THEN s.last_value::numeric + q.seqincrement ELSE s.last_value END, q.seqmin), q.seqmax)::bigint FROM " +
		sequence + " s, pg_catalog.pg_sequence q WHERE q.seqrelid = " + p.d.Literal(sequence) + "::pg_catalog.regclass"
}

// pgFree are the sequences whose numbers are not those of a [Table]: they belong to
// no column, or to one that a table has beside another, further to the right.
const pgFree = `SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = c.oid AND x.deptype IN ('a', 'i')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend y JOIN pg_catalog.pg_class s ON s.oid = y.objid AND s.relkind = 'S' WHERE y.classid = x.classid AND y.refclassid = x.refclassid
			AND y.refobjid = x.refobjid AND y.refobjsubid > x.refobjsubid AND y.deptype IN ('a', 'i'))) AND ` + pgUser + ` ORDER BY 1, 2`

func (p *postgres) sequences(ctx context.Context) (list []Sequence, err error) {
	var schema, name string
	var of []string
	err = each(ctx, p.c, pgFree, nil, []any{&schema, &name}, func() error {
		list, of = append(list, Sequence{Name: p.full(schema, name)}), append(of, p.d.Qualify(schema, name))
		return nil
	})
	for i := range list {
		if err == nil {
			err = dialect.QueryRow(ctx, p.c, p.nextOf(of[i]), nil, &list[i].Next)
		}
	}
	return list, err
}

// rest are large objects, to which rows have nothing but a number.
func (p *postgres) rest(ctx context.Context) (string, error) {
	var n int64
	if err := dialect.QueryRow(ctx, p.c, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata", nil, &n); err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("%d large objects", n), nil
}

func (p *postgres) setSequence(ctx context.Context, s Sequence) error {
	schema, name := p.schema, s.Name
	if before, after, ok := strings.Cut(s.Name, "."); ok {
		schema, name = before, after
	}
	return p.exec(ctx, fmt.Sprintf("SELECT pg_catalog.setval(%s, %d, false)", p.d.Literal(p.d.Qualify(schema, name)), s.Next))
}

func (p *postgres) beginLoad(context.Context) error { return nil }
func (p *postgres) endLoad(ctx context.Context) error {
	return p.exec(ctx, "ROLLBACK") // of what was cut short; else a warning
}

func (p *postgres) chunk() int64 { return 64 << 20 }

func (p *postgres) begin() []string { return append([]string{"BEGIN"}, pgSettings...) }

// The table that a relation is a partition of, at any depth; else itself.
const (
	pgRoot   = `rn.nspname::text, r.relname::text`
	pgOfRoot = `JOIN pg_catalog.pg_class r ON r.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid) JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace`
)

// Foreign keys are checked by a join when they come back, as pg_restore does it;
// row by row it would take several times as long, and circles would have no order.
const pgKeys = `SELECT n.nspname::text, c.relname::text, k.conname::text, pg_catalog.pg_get_constraintdef(k.oid), coalesce(pg_catalog.obj_description(k.oid, 'pg_constraint'), ''), ` + pgRoot + `, fn.nspname::text, f.relname::text
	FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ` + pgOfRoot + `
	JOIN pg_catalog.pg_class f ON f.oid = coalesce(pg_catalog.pg_partition_root(k.confrelid), k.confrelid) JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
	WHERE k.contype = 'f' AND k.conparentid = 0 AND ` + pgUser + ` ORDER BY 1, 2, 3`

const pgTriggers = `SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text, ` + pgRoot + `
	FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ` + pgOfRoot + `
	WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relkind IN ('r', 'p') AND ` + pgUser + ` ORDER BY 1, 2, 3`

// pgOwnWays are triggers of partitions that are not enabled as those of the table above
// are: to enable or disable that one does the same to all below it.
const pgOwnWays = `SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text, ` + pgRoot + `
	FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ` + pgOfRoot + `
	JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid JOIN pg_catalog.pg_trigger a ON a.tgrelid = i.inhparent AND a.tgname = t.tgname AND a.tgfoid = t.tgfoid
	WHERE c.relispartition AND NOT a.tgisinternal AND a.tgenabled <> t.tgenabled AND ` + pgUser + ` ORDER BY t.oid`

// pgEnable are the words for how a trigger is enabled.
var pgEnable = map[string]string{"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS", "D": "DISABLE"}

func (p *postgres) suspend(ctx context.Context, tables []*Table) (list []obstacle, err error) {
	var schema, table, name, what, comment, rootSchema, root, toSchema, to string
	loaded := func(schema, table string) bool { return find(tables, p.full(schema, table)) != nil }
	err = each(ctx, p.c, pgKeys, nil, []any{&schema, &table, &name, &what, &comment, &rootSchema, &root, &toSchema, &to}, func() error {
		if !loaded(rootSchema, root) && !loaded(toSchema, to) {
			return nil
		}
		of := "ALTER TABLE " + p.d.Qualify(schema, table)
		o := obstacle{Table: p.full(schema, table), Name: name, Away: of + " DROP CONSTRAINT " + p.d.Identifier(name), Back: []string{of + " ADD CONSTRAINT " + p.d.Identifier(name) + " " + what}}
		if comment != "" {
			o.Back = append(o.Back, "COMMENT ON CONSTRAINT "+p.d.Identifier(name)+" ON "+p.d.Qualify(schema, table)+" IS "+p.d.Literal(comment))
		}
		list = append(list, o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What a partition has for itself comes back behind what it would have from above.
	for _, query := range []string{pgTriggers, pgOwnWays} {
		err = each(ctx, p.c, query, nil, []any{&schema, &table, &name, &what, &rootSchema, &root}, func() error {
			if !loaded(rootSchema, root) {
				return nil
			}
			of := "ALTER TABLE " + p.d.Qualify(schema, table)
			o := obstacle{Table: p.full(schema, table), Name: name, Away: of + " DISABLE TRIGGER " + p.d.Identifier(name), Back: []string{of + " " + pgEnable[what] + " TRIGGER " + p.d.Identifier(name)}}
			list = slices.DeleteFunc(list, func(other obstacle) bool { return other.Table == o.Table && other.Name == o.Name })
			list = append(list, o)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (p *postgres) isThere(context.Context, obstacle) (bool, error) { return false, nil }

func (p *postgres) empty(ctx context.Context, tables []*Table) error {
	if len(tables) == 0 {
		return nil
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		if names[i] = t.of; !t.partitioned { // those that inherit from it are tables of their own
			names[i] = "ONLY " + t.of
		}
	}
	return p.exec(ctx, "TRUNCATE "+strings.Join(names, ", "))
}

// sink starts a COPY that reads from a pipe.
func (p *postgres) sink(ctx context.Context, m *mapping) (sink, error) {
	columns := make([]Column, len(m.insert))
	for i, k := range m.insert {
		columns[i] = *m.columns[k].to
	}
	statement := "COPY " + m.to.of + " (" + p.columns(columns) + ") FROM STDIN"
	var encoders []pgEncoder
	if m.binary {
		if encoders = pgEncoders(columns); encoders == nil {
			return nil, errNoBinary
		}
		statement += " (FORMAT binary)"
	}
	reader, pipe := io.Pipe()
	s := &copySink{pipe: pipe, out: bufio.NewWriterSize(pipe, 64<<10), done: make(chan error, 1), encoders: encoders}
	go func() {
		_, err := dialect.CopyIn(ctx, p.c, statement, reader)
		_ = reader.CloseWithError(cmpErr(err, errCopyEnded)) // a writer must not wait for who has gone
		s.done <- err
	}()
	if m.binary {
		return s, s.raw([]byte(pgCopyHeader))
	}
	return s, nil
}

var errCopyEnded = errors.New("the COPY has ended")

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

type copySink struct {
	pipe     *io.PipeWriter
	out      *bufio.Writer
	done     chan error
	line     []byte
	encoders []pgEncoder // nil: the rows go as text
	ended    bool
}

func (s *copySink) write(line []byte, row []value) error {
	if s.encoders != nil {
		var err error
		if s.line, err = appendBinaryRow(s.line[:0], s.encoders, row); err != nil {
			return err
		}
		return s.raw(s.line)
	}
	if line == nil {
		for i := range row {
			row[i].tag = 0 // the value is of its column's kind
		}
		var err error
		s.line, err = writeRow(s.line, row, s.raw)
		return err
	}
	return s.raw(line)
}

func (s *copySink) raw(line []byte) error {
	if _, err := s.out.Write(line); err != nil {
		return s.end(err)
	}
	return nil
}

// end waits for the server's own error, which says more than that of the pipe.
func (s *copySink) end(err error) error {
	if s.ended {
		return err
	}
	s.ended = true
	if err != nil {
		_ = s.pipe.CloseWithError(err) // never fails
	} else {
		_ = s.pipe.Close() // never fails
	}
	told := <-s.done
	if told != nil {
		if why, ok := dialect.RefusedRow(told); ok && why.Row > 0 {
			return &badRow{row: why.Row, column: why.Column, reason: why.Reason}
		}
	}
	return cmpErr(told, err)
}

func (s *copySink) close() error {
	if s.encoders != nil {
		if err := s.raw([]byte(pgCopyEnd)); err != nil {
			return err
		}
	}
	if err := s.out.Flush(); err != nil {
		return s.end(err)
	}
	return s.end(nil)
}

func (s *copySink) abort() { _ = s.end(errCopyEnded) }

func (p *postgres) setNumbers(ctx context.Context, next map[*Table]int64) error {
	for t, n := range next {
		for _, c := range t.Columns {
			if !c.Auto {
				continue
			}
			from := strconv.FormatInt(n, 10)
			if c.sequence != t.sequence { // it is where setSequence has put it, or where migrations have left it
				from = "(" + p.nextOf(c.sequence) + ")"
			}
			column := p.d.Identifier(c.Name)
			statement := fmt.Sprintf(`SELECT pg_catalog.setval(q.seqrelid, CASE WHEN q.seqincrement > 0
				THEN least(greatest(%[1]s, q.seqmin, (SELECT max(%[2]s)::numeric + 1 FROM %[3]s)), q.seqmax)
				ELSE greatest(least(%[1]s, q.seqmax, (SELECT min(%[2]s)::numeric - 1 FROM %[3]s)), q.seqmin) END::bigint, false)
				FROM pg_catalog.pg_sequence q WHERE q.seqrelid = %[4]s::pg_catalog.regclass`, from, column, t.of, p.d.Literal(c.sequence))
			if err := p.exec(ctx, statement); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle computes materialized views: they were made when the tables were empty.
// Foreign keys were looked at when they came back.
func (p *postgres) settle(ctx context.Context, _ []*Table) (orphans []string, err error) {
	var schema, name string
	var list []string
	err = each(ctx, p.c, `SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated AND `+pgUser+` ORDER BY c.oid`,
		nil, []any{&schema, &name}, func() error {
			list = append(list, "REFRESH MATERIALIZED VIEW "+p.d.Qualify(schema, name))
			return nil
		})
	if err != nil {
		return nil, err
	}
	return nil, p.exec(ctx, list...)
}
