package lint

import (
	"fmt"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// thousand are migrations as services have them: a new table with its index and first rows, a column, a constraint, a function.
func thousand() []Migration {
	var list []Migration
	for i := range 1000 {
		text := fmt.Sprintf("-- step %d: what it is for\nCREATE TABLE t%d (\n    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n    name varchar(64) NOT NULL DEFAULT '',\n    n bigint,\n    CHECK (n > 0)\n);\n"+
			"CREATE INDEX t%d_name ON t%d (name, id);\n", i, i, i, i)
		switch i % 4 {
		case 1:
			text = fmt.Sprintf("ALTER TABLE t%d\n    ADD COLUMN state text NOT NULL DEFAULT 'new',\n    ADD COLUMN at timestamptz NOT NULL DEFAULT now();\n", i-1)
		case 2:
			for j := range 10 {
				text += fmt.Sprintf("INSERT INTO t%d (name, n) VALUES ('O''Neil %d', %d), ('someone%d@example.org', NULL), ('Grüße, and a longer remark; with a semicolon', 7);\n", i, i, j, j)
			}
		case 3:
			text += fmt.Sprintf("CREATE FUNCTION f%d() RETURNS trigger LANGUAGE plpgsql AS $body$\nBEGIN\n  IF NEW.n > 1 THEN RETURN NULL; END IF;\n  RETURN NEW;\nEND;\n$body$;\n", i)
		}
		list = append(list, Migration{Version: int64(i + 1), Name: "m", OneWay: true, Up: &Text{Path: fmt.Sprintf("%04d_m.up.sql", i+1), SQL: text}})
	}
	return list
}

// BenchmarkScan1000 cuts a thousand migrations into statements; BenchmarkLint1000 judges them, which may take three times as long.
func BenchmarkScan1000(b *testing.B) {
	list := thousand()
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range list {
			if _, err := sqlscan.Split(m.Up.SQL, sqlscan.Options{Dialect: sqlscan.Postgres}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLintToScan1000 has both take turns, and the best turn of each counts, so that the figure holds on a busy machine too.
func BenchmarkLintToScan1000(b *testing.B) {
	list := thousand()
	scan, judge := time.Hour, time.Hour
	for b.Loop() {
		start := time.Now()
		for _, m := range list {
			if _, err := sqlscan.Split(m.Up.SQL, sqlscan.Options{Dialect: sqlscan.Postgres}); err != nil {
				b.Fatal(err)
			}
		}
		scan = min(scan, time.Since(start))
		start = time.Now()
		if _, err := Check(list, postgres, tldwdblint.Config{}); err != nil {
			b.Fatal(err)
		}
		judge = min(judge, time.Since(start))
	}
	b.ReportMetric(judge.Seconds()/scan.Seconds(), "lint/scan")
}

func BenchmarkLint1000(b *testing.B) {
	list := thousand()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(list, postgres, tldwdblint.Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
