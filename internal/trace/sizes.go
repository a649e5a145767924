package trace

import (
	"context"
	"database/sql"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Size is how big a table is, as far as the server says without reading it.
type Size struct {
	Rows    int64 // about; -1 where nobody knows
	Bytes   int64 // without indexes; -1 where nobody knows
	Indexes int64 // bytes of its indexes; -1 where nobody knows
}

const pgSizes = `SELECT n.nspname::text || '.' || c.relname::text, c.reltuples::bigint, pg_catalog.pg_table_size(c.oid), pg_catalog.pg_indexes_size(c.oid)
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

const mysqlSizes = "SELECT table_name, COALESCE(table_rows, -1), COALESCE(data_length, -1), COALESCE(index_length, -1) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"

// sqlite_master alone does not say whether a table has rowids.
const sqliteTables = "SELECT l.name, l.wr FROM pragma_table_list l JOIN main.sqlite_master m ON m.name = l.name AND m.type = 'table' WHERE l.schema = 'main' AND l.type = 'table'"

// Sizes asks a database for the sizes of its tables. It reads statistics, and no table:
// for SQLite, which has none, the highest rowid and the size of the file.
func Sizes(ctx context.Context, d dialect.Dialect, c *sql.Conn) (map[string]Size, error) {
	sizes := map[string]Size{}
	var (
		name string
		s    Size
	)
	put := func() { sizes[name] = s }
	switch d.Name() {
	case dialect.NamePostgres:
		return sizes, each(ctx, c, pgSizes, d.QueryArgs(), []any{&name, &s.Rows, &s.Bytes, &s.Indexes}, put)
	case dialect.NameMySQL:
		return sizes, each(ctx, c, mysqlSizes, nil, []any{&name, &s.Rows, &s.Bytes, &s.Indexes}, put)
	}
	var withoutRowid bool
	var whole int64
	if err := dialect.QueryRow(ctx, c, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()", nil, &whole); err != nil {
		return nil, err
	}
	s = Size{Rows: -1, Bytes: whole, Indexes: 0}
	rowids := map[string]bool{}
	err := each(ctx, c, sqliteTables, nil, []any{&name, &withoutRowid}, func() { sizes[name], rowids[name] = s, !withoutRowid })
	for name, has := range rowids {
		if err == nil && has {
			size := sizes[name]
			err = dialect.QueryRow(ctx, c, "SELECT coalesce(max(_rowid_), 0) FROM main."+d.Identifier(name), nil, &size.Rows)
			sizes[name] = size
		}
	}
	return sizes, err
}

// Range is a time that is known about, from the least to the most.
type Range struct{ Least, Most time.Duration }

// Plus adds two times that follow each other.
func (r Range) Plus(o Range) Range { return Range{r.Least + o.Least, r.Most + o.Most} }

// rate is how many bytes of a table a server gets done in a second, from the slowest
// that is usual to the fastest.
type rate struct{ slow, fast int64 }

const mb = 1_000_000

// The fast ends are what servers of ours did in one session, with the table in memory
// and nothing else to do; the slow ones are about a tenth of it: a network's disk,
// commits that wait for it, other sessions. See docs/guide/trace.md.
var (
	scanRate    = map[string]rate{dialect.NamePostgres: {100 * mb, 1000 * mb}, dialect.NameMySQL: {50 * mb, 500 * mb}, dialect.NameSQLite: {100 * mb, 1000 * mb}}
	rewriteRate = map[string]rate{dialect.NamePostgres: {15 * mb, 150 * mb}, dialect.NameMySQL: {4 * mb, 40 * mb}, dialect.NameSQLite: {10 * mb, 100 * mb}}
	buildRate   = map[string]rate{dialect.NamePostgres: {10 * mb, 200 * mb}, dialect.NameMySQL: {6 * mb, 90 * mb}, dialect.NameSQLite: {5 * mb, 60 * mb}}
	changeRate  = map[string]rate{dialect.NamePostgres: {2 * mb, 40 * mb}, dialect.NameMySQL: {3 * mb, 30 * mb}, dialect.NameSQLite: {8 * mb, 80 * mb}}
)

func (r rate) of(bytes int64) Range {
	took := func(perSecond int64) time.Duration {
		return time.Duration(float64(bytes) / float64(perSecond) * float64(time.Second))
	}
	return Range{took(r.fast), took(r.slow)}
}

// Work is how long what was done with a table takes on one of that size.
func Work(engine string, t Table, s Size) Range {
	if t.New || t.Dropped || s.Bytes <= 0 {
		return Range{}
	}
	var sum Range
	switch {
	case t.Rewritten:
		sum = rewriteRate[engine].of(s.Bytes + max(s.Indexes, 0))
	case t.Scanned && t.Rows == 0 && len(t.Built) == 0:
		sum = scanRate[engine].of(s.Bytes)
	case t.Scanned && t.Rows > 0: // nobody knows how many of the rows are meant
		sum = Range{scanRate[engine].of(s.Bytes).Least, changeRate[engine].of(s.Bytes + max(s.Indexes, 0)).Most}
	case t.Rows > 0 && engine != dialect.NamePostgres:
		sum.Most = changeRate[engine].of(s.Bytes + max(s.Indexes, 0)).Most
	}
	for range t.Built {
		sum = sum.Plus(buildRate[engine].of(s.Bytes))
	}
	return sum
}
