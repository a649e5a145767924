package tldwdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A disk without room is seen by the room that is left, and by a write that is
// committed; what is rolled back never gets there.
func TestHealthDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("only root can mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	cfg := configFor(testdb.New(t, testdb.SQLite), healthFiles, fresh)
	cfg.URL = "sqlite:///" + filepath.Join(dir, "test.db")
	cfg.Health.Limits = map[string]tldwdb.Limit{tldwdb.CheckDisk: {Warn: 64 << 10, Fail: 8 << 10}}
	cfg.Health.Counts = nil
	first, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	succeed(t, healthySchema)(first.Up(t.Context()))
	wantHealth(t, probe(t, first), tldwdb.StatusHealthy, true, "", "")
	cfg.Health.DeepWrite = time.Hour // the first probe is deep
	deep, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}

	ballast := fillDisk(t, dir)
	wantHealth(t, probe(t, first), tldwdb.StatusUnhealthy, true, tldwdb.CheckDisk, "")
	wantHealth(t, deep.Health(t.Context()), tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "disk_full")
	if h := deep.Health(t.Context()); h.WriteAccess || h.Error != "the database has no room to write" {
		t.Errorf("%s", shown(h))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*tldwdb.DB{first, deep} {
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
	}
	if err := errors.Join(deep.Close(), first.Close()); err != nil {
		t.Error(err)
	}
}
