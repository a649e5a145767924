package tldwdb_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// On a file system that takes no writes a service boots that has nothing to do,
// and is told why it cannot when it has.
func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("only root can mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	f := faultLoad(testdb.SQLite)
	cfg := tldwdb.Config{URL: "sqlite:///" + filepath.Join(dir, "test.db"), Migrations: f.fs(), ConnectWait: -1}
	boot := func() (*tldwdb.Result, error) {
		db, err := tldwdb.Open(t.Context(), cfg)
		if err != nil {
			return nil, err
		}
		res, err := db.Up(t.Context())
		return res, errors.Join(err, db.Close())
	}
	if _, err := boot(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	// A file with a log needs two more files beside it, even to be read.
	if _, err := boot(); err == nil || !strings.Contains(tldwdb.Hint(err), "immutable=1") {
		t.Errorf("a file whose log cannot be made: %v", err)
	}
	cfg.URL += "?immutable=1"
	if res, err := boot(); err != nil || res.After != 5 {
		t.Errorf("nothing is pending: %+v, %v", res, err)
	}
	cfg.Migrations = f.with(files{"0006_more.up.sql": "CREATE TABLE more (i int);"}).fs()
	if res, err := boot(); !errors.Is(err, tldwdb.ErrReadOnly) || tldwdb.Hint(err) == "" || res.After != 5 {
		t.Errorf("something is pending: %+v, %v", res, err)
	}
}
