package portable

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/tldw/tldwdb/internal/dialect"
)

// mysql reads in a transaction with a consistent snapshot, unbuffered and in the
// text protocol, and writes INSERTs of many rows.
type mysql struct {
	session
	packet  int // max_allowed_packet
	mariaDB bool
}

// mysqlReading and mysqlLoading fix how values are written and read, and that all rows
// are: a limit that a server is configured with would end each table early. Without
// STRICT_ALL_TABLES the server would keep something else than what it was given.
// Where the columns are of the same types it has held the values before, among them
// such as are not taken in that mode; what is read at the end would show what it had
// changed. Without unique_checks, which takes longer, it may believe that no key is
// there twice: two that differ at the source can be one under the target's collation.
const (
	mysqlStrict = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES', SESSION unique_checks = 1"
	mysqlSame   = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES', SESSION unique_checks = 0"
)

var (
	mysqlReading = []string{"SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION sql_select_limit = 18446744073709551615", "SET NAMES utf8mb4", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"}
	mysqlLoading = []string{
		mysqlStrict, "SET SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION sql_select_limit = 18446744073709551615",
		"SET NAMES utf8mb4", "SET SESSION foreign_key_checks = 0",
	}
)

// What the server says about a table may be hours old, unless it is told otherwise;
// MariaDB does not know the variable.
const mysqlFresh = "SET SESSION information_schema_stats_expiry = 0"

// They are not joined, and rows not grouped by a name: in the eyes of the server's
// catalogue those of two tables may be the same, which they are not. Columns in which
// MariaDB keeps when a row was written are no data: it writes them anew.
const (
	mysqlTables  = "SELECT table_name, coalesce(engine, ''), coalesce(data_length, 0), table_type = 'SYSTEM VERSIONED' FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"
	mysqlColumns = `SELECT c.table_name, c.column_name, c.data_type, c.column_type, c.is_nullable = 'NO',
	coalesce(c.generation_expression, '') <> '', c.extra LIKE '%auto_increment%', c.column_default IS NOT NULL OR c.extra LIKE '%DEFAULT_GENERATED%',
	coalesce(c.character_maximum_length, 0), coalesce(c.character_octet_length, 0), coalesce(c.numeric_precision, 0), coalesce(c.numeric_scale, 0), coalesce(c.datetime_precision, 0), coalesce(c.character_set_name, '')
	FROM information_schema.columns c WHERE c.table_schema = DATABASE() AND coalesce(c.generation_expression, '') NOT IN ('ROW START', 'ROW END') ORDER BY c.ordinal_position`
)

const mysqlKeys = `SELECT table_name, column_name, constraint_name = 'PRIMARY', coalesce(referenced_table_name, '') FROM information_schema.key_column_usage
	WHERE table_schema = DATABASE() AND (constraint_name = 'PRIMARY' OR referenced_table_schema = DATABASE()) ORDER BY table_name, constraint_name, ordinal_position`

func (m *mysql) tables(ctx context.Context) (list []*Table, err error) {
	var version string
	if err := dialect.QueryRow(ctx, m.c, "SELECT VERSION(), @@max_allowed_packet", nil, &version, &m.packet); err != nil {
		return nil, err
	}
	if m.mariaDB = strings.Contains(version, "MariaDB"); !m.mariaDB {
		if err := m.exec(ctx, mysqlFresh); err != nil {
			return nil, err
		}
	}
	var table, engine, data, charset string
	var size int64
	var versioned bool
	byName := map[string]*Table{}
	err = each(ctx, m.c, mysqlTables, nil, []any{&table, &engine, &size, &versioned}, func() error {
		t := &Table{Name: table, name: table, of: m.d.Identifier(table), bytes: size, versioned: versioned, unsafe: engine != "InnoDB" && engine != "ROCKSDB"}
		list, byName[table] = append(list, t), t
		return nil
	})
	if err != nil {
		return nil, err
	}
	var chars, octets uint64
	var precision, scale, fraction int
	var c Column
	err = each(ctx, m.c, mysqlColumns, nil, []any{&table, &c.Name, &data, &c.Type, &c.NotNull, &c.Generated, &c.Auto, &c.hasDefault, &chars, &octets, &precision, &scale, &fraction, &charset}, func() error {
		t := byName[table]
		if t == nil { // a view
			return nil
		}
		c.Kind, c.limits = mysqlKind(strings.ToLower(data), strings.ToLower(c.Type), charset)
		c.array = c.Kind == KindBytes && !strings.Contains(data, "blob") && !strings.Contains(data, "binary")
		switch c.Kind {
		case KindText, KindChar:
			if octets < 1<<31 {
				c.limits.bytes = int(octets)
			}
			if strings.HasSuffix(data, "char") {
				c.limits.chars, c.limits.bytes = int(chars), 0
			}
		case KindBytes:
			if octets < 1<<31 && !c.array {
				c.limits.bytes = int(octets)
			}
		case KindDecimal:
			c.limits.precision, c.limits.scale, c.limits.hasScale = precision, scale, true
		case KindTime, KindTimestamp, KindTimestampTZ:
			c.limits.timeDigits = fraction + 1
		}
		t.Columns = append(t.Columns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var column, to string
	var primary bool
	err = each(ctx, m.c, mysqlKeys, nil, []any{&table, &column, &primary, &to}, func() error {
		t := byName[table]
		switch {
		case t == nil:
		case primary && t.column(column) != nil:
			t.Key = append(t.Key, column)
		case primary: // MariaDB's end of a row is part of the key
		default:
			t.refs = append(t.refs, to)
		}
		return nil
	})
	return list, err
}

// mysqlKind knows a type by its names.
func mysqlKind(data, full, charset string) (Kind, limits) {
	l := limits{noSpecial: true}
	switch charset {
	case "utf8", "utf8mb3", "ucs2":
		l.lastRune = 0xffff
	case "ascii":
		l.lastRune = 0x7f
	}
	switch data {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		l.bits = map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}[data]
		l.unsigned = strings.Contains(full, "unsigned")
		return KindInt, l
	case "year":
		l.bits, l.unsigned = 16, true
		return KindInt, l
	case "bit":
		n, _ := strconv.Atoi(strings.Trim(strings.TrimPrefix(full, "bit"), "()")) // 0: all of them
		l.bits, l.unsigned = max(n, 1), true
		return KindInt, l
	case "float":
		return KindFloat32, l
	case "double", "real":
		return KindFloat64, l
	case "decimal", "numeric":
		return KindDecimal, l
	case "char":
		return KindChar, l
	case "varchar", "text", "tinytext", "mediumtext", "longtext", "enum", "set":
		return KindText, l
	case "date":
		l.years = [2]int{0, 9999}
		return KindDate, l
	case "time":
		return KindTime, l
	case "datetime":
		l.years = [2]int{0, 9999}
		return KindTimestamp, l
	case "timestamp":
		l.years = [2]int{1970, 2038}
		return KindTimestampTZ, l
	case "json":
		l.jsonDouble = true
		return KindJSON, l
	case "uuid":
		return KindUUID, l
	case "inet4", "inet6":
		return KindText, l
	}
	return KindBytes, l // binary, blobs, geometries, vectors
}

func (m *mysql) beginRead(ctx context.Context) (position string, err error) {
	if err := m.keep(ctx); err != nil {
		return "", err
	}
	if err := m.exec(ctx, mysqlReading...); err != nil {
		return "", err
	}
	if err := m.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return "", err
	}
	variable := "@@GLOBAL.gtid_executed"
	if strings.Contains(strings.ToLower(m.server(ctx)), "mariadb") {
		variable = "@@GLOBAL.gtid_binlog_pos"
	}
	var at sql.NullString
	err = dialect.QueryRow(ctx, m.c, "SELECT "+variable, nil, &at)
	return at.String, err
}

// server is the version, for which of the two it is. What is not known is told by
// the next statement.
func (m *mysql) server(ctx context.Context) string {
	var version string
	_ = dialect.QueryRow(ctx, m.c, "SELECT VERSION()", nil, &version)
	return version
}

func (m *mysql) endRead(ctx context.Context) error {
	if err := m.exec(ctx, "ROLLBACK"); err != nil {
		return err
	}
	return m.giveBack(ctx)
}

// selected is the expression whose value the driver hands on exactly.
func (m *mysql) selected(c *Column) string {
	name := m.d.Identifier(c.Name)
	switch {
	case strings.HasPrefix(c.Type, "bit"):
		return name + " + 0"
	case c.Kind == KindFloat32: // as text it has six digits
		return name + " + 0e0"
	case c.Kind == KindDate, c.Kind == KindTimestamp, c.Kind == KindTimestampTZ: // the driver makes a time of it, or nothing of a zero date
		return "CAST(" + name + " AS CHAR)"
	}
	return name
}

func (m *mysql) read(ctx context.Context, t *Table, row func(line []byte, row []value) error) error {
	list := make([]string, len(t.Columns))
	for i := range t.Columns {
		list[i] = m.selected(&t.Columns[i])
	}
	values := make([]value, len(t.Columns))
	var room []byte
	return dialect.StreamRows(ctx, m.c, "SELECT "+strings.Join(list, ", ")+" FROM "+t.of+t.where, func(got []driver.Value) error {
		need, all := 0, 0
		for _, v := range got {
			if b, ok := v.([]byte); !ok {
				need += 32
			} else {
				all += len(b)
			}
		}
		if cap(room) < need { // never grown while values point into it
			room = make([]byte, 0, need)
		}
		room = room[:0]
		for i, v := range got {
			start := len(room)
			values[i] = value{}
			switch v := v.(type) {
			case nil:
				values[i].null = true
				continue
			case []byte:
				values[i].raw, values[i].data = t.Columns[i].Kind == KindBytes, v
				continue
			case int64:
				room = strconv.AppendInt(room, v, 10)
			case uint64:
				room = strconv.AppendUint(room, v, 10)
			case float64:
				size := 64
				if t.Columns[i].Kind == KindFloat32 {
					size = 32
				}
				room = strconv.AppendFloat(room, v, 'g', -1, size)
			default:
				return fmt.Errorf("table %s, column %s: the driver gives a %T", t.Name, t.Columns[i].Name, v)
			}
			values[i].data = room[start:len(room):len(room)]
		}
		if 2*all > m.packet-aroundRow {
			m.measure(t, values)
		}
		return row(nil, values)
	})
}

// aroundRow is what a statement with one row has beside its values, about.
const aroundRow = 1 << 10

// measure finds out whether a row that was read makes a statement that this server takes.
func (m *mysql) measure(t *Table, row []value) {
	need := aroundRow
	for _, v := range row {
		need += len(v.data) + bytes.Count(v.data, []byte{'\''}) + bytes.Count(v.data, []byte{'\\'})
	}
	if need > m.packet {
		t.longest, t.packet = max(t.longest, need), m.packet
	}
}

func (m *mysql) numbers(ctx context.Context, tables []*Table) error {
	var table string
	var next uint64
	return each(ctx, m.c, "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = DATABASE() AND auto_increment IS NOT NULL", nil, []any{&table, &next}, func() error {
		if t := find(tables, table); t != nil && next < 1<<63 {
			t.next = int64(next)
		}
		return nil
	})
}

// sequences are MariaDB's; MySQL has none.
func (m *mysql) sequences(ctx context.Context) (list []Sequence, err error) {
	var name string
	err = each(ctx, m.c, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'", nil, []any{&name}, func() error {
		list = append(list, Sequence{Name: name})
		return nil
	})
	for i := range list {
		if err == nil {
			err = dialect.QueryRow(ctx, m.c, "SELECT next_not_cached_value FROM "+m.d.Identifier(list[i].Name), nil, &list[i].Next)
		}
	}
	return list, err
}

func (m *mysql) rest(context.Context) (string, error) { return "", nil }

func (m *mysql) setSequence(ctx context.Context, s Sequence) error {
	return m.exec(ctx, fmt.Sprintf("DO SETVAL(%s, %d, 0)", m.d.Identifier(s.Name), s.Next))
}

func (m *mysql) beginLoad(ctx context.Context) error {
	if err := m.keep(ctx); err != nil {
		return err
	}
	return m.exec(ctx, mysqlLoading...)
}

func (m *mysql) endLoad(ctx context.Context) error {
	if err := m.exec(ctx, "ROLLBACK"); err != nil {
		return err
	}
	return m.giveBack(ctx)
}

// chunk is not large: with the undo of a whole table in one transaction it takes two to
// three times as long.
func (m *mysql) chunk() int64 { return 8 << 20 }

func (m *mysql) begin() []string { return []string{"START TRANSACTION"} }

// suspend lists the triggers in the order in which they run, and the events that are on.
// The statement that makes one again needs the settings that it was made with, but for
// the client's character set: its text is in utf8mb4 now.
func (m *mysql) suspend(ctx context.Context, tables []*Table) (list []obstacle, err error) {
	var name, table, mode, collation, zone string
	var settings []string
	err = each(ctx, m.c, `SELECT trigger_name, event_object_table, sql_mode, collation_connection FROM information_schema.triggers
		WHERE trigger_schema = DATABASE() ORDER BY event_object_table, action_timing, event_manipulation, action_order`, nil, []any{&name, &table, &mode, &collation}, func() error {
		if find(tables, table) != nil {
			list = append(list, obstacle{Table: table, Name: name, Away: "DROP TRIGGER IF EXISTS " + m.d.Identifier(name)})
			settings = append(settings, fmt.Sprintf("SET SESSION sql_mode = %s, SESSION collation_connection = %s", m.d.Literal(mode), collation))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	triggers := len(list)
	// Made anew and not altered: that would change more of one than its status.
	err = each(ctx, m.c, "SELECT event_name, sql_mode, collation_connection, time_zone FROM information_schema.events WHERE event_schema = DATABASE() AND status = 'ENABLED' ORDER BY event_name", nil,
		[]any{&name, &mode, &collation, &zone}, func() error {
			list = append(list, obstacle{Name: name, Away: "DROP EVENT IF EXISTS " + m.d.Identifier(name)})
			settings = append(settings, fmt.Sprintf("SET SESSION sql_mode = %s, SESSION collation_connection = %s, SESSION time_zone = %s", m.d.Literal(mode), collation, m.d.Literal(zone)))
			return nil
		})
	if err != nil {
		return nil, err
	}
	for i := range list {
		what, column := "TRIGGER", 2
		if i >= triggers {
			what, column = "EVENT", 3
		}
		var text string
		err := dialect.StreamRows(ctx, m.c, "SHOW CREATE "+what+" "+m.d.Identifier(list[i].Name), func(got []driver.Value) error {
			if b, ok := got[column].([]byte); ok {
				text = string(b)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if text == "" {
			return nil, fmt.Errorf("%s %s: the account may not see its definition, and it must not see the rows", strings.ToLower(what), list[i].Name)
		}
		list[i].Back = []string{settings[i], text, mysqlStrict + ", SESSION time_zone = '+00:00'", "SET NAMES utf8mb4"}
	}
	return list, nil
}

func (m *mysql) isThere(ctx context.Context, o obstacle) (there bool, err error) {
	of := "triggers WHERE trigger_schema = DATABASE() AND trigger_name = "
	if o.Table == "" {
		of = "events WHERE event_schema = DATABASE() AND event_name = "
	}
	err = dialect.QueryRow(ctx, m.c, "SELECT COUNT(*) > 0 FROM information_schema."+of+m.d.Literal(o.Name), nil, &there)
	return there, err
}

// empty deletes: TRUNCATE is DDL, which is refused where a foreign key leads to the
// table even when it is not watched.
func (m *mysql) empty(ctx context.Context, tables []*Table) error {
	for _, t := range tables {
		if err := m.exec(ctx, "DELETE FROM "+t.of); err != nil {
			return err
		}
	}
	return nil
}

// batch is how large an INSERT becomes, if the server takes it. With 1 MiB the server
// takes a quarter longer for the same rows: what it parses leaves the processor's caches.
const batch = 128 << 10

// huge is the size of what is not left for a later collection of garbage: that would
// come when as much has piled up as is in use, several times the size of a value.
const huge = 4 << 20

// longestPacket is what the driver sends at most, whatever the server takes.
const longestPacket = 64 << 20

func (m *mysql) sink(ctx context.Context, mp *mapping) (sink, error) {
	s := &insertSink{m: m, ctx: ctx, to: mp.to, limit: min(m.packet, longestPacket) - 1024}
	names := make([]string, len(mp.insert))
	for i, k := range mp.insert {
		c := mp.columns[k].to
		names[i] = m.d.Identifier(c.Name)
		s.columns = append(s.columns, c)
	}
	mode := mysqlStrict
	if mp.same {
		mode = mysqlSame
	}
	if err := m.exec(ctx, mode); err != nil {
		return nil, err
	}
	s.head = []byte("INSERT INTO " + mp.to.of + " (" + strings.Join(names, ", ") + ") VALUES ")
	return s, nil
}

type insertSink struct {
	m       *mysql
	ctx     context.Context
	to      *Table
	columns []*Column
	head    []byte
	text    []byte
	starts  []int // of the rows in text
	rows    int
	sent    int64 // rows before those
	limit   int
}

func (s *insertSink) write(_ []byte, row []value) error {
	need := len(s.head) + 2
	for _, v := range row {
		need += literalSize(v)
	}
	if need > batch && s.rows > 0 { // it goes by itself
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(s.text) == 0 {
		s.text = append(s.text, s.head...)
	}
	if need > batch {
		s.text = slices.Grow(s.text, need)
	}
	before := len(s.text)
	if s.rows > 0 {
		s.text = append(s.text, ',')
	}
	s.starts = append(s.starts, len(s.text))
	s.text = append(s.text, '(')
	for i, v := range row {
		if i > 0 {
			s.text = append(s.text, ',')
		}
		s.text = s.columns[i].appendLiteral(s.text, v)
	}
	s.text = append(s.text, ')')
	s.rows++
	switch {
	case len(s.text) > s.limit && s.rows > 1: // this row goes by itself
		rest := bytes.Clone(s.text[before+1:])
		s.text, s.rows, s.starts = s.text[:before], s.rows-1, s.starts[:s.rows-1]
		if err := s.flush(); err != nil {
			return err
		}
		s.text, s.rows, s.starts = slices.Concat(s.head, rest), 1, []int{len(s.head)}
	case len(s.text) <= batch:
		return nil
	}
	if len(s.text) > s.limit {
		return refusef("the row takes %d bytes, and the server's max_allowed_packet is %d", len(s.text), s.m.packet)
	}
	if len(s.text) <= batch {
		return nil
	}
	return s.flush()
}

// literalSize is about as much as a value takes in a statement: a 128th of bytes that
// are there by chance has to be escaped.
func literalSize(v value) int {
	n := len(v.data)
	if !v.raw && bytes.HasPrefix(v.data, []byte(`\x`)) {
		n /= 2
	}
	return n + n/64 + 16
}

// appendLiteral writes a value of the column's kind as MySQL reads it.
func (c *Column) appendLiteral(dst []byte, v value) []byte {
	if v.null {
		return append(dst, "NULL"...)
	}
	switch c.Kind {
	case KindInt, KindFloat64, KindDecimal:
		return append(dst, v.data...)
	case KindFloat32: // with all its digits: the greatest one is out of range when it is rounded up
		f, err := strconv.ParseFloat(string(v.data), 32)
		if err != nil {
			return append(dst, v.data...)
		}
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	case KindBytes:
		dst = append(dst, "_binary'"...)
		if v.raw {
			return append(appendQuoted(dst, v.data), '\'')
		}
		return append(appendBinary(dst, v.data[2:]), '\'')
	case KindTimestampTZ:
		dst = append(dst, '\'')
		return append(append(dst, bytes.TrimSuffix(v.data, []byte("+00"))...), '\'')
	}
	return append(appendQuoted(append(dst, '\''), v.data), '\'')
}

// appendQuoted writes what stands between quotes.
func appendQuoted(dst, data []byte) []byte {
	for {
		i := indexQuote(data)
		if i < 0 {
			return append(dst, data...)
		}
		dst = append(append(dst, data[:i]...), '\\', data[i])
		data = data[i+1:]
	}
}

// indexQuote is where the first quote or backslash is. [bytes.IndexAny] is slow where
// there are bytes beyond ASCII.
func indexQuote(data []byte) int {
	for i, b := range data {
		if b == '\'' || b == '\\' {
			return i
		}
	}
	return -1
}

// appendBinary writes hexadecimal digits as the bytes that they mean: as digits
// they would be twice as large for the server's limit.
func appendBinary(dst, digits []byte) []byte {
	for i := 0; i+1 < len(digits); i += 2 {
		b := nibble(digits[i])<<4 | nibble(digits[i+1])
		if b == '\'' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return dst
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// flush sends what is collected.
func (s *insertSink) flush() error {
	if s.rows == 0 {
		return nil
	}
	// The text is the statement itself, and not copied into one: the driver keeps
	// nothing of it.
	err := s.exec(s.text)
	if err != nil {
		err = s.search(0, s.rows, err)
	}
	if len(s.text) > huge {
		runtime.GC() // the driver makes a packet of the same size each time, and leaves it
	}
	s.sent += int64(s.rows)
	s.text, s.rows, s.starts = s.text[:0], 0, s.starts[:0]
	return err
}

func (s *insertSink) exec(statement []byte) error {
	return dialect.ExecBulk(s.ctx, s.m.c, unsafe.String(unsafe.SliceData(statement), len(statement)))
}

// search finds the row of those from first to behind that the server refuses, by
// sending one half, and the other one if that was taken. What is taken goes with the
// transaction.
func (s *insertSink) search(first, behind int, err error) error {
	why, ok := dialect.RefusedRow(err)
	if !ok {
		return err
	}
	for behind-first > 1 {
		middle := (first + behind) / 2
		half := slices.Concat(s.head, s.text[s.starts[first]:s.starts[middle]-1]) // without the comma
		err := s.exec(half)
		if err == nil {
			first = middle
			continue
		}
		if why, ok = dialect.RefusedRow(err); !ok {
			return err
		}
		behind = middle
	}
	return &badRow{row: s.sent + int64(first) + 1, column: why.Column, reason: why.Reason}
}

func (s *insertSink) close() error {
	err := s.flush()
	collect := cap(s.text) > huge
	s.text = nil
	if collect { // it would be in use in the eyes of the collector until twice as much is
		runtime.GC()
	}
	return err
}
func (s *insertSink) abort() {}

func (m *mysql) setNumbers(ctx context.Context, next map[*Table]int64) error {
	for t, n := range next {
		for _, c := range t.Columns {
			if c.Auto && n > 1 { // the server raises it to what is behind the greatest number that is there
				if err := m.exec(ctx, fmt.Sprintf("ALTER TABLE %s AUTO_INCREMENT = %d", t.of, n)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

const mysqlForeign = `SELECT k.constraint_name, k.table_name, k.column_name, k.referenced_table_name, k.referenced_column_name FROM information_schema.key_column_usage k
	WHERE k.table_schema = DATABASE() AND k.referenced_table_schema = DATABASE() ORDER BY k.table_name, k.constraint_name, k.ordinal_position`

// settle looks for orphans: foreign keys were not watched.
func (m *mysql) settle(ctx context.Context, tables []*Table) (orphans []string, err error) {
	type key struct{ name, table, to, join, orphan string }
	var list []*key
	var name, table, column, to, target string
	err = each(ctx, m.c, mysqlForeign, nil, []any{&name, &table, &column, &to, &target}, func() error {
		n := len(list)
		if n == 0 || list[n-1].name != name || list[n-1].table != table {
			list = append(list, &key{name: name, table: table, to: to, orphan: "p." + m.d.Identifier(target) + " IS NULL"})
			n++
		}
		k := list[n-1]
		if k.join != "" {
			k.join += " AND "
		}
		k.join += "p." + m.d.Identifier(target) + " = c." + m.d.Identifier(column)
		k.orphan += " AND c." + m.d.Identifier(column) + " IS NOT NULL"
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if find(tables, k.table) == nil && find(tables, k.to) == nil {
			continue
		}
		var count int64
		query := "SELECT COUNT(*) FROM " + m.d.Identifier(k.table) + " c LEFT JOIN " + m.d.Identifier(k.to) + " p ON " + k.join + " WHERE " + k.orphan
		if err := dialect.QueryRow(ctx, m.c, query, nil, &count); err != nil {
			return nil, err
		}
		if count > 0 {
			orphans = append(orphans, fmt.Sprintf("table %s: %d rows have no partner in table %s (foreign key %s)", k.table, count, k.to, k.name))
		}
	}
	return orphans, nil
}
