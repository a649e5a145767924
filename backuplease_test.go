package tldwdb_test

import (
	"slices"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestRestoreUnderALease: the lease lies in the database that is backed up and
// replaced. It is no content: it makes no database full, comes back from no backup,
// and a lease is not lost because what it was taken in has changed places.
func TestRestoreUnderALease(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("SQLite has no lease")
		}
		_, kept := keeping(t, tdb)
		lease := func(cfg *tldwdb.Config) { cfg.Lock = tldwdb.LockLease }
		db := open(t, tdb, backupFiles, kept, lease)
		people(t, db)
		const table = "tldwdb_history_lease"
		before := dumped(t, tdb, table)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(b.Tables, func(in tldwdb.BackupTable) bool { return in.Name == table }) || b.Objects["table"] != 3 {
			t.Errorf("%+v, %v", b.Tables, b.Objects)
		}
		if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err != nil {
			t.Error(err)
		}
		if got := dumped(t, tdb, table); got != before {
			t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
		}
		other := testdb.New(t, tdb.Engine)
		if _, err := restore(t, other, open(t, other, backupFiles, kept, lease), tldwdb.RestoreOptions{Name: b.Name, Up: true}); err != nil {
			t.Error(err)
		}
		if got := dumped(t, other, table); got != before {
			t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
		}
	})
}
