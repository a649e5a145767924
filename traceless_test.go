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
		f := files{"1_setup.up.sql": "CREATE TABLE a (id integer) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10));\nCREATE TABLE b LIKE a;\nINSERT INTO a VALUES (1);\nCREATE TABLE c (id integer, d integer);"}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, statement := range []string{
			"RENAME TABLE " + tdb.Name() + ".a TO x, b TO a, x TO b", "ALTER TABLE a TRUNCATE PARTITION p",
			"CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO a VALUES (2)", "ALTER TABLE c DROP d, ADD COLUMN (d integer)", "ALTER TABLE c DISCARD TABLESPACE",
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
		execute(t, tdb.AdminDB(t), "DROP TABLE c") // no check of the server's likes it as it is
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT id FROM b"); got != "1" {
			t.Errorf("the tables are not swapped once: b has %q", got)
		}
	})
}

// TestSealed: behind a statement of which the catalogue says nothing the journal
// says at once that it is done, so that only a crash inside it is in doubt.
func TestSealed(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_setup.up.sql": "CREATE TABLE a (id integer PRIMARY KEY);\nCREATE TABLE b LIKE a;\nINSERT INTO a VALUES (1);\n" +
			"CREATE TABLE p (id integer) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10));\nCREATE TABLE q (id integer);\nINSERT INTO q VALUES (3);"}
		succeed(t, "up 0001_setup; 0 → 1")(open(t, tdb, f).Up(t.Context()))
		for i, statement := range []string{"TRUNCATE TABLE b", "RENAME TABLE a TO x, b TO a, x TO b", "ALTER TABLE p EXCHANGE PARTITION p WITH TABLE q"} {
			died := "INSERT INTO a VALUES (" + string(rune('7'+i)) + ")"
			f = f.with(files{string(rune('2'+i)) + "_it.up.sql": "INSERT INTO b VALUES (5);\n" + statement + ";\n" + died + ";"})
			die(t, tdb, f, died, false)
			if i == 0 {
				execute(t, tdb.AdminDB(t), "INSERT INTO b VALUES (2)") // a second TRUNCATE would take it away
			}
			if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
		admin := tdb.AdminDB(t)
		if got := rowsOf(t, admin, "SELECT id FROM a ORDER BY id") + "|" + rowsOf(t, admin, "SELECT id FROM b ORDER BY id") + "|" + rowsOf(t, admin, "SELECT id FROM p"); got != "2\n5\n8\n9|1\n5\n7|3" {
			t.Errorf("a, b and p have %q", got)
		}
	})
}
