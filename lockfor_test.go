package tldwdb_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// TestUnderMigrationLock: while something has the migration lock for a work of its
// own, nobody migrates; behind it everybody does.
func TestUnderMigrationLock(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"0001_a.up.sql": "CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY);"}
		db := open(t, tdb, f)
		other := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.LockWait = 50 * time.Millisecond })
		err := tldwdb.UnderMigrationLock(t.Context(), db, func(context.Context, int64) error {
			if _, err := other.Up(t.Context()); !errors.Is(err, tldwdb.ErrLockTimeout) {
				t.Errorf("Up beside it: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Up(t.Context()); err != nil {
			t.Errorf("Up behind it: %v", err)
		}
	})
}

// TestUnderMigrationLockFails: its error is the work's, and the lock is free.
func TestUnderMigrationLockFails(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, files{"0001_a.up.sql": "CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY);"})
		broken := errors.New("broken")
		if err := tldwdb.UnderMigrationLock(t.Context(), db, func(context.Context, int64) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if _, err := db.Up(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestUnderMigrationLockLost: who works elsewhere is stopped when the session that
// has the lock is ended.
func TestUnderMigrationLockLost(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, files{})
		err := tldwdb.UnderMigrationLock(t.Context(), db, func(ctx context.Context, session int64) error {
			id := strconv.FormatInt(session, 10)
			execIn(t, tdb.AdminDB(t), pick(tdb, "", "SELECT pg_terminate_backend("+id+")", "KILL "+id))
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, tldwdb.ErrLockLost) {
			t.Errorf("%v", err)
		}
	})
}

// TestWaiterLosesTheSession: who has waited for the lock, and whose session ends when it
// has it and nothing has begun, goes on in another one.
func TestWaiterLosesTheSession(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		proxy, through := wiretap.Through(t, tdb.URL)
		var cut sync.Once
		begins := pick(tdb, "", "SET statement_timeout", "autocommit = 0") // of the preparation of a session that has the lock
		proxy.SetHook(func(w wiretap.Turn) (v wiretap.Verdict) {
			if strings.Contains(w.Statement, begins) {
				cut.Do(func() { v = wiretap.CutBefore })
			}
			return v
		})
		waiting := make(chan struct{})
		var waits sync.Once
		log := &logbook{watched: func(line string) {
			if strings.Contains(line, "waiting for the migration lock") {
				waits.Do(func() { close(waiting) })
			}
		}}
		f := files{"0001_a.up.sql": "CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY);"}
		second := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.URL, cfg.Logger = through, log.logger() })
		came := make(chan error, 1)
		err := tldwdb.UnderMigrationLock(t.Context(), open(t, tdb, f), func(context.Context, int64) error {
			go func() {
				_, err := second.Up(t.Context())
				came <- err
			}()
			select {
			case <-waiting:
			case err := <-came:
				came <- err
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-came; err != nil {
			t.Error(err)
		}
		cut.Do(func() { t.Error("the session was not prepared as this test thinks") })
		if !strings.Contains(log.text(), "connecting again to wait for the migration lock") {
			t.Errorf("the log says\n%s", log.text())
		}
	})
}

// TestRestoreLosesTheLock: a restore whose lock went while it was at work beside the
// database replaces nothing: somebody may be migrating.
func TestRestoreLosesTheLock(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("the lock is a file's")
		}
		_, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM notes"); err != nil {
			t.Fatal(err)
		}
		before := dumped(t, tdb)
		o := tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true}
		var end sync.Once
		o.Progress = func(p tldwdb.BackupProgress) {
			if p.Phase == "verify" {
				end.Do(func() { endOthers(t, tdb) })
			}
		}
		if _, err := restore(t, tdb, db, o); !errors.Is(err, tldwdb.ErrLockLost) {
			t.Errorf("%v", err)
		}
		if got := dumped(t, tdb); got != before {
			t.Errorf("replaced:\n%s\nand it was:\n%s", got, before)
		}
	})
}

// endOthers ends all sessions in the database but one of the test's own.
func endOthers(t *testing.T, tdb *testdb.Database) {
	t.Helper()
	pool := tdb.AdminDB(t)
	rows, err := pool.QueryContext(t.Context(), pick(tdb, "", "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"SELECT id FROM "+tdb.Processlist()+" WHERE db = DATABASE() AND id <> CONNECTION_ID()"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, id := range all {
		if _, err := pool.ExecContext(t.Context(), pick(tdb, "", "SELECT pg_terminate_backend("+id+")", "KILL "+id)); err != nil {
			t.Logf("session %s: %v", id, err) // it has ended meanwhile
		}
	}
}
