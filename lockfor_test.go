package tldwdb_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
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
