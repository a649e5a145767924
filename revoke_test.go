package tldwdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestRevokeRunsTwice: nobody can tell whether a REVOKE took effect before its run
// was cut off. It runs again, and what it finds gone then is no error; to revoke
// what was never granted is one, as ever.
func TestRevokeRunsTwice(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		role, other := makeRole(t, tdb, admin, "x"), makeRole(t, tdb, admin, "x")
		f := files{"1_a.up.sql": "CREATE TABLE t (id integer);\nCREATE PROCEDURE p() SELECT 1;\nGRANT SELECT ON t TO " + role + ";\nGRANT INSERT ON " + tdb.Name() + ".* TO " + role + ";\nGRANT EXECUTE ON PROCEDURE p TO " + role + ";"}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Skipf("the test account of %s may not grant: %v", tdb.Engine, err)
		}
		for i, revoke := range []string{"REVOKE SELECT ON t", "REVOKE INSERT ON " + tdb.Name() + ".*", "REVOKE EXECUTE ON PROCEDURE p"} {
			name := string(rune('2'+i)) + "_b.up.sql"
			f = f.with(files{name: revoke + " FROM " + role + ";\nINSERT INTO t VALUES (1);"})
			die(t, tdb, f, revoke, true)
			if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
				t.Errorf("%s: %v", revoke, err)
			}
		}
		if got := rowsOf(t, admin, "SELECT count(*) FROM t"); got != "3" {
			t.Errorf("%s rows", got)
		}
		f = f.with(files{"5_b.up.sql": "REVOKE SELECT ON t FROM " + other + ";"})
		for range 2 {
			var failed *tldwdb.MigrationError
			if _, err := open(t, tdb, f).Up(t.Context()); !errors.As(err, &failed) || failed.Line != 1 {
				t.Errorf("nothing to revoke: %v", err)
			}
		}
	})
}

// TestAccounts: a statement about a user that was cut off is in doubt, and runs
// once; one that the server refuses is not.
func TestAccounts(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		role := makeRole(t, tdb, admin, "x")
		other := strings.Replace(role, "tldw_role_", "tldw_role_2", 1)
		f := files{"1_a.up.sql": "CREATE TABLE t (id integer);\nRENAME USER " + role + " TO " + other + ";\nINSERT INTO t VALUES (1);"}
		die(t, tdb, f, "RENAME USER", true)
		db := open(t, tdb, f)
		if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
			t.Errorf("cut off: %v", err)
		}
		if _, err := db.Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Version: 1}, Kind: tldwdb.FixDone}); err != nil {
			t.Error(err)
		}
		succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
		f = f.with(files{"2_b.up.sql": "CREATE USER " + other + ";\nINSERT INTO t VALUES (2);"})
		for range 2 {
			var failed *tldwdb.MigrationError
			if _, err := open(t, tdb, f).Up(t.Context()); !errors.As(err, &failed) || failed.Line != 1 || errors.Is(err, tldwdb.ErrAmbiguous) {
				t.Errorf("there already: %v", err)
			}
		}
		execute(t, admin, "RENAME USER "+other+" TO "+role)
		succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f).Up(t.Context()))
		execute(t, admin, "DROP USER "+other)
		if got := rowsOf(t, admin, "SELECT id FROM t ORDER BY id"); got != "1\n2" {
			t.Errorf("the rows are %q", got)
		}
	})
}
