package tldwdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestAutocommitInRoutine: a routine that switches autocommit on takes nothing
// away from the journal.
func TestAutocommitInRoutine(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		for _, call := range []string{"CALL p();", "PREPARE s FROM 'SET autocommit=1';\nEXECUTE s;"} {
			t.Run(string(engine)+" "+call[:4], func(t *testing.T) {
				t.Parallel()
				tdb := testdb.New(t, engine)
				f := files{"1_a.up.sql": "CREATE TABLE a (id int);\nCREATE PROCEDURE p() BEGIN SET autocommit=0; INSERT INTO a VALUES (100); COMMIT; SET autocommit=1; END;\n" +
					call + "\nINSERT INTO a VALUES (1);\nINSERT INTO missing VALUES (1);"}
				if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
					t.Fatal("it did not fail")
				}
				admin := tdb.AdminDB(t)
				execute(t, admin, "CREATE TABLE missing (id int)")
				succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
				if got := rowsOf(t, admin, "SELECT (SELECT count(*) FROM missing), (SELECT count(*) FROM a WHERE id = 1)"); got != "1|1" {
					t.Errorf("the rows are %s", got)
				}
			})
		}
	}
}

// TestHiddenSession: what a routine or a trigger has left in the session, a run
// that resumes behind it cannot have.
func TestHiddenSession(t *testing.T) {
	t.Parallel()
	mySQL, pg := []testdb.Engine{testdb.MariaDB, testdb.MySQL}, []testdb.Engine{testdb.Postgres}
	for _, c := range []struct {
		name    string
		engines []testdb.Engine
		before  string // behind it the file fails
		after   string
		want    string // rows of t when it goes on; empty: it must not
	}{
		{"procedure", mySQL, "CREATE PROCEDURE p() SET @z = 42;\nCALL p();\n", "INSERT INTO t VALUES (@z);", ""},
		{"procedure behind a SET", mySQL, "CREATE PROCEDURE p() SET @z = 42;\nSET @z = 1;\nCALL p();\n", "INSERT INTO t VALUES (@z);", ""},
		{"prepared from a variable", mySQL, "SET @sql = 'SELECT 42 INTO @z';\nPREPARE s FROM @sql;\nEXECUTE s;\n", "INSERT INTO t VALUES (@z);", ""},
		{"prepared", mySQL, "PREPARE s FROM 'SELECT 42 INTO @z';\nEXECUTE s;\n", "INSERT INTO t VALUES (@z);", ""},
		{"trigger", mySQL, "CREATE TABLE u (v int);\nCREATE TRIGGER g BEFORE INSERT ON u FOR EACH ROW SET @z = 42;\nINSERT INTO u VALUES (1);\nCREATE TABLE w (v int);\n", "INSERT INTO t VALUES (@z);", ""},
		{"setting in a procedure", mySQL, "CREATE PROCEDURE p() SET SESSION foreign_key_checks = 0;\nCALL p();\n", "INSERT INTO t VALUES (1);", ""},
		{"harmless procedure", mySQL, "CREATE PROCEDURE p() INSERT INTO t VALUES (7);\nCALL p();\nSET @z = 42;\n", "INSERT INTO t VALUES (@z);", "7\n42"},
		{"harmless procedure in other characters", mySQL, "CREATE PROCEDURE p() INSERT INTO t VALUES (7);\nSET NAMES binary;\nCALL p();\nSET NAMES latin1 COLLATE latin1_bin;\nCALL p();\nSET NAMES utf8mb4 COLLATE utf8mb4_bin;\nCALL p();\n", "INSERT INTO t VALUES (1);", "7\n7\n7\n1"},
		{"conditional DDL", mySQL, "SET @s = (SELECT IF(COUNT(*) = 0, 'CREATE TABLE w (v int)', 'DO 0') FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'w');\nPREPARE s FROM @s;\nEXECUTE s;\nDEALLOCATE PREPARE s;\n",
			"INSERT INTO t VALUES (1);", "1"},
		{"search_path in a function", pg, "CREATE SCHEMA other;\nCREATE TABLE other.t (v int);\nCREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT set_config('search_path', 'other', false) $$;\nSELECT f();\n", "INSERT INTO t VALUES (1);", ""},
		{"search_path in a block", pg, "CREATE SCHEMA other;\nCREATE TABLE other.t (v int);\nDO $$ BEGIN EXECUTE 'SET search_path = other'; END $$;\n", "INSERT INTO t VALUES (1);", ""},
		{"temporary table in a function", pg, "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE t (v int); END $$;\nSELECT f();\n", "INSERT INTO t VALUES (1);", ""},
		{"harmless function", pg, "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ INSERT INTO public.t VALUES (7) $$;\nSELECT f();\n", "INSERT INTO t VALUES (1);", "7\n1"},
	} {
		for _, engine := range c.engines {
			t.Run(c.name+" "+string(engine), func(t *testing.T) {
				t.Parallel()
				tdb := testdb.New(t, engine)
				admin := tdb.AdminDB(t)
				head := "-- tldwdb: no-transaction\n"
				execute(t, admin, "CREATE TABLE t (v int)")
				if _, err := open(t, tdb, files{"1_a.up.sql": head + c.before + "DROP TABLE missing;\n" + c.after}).Up(t.Context()); err == nil {
					t.Fatal("it did not fail")
				}
				_, err := open(t, tdb, files{"1_a.up.sql": head + c.before + "CREATE TABLE mended (v int);\n" + c.after}).Up(t.Context())
				if c.want == "" {
					if !errors.Is(err, tldwdb.ErrHalfApplied) {
						t.Errorf("it went on: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
				}
				if got := rowsOf(t, admin, "SELECT v FROM t"); got != c.want {
					t.Errorf("the rows are %q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestCountsOfTheJournal: what would tell of the journal's statement instead of the
// file's is refused before anything runs.
func TestCountsOfTheJournal(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		tdb := testdb.New(t, engine)
		for _, text := range []string{"INSERT INTO t VALUES (ROW_COUNT());", "SELECT FOUND_ROWS() INTO @n;", "GET DIAGNOSTICS @n = ROW_COUNT;",
			"FLUSH TABLES WITH READ LOCK;", "FLUSH NO_WRITE_TO_BINLOG TABLES t WITH READ LOCK;", "FLUSH TABLES t FOR EXPORT;"} {
			_, err := open(t, tdb, files{"1_a.up.sql": "DELETE FROM t;\n" + text}).Up(t.Context())
			var load *tldwdb.LoadError
			if !errors.As(err, &load) || load.Problems[0].Line != 2 || !strings.Contains(err.Error(), "journal") {
				t.Errorf("%s: %v", text, err)
			}
		}
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE t (v int)", "INSERT INTO t VALUES (1), (2)")
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, files{"1_a.up.sql": "DELETE FROM t;\nSET @n = ROW_COUNT();\nINSERT INTO t VALUES (@n);"}).Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT v FROM t"); got != "2" {
			t.Errorf("the count is %s", got)
		}
	}
}

// TestMigrationsElsewhere: a folder without migrations whose files are one further
// down is a mistake, and no empty schema.
func TestMigrationsElsewhere(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	db := open(t, tdb, files{"sql/0001_a.up.sql": "CREATE TABLE a (id integer);"})
	if _, err := db.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "MigrationsDir") || !strings.Contains(err.Error(), "sql/0001_a.up.sql") {
		t.Errorf("Up says %v", err)
	}
	if err := db.Check(t.Context()); err == nil {
		t.Error("Check says nothing")
	}
	if _, err := open(t, tdb, files{"mysql/0001_a.up.sql": "CREATE TABLE a (id integer);"}).Up(t.Context()); err != nil {
		t.Errorf("another engine's: %v", err)
	}
}
