package tldwdb_test

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// TestLockIsLostBehindTheSwitch: when the restored database has taken its place, the
// restore is done. That the lock is somebody else's before the last look is no failure,
// and what that one migrates is no damage.
func TestLockIsLostBehindTheSwitch(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("SQLite makes the step on the connection that has the lock")
		}
		for _, lock := range []tldwdb.LockKind{tldwdb.LockAuto, tldwdb.LockLease} {
			if tdb.Engine != testdb.Postgres && lock == tldwdb.LockAuto {
				continue // the lock's session outlives the step
			}
			t.Run("lock "+string(lock), func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				_, kept := keeping(t, tdb)
				locked := func(cfg *tldwdb.Config) { cfg.Lock, cfg.LeaseTime = lock, 3*time.Second }
				newer := maps.Clone(backupFiles)
				newer["0003_more.up.sql"] = "CREATE TABLE more (id INTEGER NOT NULL PRIMARY KEY);"
				worker := open(t, tdb, newer, locked)
				u, err := url.Parse(tdb.URL)
				if err != nil {
					t.Fatal(err)
				}
				password, _ := u.User.Password()
				var switching atomic.Bool
				var once sync.Once
				db := open(t, tdb, backupFiles, kept, locked, func(cfg *tldwdb.Config) {
					// The connection for the last look is the first that is made behind the step.
					cfg.Password = func(ctx context.Context) (string, error) {
						if !switching.Load() {
							return password, nil
						}
						kept, err := worker.KeptDatabases(ctx)
						if err != nil || len(kept) == 0 {
							return password, nil //nolint:nilerr // the step is under way
						}
						once.Do(func() {
							if tdb.Engine != testdb.Postgres { // where it has outlived the step
								lapse(t, tdb, "owner = 'somebody', token = token + 1")
							}
							withoutDead(t, worker.Pool().DB)
							if _, err := worker.Up(ctx); err != nil {
								t.Errorf("the worker: %v", err)
							}
						})
						return password, nil
					}
				})
				people(t, db)
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				o := tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true}
				o.Progress = func(p tldwdb.BackupProgress) { switching.Store(p.Phase == "switch") }
				done, err := restore(t, tdb, db, o)
				if err != nil || done.Kept == "" {
					t.Errorf("%+v, %v", done, err)
				}
				if told := strings.Contains(strings.Join(done.Notes, "; "), "lock was lost"); told != (tdb.Engine != testdb.Postgres) {
					t.Error(done.Notes)
				}
				withoutDead(t, worker.Pool().DB)
				if status, err := worker.Status(t.Context()); err != nil || status.Current != 3 {
					t.Errorf("%+v, %v", status, err)
				}
				withoutDead(t, db.Pool().DB)
			})
		}
	})
}

// TestRestoreGivesRightsBack: who may do what in the database is the same behind a
// restore.
func TestRestoreGivesRightsBack(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	_, kept := keeping(t, tdb)
	db := open(t, tdb, backupFiles, kept)
	if err := tldwdb.CanBackUp(t.Context(), db); err != nil {
		t.Skip(err)
	}
	people(t, db)
	for _, statement := range []string{"GRANT SELECT ON people TO PUBLIC", "GRANT UPDATE (body) ON notes TO PUBLIC", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$", "REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC",
		"CREATE FUNCTION g() RETURNS text LANGUAGE sql AS $$ SELECT 'x;\nGRANT ALL ON people TO PUBLIC;\n'; $$"} {
		execIn(t, tdb.AdminDB(t), statement)
	}
	rights := func(tdb *testdb.Database) (text string) {
		pool := tdb.AdminDB(t)
		withoutDead(t, pool)
		err := pool.QueryRowContext(t.Context(), `SELECT string_agg(t, E'\n' ORDER BY t) FROM (
			SELECT format('%s %s %s', relname, pg_get_userbyid(relowner), relacl) t FROM pg_class WHERE relnamespace = 'public'::regnamespace
			UNION ALL SELECT format('%s %s', attname, attacl) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid = 'notes'::regclass
			UNION ALL SELECT format('%s %s %s', proname, pg_get_userbyid(proowner), proacl) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			UNION ALL SELECT format('default %s %s', defaclobjtype, defaclacl) FROM pg_default_acl) all_of_them`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := rights(tdb)
	for _, jobs := range []int{1, 2} {
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{Jobs: jobs})
		if err != nil {
			t.Fatal(err)
		}
		done, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true})
		if err != nil || len(done.Notes) > 0 {
			t.Fatalf("%v, %v", done.Notes, err)
		}
		if got := rights(tdb); got != before {
			t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
		}
		other := testdb.New(t, testdb.Postgres)
		if _, err := restore(t, other, open(t, other, backupFiles, kept), tldwdb.RestoreOptions{Name: b.Name}); err != nil {
			t.Fatal(err)
		}
		if got := rights(other); got != before {
			t.Errorf("restored into nothing:\n%s\nand it was:\n%s", got, before)
		}
	}
}
