package portable

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/testdb"
)

// binaryCases are values of each type of column: those that are sent in binary, and those
// of which the server is to judge the text.
var binaryCases = []struct {
	kind        string
	usual, text []string
}{
	{"boolean", []string{"true", "f"}, nil},
	{"smallint", []string{"0", "-32768", "32767"}, nil},
	{"integer", []string{"0", "-1", "2147483647", "-2147483648"}, nil},
	{"bigint", []string{"9223372036854775807", "-9223372036854775808"}, nil},
	{"real", []string{"0", "-0", "1.5", "3.4028235e38", "1e-45", "NaN", "-Infinity"}, nil},
	{"double precision", []string{"0.1", "-0", "1.7976931348623157e308", "5e-324", "Infinity"}, nil},
	{"numeric", []string{"0", "-0", "0.00", "1", "-1.10", "10000", "100000000", "0.0001", "0.00001", "123456789012345678901234567890.000012345600", "9999.9999", "10000.00010000", "000012.5", "-0.000", "NaN"}, []string{"1e10", ".5"}},
	{"numeric(6,2)", []string{"1234.5", "0", "-9999.99", "12", "NaN"}, nil},
	{"text", []string{"", "a word", "tab\t, \\ and \n", "ÄÖ 💡"}, nil},
	{"varchar(5)", []string{"", "ÄÖÜäö"}, nil},
	{"char(4)", []string{"ab", "abcd"}, nil},
	{"name", nil, []string{"short", strings.Repeat("x", 80)}},
	{"xml", nil, []string{"<a/>", `<?xml version="1.0" encoding="latin1"?><a>ä</a>`}},
	{"bytea", []string{`\x`, `\x00ff10`}, nil},
	{"date", []string{"2026-11-23", "2000-02-29", "1999-12-31", "0001-01-01", "9999-12-31", "infinity", "-infinity"}, []string{"0044-03-15 BC", "12026-01-01", "2026-02-30", "2026-13-01"}},
	{"time", []string{"00:00:00", "23:59:59.999999", "10:46:00.5"}, []string{"24:00:00", "23:59:60"}},
	{"timestamp", []string{"2026-11-23 10:46:00", "1999-12-31 23:59:59.999999", "0001-01-01 00:00:00", "9999-12-31 23:59:59.5", "infinity", "-infinity"}, []string{"0044-03-15 10:00:00 BC", "2026-02-30 00:00:00", "2026-11-23 24:00:00"}},
	{"timestamp(3)", []string{"2026-11-23 10:46:00.123"}, nil},
	{"timestamptz", []string{"2026-11-23 10:46:00+00", "1969-12-31 23:59:59.000001+00", "2026-11-23 10:46:00.25+02:00", "infinity"}, []string{"12026-01-01 00:00:00+00"}},
	{"json", []string{`{"a": [1, 2.50, "ä"]}`, "null"}, nil},
	{"jsonb", []string{`{"b": 1, "a": 1e2}`, `"word"`}, nil},
	{"uuid", []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}, nil},
	{"mood", []string{"ok", "sad"}, nil},
	{"small", []string{"7"}, nil},
	{"word", nil, []string{strings.Repeat("x", 80)}},
	{"doc", nil, []string{`<?xml version="1.0" encoding="latin1"?><a>ä</a>`}},
	{"integer[]", nil, []string{"{1,2}"}},
}

// TestBinary: rows that PostgreSQL gets in binary are the rows that it makes of their text,
// and what has no binary form goes as text.
func TestBinary(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	pool, err := sql.Open("pgx", db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	exec := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	exec("CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN small AS integer CHECK (VALUE < 10)", "CREATE DOMAIN word AS name", "CREATE DOMAIN doc AS xml")
	for i, c := range binaryCases {
		exec(fmt.Sprintf("CREATE TABLE streamed%d (v %s, other boolean)", i, c.kind), fmt.Sprintf("CREATE TABLE inserted%d (v %s, other boolean)", i, c.kind))
	}
	d, err := dialect.New(dialect.NamePostgres, true)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := OpenRows(t.Context(), d, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	exec("BEGIN")
	exec(Settings(d)...)
	for i, c := range binaryCases {
		streamed, inserted := rows.Table(fmt.Sprintf("streamed%d", i)), rows.Table(fmt.Sprintf("inserted%d", i))
		columns := func(t *Table) []*Column { return []*Column{&t.Columns[0], &t.Columns[1]} }
		null := Cell{value{null: true}}
		for n, text := range append(append([]string{}, c.usual...), c.text...) {
			in := Input{Kind: KindText, Text: []byte(text)}
			if c.kind == "bytea" {
				in.Kind = KindBytes
			}
			cell, _, err := streamed.Columns[0].Cell(nil, in)
			if err != nil {
				t.Fatalf("%s %q: %v", c.kind, text, err)
			}
			list := [][]Cell{{cell, null}, {null, null}}
			feed := func(write func([]Cell) error) error {
				for _, row := range list {
					if err := write(row); err != nil {
						return err
					}
				}
				return nil
			}
			err = rows.marked(t.Context(), func() error { return rows.pour(t.Context(), streamed, columns(streamed), true, feed) })
			if got, want := errors.Is(err, errNoBinary), n >= len(c.usual); got != want || err != nil && !got {
				t.Errorf("%s %q: in binary: %v", c.kind, text, err)
			}
			exec("TRUNCATE " + streamed.of + ", " + inserted.of)
			streamErr := rows.Stream(t.Context(), streamed, columns(streamed), feed)
			exec("SAVEPOINT inserting")
			insertErr := rows.Insert(t.Context(), inserted, columns(inserted), list)
			if insertErr != nil {
				exec("ROLLBACK TO SAVEPOINT inserting")
			}
			if (streamErr == nil) != (insertErr == nil) {
				t.Errorf("%s %q: streamed: %v; inserted: %v", c.kind, text, streamErr, insertErr)
			}
			var same bool
			query := fmt.Sprintf("SELECT (SELECT array_agg(x::text ORDER BY x::text) FROM %[1]s x) IS NOT DISTINCT FROM (SELECT array_agg(x::text ORDER BY x::text) FROM %[2]s x) AND (SELECT count(*) FROM %[1]s) = $1", streamed.of, inserted.of)
			if err := conn.QueryRowContext(t.Context(), query, pick(streamErr == nil, 2, 0)).Scan(&same); err != nil || !same {
				t.Errorf("%s %q: the rows are not the same (%v)", c.kind, text, err)
			}
		}
	}
}

func pick[T any](which bool, yes, no T) T {
	if which {
		return yes
	}
	return no
}
