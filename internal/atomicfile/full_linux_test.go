package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk is an error, leaves no partial file that would keep it full, and does
// not cost the file that was there.
//
// It is not parallel: a process that another test is just starting has this one's
// open files for a moment, and what is removed has its room until then.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only root can mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 100_000))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
	wantFile(t, path, "old")
	if all := names(t, dir); len(all) != 1 {
		t.Error(all)
	}
	if err := os.WriteFile(filepath.Join(dir, "room"), make([]byte, 900_000), 0o600); err != nil {
		t.Errorf("there is no room again: %v", err)
	}
}
