package tldwdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// backupFiles is a schema with what a copy could lose.
var backupFiles = files{
	"0001_people.up.sql": "CREATE TABLE people (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL);",
	"0002_notes.up.sql":  "CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id), body VARCHAR(200));\nCREATE INDEX notes_person ON notes (person);\nCREATE VIEW people_notes AS SELECT people.name, notes.body FROM people JOIN notes ON notes.person = people.id;",
}

// keeping lets backups of a test go to a folder of its own.
func keeping(t *testing.T) (dir string, edit func(*tldwdb.Config)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "kept")
	return dir, func(cfg *tldwdb.Config) { cfg.Backup.Dir = dir }
}

// people makes the schema with rows of odd content.
func people(t *testing.T, db *tldwdb.DB) {
	t.Helper()
	if _, err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"Ada", "", "O'Brien \\ \"x\" `y`", "🦊 müde\nzwei\tTabs", strings.Repeat("x", 100)} {
		if _, err := db.Pool().ExecContext(t.Context(), db.Pool().Rebind("INSERT INTO people VALUES (?, ?)"), i+1, name); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), db.Pool().Rebind("INSERT INTO notes VALUES (?, ?, ?)"), i+1, i+1, name); err != nil {
			t.Fatal(err)
		}
	}
}

// backupEngines are those of which backups can be made here.
func forEachBackup(t *testing.T, f func(t *testing.T, tdb *testdb.Database)) {
	t.Helper()
	forEachOf(t, []testdb.Engine{testdb.SQLite}, f)
}

// TestBackupAndRestore: what was backed up comes back, and nothing else.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		for _, o := range []struct {
			name string
			edit func(*tldwdb.BackupOptions)
		}{
			{"plain", func(o *tldwdb.BackupOptions) { o.Compression = "none" }},
			{"compressed", func(*tldwdb.BackupOptions) {}},
			{"encrypted", func(o *tldwdb.BackupOptions) { o.PassphraseFile = passphrase(t, "a passphrase that is long enough") }},
		} {
			t.Run(o.name, func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				dir, kept := keeping(t)
				db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { o.edit(&cfg.Backup) })
				people(t, db)
				before := tdb.Dump(t)
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if b.Size() == 0 || len(b.Migrations) != 2 || b.Reason != tldwdb.ReasonManual || b.Objects["view"] != 1 || b.Finished.Before(b.Started) {
					t.Errorf("%+v", b)
				}
				for _, table := range b.Tables {
					if (table.Name == "people" || table.Name == "notes") && table.Rows != 5 {
						t.Errorf("%+v", table)
					}
				}
				wantKept(t, dir, b)
				v, err := db.VerifyBackup(t.Context(), "", tldwdb.VerifyOptions{})
				if err != nil || !v.OK {
					t.Errorf("%+v, %v", v, err)
				}
				if got := tdb.Dump(t); got != before {
					t.Errorf("backup or verification has changed the database:\n%s", got)
				}

				// Over what is there, only if it is named.
				if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM notes"); err != nil {
					t.Fatal(err)
				}
				if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNotEmpty) {
					t.Errorf("%v", err)
				}
				changed := tdb.Dump(t)
				done, err := db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)})
				if err != nil {
					t.Fatal(err)
				}
				if got := tdb.Dump(t); got != before {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
				}

				// And what was replaced comes back too.
				if done.Replaced == nil || done.Replaced.Reason != tldwdb.ReasonRestore {
					t.Fatalf("%+v", done)
				}
				if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{Name: done.Replaced.Name, Over: label(tdb), WithoutBackup: true}); err != nil {
					t.Fatal(err)
				}
				if got := tdb.Dump(t); got != changed {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, changed)
				}

				// Into an empty one.
				other := testdb.New(t, tdb.Engine)
				fresh := open(t, other, backupFiles, kept, func(cfg *tldwdb.Config) { o.edit(&cfg.Backup) })
				if _, err := fresh.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Up: true}); err != nil {
					t.Fatal(err)
				}
				if got := other.Dump(t); got != before {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
				}
			})
		}
	})
}

// label is what a person calls the database.
func label(tdb *testdb.Database) string { return filepath.Base(tdb.Name()) }

// passphrase writes a file with it.
func passphrase(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantKept fails unless the folder has that backup, and nothing else.
func wantKept(t *testing.T, dir string, b tldwdb.Backup) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if len(names) != 2 || names[0] != b.Parts[0].Name || names[1] != b.Name+".json" {
		t.Errorf("%s has %v", dir, names)
	}
}
