//go:build cgo

package dump_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
)

// openFile opens a database file as a service has it.
func openFile(tb testing.TB, path, settings string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite3", dialect.SQLiteURI(path)+"?_busy_timeout=5000&_txlock=immediate&"+settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func exec(tb testing.TB, db *sql.DB, query string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(tb.Context()), query, args...); err != nil {
		tb.Fatal(err)
	}
}

func text(tb testing.TB, db *sql.DB, query string) (answer string) {
	tb.Helper()
	if err := db.QueryRowContext(tb.Context(), query).Scan(&answer); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return answer
}

func conn(tb testing.TB, db *sql.DB) *sql.Conn {
	tb.Helper()
	c, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// fill makes a database of about so many MiB, in which every row has two columns of
// the same value.
func fill(tb testing.TB, db *sql.DB, mib int) {
	tb.Helper()
	exec(tb, db, "CREATE TABLE pairs (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, pad BLOB)")
	exec(tb, db, fmt.Sprintf("WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < %d) "+
		"INSERT INTO pairs (a, b, pad) SELECT value, value, randomblob(1000) FROM n", mib*1000))
	exec(tb, db, "CREATE INDEX pairs_a ON pairs (a)")
}

// sound checks a copy: it is whole, and has no half of a transaction.
func sound(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db := openFile(tb, path, "mode=ro&immutable=1")
	if got := text(tb, db, "PRAGMA integrity_check"); got != "ok" {
		tb.Errorf("integrity: %s", got)
	}
	if got := text(tb, db, "SELECT count(*) FROM pairs WHERE a <> b"); got != "0" {
		tb.Errorf("%s rows are half written", got)
	}
	if got := text(tb, db, "PRAGMA journal_mode"); got == "wal" {
		tb.Error("the copy is in WAL mode")
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); err == nil {
			tb.Errorf("%s is beside the copy", suffix)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		tb.Errorf("%v, %v", info.Mode(), err)
	}
	return db
}

// write goes on writing, each time one row or an update of many, until stop is
// called, which returns how often it has.
func write(tb testing.TB, db *sql.DB) (stop func() int64) {
	tb.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	first, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			_, err := db.ExecContext(ctx, "UPDATE pairs SET a = a + 1, b = b + 1 WHERE id = ?; INSERT INTO pairs (a, b, pad) VALUES (0, 0, randomblob(1000))", n.Load()%900+1)
			if ctx.Err() != nil {
				ended <- nil
				return
			}
			if err != nil {
				ended <- err
				close(first)
				return
			}
			if n.Add(1) == 1 {
				close(first)
			}
		}
	}()
	<-first
	return func() int64 {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		return n.Load()
	}
}

// TestCopySQLiteUnderWriters: the copy ends and is one instant while another
// connection writes without pause, in both kinds of journal.
func TestCopySQLiteUnderWriters(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"WAL", "DELETE"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			live := openFile(t, filepath.Join(dir, "live #1?.db"), "_journal_mode="+journal)
			fill(t, live, 40)
			source := conn(t, live)
			stop := write(t, live)
			path := filepath.Join(dir, "copy?#.db")
			var told, all int64
			err := dump.CopySQLite(t.Context(), source, path, true, func(done, of int64) { told, all = done, of })
			wrote := stop()
			if err != nil {
				t.Fatal(err)
			}
			if told != all || all < 40_000_000 {
				t.Errorf("told %d of %d bytes", told, all)
			}
			copied := sound(t, path)
			if got := text(t, copied, "SELECT count(*) >= 40000 FROM pairs"); got != "1" {
				t.Errorf("rows are missing; the writer wrote %d", wrote)
			}
			// The source's connection is as it was.
			if _, err := source.ExecContext(t.Context(), "BEGIN IMMEDIATE; ROLLBACK"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCopySQLiteOfMemory: a database that only its one connection can see.
func TestCopySQLiteOfMemory(t *testing.T) {
	t.Parallel()
	db := openFile(t, ":memory:", "")
	db.SetMaxOpenConns(1)
	fill(t, db, 1)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := dump.CopySQLite(t.Context(), conn(t, db), path, true, nil); err != nil {
		t.Fatal(err)
	}
	sound(t, path)
}

// TestCopySQLiteCancelled: nothing is left of a copy that was given up, and the
// source has no transaction open.
func TestCopySQLiteCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := openFile(t, filepath.Join(dir, "live.db"), "_journal_mode=WAL")
	fill(t, live, 40)
	source := conn(t, live)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(dir, "copy.db")
	err := dump.CopySQLite(ctx, source, path, true, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := source.ExecContext(t.Context(), "BEGIN IMMEDIATE; ROLLBACK"); err != nil {
		t.Error(err)
	}
}

// TestCopySQLiteOverwritesNothing: a file that is there stays.
func TestCopySQLiteOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := openFile(t, filepath.Join(dir, "live.db"), "")
	fill(t, live, 1)
	path := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dump.CopySQLite(t.Context(), conn(t, live), path, true, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReplaceSQLite: connections that are open see the new content, whatever the
// size of the pages and the kind of the journal.
func TestReplaceSQLite(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"WAL", "DELETE"} {
		for _, page := range []string{"4096", "1024"} {
			t.Run(journal+" "+page, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				live := openFile(t, filepath.Join(dir, "live.db"), "_journal_mode="+journal)
				fill(t, live, 2)
				reader := openFile(t, filepath.Join(dir, "live.db"), "_query_only=1")
				if got := text(t, reader, "SELECT count(*) FROM pairs"); got != "2000" {
					t.Fatal(got)
				}
				other := openFile(t, filepath.Join(dir, "other.db"), "")
				exec(t, other, "PRAGMA page_size = "+page)
				exec(t, other, "VACUUM")
				exec(t, other, "CREATE TABLE new (x TEXT)")
				exec(t, other, "INSERT INTO new VALUES ('here')")
				path := filepath.Join(dir, "copy.db")
				if err := dump.CopySQLite(t.Context(), conn(t, other), path, true, nil); err != nil {
					t.Fatal(err)
				}
				if err := dump.ReplaceSQLite(t.Context(), conn(t, live), path, nil); err != nil {
					t.Fatal(err)
				}
				for _, db := range []*sql.DB{live, reader} {
					if got := text(t, db, "SELECT group_concat(name || (SELECT x FROM new)) FROM sqlite_schema"); got != "newhere" {
						t.Errorf("%s", got)
					}
				}
				exec(t, live, "INSERT INTO new VALUES ('more')")
				if got := text(t, live, "PRAGMA integrity_check") + text(t, live, "PRAGMA journal_mode"); got != "ok"+strings.ToLower(journal) {
					t.Error(got)
				}
			})
		}
	}
}

// TestReplaceSQLiteGivenUp: what was there is there.
func TestReplaceSQLiteGivenUp(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"WAL", "DELETE"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			live := openFile(t, filepath.Join(dir, "live.db"), "_journal_mode="+journal)
			fill(t, live, 1)
			other := openFile(t, filepath.Join(dir, "other.db"), "")
			fill(t, other, 40)
			path := filepath.Join(dir, "copy.db")
			if err := dump.CopySQLite(t.Context(), conn(t, other), path, true, nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			err := dump.ReplaceSQLite(ctx, conn(t, live), path, func(done, all int64) {
				if done < all {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if got := text(t, live, "SELECT count(*) || (SELECT * FROM pragma_integrity_check) FROM pairs"); got != "1000ok" {
				t.Errorf("%s", got)
			}
		})
	}
}

// BenchmarkCopySQLite is run by hand: TLDWDB_BENCH_MIB says how large.
func BenchmarkCopySQLite(b *testing.B) {
	mib := 32
	if _, err := fmt.Sscan(os.Getenv("TLDWDB_BENCH_MIB"), &mib); err != nil && os.Getenv("TLDWDB_BENCH_MIB") != "" {
		b.Fatal(err)
	}
	dir := b.TempDir()
	live := openFile(b, filepath.Join(dir, "live.db"), "_journal_mode=WAL")
	fill(b, live, mib)
	source := conn(b, live)
	info, err := os.Stat(filepath.Join(dir, "live.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		path := filepath.Join(dir, fmt.Sprint("copy", time.Now().UnixNano()))
		if err := dump.CopySQLite(b.Context(), source, path, true, nil); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
}
