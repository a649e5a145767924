package tldwdb_test

import (
	"errors"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A statement that took effect just before a run was cut off is proved by its
// fingerprint when the next one resumes. It stays proved when that one fails
// further on, or rolls back for a lock: it does not run a second time.
func TestFailsAfterResume(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			f := files{"1_a.up.sql": "CREATE TABLE log (what varchar(20));\nCREATE TABLE t (id integer);\nALTER TABLE t ADD COLUMN v integer;\n" +
				"INSERT INTO log VALUES ('once');\nINSERT INTO missing VALUES (1);"}
			die(t, tdb, f, "INSERT INTO log", true)
			if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
				t.Fatal("the last statement has no table, and succeeded")
			}
			mended := f.with(files{"1_a.up.sql": f["1_a.up.sql"][:len(f["1_a.up.sql"])-len("INSERT INTO missing VALUES (1);")] + "INSERT INTO t VALUES (1, 1);"})
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, mended).Up(t.Context()))
			if got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM log"); got != "once" {
				t.Errorf("the log is %q", got)
			}
		})
	}
}

// A fingerprint of a version that asked the catalogue something else proves nothing: the
// statement stays in doubt.
func TestFingerprintOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			f := files{"1_a.up.sql": "CREATE TABLE t (id integer);\nINSERT INTO t VALUES (1);"}
			die(t, tdb, f, "CREATE TABLE t", true)
			pool := tdb.AdminDB(t)
			if _, err := pool.ExecContext(t.Context(), "UPDATE tldwdb_history SET intent = JSON_REMOVE(JSON_SET(intent, '$.fingerprint', REPEAT('a', 64)), '$.taken') WHERE intent IS NOT NULL"); err != nil {
				t.Fatal(err)
			}
			if got := rowsOf(t, pool, "SELECT COUNT(*) FROM tldwdb_history WHERE intent LIKE '%aaaa%'"); got != "1" {
				t.Fatalf("%s entries have a fingerprint", got)
			}
			if _, err := open(t, tdb, f).Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
				t.Errorf("the statement is taken for done, or for not done: %v", err)
			}
		})
	}
}
