package tldwdb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A scratch database is empty and of the same kind, and gone when it was used; what
// happens in it does not reach the one that it stands beside.
func TestScratch(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, files{"1_a.up.sql": "CREATE TABLE a (id int)", "1_a.down.sql": "DROP TABLE a"})
		before := tdb.Dump(t)
		var used *tldwdb.DB
		errUse := errors.New("what use says")
		err := db.Scratch(t.Context(), tldwdb.Verification{}, func(ctx context.Context, scratch *tldwdb.DB) error {
			used = scratch
			if err := scratch.Check(ctx); !errors.Is(err, tldwdb.ErrPending) {
				t.Errorf("an empty database: %v", err)
			}
			if _, err := scratch.Up(ctx); err != nil {
				t.Error(err)
			}
			if _, err := scratch.Pool().ExecContext(ctx, "INSERT INTO a VALUES (1)"); err != nil {
				t.Error(err)
			}
			return errUse
		})
		if !errors.Is(err, errUse) {
			t.Errorf("got %v", err)
		}
		if after := tdb.Dump(t); after != before {
			t.Errorf("the database itself was changed:\n%s", after)
		}
		if err := used.Pool().PingContext(t.Context()); err == nil {
			t.Error("the scratch database can still be used")
		}
	})
}

func TestScratchThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	tdb, other := testdb.New(t, testdb.SQLite), testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (id int)"}
	if _, err := open(t, other, f).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := open(t, tdb, f).Scratch(t.Context(), tldwdb.Verification{ScratchURL: other.URL}, func(context.Context, *tldwdb.DB) error {
		t.Error("it was used")
		return nil
	})
	if !errors.Is(err, tldwdb.ErrNoScratch) {
		t.Errorf("got %v", err)
	}
}

// On MySQL a migration may name another database: it would not stay in the scratch one.
func TestScratchIsNotLeft(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.MariaDB)
	db := open(t, tdb, files{"1_a.up.sql": "CREATE TABLE " + tdb.Name() + ".a (id int)"})
	err := db.Scratch(t.Context(), tldwdb.Verification{}, func(context.Context, *tldwdb.DB) error {
		t.Error("it was used")
		return nil
	})
	if !errors.Is(err, tldwdb.ErrNoScratch) {
		t.Errorf("got %v", err)
	}
}
