package tldwdbcli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// A folder is what os.DirFS makes of it, in every respect that testing/fstest knows.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string][]byte{
		"0001_empty.up.sql": {}, "0002_short.up.sql": []byte("SELECT 1;\n"), "0003_one.up.sql": bytes.Repeat([]byte("x"), 1024),
		"0004_long.up.sql": bytes.Repeat([]byte("0123456789\n"), 30_000), "sqlite/0001_empty.up.sql": []byte("SELECT 2;\n"),
	}
	var names []string
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	folder := folderFS(dir)
	if err := fstest.TestFS(folder, names...); err != nil {
		t.Error(err)
	}
	for name, want := range files {
		if got, err := fs.ReadFile(folder, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d (%v)", name, len(got), len(want), err)
		}
	}
	for name, want := range map[string]error{"0009_gone.up.sql": fs.ErrNotExist, "../x": fs.ErrInvalid, "/etc/hosts": fs.ErrInvalid} {
		if _, err := fs.ReadFile(folder, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := fs.ReadFile(folder, "sqlite"); err == nil {
		t.Error("a folder was read as a file")
	}
}
