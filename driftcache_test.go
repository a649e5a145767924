package tldwdb_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// What migrations make is found out once for all processes, and again when something
// has changed on which it depends, or in the file.
func TestDriftKept(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := driftFiles(db.Engine)
		if _, err := open(t, db, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "kept")
		// Each call is a process of its own.
		replayed := func(f files, want string, edits ...func(*tldwdb.Config)) bool {
			t.Helper()
			scratch := false
			d := open(t, db, f, append(edits, func(cfg *tldwdb.Config) {
				cfg.Progress = func(p tldwdb.Progress) { scratch = scratch || p.Scratch }
			})...)
			list, err := d.Drift(t.Context(), tldwdb.Verification{CacheDir: dir})
			if got := summaries(list); err != nil || got != want {
				t.Errorf("drift: %q, %v, want %q", got, err, want)
			}
			return scratch
		}
		kept := func() []string {
			t.Helper()
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			return names
		}
		if !replayed(f, "") || len(kept()) != 1 {
			t.Fatalf("the first time: %v", kept())
		}
		info, err := os.Stat(kept()[0])
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		execute(t, db.AdminDB(t), "CREATE TABLE hot_table (id int)")
		if replayed(f, "table hot_table unexpected") {
			t.Error("it was there already")
		}
		if db.Engine != testdb.SQLite { // each replay costs a database on a server
			noScratchLeft(t, db)
			return
		}
		for _, harm := range []func(string) error{
			func(path string) error { return os.Truncate(path, info.Size()/2) },
			func(path string) error { return os.WriteFile(path, nil, 0o600) },
			func(path string) error { // what would hide the change
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, append(text, ' '), 0o600)
			},
		} {
			if err := harm(kept()[0]); err != nil {
				t.Fatal(err)
			}
			if !replayed(f, "table hot_table unexpected") {
				t.Error("a file that was changed was trusted")
			}
		}
		old := time.Now().Add(-100 * 24 * time.Hour)
		first := kept()[0]
		if err := os.Chtimes(first, old, old); err != nil {
			t.Fatal(err)
		}
		if !replayed(f.with(files{"R__short.sql": ""}), "table hot_table unexpected, view short_note unexpected") || len(kept()) != 1 || kept()[0] == first {
			t.Errorf("other files, and an old outcome that nobody asks for: %v", kept())
		}
		counted, _ := replays(3)
		for range 2 {
			if !replayed(f, "table hot_table unexpected", counted) || len(kept()) != 1 {
				t.Errorf("a Go migration may make something else now: %v", kept())
			}
		}
	})
}
