package tldwdbtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
)

// Golden compares the rows of tables with the file testdata/NAME.golden, or, if there
// is one, with testdata/NAME.ENGINE.golden. With TLDWDBTEST_UPDATE=1, or where the
// test's own flag -update is set, it writes the file instead.
//
// A table is a name, or a name with the columns to compare: "users (id, name)", for
// columns such as times differ from run to run. The text is the same on every engine for
// the same values: rows sorted, one a line; true and false as 1 and 0; times in UTC.
func Golden(tb TB, db *tldwdb.DB, name string, tables ...string) {
	tb.Helper()
	var b strings.Builder
	for i, table := range tables {
		if i > 0 {
			b.WriteByte('\n')
		}
		if err := describe(tb.Context(), &b, db.Pool(), table); err != nil {
			tb.Fatalf("tldwdbtest: reading %s: %v", table, err)
		}
	}
	file := filepath.Join("testdata", filepath.FromSlash(name)+".golden")
	d, err := dialectOf(db)
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	special := filepath.Join("testdata", filepath.FromSlash(name)+"."+d.Name()+".golden")
	if _, err := os.Stat(special); err == nil {
		file = special
	}
	if updating() {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(b.String()), 0o644)); err != nil { //nolint:gosec // it is for the repository
			tb.Fatalf("tldwdbtest: %v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		tb.Fatalf("tldwdbtest: there is no %s: run the test with TLDWDBTEST_UPDATE=1, and read what it writes", file)
	}
	if err != nil {
		tb.Fatalf("tldwdbtest: %v", err)
	}
	if text := strings.ReplaceAll(string(want), "\r\n", "\n"); text != b.String() {
		tb.Errorf("tldwdbtest: the rows are not those of %s (TLDWDBTEST_UPDATE=1 writes them):\n%s", file, difference(text, b.String()))
	}
}

// updating looks for a flag of the test's, because to define one here would be in its way.
func updating() bool {
	if v := os.Getenv("TLDWDBTEST_UPDATE"); v != "" && v != "0" {
		return true
	}
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// describe writes one table.
func describe(ctx context.Context, b *strings.Builder, pool *sqlx.DB, table string) (err error) {
	name, columns, ok := strings.Cut(table, "(")
	name = strings.TrimSpace(name)
	columns = strings.TrimSpace(columns)
	if columns = strings.TrimSuffix(columns, ")"); !ok {
		columns = "*"
	}
	rows, err := pool.QueryxContext(ctx, "SELECT "+columns+" FROM "+name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	kinds, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	var lines []line
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return err
		}
		l := line{keys: values}
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = kinds[i].Name() + "=" + valueText(v, kinds[i].DatabaseTypeName())
		}
		l.text = strings.Join(words, " ")
		lines = append(lines, l)
	}
	slices.SortStableFunc(lines, line.compare)
	fmt.Fprintf(b, "%s: %d rows\n", name, len(lines))
	for _, l := range lines {
		b.WriteString("  " + l.text + "\n")
	}
	return rows.Err()
}

// line is one row.
type line struct {
	keys []any
	text string
}

// compare sorts by number where the columns are numbers, and by text otherwise: no
// engine's collation is asked.
func (l line) compare(other line) int {
	for i, v := range l.keys {
		a, isA := v.(int64)
		if b, isB := other.keys[i].(int64); isA && isB && a != b {
			return cmp.Compare(a, b)
		}
		if c := strings.Compare(valueText(v, ""), valueText(other.keys[i], "")); c != 0 && !isA {
			return c
		}
	}
	return strings.Compare(l.text, other.text)
}

// valueText writes a value so that it reads the same whatever driver it came from.
func valueText(v any, kind string) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case bool:
		if v {
			return "1"
		}
		return "0"
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999999Z")
	case []byte:
		return bytesText(v, kind)
	case string:
		return bytesText([]byte(v), kind)
	case float64:
		if isDecimal(kind) { // as SQLite has it
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// isDecimal reports whether a column's type is one of numbers with decimal places.
func isDecimal(kind string) bool {
	kind = strings.ToUpper(kind)
	return strings.HasPrefix(kind, "DECIMAL") || strings.HasPrefix(kind, "NUMERIC")
}

// bytesText writes what came as bytes or text. The zeros at the end of a decimal number are
// its column's, and SQLite does not keep them.
func bytesText(v []byte, kind string) string {
	switch kind = strings.ToUpper(kind); {
	case isDecimal(kind) && bytes.ContainsRune(v, '.'):
		return strings.TrimRight(strings.TrimRight(string(v), "0"), ".")
	case isDecimal(kind):
		return string(v)
	case strings.HasSuffix(kind, "BLOB"), strings.HasSuffix(kind, "BINARY"), kind == "BYTEA", !utf8.Valid(v):
		return "x'" + hex.EncodeToString(v) + "'"
	}
	return strconv.Quote(string(v))
}

// difference shows the lines that only one of two texts has.
func difference(want, got string) string {
	var b strings.Builder
	a, z := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range a {
		if !slices.Contains(z, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range z {
		if !slices.Contains(a, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	if b.Len() == 0 {
		return "the same lines stand in another order, or another number of times:\n" + got
	}
	return b.String()
}
