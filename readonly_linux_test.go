package tldwdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestReadOnlyFolder: SQLite cannot even read a file in WAL mode where it may not
// make files. The error says so, and what it advises works.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	writable := open(t, tdb, library)
	if _, err := writable.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := writable.Close(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(tdb.Path())
	withoutWriting(t, folder, func() {
		_, err := tldwdb.Open(t.Context(), configFor(tdb, library))
		if err == nil || !strings.Contains(err.Error(), "WAL mode") || !strings.Contains(tldwdb.Hint(err), "immutable=1") {
			t.Errorf("%v, hint %q", err, tldwdb.Hint(err))
		}
		immutable := func(cfg *tldwdb.Config) { cfg.URL += "?immutable=1" }
		succeed(t, "; 3 → 3")(open(t, tdb, library, immutable).Up(t.Context()))
		more := library.with(files{"0004_more.up.sql": "CREATE TABLE more (id integer);"})
		if _, err := open(t, tdb, more, immutable).Up(t.Context()); !errors.Is(err, tldwdb.ErrReadOnly) {
			t.Errorf("pending: %v", err)
		}
	})
	execute(t, tdb.AdminDB(t), "PRAGMA journal_mode = DELETE")
	withoutWriting(t, folder, func() {
		succeed(t, "; 3 → 3")(open(t, tdb, library).Up(t.Context()))
	})
}

// withoutWriting runs f while the folder and its files are for reading only,
// and not as root, whom permissions do not stop: only this thread becomes another
// user, for the file system alone.
func withoutWriting(t *testing.T, folder string, f func()) {
	t.Helper()
	permit := func(dir, file os.FileMode) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := os.Chmod(filepath.Join(folder, entry.Name()), file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(folder, dir); err != nil {
			t.Fatal(err)
		}
	}
	permit(0o555, 0o444)
	defer permit(0o755, 0o644)
	if os.Geteuid() == 0 {
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Setfsuid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	f()
}
