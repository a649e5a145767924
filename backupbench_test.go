package tldwdb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// BenchmarkBackupSQLite is compared by hand with the sqlite3 shell's .backup, which
// neither checks nor hashes what it writes. TLDWDB_BENCH_MIB says how large the
// database is. With a writer it also tells how long commits take: without a backup,
// and while backups are made.
func BenchmarkBackupSQLite(b *testing.B) {
	mib := 32
	if text := os.Getenv("TLDWDB_BENCH_MIB"); text != "" {
		if _, err := fmt.Sscan(text, &mib); err != nil {
			b.Fatal(err)
		}
	}
	tdb := testdb.New(b, testdb.SQLite)
	dir := filepath.Join(b.TempDir(), "kept")
	db, err := tldwdb.Open(b.Context(), configFor(tdb, backupFiles))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := db.Up(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE TABLE pad (id INTEGER PRIMARY KEY, n INTEGER, body BLOB)",
		fmt.Sprintf("WITH RECURSIVE c (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM c WHERE v < %d) INSERT INTO pad (n, body) SELECT v, randomblob(1000) FROM c", mib*1000),
		"CREATE INDEX pad_n ON pad (n)",
	} {
		if _, err := db.Pool().ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(tdb.Path())
	if err != nil {
		b.Fatal(err)
	}
	for _, compression := range []string{"none", "zstd"} {
		for _, writer := range []string{"alone", "with a writer"} {
			b.Run(compression+" "+writer, func(b *testing.B) {
				b.SetBytes(info.Size())
				stop, before := func() []time.Duration { return nil }, 0.0
				if writer != "alone" {
					stop = updates(b, db)
					time.Sleep(time.Second) // the usual pace is what is compared with
					before = p99(stop())
					stop = updates(b, db)
				}
				for b.Loop() {
					if _, err := db.Backup(b.Context(), tldwdb.BackupOptions{Dir: dir, Compression: compression}); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if err := os.RemoveAll(dir); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				if took := stop(); len(took) > 0 {
					b.ReportMetric(before, "ms/p99-before")
					b.ReportMetric(p99(took), "ms/p99")
				}
			})
		}
	}
}

// updates commits one row after the other until stop is called, which returns how
// long each took.
func updates(b *testing.B, db *tldwdb.DB) (stop func() []time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for i := 0; ctx.Err() == nil; i++ {
			start := time.Now()
			if _, err := db.Pool().ExecContext(ctx, "UPDATE pad SET n = n + 1 WHERE id = ?", i%1000+1); err == nil {
				took = append(took, time.Since(start))
			}
		}
		ended <- took
	}()
	return func() []time.Duration {
		cancel()
		return <-ended
	}
}

// p99 is the 99th of a hundred, in milliseconds.
func p99(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)*99/100].Microseconds()) / 1000
}
