package tldwdb_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestNewerUnfinished: while a newer binary is at a migration that no transaction
// holds, or has failed in the middle of it, the old one serves.
func TestNewerUnfinished(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);"}
		newer := f.with(files{"2_b.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE b (id integer);\nDROP TABLE nosuch;\nDROP TABLE a;"})
		old := open(t, tdb, f)
		if _, err := old.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{"running", "failed"} {
			if state == "failed" {
				if _, err := open(t, tdb, newer).Up(t.Context()); err == nil {
					t.Fatal("it did not fail")
				}
			} else {
				execute(t, tdb.AdminDB(t), "INSERT INTO tldwdb_history (set_name, version, repeatable, name, checksum, state, direction, done, steps, started_at, actor, run_id, tool_version)"+
					" SELECT set_name, 2, repeatable, 'b', checksum, 'running', direction, 0, 3, started_at, actor, 'other', tool_version FROM tldwdb_history WHERE version = 1")
			}
			res, err := old.Up(t.Context())
			succeed(t, "; 1 → 1")(res, err)
			if len(res.Warnings) != 1 || !errors.Is(res.Warnings[0].Kind, tldwdb.ErrNewer) || !strings.Contains(res.Warnings[0].Detail, state) {
				t.Errorf("%s: the warnings are %v", state, res.Warnings)
			}
			if err := old.Check(t.Context()); err != nil {
				t.Errorf("%s: Check says %v", state, err)
			}
			if h := old.Health(t.Context()); !h.Ready {
				t.Errorf("%s: Health says %+v", state, h)
			}
			if state == "running" {
				execute(t, tdb.AdminDB(t), "DELETE FROM tldwdb_history WHERE version = 2")
			}
		}
	})
}

// TestStoredPlan: a plan survives being written down, with its warnings; an empty
// one is none.
func TestStoredPlan(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);", "2_b.up.sql": "CREATE TABLE b (id integer);"}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		db := open(t, tdb, f.with(files{"2_b.up.sql": "", "R__r.sql": "DELETE FROM a;"}))
		plan, err := db.Plan(t.Context(), tldwdb.Request{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		var stored tldwdb.Plan
		if err := json.Unmarshal(text, &stored); err != nil || len(stored.Warnings) != 1 || !errors.Is(stored.Warnings[0].Kind, tldwdb.ErrNewer) {
			t.Fatalf("read back: %+v, %v", stored, err)
		}
		for _, empty := range []*tldwdb.Plan{nil, {}} {
			if _, err := db.Apply(t.Context(), empty); !errors.Is(err, tldwdb.ErrPlanChanged) {
				t.Errorf("an empty plan: %v", err)
			}
		}
		succeed(t, "up R__r; 2 → 2")(db.Apply(t.Context(), &stored))
	})
}

// TestResumeWithoutLocks: a table that the statements before had locked and let go
// may have another name by now, and a temporary table that they dropped is not
// missed.
func TestResumeWithoutLocks(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		head := "CREATE TABLE a (id integer);\nLOCK TABLES a WRITE;\nINSERT INTO a VALUES (1);\nUNLOCK TABLES;\nPREPARE s FROM 'SELECT id FROM a';\nDEALLOCATE PREPARE s;\n" +
			"CREATE TEMPORARY TABLE c (id integer);\nDROP TEMPORARY TABLE c;\nRENAME TABLE a TO b;\n"
		if _, err := open(t, tdb, files{"1_a.up.sql": head + "DROP TABLE nosuch;"}).Up(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, files{"1_a.up.sql": head + "INSERT INTO b VALUES (2);"}).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT id FROM b ORDER BY id"); got != "1\n2" {
			t.Errorf("the rows are %q", got)
		}
	})
}

// TestCompoundOutside: a compound statement outside of a routine may commit a part
// of what it does: when it fails nobody guesses how far it came.
func TestCompoundOutside(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.MariaDB)
	f := files{"1_a.up.sql": "IF 1 THEN CREATE TABLE b (id integer); INSERT INTO nosuch VALUES (1); CREATE TABLE c (id integer); END IF;\nCREATE TABLE d (id integer);"}
	if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
		t.Fatal("it did not fail")
	}
	if _, err := open(t, tdb, f).Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
		t.Errorf("the next run: %v", err)
	}
	whole := testdb.New(t, testdb.MariaDB)
	succeed(t, "up 0001_a; 0 → 1")(open(t, whole, files{"1_a.up.sql": "FOR i IN 1..3 DO CREATE OR REPLACE TABLE b (id integer); END FOR;\nWHILE (SELECT count(*) FROM b) < 2 DO INSERT INTO b VALUES (1); END WHILE;"}).Up(t.Context()))
	if got := rowsOf(t, whole.AdminDB(t), "SELECT count(*) FROM b"); got != "2" {
		t.Errorf("there are %s rows", got)
	}
}

// TestLimitsOfAFile: what a file without a transaction sets holds for its
// statements, and it takes no role, for the journal would be written as that.
func TestLimitsOfAFile(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE a (v text);\nSET lock_timeout = '7s';\nSET statement_timeout = '33s';\nINSERT INTO a VALUES (current_setting('lock_timeout') || ' ' || current_setting('statement_timeout'));"}
	succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
	if got := rowsOf(t, tdb.AdminDB(t), "SELECT v FROM a"); got != "7s 33s" {
		t.Errorf("the limits were %s", got)
	}
	for _, text := range []string{"SET ROLE x;", "set session authorization x;", "SET LOCAL ROLE x;"} {
		_, err := open(t, tdb, f.with(files{"2_b.up.sql": "-- tldwdb: no-transaction\n" + text})).Up(t.Context())
		var load *tldwdb.LoadError
		if !errors.As(err, &load) || load.Problems[0].Line != 2 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSQLMode: files are split by the rules of the session that runs them.
func TestSQLMode(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE \"a;\" (v varchar(20));\nINSERT INTO \"a;\" VALUES ('C:\\');\nINSERT INTO \"a;\" VALUES ('D:\\');"}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, func(cfg *tldwdb.Config) {
			cfg.URL += "?sql_mode=%27ANSI_QUOTES,NO_BACKSLASH_ESCAPES%27"
		}).Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT v FROM `a;` ORDER BY v"); got != "C:\\\nD:\\" {
			t.Errorf("the rows are %q", got)
		}
	})
}

// TestWaitForWrites: a session that began while the database took no writes is
// told so for as long as it lives; the wait takes another one each time.
func TestWaitForWrites(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	admin := tdb.AdminDB(t)
	execute(t, admin, "ALTER DATABASE "+tdb.Name()+" SET default_transaction_read_only = on")
	book := &logbook{watched: func(line string) {
		if strings.Contains(line, "waiting for a server that takes writes") {
			execute(t, admin, "ALTER DATABASE "+tdb.Name()+" RESET default_transaction_read_only")
		}
	}}
	db := open(t, tdb, files{"1_a.up.sql": "CREATE TABLE a (id integer);"}, patientOnReadOnly, func(cfg *tldwdb.Config) { cfg.Logger = book.logger() })
	succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
	if !strings.Contains(book.text(), "waiting for a server that takes writes") {
		t.Error("it did not wait")
	}
}
