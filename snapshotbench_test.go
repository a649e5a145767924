package tldwdb_test

import (
	"fmt"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
)

// BenchmarkSnapshot makes a database of 1,000 migrations: by its snapshot, by loading
// the snapshot's statements by hand, in one transaction where there is such a thing,
// and by the files. All of them open their connection.
func BenchmarkSnapshot(b *testing.B) {
	const migrations = 1000
	f := files{}
	for n := range migrations { // 200 tables: a service's migrations go on with what is there
		up := fmt.Sprintf("ALTER TABLE t%d ADD COLUMN c%d int;\n", n/5, n)
		switch n % 5 {
		case 0:
			up = fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, name varchar(40) NOT NULL, state varchar(20) NOT NULL DEFAULT 'new', size bigint, made timestamp NULL);\n", n/5)
		case 2:
			up = fmt.Sprintf("CREATE INDEX t%d_name ON t%[1]d (name);\n", n/5)
		case 4:
			up = fmt.Sprintf("CREATE INDEX t%d_state ON t%[1]d (state, made);\n", n/5)
		}
		f[fmt.Sprintf("%04d_m.up.sql", n+1)] = up
		f[fmt.Sprintf("%04d_m.down.sql", n+1)] = "SELECT 1;\n"
	}
	for _, e := range testdb.Engines() {
		b.Run(string(e), func(b *testing.B) { benchmarkSnapshot(b, e, f) })
	}
}

func benchmarkSnapshot(b *testing.B, e testdb.Engine, f files) {
	connect := func(b *testing.B, f files) (*tldwdb.DB, *testdb.Database) {
		b.Helper()
		db := testdb.New(b, e)
		d, err := tldwdb.Open(b.Context(), configFor(db, f))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = d.Close() })
		return d, db
	}
	d, _ := connect(b, f)
	s, err := d.Snapshot(b.Context(), tldwdb.SnapshotRequest{})
	if err != nil {
		b.Fatal(err)
	}
	with := f.with(files{s.File: s.Text})
	up := func(f files) func(*testing.B) {
		return func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				d, _ := connect(b, f)
				b.StartTimer()
				if _, err := d.Up(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("snapshot", up(with))
	b.Run("hand", func(b *testing.B) {
		name := map[testdb.Engine]string{testdb.MariaDB: dialect.NameMySQL}[e]
		if name == "" {
			name = string(e)
		}
		dia, err := dialect.New(name, true)
		if err != nil {
			b.Fatal(err)
		}
		for range b.N {
			b.StopTimer()
			d, _ := connect(b, files{})
			b.StartTimer()
			conn, err := d.Acquire(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			list, err := sqlscan.Split(s.Text, dia.ScanOptions())
			if err != nil {
				b.Fatal(err)
			}
			if name != dialect.NameMySQL {
				list = append(append([]sqlscan.Statement{{Text: "BEGIN"}}, list...), sqlscan.Statement{Text: "COMMIT"})
			}
			if _, err := dia.ExecScript(b.Context(), conn.Conn, list, 0); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := conn.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	if testing.Short() {
		return
	}
	b.Run("files", up(f))
}
