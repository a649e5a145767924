package tldwdb_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestVerifyByOtherFiles: a binary whose files were changed says so, and does not call
// a backup bad that another one has found good.
func TestVerifyByOtherFiles(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	db := open(t, tdb, backupFiles, kept)
	people(t, db)
	changed := maps.Clone(backupFiles)
	changed["0001_people.up.sql"] += "\nCREATE INDEX people_name ON people (name);"
	other := open(t, tdb, changed, kept)
	native, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.VerifyBackup(t.Context(), native.Name, tldwdb.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.VerifyBackup(t.Context(), native.Name, tldwdb.VerifyOptions{}); !errors.Is(err, tldwdb.ErrChanged) || errors.Is(err, tldwdb.ErrBackupDamaged) {
		t.Errorf("with a changed file: %v", err)
	}
	list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
	if err != nil || len(list) != 1 || list[0].Verified == nil || !list[0].Verified.OK {
		t.Errorf("what is known of it: %+v, %v", list, err)
	}
	rows, err := db.Backup(t.Context(), tldwdb.BackupOptions{Method: tldwdb.BackupPortable})
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []struct {
		db   *tldwdb.DB
		note bool
	}{{db, false}, {other, true}} {
		v, err := by.db.VerifyBackup(t.Context(), rows.Name, tldwdb.VerifyOptions{})
		if err != nil || slices.ContainsFunc(v.Notes, func(n string) bool { return strings.HasPrefix(n, "0001_people was applied with another text") }) != by.note {
			t.Errorf("a portable one: notes %q, %v; want one: %v", v.Notes, err, by.note)
		}
	}
}
