package sqlscan_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// generated is about four megabytes of what migrations and dumps are made of, in each dialect's quotes.
func generated(dialect string) []byte {
	name, routine := `"%s"`, ""
	switch dialect {
	case "sqlite":
		routine = "CREATE TRIGGER t%d AFTER INSERT ON users BEGIN\n  UPDATE users SET n = CASE WHEN n > 1 THEN 2 ELSE n END;\nEND;\n"
	case "postgres":
		routine = "CREATE FUNCTION f%d() RETURNS trigger LANGUAGE plpgsql AS $body$\nBEGIN\n  IF NEW.n > 1 THEN RETURN NULL; END IF;\n  RETURN NEW;\nEND;\n$body$;\n"
	case "mysql":
		name = "`%s`"
		routine = "CREATE PROCEDURE p%d(IN n int)\nBEGIN\n  IF n > 1 THEN UPDATE users SET n = CASE WHEN n > 1 THEN 2 ELSE n END; END IF;\nEND;\n"
	}
	users := fmt.Sprintf(name, "users")
	var b bytes.Buffer
	for i := 0; b.Len() < 4<<20; i++ {
		fmt.Fprintf(&b, "-- step %d: what it is for\nCREATE TABLE t%d (id INTEGER PRIMARY KEY, name VARCHAR(64) NOT NULL DEFAULT '', n int);\n", i, i)
		fmt.Fprintf(&b, "CREATE INDEX t%d_name ON t%d (name, id);\n/* many rows */\n", i, i)
		for j := range 10 {
			fmt.Fprintf(&b, "INSERT INTO %s VALUES (%d, 'O''Neil %d', 'someone%d@example.org', NULL, 'Grüße, and a longer remark; with a semicolon');\n", users, j, i, j)
		}
		fmt.Fprintf(&b, routine, i)
	}
	return b.Bytes()
}

func benchmarkScan(b *testing.B, dialect string) {
	text := generated(dialect)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	statements := 0
	for b.Loop() {
		for _, err := range sqlscan.All(bytes.NewReader(text), dialects[dialect]) {
			if err != nil {
				b.Fatal(err)
			}
			statements++
		}
	}
	b.ReportMetric(float64(statements)/float64(b.N), "statements/op")
}

// BenchmarkScan reads four megabytes in each dialect. BenchmarkSHA256 is the yardstick: a tenth of it is required.
func BenchmarkScan(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(dialect, func(b *testing.B) { benchmarkScan(b, dialect) })
	}
}

// BenchmarkSHA256 hashes the same bytes.
func BenchmarkSHA256(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(dialect, func(b *testing.B) {
			text := generated(dialect)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				sha256.Sum256(text)
			}
		})
	}
}

// BenchmarkExtremes holds what must cost no more per byte than anything else.
func BenchmarkExtremes(b *testing.B) {
	for _, c := range []struct{ name, dialect, text string }{
		{"string", "postgres", "SELECT '" + strings.Repeat("x", 10<<20) + "'"},
		{"escapes", "mysql", "SELECT '" + strings.Repeat(`\'`, 5<<20) + "'"},
		{"doubled", "sqlite", "SELECT '" + strings.Repeat(`''`, 5<<20) + "'"},
		{"dollars", "postgres", "SELECT $a$" + strings.Repeat(`$b`, 5<<20) + "$a$"},
		{"nested", "postgres", strings.Repeat("/*", 10000) + strings.Repeat("x", 1<<20) + strings.Repeat("*/", 10000) + "SELECT 1"},
		{"values", "mysql", "INSERT INTO t VALUES (1,2)" + strings.Repeat(",\n(1,'a')", 1<<20)},
		{"semicolons", "mysql", strings.Repeat(";", 1<<20)},
		{"line", "sqlite", strings.Repeat("SELECT 1;", 1<<20)},
		{"short", "postgres", strings.Repeat("INSERT INTO t VALUES (1, 2);\n", 1<<18)},
		{"short", "mysql", strings.Repeat("INSERT INTO t VALUES (1, 2);\n", 1<<18)},
		{"copy", "postgres", "COPY t FROM STDIN;\n" + strings.Repeat("1\ta\tb\tc\n", 1<<20) + "\\.\n"},
	} {
		b.Run(c.name+"/"+c.dialect, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range sqlscan.All(strings.NewReader(c.text), dialects[c.dialect]) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkDense compares with SHA-256 where every few bytes mean something. Text and hash take turns on a text that is read in
// about a millisecond, and the best turn of each counts, so that the figure holds on a busy machine too.
func BenchmarkDense(b *testing.B) {
	for _, c := range []struct{ name, dialect, text string }{
		{"escapes", "mysql", `INSERT INTO t VALUES ('\'\'\'\'\'\'\'\'\'\'\'\'\'\'\'\'');` + "\n"},
		{"doubled", "sqlite", `INSERT INTO t VALUES ('''''''''''''''''');` + "\n"},
		{"prose", "mysql", `INSERT INTO t VALUES ('it\'s, isn\'t it', 'a''b');` + "\n"},
		{"semicolons", "mysql", ";"},
		{"short", "sqlite", "INSERT INTO t VALUES (1, 2);\n"},
		{"short", "postgres", "INSERT INTO t VALUES (1, 2);\n"},
		{"short", "mysql", "INSERT INTO t VALUES (1, 2);\n"},
		{"shortest", "sqlite", "SELECT 1;\n"},
		{"shortest", "postgres", "SELECT 1;\n"},
		{"shortest", "mysql", "SELECT 1;\n"},
	} {
		b.Run(c.name+"/"+c.dialect, func(b *testing.B) {
			text := []byte(strings.Repeat(c.text, 200<<10/len(c.text)))
			scan, hash := time.Hour, time.Hour
			for b.Loop() {
				start := time.Now()
				for _, err := range sqlscan.All(bytes.NewReader(text), dialects[c.dialect]) {
					if err != nil {
						b.Fatal(err)
					}
				}
				scan = min(scan, time.Since(start))
				start = time.Now()
				sha256.Sum256(text)
				hash = min(hash, time.Since(start))
			}
			b.ReportMetric(float64(len(text))/scan.Seconds()/1e6, "best-MB/s")
			b.ReportMetric(100*hash.Seconds()/scan.Seconds(), "%-of-SHA256")
		})
	}
}
