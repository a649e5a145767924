package portable

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/tldw/tldwdb/internal/dialect"
)

// sqlite reads in one read transaction, and writes prepared INSERTs of many rows.
type sqlite struct {
	session
}

const sqliteColumns = `SELECT l.name, l.type, c.name, upper(c.type), c."notnull", c.hidden, c.dflt_value IS NOT NULL, c.pk, l.wr, l.strict
	FROM pragma_table_list l JOIN pragma_table_xinfo(l.name, l.schema) c WHERE l.schema = 'main' AND l.type IN ('table', 'shadow')
	AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY l.name, c.cid`

func (s *sqlite) tables(ctx context.Context) (list []*Table, err error) {
	var table, class string
	var hidden, key int
	var withoutRowid, strict bool
	var c Column
	keys := map[string]map[int]string{}
	numbered := map[string]string{} // the column that is the rowid
	noRowid := map[string]bool{}
	err = each(ctx, s.c, sqliteColumns, nil, []any{&table, &class, &c.Name, &c.Type, &c.NotNull, &hidden, &c.hasDefault, &key, &withoutRowid, &strict}, func() error {
		if n := len(list); n == 0 || list[n-1].name != table {
			list = append(list, &Table{Name: table, name: table, of: s.d.Qualify("main", table), shadow: class == "shadow"})
			keys[table] = map[int]string{}
		}
		t := list[len(list)-1]
		noRowid[table] = withoutRowid
		c.Generated = hidden == 2 || hidden == 3
		c.Kind, c.limits = sqliteKind(c.Type)
		if key > 0 {
			keys[table][key] = c.Name
			if c.Type == "INTEGER" && !withoutRowid {
				numbered[table] = c.Name
			}
		}
		t.Columns = append(t.Columns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(list) > 0 { // what each table takes is not known, but what all of them take
		if err := dialect.QueryRow(ctx, s.c, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", nil, &list[0].bytes); err != nil {
			return nil, err
		}
	}
	var to string
	for _, t := range list {
		for i := 1; i <= len(keys[t.name]); i++ {
			t.Key = append(t.Key, keys[t.name][i])
		}
		keyed := false
		for i := range t.Columns {
			t.Columns[i].Auto = len(t.Key) == 1 && numbered[t.name] == t.Columns[i].Name
			keyed = keyed || t.Columns[i].Auto
		}
		if !keyed && !noRowid[t.name] {
			t.addRowid()
		}
		err := each(ctx, s.c, "SELECT \"table\" FROM pragma_foreign_key_list("+s.d.Literal(t.name)+", 'main')", nil, []any{&to}, func() error {
			ref := to
			if parent := find(list, to); parent != nil {
				ref = parent.Name
			}
			t.refs = append(t.refs, ref)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// addRowid adds the number by which SQLite knows a row that no column of the table
// has. An index for full-text search, or another virtual table, refers to it.
func (t *Table) addRowid() {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if t.column(name) == nil {
			t.Columns = append(t.Columns, Column{Name: name, Kind: KindInt, Type: "INTEGER", NotNull: true, Generated: true, Rowid: true})
			return
		}
	}
}

// sqliteKind knows a declared type by the words in it, as SQLite itself does. A
// value need not be of it: those that are not have a tag.
func sqliteKind(declared string) (Kind, limits) {
	l := limits{noNaN: true}
	name := strings.TrimSpace(strings.SplitN(declared, "(", 2)[0])
	switch {
	case declared == "" || name == "ANY":
		return KindAny, l
	case name == "BOOLEAN" || name == "BOOL":
		return KindBool, l
	case strings.Contains(name, "INT") && !strings.Contains(name, "POINT"):
		l.bits = 64
		return KindInt, l
	case name == "JSON" || name == "JSONB":
		return KindJSON, l
	case name == "UUID":
		return KindUUID, l
	case name == "DATE":
		l.noSpecial = true
		return KindDate, l
	case name == "TIME":
		l.noSpecial = true
		return KindTime, l
	case strings.HasPrefix(name, "DATETIME"), strings.HasPrefix(name, "TIMESTAMP"):
		l.noSpecial = true
		if strings.Contains(declared, "TZ") || strings.Contains(declared, "WITH TIME ZONE") {
			return KindTimestampTZ, l
		}
		return KindTimestamp, l
	case strings.Contains(name, "CHAR"), strings.Contains(name, "CLOB"), strings.Contains(name, "TEXT"):
		return KindText, l
	case strings.Contains(name, "BLOB"), strings.Contains(name, "BINARY"):
		return KindBytes, l
	case strings.Contains(name, "REAL"), strings.Contains(name, "FLOA"), strings.Contains(name, "DOUBLE"):
		return KindFloat64, l
	}
	l.double = true
	return KindDecimal, l // SQLite calls it NUMERIC
}

func (s *sqlite) beginRead(ctx context.Context) (string, error) {
	// A deferred transaction has its snapshot with its first read.
	if err := s.exec(ctx, "BEGIN DEFERRED"); err != nil {
		return "", err
	}
	var n int64
	return "", dialect.QueryRow(ctx, s.c, "SELECT COUNT(*) FROM (SELECT 1 FROM main.sqlite_schema LIMIT 1)", nil, &n)
}

func (s *sqlite) endRead(ctx context.Context) error { return s.exec(ctx, "ROLLBACK") }

func (s *sqlite) read(ctx context.Context, t *Table, row func(line []byte, row []value) error) error {
	list := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		list[i] = "+" + s.d.Identifier(c.Name) // as an expression it has no declared type by which the driver would change it
	}
	values := make([]value, len(t.Columns))
	var room []byte
	return dialect.StreamRows(ctx, s.c, "SELECT "+strings.Join(list, ", ")+" FROM "+t.of+t.where, func(got []driver.Value) error {
		need := 0
		for _, v := range got {
			switch v := v.(type) {
			case string:
				need += min(len(v), big)
			case []byte:
			default:
				need += 32
			}
		}
		if cap(room) < need { // never grown while values point into it
			room = make([]byte, 0, need)
		}
		room = room[:0]
		for i, v := range got {
			start := len(room)
			values[i] = value{}
			kind := t.Columns[i].Kind
			natural := byte(0)
			switch v := v.(type) {
			case nil:
				values[i].null = true
				continue
			case int64:
				switch {
				case kind == KindBool && v == 0:
					room = append(room, 'f')
				case kind == KindBool && v == 1:
					room = append(room, 't')
				default:
					room = strconv.AppendInt(room, v, 10)
					if kind != KindInt && kind != KindDecimal && kind != KindFloat64 {
						natural = tagInt
					}
				}
			case float64:
				room = appendReal(room, v)
				if kind != KindFloat64 && kind != KindDecimal {
					natural = tagFloat
				}
			case string:
				if len(v) > big {
					values[i].data = unsafe.Slice(unsafe.StringData(v), len(v)) // it is only read, and may have 10 MB
				} else {
					room = append(room, v...)
				}
				if !kind.isText() && !kind.isTime() && kind != KindJSON && kind != KindUUID {
					natural = tagText
				}
			case []byte:
				values[i].raw, values[i].data = true, v
				if kind != KindBytes {
					natural = tagBytes
				}
			default:
				return fmt.Errorf("table %s, column %s: the driver gives a %T", t.Name, t.Columns[i].Name, v)
			}
			values[i].tag = natural
			if len(room) > start {
				values[i].data = room[start:len(room):len(room)]
			}
		}
		return row(nil, values)
	})
}

// appendReal writes a number with what tells it from an integer.
func appendReal(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	if !bytes.ContainsAny(dst[start:], ".e") {
		dst = append(dst, ".0"...)
	}
	return dst
}

const sqliteNumbered = "SELECT COUNT(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'"

func (s *sqlite) numbers(ctx context.Context, tables []*Table) error {
	var there int
	if err := dialect.QueryRow(ctx, s.c, sqliteNumbered, nil, &there); err != nil || there == 0 {
		return err
	}
	var name string
	var last int64
	return each(ctx, s.c, "SELECT name, seq FROM main.sqlite_sequence", nil, []any{&name, &last}, func() error {
		if t := find(tables, name); t != nil && last < math.MaxInt64 {
			t.next = last + 1
		}
		return nil
	})
}

func (s *sqlite) sequences(context.Context) ([]Sequence, error) { return nil, nil }
func (s *sqlite) rest(context.Context) (string, error)          { return "", nil }
func (s *sqlite) setSequence(context.Context, Sequence) error   { return nil }

func (s *sqlite) beginLoad(ctx context.Context) error {
	if err := s.keep(ctx); err != nil {
		return err
	}
	return s.exec(ctx, "PRAGMA foreign_keys = OFF")
}

func (s *sqlite) endLoad(ctx context.Context) error {
	// "no transaction is active" is as it should be.
	_, _ = s.c.ExecContext(ctx, "ROLLBACK")
	return s.giveBack(ctx)
}

func (s *sqlite) chunk() int64 { return 64 << 20 }

func (s *sqlite) begin() []string { return []string{"BEGIN IMMEDIATE"} }

// sqliteOfMain finds a name with the schema before it.
var sqliteOfMain = regexp.MustCompile(`(?i)^(main|"main"|\[main\]|` + "`main`" + `)\s*\.`)

func (s *sqlite) suspend(ctx context.Context, tables []*Table) (list []obstacle, err error) {
	var name, table, text string
	err = each(ctx, s.c, "SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid", nil, []any{&name, &table, &text}, func() error {
		if find(tables, table) != nil {
			// SQLite keeps the text from the name on; without a schema it would be a trigger
			// of a temporary table of that name.
			if rest, plain := strings.CutPrefix(text, "CREATE TRIGGER "); plain && !sqliteOfMain.MatchString(rest) {
				text = "CREATE TRIGGER main." + rest
			}
			list = append(list, obstacle{Table: table, Name: name, Away: "DROP TRIGGER " + s.d.Qualify("main", name), Back: []string{text}})
		}
		return nil
	})
	return list, err
}

func (s *sqlite) isThere(context.Context, obstacle) (bool, error) { return false, nil }

func (s *sqlite) empty(ctx context.Context, tables []*Table) error {
	for _, t := range tables {
		if err := s.exec(ctx, "DELETE FROM "+t.of); err != nil {
			return err
		}
	}
	return nil
}

// sqliteParameters is how many values one INSERT has at most. More rows at once
// cost more to parse than they save.
const sqliteParameters = 400

func (s *sqlite) sink(ctx context.Context, m *mapping) (sink, error) {
	k := &bindSink{s: s, ctx: ctx}
	names := make([]string, len(m.insert))
	for i, at := range m.insert {
		c := m.columns[at].to
		names[i] = s.d.Identifier(c.Name)
		k.columns = append(k.columns, c)
	}
	k.batch = max(sqliteParameters/max(len(names), 1), 1)
	k.head = "INSERT INTO " + m.to.of + " (" + strings.Join(names, ", ") + ") VALUES "
	k.one = "(" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
	return k, nil
}

type bindSink struct {
	s       *sqlite
	ctx     context.Context
	columns []*Column
	head    string
	one     string
	batch   int
	rows    int
	sent    int64 // rows before those
	bytes   int
	args    []driver.NamedValue
	exec    func([]driver.NamedValue) error
	done    func() error
}

func (k *bindSink) write(_ []byte, row []value) error {
	for i, v := range row {
		arg, err := k.columns[i].argument(v)
		if err != nil {
			return err
		}
		k.args = append(k.args, driver.NamedValue{Ordinal: len(k.args) + 1, Value: arg})
		k.bytes += len(v.data)
	}
	k.rows++
	switch {
	case k.rows == k.batch:
		return k.full()
	case k.bytes > batch: // big values are not collected
		return k.rest()
	}
	return nil
}

// argument is a value as it is stored: whole numbers as integers, times as Go's
// driver writes them.
func (c *Column) argument(v value) (any, error) {
	if v.null {
		return nil, nil
	}
	switch {
	case v.raw && len(v.data) > batch: // who has such a value runs the statement at once
		return v.data, nil
	case v.raw:
		return append([]byte{}, v.data...), nil // an empty one is none that is NULL
	case v.kind(c.Kind) == KindBytes:
		return hex.AppendDecode(make([]byte, 0, len(v.data)/2), v.data[2:])
	}
	var text string
	if len(v.data) > batch {
		text = unsafe.String(unsafe.SliceData(v.data), len(v.data)) // likewise
	} else {
		text = string(v.data)
	}
	switch v.kind(c.Kind) {
	case KindBool:
		return int64(b2i(text == "t")), nil
	case KindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, refusal("it is out of range for a number of 64 bits")
		}
		return n, nil
	case KindFloat32, KindFloat64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, refusal("it is no number of 64 bits")
		}
		return f, nil
	case KindDecimal:
		if !bytes.ContainsAny(v.data, ".eEIN") {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n, nil
			}
		}
		return strconv.ParseFloat(text, 64) // check has found that this keeps all digits
	case KindTimestampTZ:
		if rest, ok := strings.CutSuffix(text, "+00"); ok {
			return rest + "+00:00", nil
		}
	}
	return text, nil
}

// prepare compiles an INSERT of n rows.
func (k *bindSink) prepare(n int) (exec func([]driver.NamedValue) error, done func() error, err error) {
	return dialect.PrepareBulk(k.ctx, k.s.c, k.head+strings.TrimSuffix(strings.Repeat(k.one+",", n), ","))
}

func (k *bindSink) full() (err error) {
	if k.exec == nil {
		if k.exec, k.done, err = k.prepare(k.batch); err != nil {
			return err
		}
	}
	if err = k.exec(k.args); err != nil {
		err = k.search(err)
	}
	k.clear()
	return err
}

// search finds the row of a batch that is refused, one by one: a batch is not large.
// What is taken goes with the transaction.
func (k *bindSink) search(failed error) error {
	if _, ok := dialect.RefusedRow(failed); !ok {
		return failed
	}
	exec, done, err := k.prepare(1)
	if err != nil {
		return errors.Join(failed, err)
	}
	defer func() { _ = done() }() // the work has failed already
	for i := range k.rows {
		args := slices.Clone(k.args[i*len(k.columns) : (i+1)*len(k.columns)])
		for n := range args {
			args[n].Ordinal = n + 1
		}
		if err := exec(args); err != nil {
			why, ok := dialect.RefusedRow(err)
			if !ok {
				return err
			}
			return &badRow{row: k.sent + int64(i) + 1, reason: why.Reason}
		}
	}
	return failed
}

func (k *bindSink) clear() {
	clear(k.args)
	k.sent += int64(k.rows)
	k.args, k.rows, k.bytes = k.args[:0], 0, 0
}

// rest writes fewer rows than make a batch.
func (k *bindSink) rest() error {
	if k.rows == 0 {
		return nil
	}
	exec, done, err := k.prepare(k.rows)
	if err != nil {
		return err
	}
	if err = exec(k.args); err != nil {
		err = k.search(err)
	}
	err = errors.Join(err, done())
	k.clear()
	return err
}

func (k *bindSink) close() error {
	err := k.rest()
	if k.done != nil {
		err = errors.Join(err, k.done())
		k.exec, k.done = nil, nil
	}
	return err
}

func (k *bindSink) abort() {
	if k.done != nil {
		_ = k.done() // the work has failed already
		k.exec, k.done = nil, nil
	}
}

func (s *sqlite) setNumbers(ctx context.Context, next map[*Table]int64) error {
	var there int
	if err := dialect.QueryRow(ctx, s.c, sqliteNumbered, nil, &there); err != nil || there == 0 {
		return err
	}
	for t, n := range next {
		// Only a table with AUTOINCREMENT has a row there, as soon as it has had one.
		var numbered bool
		err := dialect.QueryRow(ctx, s.c, "SELECT upper(sql) LIKE '%AUTOINCREMENT%' FROM main.sqlite_schema WHERE type = 'table' AND name = "+s.d.Literal(t.name), nil, &numbered)
		if err != nil {
			return err
		}
		if !numbered || n <= 1 {
			continue
		}
		name := s.d.Literal(t.name)
		if err := s.exec(ctx, fmt.Sprintf("UPDATE main.sqlite_sequence SET seq = max(seq, %d) WHERE name = %s", n-1, name),
			fmt.Sprintf("INSERT INTO main.sqlite_sequence (name, seq) SELECT %s, %d WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = %[1]s)", name, n-1)); err != nil {
			return err
		}
	}
	return nil
}

// settle looks for orphans: foreign keys were not watched.
func (s *sqlite) settle(ctx context.Context, tables []*Table) (orphans []string, err error) {
	var table, parent string
	var count int64
	err = each(ctx, s.c, `SELECT "table", "parent", COUNT(*) FROM pragma_foreign_key_check(NULL, 'main') GROUP BY 1, 2`, nil, []any{&table, &parent, &count}, func() error {
		if find(tables, table) == nil && find(tables, parent) == nil {
			return nil
		}
		orphans = append(orphans, fmt.Sprintf("table %s: %d rows have no partner in table %s", table, count, parent))
		return nil
	})
	return orphans, err
}
