package tldwdb_test

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// seedBenchTable is what both loaders fill. The files say nothing else of it.
const seedBenchTable = "CREATE TABLE entry (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, score INTEGER NOT NULL, at %s NOT NULL, note VARCHAR(80));"

// BenchmarkSeed compares the seeding of a CSV file with what one would write by hand for
// that table: COPY on PostgreSQL, INSERTs of many rows elsewhere, one transaction. Both
// read the same file, in turns. TLDWDB_BENCH_ROWS says how many rows (default 100,000).
func BenchmarkSeed(b *testing.B) {
	rows := 100_000
	if text := os.Getenv("TLDWDB_BENCH_ROWS"); text != "" {
		if _, err := fmt.Sscan(text, &rows); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "common", "entry.csv")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(seedBenchRows(rows)), 0o600)); err != nil {
		b.Fatal(err)
	}
	for _, engine := range testdb.Wanted() {
		b.Run(string(engine), func(b *testing.B) {
			tdb := testdb.New(b, engine)
			f := files{"0001_entry.up.sql": fmt.Sprintf(seedBenchTable, pick(tdb, "DATETIME", "TIMESTAMP", "DATETIME(6)"))}
			db, err := tldwdb.Open(b.Context(), configFor(tdb, f, func(cfg *tldwdb.Config) { cfg.Seeds = os.DirFS(dir) }))
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
			var hand, ours, again []time.Duration
			peak := uint64(0)
			turn := func(list *[]time.Duration, work func() error) {
				runtime.GC()
				watched := make(chan struct{})
				ended := make(chan uint64)
				go func() { ended <- peakHeap(watched) }()
				start := time.Now()
				err := work()
				*list = append(*list, time.Since(start))
				close(watched)
				heap := <-ended
				if list != &hand {
					peak = max(peak, heap)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			empty := func() {
				// Rows that are merely deleted are cleared away while the next turn is measured.
				if _, err := db.Pool().ExecContext(b.Context(), pick(tdb, "DELETE FROM entry", "TRUNCATE TABLE entry", "TRUNCATE TABLE entry")); err != nil {
					b.Fatal(err)
				}
			}
			seed := func() error {
				_, err := db.Seed(b.Context())
				return err
			}
			for b.Loop() {
				empty()
				turn(&hand, func() error { return loadByHand(b.Context(), tdb, db, os.DirFS(dir)) })
				empty()
				turn(&ours, seed)
				turn(&again, seed)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(hand).Seconds()*1000, "ms/by-hand")
			b.ReportMetric(median(ours).Seconds()*1000, "ms/seed")
			b.ReportMetric(median(again).Seconds()*1000, "ms/again")
			b.ReportMetric(float64(median(ours))/float64(median(hand)), "ratio")
			b.ReportMetric(float64(peak)/(1<<20), "MiB/peak")
		})
	}
}

// peakHeap is the most memory that was in use until done is closed.
func peakHeap(done <-chan struct{}) (peak uint64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		select {
		case <-done:
			return peak
		case <-tick.C:
		}
	}
}

func seedBenchRows(n int) string {
	var b strings.Builder
	b.WriteString("id,name,score,at,note\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,name of %d,%d,2026-11-23 10:%02d:%02d,\"a note, with a comma, of the row %d\"\n", i+1, i, i*7%1000, i/60%60, i%60, i)
	}
	return b.String()
}

// loadByHand is what a programmer would write for this one table.
func loadByHand(ctx context.Context, tdb *testdb.Database, db *tldwdb.DB, fsys fs.FS) (err error) {
	file, err := fsys.Open("common/entry.csv")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	reader := csv.NewReader(file)
	reader.ReuseRecord = true
	if _, err := reader.Read(); err != nil {
		return err
	}
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if tdb.Engine == testdb.Postgres {
		return conn.Raw(func(raw any) error {
			_, err := raw.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{"entry"}, []string{"id", "name", "score", "at", "note"}, &copyRows{reader: reader})
			return err
		})
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	const batch = 500
	statement := func(n int) string {
		return "INSERT INTO entry (id, name, score, at, note) VALUES " + strings.TrimSuffix(strings.Repeat("(?,?,?,?,?),", n), ",")
	}
	full, err := tx.PrepareContext(ctx, statement(batch))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreDone(full.Close())) }()
	var args []any
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, text := range record {
			args = append(args, text)
		}
		if len(args) == 5*batch {
			if _, err := full.ExecContext(ctx, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	if len(args) > 0 {
		if _, err := tx.ExecContext(ctx, statement(len(args)/5), args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// copyRows feeds pgx's COPY.
type copyRows struct {
	reader *csv.Reader
	record []string
	err    error
}

func (c *copyRows) Next() bool {
	c.record, c.err = c.reader.Read()
	return c.err == nil
}

func (c *copyRows) Values() ([]any, error) {
	id, err := strconv.Atoi(c.record[0])
	if err != nil {
		return nil, err
	}
	score, err := strconv.Atoi(c.record[2])
	if err != nil {
		return nil, err
	}
	at, err := time.Parse("2006-01-02 15:04:05", c.record[3])
	return []any{int32(id), c.record[1], int32(score), at, c.record[4]}, err
}

func (c *copyRows) Err() error {
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}
