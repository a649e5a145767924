package tldwdb_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/testdb"
)

// benchSize is how many bytes the database of a benchmark of backups is to have.
func benchSize(b *testing.B) int64 {
	b.Helper()
	const usual = 32
	mb, err := strconv.ParseInt(cmp.Or(os.Getenv("TLDWDB_BENCH_MB"), strconv.Itoa(usual)), 10, 64)
	if err != nil || mb < 1 {
		b.Fatalf("TLDWDB_BENCH_MB is the number of megabytes: %v", err)
	}
	return mb * 1e6
}

// benchDatabase is a database with that many bytes of text, which zstd makes half of.
func benchDatabase(b *testing.B, e testdb.Engine) (*testdb.Database, *tldwdb.DB) {
	b.Helper()
	tdb := testdb.New(b, e)
	db, err := tldwdb.Open(b.Context(), configFor(tdb, backupFiles, func(cfg *tldwdb.Config) { cfg.Backup.ToolDir = toolDir(e) }))
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
	run := func(statement string) {
		if _, err := db.Pool().ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	run("CREATE TABLE big (id INTEGER NOT NULL PRIMARY KEY, n INTEGER, at TIMESTAMP NULL, price DECIMAL(10, 2), body VARCHAR(700))")
	const digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	const rows, row = 10_000, 530 // of one statement; bytes of a row
	text := "HEX(RANDOMBLOB(240))"
	if e != testdb.SQLite {
		digest, times := "MD5(CONCAT(n, 'x', %d))", 15
		if e != testdb.Postgres {
			digest, times = "SHA2(CONCAT(n, 'x', %d), 256)", 8
		}
		var parts []string
		for i := range times {
			parts = append(parts, fmt.Sprintf(digest, i))
		}
		text = "CONCAT(" + strings.Join(parts, ", ") + ")"
	}
	for from := int64(0); from*row < benchSize(b); from += rows {
		run(fmt.Sprintf("INSERT INTO big SELECT n, n, '2026-11-23 12:00:00', n %% 1000000 * 1.25, %s FROM (SELECT %d + a.d + 10 * b.d + 100 * c.d + 1000 * d.d AS n FROM %s a, %[3]s b, %[3]s c, %[3]s d) numbers",
			text, from, digits))
	}
	run("CREATE INDEX big_n ON big (n)")
	return tdb, db
}

// benchTool is the engine's own program, as somebody would call it by hand to write to a
// file. What it has written is brought to the disk, as ours is; with compress it goes
// through zstd.
func benchTool(b *testing.B, tdb *testdb.Database, compress bool) func(ctx context.Context, file string) error {
	b.Helper()
	dir := b.TempDir()
	var script string
	var env []string
	if tdb.Engine == testdb.SQLite {
		// .backup writes to a file and to nothing else, and flushes that itself.
		script = `sqlite3 "$DATABASE" ".backup '$FILE'"`
		if compress {
			script = `sqlite3 "$DATABASE" ".backup --async '$FILE.db'" && zstd -q --rm "$FILE.db" -o "$FILE" && sync "$FILE"`
		}
		env = []string{"DATABASE=" + tdb.Path()}
	} else {
		u, err := dburl.Parse(tdb.URL)
		if err != nil {
			b.Fatal(err)
		}
		password, _ := u.Password()
		host, port := u.Endpoints[0].Host, strconv.Itoa(u.Endpoints[0].Port)
		if tdb.Engine == testdb.Postgres {
			script = "pg_dump --format=custom --compress=0"
			env = []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + u.User, "PGPASSWORD=" + password, "PGDATABASE=" + u.Database}
		} else {
			options := filepath.Join(dir, "my.cnf")
			if err := os.WriteFile(options, []byte(fmt.Sprintf("[client]\nhost=%s\nport=%s\nuser=%s\npassword=%s\n", host, port, u.User, password)), 0o600); err != nil {
				b.Fatal(err)
			}
			script = map[testdb.Engine]string{testdb.MariaDB: "mariadb-dump", testdb.MySQL: "mysqldump"}[tdb.Engine] + ` --defaults-file="$OPTIONS" --single-transaction --quick --hex-blob --routines --triggers --events --no-tablespaces`
			if tdb.Engine == testdb.MySQL {
				script += " --set-gtid-purged=OFF"
			}
			script += ` "$DATABASE"`
			env = []string{"OPTIONS=" + options, "DATABASE=" + u.Database}
		}
		if compress {
			script += " | zstd -q"
		}
		script += ` > "$FILE" && sync "$FILE"`
	}
	if tools := toolDir(tdb.Engine); tools != "" {
		env = append(env, "PATH="+tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return func(ctx context.Context, file string) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", script) //nolint:gosec // the text above
		cmd.Env = append(append(os.Environ(), env...), "FILE="+file)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	}
}

// BenchmarkBackup makes native backups in turn with the engine's own program, and says
// how fast both are, how many times as fast as the program ours is, and how much memory
// this process had at most. The database has TLDWDB_BENCH_MB megabytes.
func BenchmarkBackup(b *testing.B) {
	for _, e := range []testdb.Engine{testdb.SQLite, testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		b.Run(string(e), func(b *testing.B) {
			tdb, db := benchDatabase(b, e)
			if err := tldwdb.CanBackUp(b.Context(), db); err != nil {
				b.Skip(err)
			}
			for _, compression := range []string{"none", "zstd"} {
				b.Run(compression, func(b *testing.B) { besideTool(b, tdb, db, compression) })
			}
		})
	}
}

func besideTool(b *testing.B, tdb *testdb.Database, db *tldwdb.DB, compression string) {
	tool := benchTool(b, tdb, compression != "none")
	dir := b.TempDir()
	var ours, theirs []time.Duration
	var content int64
	idle, memory := math.Inf(1), 0.0
	for b.Loop() {
		file := filepath.Join(dir, "tool")
		begun := time.Now()
		if err := tool(b.Context(), file); err != nil {
			b.Skip(err)
		}
		theirs = append(theirs, time.Since(begun))
		if err := os.Remove(file); err != nil {
			b.Fatal(err)
		}
		forgetPeak()
		idle = min(idle, peak())
		begun = time.Now()
		made, err := db.Backup(b.Context(), tldwdb.BackupOptions{Dir: filepath.Join(dir, "kept"), Compression: compression})
		if err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(begun))
		memory, content = max(memory, peak()), made.PlainSize()
		if err := os.RemoveAll(filepath.Join(dir, "kept")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rate(content, theirs), "MB/s-tool")
	b.ReportMetric(rate(content, ours), "MB/s-ours")
	b.ReportMetric(rate(content, ours)/rate(content, theirs), "x-tool")
	b.ReportMetric(idle, "MiB-idle") // of a program with all tests in it
	b.ReportMetric(memory, "MiB-peak")
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
}

// rate is by the shortest of what it took: the others are longer by what else the
// machine had to do.
func rate(bytes int64, took []time.Duration) float64 {
	return float64(bytes) / 1e6 / slices.Min(took).Seconds()
}

// forgetPeak has Linux begin anew with what peak tells.
func forgetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // elsewhere there is none
}

// peak is how many MiB of memory this process had at most, where the system tells.
func peak() (mib float64) {
	status, _ := os.ReadFile("/proc/self/status") // elsewhere there is none
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	_, _ = fmt.Sscan(rest, &mib)
	return mib / 1024
}

// BenchmarkBackupBesideWriter tells how long commits on SQLite take: without a backup,
// and while backups are made.
func BenchmarkBackupBesideWriter(b *testing.B) {
	_, db := benchDatabase(b, testdb.SQLite)
	for _, compression := range []string{"none", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "kept")
			const usual = 2 * time.Second
			stop := updates(b, db)
			time.Sleep(usual) // the usual pace is what is compared with
			before := p99(stop())
			stop = updates(b, db)
			for b.Loop() {
				if _, err := db.Backup(b.Context(), tldwdb.BackupOptions{Dir: dir, Compression: compression}); err != nil {
					b.Fatal(err)
				}
				if err := os.RemoveAll(dir); err != nil {
					b.Fatal(err)
				}
			}
			during := p99(stop())
			b.ReportMetric(before, "ms/p99-before")
			b.ReportMetric(during, "ms/p99")
			b.ReportMetric(during/before, "x-before")
		})
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
			if _, err := db.Pool().ExecContext(ctx, "UPDATE big SET n = n + 1 WHERE id = ?", i%1000+1); err == nil {
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
