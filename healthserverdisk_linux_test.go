package tldwdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A disk that is full under a server. PostgreSQL goes on with what has room in its
// pages, and says plainly what has not: the probe's row has room. MariaDB says
// nothing and waits for room at the commit: a probe that commits sees that.
func TestHealthServerDiskFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a server of its own")
	}
	for e, size := range map[testdb.Engine]string{testdb.Postgres: "size=160m", testdb.MariaDB: "size=400m"} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("/tmp", "tldwdb-disk-") //nolint:usetesting // short, for the server's socket, and open to its account
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			})
			if err := syscall.Mount("none", dir, "tmpfs", 0, size+",mode=755"); err != nil {
				t.Skipf("only root can mount a file system: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil { // the server's last process may be in it still
					t.Error(err)
				}
			})
			server := ownServer(t, e, func(ctx context.Context, e testdb.Engine) (*testdb.Server, error) { return testdb.StartIn(ctx, e, dir) })
			tdb := server.New(t)
			if e == testdb.MariaDB {
				// Who waits there looks again after a minute: not in the database that is
				// looked at for sessions when the test ends.
				execute(t, tdb.AdminDB(t), "CREATE DATABASE tldw_full")
				full := *tdb
				full.URL = strings.Replace(tdb.URL, tdb.Name(), "tldw_full", 1)
				tdb = &full
			}
			d := open(t, tdb, healthFiles, fresh)
			succeed(t, healthySchema)(d.Up(t.Context()))
			ballast := fillDisk(t, dir)
			if e == testdb.Postgres {
				_, err := d.Pool().ExecContext(t.Context(), "CREATE TABLE big AS SELECT generate_series(1, 100000) AS n")
				if tldwdb.ClassOf(err) != "disk_full" {
					t.Errorf("a write that needs room: %v", err)
				}
				wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
			} else {
				wantHealth(t, waitsForRoom(t, tdb, d), tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "timeout")
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if e == testdb.Postgres {
				execute(t, tdb.AdminDB(t), "CREATE TABLE big AS SELECT generate_series(1, 100000) AS n")
			}
			until(t, d, func(h tldwdb.Health) bool { return h.Status == tldwdb.StatusHealthy })
		})
	}
}

// waitsForRoom writes until the binary log has none, and returns what a probe that
// commits says then.
func waitsForRoom(t *testing.T, tdb *testdb.Database, d *tldwdb.DB) tldwdb.Health {
	t.Helper()
	for id := 10; ; id++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := d.Pool().ExecContext(ctx, "INSERT INTO media VALUES (?)", id)
		cancel()
		if err == nil { // the last page of the log's file has room
			continue
		}
		deep := open(t, tdb, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.Health.Timeout, cfg.Health.DeepWrite = 2*time.Second, time.Minute // the first probe is deep
			cfg.Health.ReadyGrace = time.Minute
		})
		if h := deep.Health(t.Context()); h.Status != tldwdb.StatusHealthy || t.Context().Err() != nil {
			return h
		}
	}
}

// fillDisk fills a file system to its last byte.
func fillDisk(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{64 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return ballast
}
