package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Each benchmark stands beside a loop written by hand over the same driver,
// by=driver, that does the least that could be called the same job: it keeps no
// checksums, takes no lock, and can neither resume nor explain. What differs is
// the price of the rest. docs/benchmarks.md has results and the command.

// benchEngines runs f once for each engine that is to be had.
func benchEngines(b *testing.B, f func(b *testing.B, e testdb.Engine)) {
	b.Helper()
	for _, e := range testdb.Engines() {
		b.Run("engine="+string(e), func(b *testing.B) { f(b, e) })
	}
}

// smallFiles are n migrations of one statement: of ten, one makes a table, one
// an index on it, and eight add a row.
func smallFiles(n int) map[string]string {
	files := make(map[string]string, n)
	for v := range n {
		table := v / 10
		text := fmt.Sprintf("INSERT INTO t%d (id, note) VALUES (%d, 'some text')", table, v)
		switch v % 10 {
		case 0:
			text = fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, note varchar(40))", table)
		case 1:
			text = fmt.Sprintf("CREATE INDEX t%d_note ON t%d (note)", table, table)
		}
		files[fmt.Sprintf("%06d_small.up.sql", v+1)] = text + ";\n"
	}
	return files
}

// handWritten is the driver's connection for the loops by hand, set up as
// tldwdb sets up its own.
func handWritten(b *testing.B, db *testdb.Database) *sql.Conn {
	b.Helper()
	conn, err := db.AdminDB(b).Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if db.Engine == testdb.SQLite {
		execAll(b, conn, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")
	}
	b.Cleanup(func() {
		if err := conn.Close(); err != nil {
			b.Error(err)
		}
	})
	return conn
}

func execAll(b *testing.B, conn *sql.Conn, list ...string) {
	b.Helper()
	for _, text := range list {
		if _, err := conn.ExecContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}

const versionsTable = "CREATE TABLE versions (version bigint PRIMARY KEY)"

// readVersion is the look of a loop by hand.
func readVersion(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT max(version) FROM versions").Scan(&version)
	return version, err
}

// A whole boot with nothing to do: Open, Up, Close.
func BenchmarkBoot(b *testing.B) {
	benchEngines(b, func(b *testing.B, e testdb.Engine) {
		b.Run("by=tldwdb", func(b *testing.B) {
			j := job{URL: testdb.New(b, e).URL, Files: fleetFiles(5)}
			for b.Loop() {
				if _, err := j.boot(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("by=driver", func(b *testing.B) {
			db := testdb.New(b, e)
			execAll(b, handWritten(b, db), versionsTable, "INSERT INTO versions VALUES (5)")
			for b.Loop() {
				pool := db.AdminDB(b)
				conn, err := pool.Conn(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				_, err = readVersion(b.Context(), conn)
				if err := errors.Join(err, conn.Close(), pool.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// boot is Open, Up, Close.
func (j job) boot(ctx context.Context) (*tldwdb.Result, error) {
	db, err := tldwdb.Open(ctx, j.config())
	if err != nil {
		return nil, err
	}
	res, err := db.Up(ctx)
	return res, errors.Join(err, db.Close())
}

// Up alone on an open database, with nothing to do.
func BenchmarkUpWithNothingPending(b *testing.B) {
	benchEngines(b, func(b *testing.B, e testdb.Engine) {
		for _, n := range []int{5, 100, 1000} {
			b.Run(fmt.Sprintf("migrations=%d/by=tldwdb", n), func(b *testing.B) {
				handle := openJob(b, job{URL: testdb.New(b, e).URL, Files: smallFiles(n)})
				if _, err := handle.Up(b.Context()); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := handle.Up(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("by=driver", func(b *testing.B) {
			conn := handWritten(b, testdb.New(b, e))
			execAll(b, conn, versionsTable, "INSERT INTO versions VALUES (5)")
			for b.Loop() {
				if _, err := readVersion(b.Context(), conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func openJob(b *testing.B, j job) *tldwdb.DB {
	b.Helper()
	handle, err := tldwdb.Open(b.Context(), j.config())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := handle.Close(); err != nil {
			b.Error(err)
		}
	})
	return handle
}

// Up on an empty database. What counts is ns/migration: it has to stay the same
// however many there are.
func BenchmarkApply(b *testing.B) {
	benchEngines(b, func(b *testing.B, e testdb.Engine) {
		for _, n := range []int{100, 1000, 5000} {
			perMigration := func(b *testing.B) {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/migration")
			}
			b.Run(fmt.Sprintf("migrations=%d/by=tldwdb", n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					handle := openJob(b, job{URL: testdb.New(b, e).URL, Files: smallFiles(n)})
					b.StartTimer()
					if res, err := handle.Up(b.Context()); err != nil || len(res.Applied) != n {
						b.Fatalf("%d applied: %v", len(res.Applied), err)
					}
				}
				perMigration(b)
			})
			b.Run(fmt.Sprintf("migrations=%d/by=driver", n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					files := smallFiles(n)
					conn := handWritten(b, testdb.New(b, e))
					b.StartTimer()
					applyByHand(b, e, conn, files)
				}
				perMigration(b)
			})
		}
	})
}

// applyByHand runs each file and notes its version, in one packet where the
// driver can.
func applyByHand(b *testing.B, e testdb.Engine, conn *sql.Conn, files map[string]string) {
	b.Helper()
	execAll(b, conn, versionsTable)
	for i, name := range sortedNames(files) {
		note := fmt.Sprintf("INSERT INTO versions VALUES (%d)", i+1)
		switch e {
		case testdb.SQLite:
			execAll(b, conn, "BEGIN IMMEDIATE", files[name], note, "COMMIT")
		case testdb.Postgres:
			execAll(b, conn, "BEGIN;"+files[name]+note+";COMMIT")
		default:
			execAll(b, conn, files[name]+note)
		}
	}
}

func sortedNames(files map[string]string) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Processes that start at the same instant on an empty database, until the last
// one is ready: 20 of them, and beside each such fleet one process alone, so
// that both meet the same noise. What counts is the ratio of the medians. The
// processes are there before the clock starts.
func BenchmarkFleet(b *testing.B) {
	const fleet = 20
	benchEngines(b, func(b *testing.B, e testdb.Engine) {
		for _, by := range []string{"tldwdb", "driver"} {
			b.Run("by="+by, func(b *testing.B) {
				j := job{Files: fleetFiles(5)}
				if by == "driver" {
					j.ByHand = e
				}
				var one, all, idle []time.Duration
				for b.Loop() {
					alone, _ := fleetTime(b, e, 1, j)
					together, again := fleetTime(b, e, fleet, j)
					one, all, idle = append(one, alone), append(all, together), append(idle, again)
				}
				alone, together := median(one), median(all)
				b.ReportMetric(0, "ns/op") // making the databases is most of it
				b.ReportMetric(float64(alone.Microseconds())/1000, "ms/one")
				b.ReportMetric(float64(together.Microseconds())/1000, "ms/fleet")
				b.ReportMetric(float64(median(idle).Microseconds())/1000, "ms/idle-fleet")
				b.ReportMetric(float64(together)/float64(alone), "ratio")
			})
		}
	})
}

// byHand looks, takes the engine's lock, looks again and applies, with the
// server's own waiting: one process in a fleet that does it so can be no quicker.
func (j job) byHand(ctx context.Context) (err error) {
	pool, err := testdb.Open(j.ByHand, j.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	lock, unlock := "SELECT GET_LOCK(database(), 60)", "DO RELEASE_LOCK(database())"
	switch j.ByHand {
	case testdb.SQLite:
		// In its first journal mode: whoever switches it in a fleet gets "database is locked".
		lock, unlock = "BEGIN IMMEDIATE", "COMMIT"
	case testdb.Postgres:
		lock, unlock = "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"
	}
	run := func(list ...string) error {
		for _, text := range list {
			if _, err := conn.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := readVersion(ctx, conn); err == nil {
		return nil
	}
	if err := run(lock); err != nil {
		return err
	}
	if _, err := readVersion(ctx, conn); err != nil {
		if err := run(versionsTable); err != nil {
			return err
		}
		for i, name := range sortedNames(j.Files) {
			if !strings.HasSuffix(name, ".up.sql") {
				continue
			}
			if err := run(j.Files[name], fmt.Sprintf("INSERT INTO versions VALUES (%d)", i)); err != nil {
				return err
			}
		}
	}
	return run(unlock)
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// fleetTime is how long n processes take on an empty database, and how long n
// more take then, with nothing to do: connecting is what both have in common.
func fleetTime(b *testing.B, e testdb.Engine, n int, j job) (fresh, again time.Duration) {
	b.Helper()
	j.URL = testdb.New(b, e).URL
	return runFleet(b, n, j), runFleet(b, n, j)
}

func runFleet(b *testing.B, n int, j job) time.Duration {
	b.Helper()
	workers, release := startWorkers(b, n, j)
	start := time.Now()
	release()
	list := reports(b, workers)
	took := time.Since(start)
	for _, r := range list {
		if !r.Ready {
			b.Fatal(r.Error)
		}
	}
	return took
}
