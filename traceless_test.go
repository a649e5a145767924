package tldwdb_test

import (
	"errors"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestTraceless: where the catalogue says the same before and behind a statement
// that must not run twice, nobody guesses.
func TestTraceless(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_setup.up.sql": "CREATE TABLE a (id integer) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10));\nCREATE TABLE b LIKE a;\nINSERT INTO a VALUES (1);"}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, statement := range []string{
			"RENAME TABLE " + tdb.Name() + ".a TO x, b TO a, x TO b", "ALTER TABLE a TRUNCATE PARTITION p",
			"CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO a VALUES (2)",
		} {
			f = f.with(files{string(rune('2'+i)) + "_it.up.sql": statement + ";"})
			die(t, tdb, f, statement, true)
			db := open(t, tdb, f)
			if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
				t.Errorf("%s: %v", statement, err)
			}
			if _, err := db.Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Version: int64(2 + i)}, Kind: tldwdb.FixDone}); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
			if _, err := db.Up(t.Context()); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT id FROM b"); got != "1" {
			t.Errorf("the tables are not swapped once: b has %q", got)
		}
	})
}
