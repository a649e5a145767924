package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// crash runs Up in a program that dies at its n-th request, and reports whether
// it got that far.
func crash(t *testing.T, tdb *testdb.Database, cfg tldwdb.Config, n int, after bool, run func(*tldwdb.DB) error) (died bool) {
	t.Helper()
	f := &fault{}
	pool := f.pool(t, tdb)
	cfg.URL = "" // the dead open no second connection
	db, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.arm(n, after, nil)
	err = run(db)
	died = f.requests() >= n
	f.die()
	if err == nil && f.requests() > n {
		t.Fatalf("the program died at request %d, and succeeded", n)
	}
	_ = pool.Close() // as above
	return died
}

// TestDiesAnywhere kills a run at each of its requests, before and after the
// request takes effect. The next boot ends at the same schema with every
// statement having taken effect once.
func TestDiesAnywhere(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{
			"1_log.up.sql":   "CREATE TABLE log (what varchar(20));\nINSERT INTO log VALUES ('made');",
			"1_log.down.sql": "DROP TABLE log;",
			"2_b.up.sql": "INSERT INTO log VALUES ('two');\nCREATE TABLE b (id integer NOT NULL PRIMARY KEY, v integer);\nINSERT INTO b VALUES (1, 1);\n" +
				"ALTER TABLE b ADD COLUMN w integer;\nUPDATE b SET v = v + 1;\nCREATE INDEX b_v ON b (v);\nINSERT INTO log VALUES ('end of two');",
			"2_b.down.sql": "INSERT INTO log VALUES ('down');\nALTER TABLE b DROP COLUMN w;\nDROP TABLE b;",
			"3_alone.up.sql": "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('three');\nCREATE TABLE c (id integer);\nUPDATE b SET v = v + 1;\n" +
				pick(tdb, "VACUUM;\n", "CREATE INDEX CONCURRENTLY c_id ON c (id);\n", "") + "INSERT INTO log VALUES ('end of three');",
		}
		check := "SELECT what, count(*) FROM log GROUP BY what ORDER BY what"
		undisturbed := testdb.New(t, tdb.Engine)
		if _, err := open(t, undisturbed, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSchema, wantRows := undisturbed.Dump(t), rowsOf(t, undisturbed.AdminDB(t), check)
		deaths := 0
		step := 1
		if testing.Short() {
			step = 7
		}
		for n, alive := 1, true; alive; n += step {
			for _, after := range []bool{false, true} {
				deaths++
				at := fmt.Sprintf("request %d, after %v", n, after)
				t.Run(at, func(t *testing.T) {
					tdb := testdb.New(t, tdb.Engine)
					alive = crash(t, tdb, configFor(tdb, f), n, after, func(db *tldwdb.DB) error { _, err := db.Up(t.Context()); return err })
					if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
						t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
					}
					if got := tdb.Dump(t); got != wantSchema {
						t.Errorf("the schema is\n%s\nwant\n%s", got, wantSchema)
					}
					admin := tdb.AdminDB(t)
					if got := rowsOf(t, admin, check); got != wantRows {
						t.Errorf("the log is\n%s\nwant\n%s", got, wantRows)
					}
					if got := rowsOf(t, admin, "SELECT * FROM b"); got != "1|3|NULL" {
						t.Errorf("the row is %s", got)
					}
					if got := historyRows(t, admin); strings.Count(got, "applied") != 3 {
						t.Errorf("the history is\n%s", got)
					}
				})
				if t.Failed() {
					return
				}
			}
		}
		if deaths < 20/step {
			t.Errorf("only %d deaths: the fault is not in the way", deaths)
		}
	})
}

// die runs Up in a program that dies at the request that holds the text.
func die(t *testing.T, tdb *testdb.Database, f files, text string, after bool, edits ...func(*tldwdb.Config)) {
	t.Helper()
	ft := &fault{match: text, after: after}
	pool := ft.pool(t, tdb)
	cfg := configFor(tdb, f, edits...)
	cfg.URL = ""
	db, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Up(t.Context()); err == nil {
		t.Fatalf("the program did not die at %s", text)
	}
	ft.die()
	_ = pool.Close() // its connections are dead
}

// TestDiesInStatement: each kind of statement that commits by itself, cut before
// it took effect and after. Up goes on exactly there, or says that nobody can
// know.
func TestDiesInStatement(t *testing.T) {
	t.Parallel()
	setup := "CREATE TABLE log (what varchar(20));\nCREATE TABLE t (id integer NOT NULL PRIMARY KEY, v integer, KEY t_v (v));\nINSERT INTO t VALUES (1, 1);\n" +
		"CREATE TABLE same_a (id integer, x integer);\nCREATE TABLE same_b (id integer, x integer);\nINSERT INTO same_a VALUES (1, 1);\n" +
		"CREATE PROCEDURE p() BEGIN INSERT INTO log VALUES ('called'); COMMIT; END;\nCREATE VIEW w AS SELECT id FROM t;\n" +
		"CREATE FUNCTION fn() RETURNS integer DETERMINISTIC RETURN 7;\nCREATE EVENT ev ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM t;\n" +
		"CREATE TRIGGER u AFTER UPDATE ON t FOR EACH ROW INSERT INTO log VALUES (concat('updated to ', NEW.v));\nCREATE TRIGGER d AFTER DELETE ON t FOR EACH ROW INSERT INTO log VALUES ('deleted');\n"
	for _, c := range []struct{ name, statement string }{
		{"create table", "CREATE TABLE made (id integer)"},
		{"create table if not exists", "CREATE TABLE IF NOT EXISTS made (id integer)"},
		{"create table as", "CREATE TABLE made AS SELECT * FROM t"},
		{"alter table", "ALTER TABLE t ADD COLUMN w integer"},
		{"alter table drop", "ALTER TABLE t DROP COLUMN v"},
		{"alter table rename", "ALTER TABLE t RENAME TO renamed"},
		{"alter table rename column", "ALTER TABLE t RENAME COLUMN v TO w"},
		{"alter table check", "ALTER TABLE t ADD CHECK (v > 0)"},
		{"alter table foreign key", "ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES t (id)"},
		{"alter table comment", "ALTER TABLE t COMMENT 'é'"},
		{"alter table default", "ALTER TABLE t ALTER COLUMN v SET DEFAULT 7"},
		{"drop table", "DROP TABLE t"},
		{"drop tables", "DROP TABLE same_a, same_b"},
		{"rename table", "RENAME TABLE t TO moved, same_a TO t"},
		{"truncate table", "TRUNCATE TABLE t"},
		{"create index", "CREATE INDEX t_v2 ON t (v)"},
		{"drop index", "DROP INDEX t_v ON t"},
		{"create view", "CREATE VIEW v AS SELECT * FROM t"},
		{"create or replace view", "CREATE OR REPLACE VIEW w AS SELECT v FROM t"},
		{"drop view", "DROP VIEW w"},
		{"create procedure", "CREATE PROCEDURE q() BEGIN SELECT 1; SELECT 2; END"},
		{"drop procedure", "DROP PROCEDURE p"},
		{"create function", "CREATE FUNCTION f() RETURNS integer DETERMINISTIC RETURN 7"},
		{"create trigger", "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1"},
		{"create event", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM t"},
		{"create table like", "CREATE TABLE made LIKE t"},
		{"alter view", "ALTER VIEW w AS SELECT v FROM t"},
		{"rename view", "RENAME TABLE w TO renamed"},
		{"alter procedure", "ALTER PROCEDURE p COMMENT 'new'"},
		{"drop function", "DROP FUNCTION fn"},
		{"drop trigger", "DROP TRIGGER u"},
		{"alter event", "ALTER EVENT ev ON SCHEDULE EVERY 2 YEAR"},
		{"rename event", "ALTER EVENT ev RENAME TO renamed"},
		{"drop event", "DROP EVENT ev"},
		{"grant", "GRANT SELECT ON t TO CURRENT_USER()"},
		{"revoke", "REVOKE SELECT ON t FROM CURRENT_USER()"},
		{"replace", "REPLACE INTO t VALUES (1, 9)"},
		{"update of two tables", "UPDATE t, same_a SET t.v = t.v + 1, same_a.x = same_a.x + 1 WHERE t.id = same_a.id"},
		{"delete from two tables", "DELETE t, same_a FROM t JOIN same_a ON t.id = same_a.id"},
		{"insert", "INSERT INTO t VALUES (2, 2)"},
		{"update", "UPDATE t SET v = v + 1"},
		{"set", "SET @x = 7"},
		{"lock tables", "LOCK TABLES t WRITE, log WRITE"},
		{"analyze", "ANALYZE TABLE t"},
		{"call", "CALL p()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
				t.Run(string(engine), func(t *testing.T) {
					f := files{"1_setup.up.sql": setup, "2_it.up.sql": "INSERT INTO log VALUES ('before');\n" + c.statement + ";\nINSERT INTO log VALUES ('after');\n"}
					if c.name == "lock tables" {
						f["2_it.up.sql"] += "UNLOCK TABLES;\n"
					}
					if c.name == "revoke" {
						f["2_it.up.sql"] = "GRANT SELECT ON t TO CURRENT_USER();\n" + f["2_it.up.sql"]
					}
					if c.name == "grant" || c.name == "revoke" {
						mayGrant(t, engine)
					}
					undisturbed := testdb.New(t, engine)
					if _, err := open(t, undisturbed, f).Up(t.Context()); err != nil {
						t.Fatal(err)
					}
					look := "SELECT what, count(*) FROM log GROUP BY what ORDER BY what"
					want, wantLog := undisturbed.Dump(t), rowsOf(t, undisturbed.AdminDB(t), look)
					for _, after := range []bool{false, true} {
						t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
							tdb := testdb.New(t, engine)
							admin := tdb.AdminDB(t)
							die(t, tdb, f, strings.TrimPrefix(c.statement, "LOCK TABLES "), after) // a list that becomes longer
							db := open(t, tdb, f)
							res, err := db.Up(t.Context())
							if c.name == "call" || c.name == "truncate table" && after || c.name == "drop tables" && engine == testdb.MariaDB && after { // before, the entry had not been committed
								var failed *tldwdb.MigrationError
								if !errors.Is(err, tldwdb.ErrAmbiguous) || !errors.As(err, &failed) || failed.Line != 2 || failed.Statement != c.statement || !strings.Contains(failed.Hint, "FixDone") {
									t.Fatalf("nobody can know, and Up says %v", err)
								}
								findings, err := db.Repair(t.Context())
								if err != nil || len(findings) != 1 || findings[0].Automatic || !slices.Equal(findings[0].Fixes, []tldwdb.FixKind{tldwdb.FixRetry, tldwdb.FixDone}) {
									t.Fatalf("Repair finds %+v, %v", findings, err)
								}
								fix := tldwdb.Fix{Migration: tldwdb.ID{Version: 2}, Kind: tldwdb.FixRetry}
								if after {
									fix.Kind = tldwdb.FixDone
								}
								if _, err := db.Repair(t.Context(), fix); err != nil {
									t.Fatal(err)
								}
								res, err = db.Up(t.Context())
								succeed(t, "up 0002_it; 1 → 2")(res, err)
							} else {
								succeed(t, "up 0002_it; 1 → 2")(res, err)
							}
							if got := tdb.Dump(t); got != want {
								t.Errorf("the schema is\n%s\nwant\n%s", got, want)
							}
							if got := rowsOf(t, admin, look); got != wantLog {
								t.Errorf("the log is\n%s\nwant\n%s", got, wantLog)
							}
							if got, want := historyRows(t, admin), historyRows(t, undisturbed.AdminDB(t)); got != want {
								t.Errorf("the history is\n%s\nwant\n%s", got, want)
							}
						})
					}
				})
			}
		})
	}
}

// mayGrant skips a test where the account that it runs as may not pass its rights on.
func mayGrant(t *testing.T, engine testdb.Engine) {
	t.Helper()
	admin := testdb.New(t, engine).AdminDB(t)
	execute(t, admin, "CREATE TABLE t (id integer)")
	if _, err := admin.ExecContext(t.Context(), "GRANT SELECT ON t TO CURRENT_USER()"); err != nil {
		t.Skipf("the test account of %s may not: %v", engine, err)
	}
	execute(t, admin, "REVOKE SELECT ON t FROM CURRENT_USER()")
}

// TestCutElsewhere: a file that goes to another database resumes there, and
// looks there whether its statement took effect: cut while it waited for a
// table, it did not.
func TestCutElsewhere(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			elsewhere, tdb := testdb.New(t, engine), testdb.New(t, engine)
			other, admin := elsewhere.AdminDB(t), tdb.AdminDB(t)
			execute(t, other, "CREATE TABLE t (id integer)")
			f := files{"1_a.up.sql": "CREATE TABLE t (home integer);\nUSE " + elsewhere.Name() + ";\nALTER TABLE t ADD COLUMN w integer;\nINSERT INTO t VALUES (1, 1);"}
			reader, err := other.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reader.ExecContext(t.Context(), "SELECT * FROM t"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			patient := func(cfg *tldwdb.Config) { cfg.LockTimeout = time.Hour }
			db, ended := open(t, tdb, f, patient), make(chan error, 1)
			go func() {
				_, err := db.Up(ctx)
				ended <- err
			}()
			waiting := "SELECT count(*) FROM " + elsewhere.Processlist() + " WHERE state LIKE 'Waiting for table%' AND db = '" + elsewhere.Name() + "'"
			for rowsOf(t, admin, waiting) != "1" {
				if t.Context().Err() != nil {
					t.Fatal("nobody waits for the table")
				}
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("cut: %v", err)
			}
			findings, err := open(t, tdb, f).Repair(t.Context())
			if err != nil || len(findings) != 1 || !findings[0].Automatic || findings[0].Fixes[0] != tldwdb.FixRetry {
				t.Errorf("Repair finds %+v, %v", findings, err)
			}
			if err := reader.Rollback(); err != nil {
				t.Error(err)
			}
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
			if got := rowsOf(t, other, "SELECT id, w FROM t"); got != "1|1" {
				t.Errorf("the rows are %q", got)
			}
		})
	}
}

// TestMendedFile: what is done must stay as it is in the file, what failed may
// be mended.
func TestMendedFile(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		head := "-- tldwdb: no-transaction\n"
		f := files{"1_a.up.sql": head + "CREATE TABLE a (\nid integer NOT NULL PRIMARY KEY);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (id integer);", "1_a.down.sql": "DROP TABLE a;"}
		// MySQL commits at DDL only: the rows since then go with the statement that fails.
		done := 2
		if isMySQL(tdb) {
			done = 1
		}
		for range 2 { // a second time changes nothing
			_, err := open(t, tdb, f).Up(ctx)
			var failed *tldwdb.MigrationError
			if !errors.As(err, &failed) || failed.Line != 5 {
				t.Errorf("%v", err)
			}
			if got := historyRows(t, admin); got != fmt.Sprintf("1|failed|up|%d|4", done) {
				t.Errorf("the journal is\n%s", got)
			}
		}
		status, err := open(t, tdb, f).Status(ctx)
		if err != nil || status.Migrations[0].State != tldwdb.StateFailed || status.Migrations[0].Error == "" || status.Migrations[0].Done != done || status.Pending != 1 {
			t.Errorf("the status is %+v, %v", status, err)
		}
		findings, err := open(t, tdb, f).Repair(ctx)
		if err != nil || len(findings) != 1 || !findings[0].Automatic || !strings.Contains(strings.Join(findings[0].Evidence, "\n"), "last error: ") {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
		edited := f.with(files{"1_a.up.sql": strings.Replace(f["1_a.up.sql"], "integer", "bigint", 1)})
		if _, err := open(t, tdb, edited).Up(ctx); !errors.Is(err, tldwdb.ErrHalfApplied) || tldwdb.Hint(err) == "" {
			t.Errorf("what was done has another text, and Up says %v", err)
		}
		short := f.with(files{"1_a.up.sql": head + "CREATE TABLE b (id integer);"})
		if _, err := open(t, tdb, short).Up(ctx); !errors.Is(err, tldwdb.ErrHalfApplied) {
			t.Errorf("what was done is gone from the file, and Up says %v", err)
		}
		// The first statement is one of two lines: another checkout may end them otherwise.
		crlf := f.with(files{"1_a.up.sql": strings.ReplaceAll(f["1_a.up.sql"], "\n", "\r\n")})
		var failed *tldwdb.MigrationError
		if _, err := open(t, tdb, crlf).Up(ctx); !errors.As(err, &failed) || failed.Line != 5 {
			t.Errorf("with other line ends: %v", err)
		}
		gone := files{"2_b.up.sql": "CREATE TABLE c (id integer);"}
		if _, err := open(t, tdb, gone).Up(ctx); !errors.Is(err, tldwdb.ErrHalfApplied) {
			t.Errorf("the file is gone, and Up says %v", err)
		}
		mended := f.with(files{"1_a.up.sql": strings.Replace(f["1_a.up.sql"], "VALUES (1);\nINSERT INTO a VALUES (1);", "VALUES (1);\nINSERT INTO a VALUES (2);\nINSERT INTO a VALUES (3);", 1), "1_a.down.sql": "DROP TABLE a;\nDROP TABLE b;"})
		other := func(cfg *tldwdb.Config) { cfg.Application = "somebody else" }
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, mended, other).Up(ctx))
		if got := rowsOf(t, admin, "SELECT actor FROM tldwdb_history WHERE version = 1"); !strings.HasSuffix(got, "somebody else") {
			t.Errorf("it was ended by %s", got)
		}
		if got := rowsOf(t, admin, "SELECT id FROM a ORDER BY id"); got != "1\n2\n3" {
			t.Errorf("the rows are %q", got)
		}
		// The mended way back is the one that is kept.
		succeed(t, "down 0001_a; 1 → 0")(open(t, tdb, files{}).Down(ctx, 1))
	})
}

// TestDiesGoingBack: a way back that was cut is ended by the next run, and asked
// for again it is not one more.
func TestDiesGoingBack(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, admin := t.Context(), tdb.AdminDB(t)
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id integer);", "1_a.down.sql": "DROP TABLE a;",
			"2_b.up.sql":   "CREATE TABLE b (id integer);\nCREATE TABLE c (id integer);",
			"2_b.down.sql": "-- tldwdb: no-transaction\nDROP TABLE c;\nDROP TABLE d;\nDROP TABLE b;",
		}
		db := open(t, tdb, f)
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		res, err := db.Down(ctx, 1)
		var failed *tldwdb.MigrationError
		if !errors.As(err, &failed) || failed.Direction != tldwdb.DirectionDown || failed.File != "2_b.down.sql" || failed.Line != 3 || len(res.Applied) != 0 {
			t.Errorf("%s, %v", outcome(res), err)
		}
		if got := historyRows(t, admin); got != "1|applied|up|1|1\n2|failed|down|1|3" {
			t.Errorf("the journal is\n%s", got)
		}
		mended := f.with(files{"2_b.down.sql": "-- tldwdb: no-transaction\nDROP TABLE c;\nDROP TABLE b;"})
		succeed(t, "down 0002_b; 1 → 1")(open(t, tdb, mended).Down(ctx, 1))
		succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, mended).Up(ctx))
	})
}

// TestConcurrentIndex: a build that fails leaves no invalid index, and succeeds
// when the rows have been mended.
func TestConcurrentIndex(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	ctx, admin := t.Context(), tdb.AdminDB(t)
	f := files{
		"1_a.up.sql": "CREATE SCHEMA s;\nCREATE TABLE s.a (id integer);\nINSERT INTO s.a VALUES (1), (1);",
		"2_b.up.sql": "-- tldwdb: no-transaction\nSET search_path = s;\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_id ON a (id);\nCREATE INDEX CONCURRENTLY a_id2 ON a (id);",
	}
	db := open(t, tdb, f)
	indexes := "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 's.a'::regclass ORDER BY 1"
	for range 2 {
		_, err := db.Up(ctx)
		var failed *tldwdb.MigrationError
		if !errors.As(err, &failed) || failed.Line != 3 {
			t.Errorf("%v", err)
		}
		if got := rowsOf(t, admin, indexes); got != "" {
			t.Errorf("left behind: %s", got)
		}
	}
	execute(t, admin, "DELETE FROM s.a WHERE ctid = (SELECT min(ctid) FROM s.a)")
	succeed(t, "up 0002_b; 1 → 2")(db.Up(ctx))
	if got := rowsOf(t, admin, indexes); got != "s.a_id|true\ns.a_id2|true" {
		t.Errorf("the indexes are %s", got)
	}
	// Without a name nothing could be cleaned up: it is not begun.
	nameless := f.with(files{"3_c.up.sql": "CREATE TABLE c (id integer);", "4_d.up.sql": "-- tldwdb: no-transaction\nCREATE INDEX CONCURRENTLY ON s.a (id);"})
	var load *tldwdb.LoadError
	if _, err := open(t, tdb, nameless).Up(ctx); !errors.As(err, &load) || !strings.HasPrefix(err.Error(), "4_d.up.sql:2:1: CREATE INDEX CONCURRENTLY needs a name here") {
		t.Errorf("without a name: %v", err)
	}
	if got := rowsOf(t, admin, "SELECT to_regclass('c') IS NULL"); got != "true" {
		t.Error("the file before it has run")
	}
}

// TestDiesInConcurrentIndex: the file's search_path holds when it is asked
// whether the index is there.
func TestDiesInConcurrentIndex(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.Postgres)
			index := "CREATE INDEX CONCURRENTLY a_id ON a (id)"
			f := files{
				"1_a.up.sql": "CREATE SCHEMA s;\nCREATE TABLE s.a (id integer);",
				"2_b.up.sql": "-- tldwdb: no-transaction\nSET search_path = s;\n" + index + ";\nCREATE TABLE b (id integer);",
			}
			die(t, tdb, f, index, after)
			succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f).Up(t.Context()))
			if got := rowsOf(t, tdb.AdminDB(t), "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 's.a'::regclass"); got != "s.a_id|true" {
				t.Errorf("the indexes are %s", got)
			}
		})
	}
}

// TestOpaqueRunsOnce: a CALL that succeeded is done, whatever comes behind it: a
// statement that fails and is mended, or one that waits for a table.
func TestOpaqueRunsOnce(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			admin := tdb.AdminDB(t)
			execute(t, admin, "CREATE TABLE log (id integer)", pick(tdb, "",
				"CREATE PROCEDURE p() LANGUAGE SQL AS 'INSERT INTO log VALUES (1)'", "CREATE PROCEDURE p() BEGIN INSERT INTO log VALUES (1); COMMIT; INSERT INTO log VALUES (1); END"))
			calls := pick(tdb, "", "1", "1\n1")
			f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCALL p();\nINSERT INTO nosuch VALUES (2);"}
			if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
				t.Error("no error")
			}
			if got := historyRows(t, admin); got != "1|failed|up|1|2" {
				t.Errorf("the journal is %s", got)
			}
			f["1_a.up.sql"] = strings.Replace(f["1_a.up.sql"], "INSERT INTO nosuch VALUES (2)", "UPDATE log SET id = id", 1)
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
			if got := rowsOf(t, admin, "SELECT id FROM log"); got != calls {
				t.Errorf("mended: the log is %q", got)
			}
			holder, err := admin.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			// Who reads lets the procedure write, and the ALTER TABLE wait.
			if _, err := holder.ExecContext(t.Context(), "SELECT id FROM log"); err != nil {
				t.Fatal(err)
			}
			book := &logbook{watched: func(line string) {
				if strings.Contains(line, "a table is locked") {
					_ = holder.Rollback() // sql.ErrTxDone at the second such line
				}
			}}
			short := func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.Logger = time.Second, book.logger() }
			f["2_b.up.sql"] = "-- tldwdb: no-transaction\nCALL p();\nALTER TABLE log ADD COLUMN w integer;"
			succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f, short).Up(t.Context()))
			if got := rowsOf(t, admin, "SELECT id FROM log"); got != calls+"\n"+calls {
				t.Errorf("tried again: the log is %q", got)
			}
		})
	}
}

// TestRewind: what a statement that waited for its table had set and gone to
// before it is taken back with it, and done again.
func TestRewind(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb, elsewhere := testdb.New(t, engine), testdb.New(t, engine)
			admin := tdb.AdminDB(t)
			execute(t, admin, "CREATE TABLE a (v integer)", "CREATE TABLE b (v integer)")
			f := files{"1_a.up.sql": pick(tdb, "",
				"-- tldwdb: no-transaction\nSET x.y = 1;\nINSERT INTO a VALUES (current_setting('x.y')::integer);\nSET x.y = 2;\nCREATE TEMPORARY TABLE c AS SELECT 7 AS v;\nALTER TABLE b ADD COLUMN w integer;\nINSERT INTO a SELECT v FROM c;",
				"SET @v = 1;\nCREATE TABLE made (v integer);\nINSERT INTO a SELECT @@session.div_precision_increment;\nSET SESSION div_precision_increment = 7;\nCREATE TEMPORARY TABLE c (v integer);\nUSE "+elsewhere.Name()+";\nUPDATE "+tdb.Name()+".b SET v = @v;")}
			holder, err := admin.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{"INSERT INTO b VALUES (5)", pick(tdb, "", "SELECT 1", "UPDATE b SET v = 6")} {
				if _, err := holder.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			book := &logbook{watched: func(line string) {
				if strings.Contains(line, "a table is locked") {
					_ = holder.Rollback() // sql.ErrTxDone at the second such line
				}
			}}
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.Logger = time.Second, book.logger() }).Up(t.Context()))
			if got, want := rowsOf(t, admin, "SELECT v FROM a ORDER BY v"), pick(tdb, "", "1\n7", "4"); got != want {
				t.Errorf("the rows are %q, want %q", got, want)
			}
			if !strings.Contains(book.text(), "a table is locked") {
				t.Error("nothing was locked")
			}
		})
	}
}

// TestRewindKeepsRows: what may run twice does not always commit. Rows from before
// it are not taken for durable, and not left out when a statement behind it has to
// be tried again.
func TestRewindKeepsRows(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE a (v integer)", "CREATE TABLE b (v integer)", "INSERT INTO b VALUES (5)", "CREATE TABLE c (v integer) ENGINE=MyISAM")
		between := "CACHE INDEX c IN default"
		if tdb.Engine == testdb.MySQL {
			between = "RESET PERSIST IF EXISTS max_connections"
			if _, err := admin.ExecContext(t.Context(), between); err != nil {
				t.Skipf("the test account of %s may not: %v", tdb.Engine, err)
			}
		}
		f := files{"1_a.up.sql": "CREATE TABLE made (v integer);\nINSERT INTO a VALUES (1);\n" + between + ";\nUPDATE b SET v = 7;"}
		holder, err := admin.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := holder.ExecContext(t.Context(), "UPDATE b SET v = 6"); err != nil {
			t.Fatal(err)
		}
		book := &logbook{watched: func(line string) {
			if strings.Contains(line, "a table is locked") {
				_ = holder.Rollback() // sql.ErrTxDone at the second such line
			}
		}}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.Logger = time.Second, book.logger() }).Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT (SELECT count(*) FROM a), (SELECT v FROM b)"); got != "1|7" || !strings.Contains(book.text(), "a table is locked") {
			t.Errorf("the rows are %q, and the log is\n%s", got, book.text())
		}
	})
}

// TestConcurrentIndexOfOneName: the index is the one on the table, whatever the
// search_path finds first under its name.
func TestConcurrentIndexOfOneName(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	admin := tdb.AdminDB(t)
	execute(t, admin, "CREATE SCHEMA app", "CREATE TABLE app.other (id integer)", "INSERT INTO app.other VALUES (1), (1)", "CREATE TABLE t (id integer)", "CREATE TABLE log (id integer)")
	if _, err := admin.ExecContext(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY i ON app.other (id)"); err == nil {
		t.Fatal("the other index is valid")
	}
	statement := "CREATE INDEX CONCURRENTLY i ON t (id)"
	f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nSET search_path = app, public;\n" + statement + ";\nINSERT INTO log VALUES (1);"}
	die(t, tdb, f, statement, true)
	succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
	if got := rowsOf(t, admin, "SELECT indrelid::regclass::text, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = 'i' ORDER BY 1"); got != "app.other|false\nt|true" {
		t.Errorf("the indexes are\n%s", got)
	}
	execute(t, admin, "DROP SCHEMA app CASCADE")
}

// TestDatabaseRenamed: what PostgreSQL takes inside a transaction is in one with its
// entry, also where a file without one says it.
func TestDatabaseRenamed(t *testing.T) {
	t.Parallel()
	tdb, other := testdb.New(t, testdb.Postgres), testdb.New(t, testdb.Postgres)
	rename, back := "ALTER DATABASE "+other.Name()+" RENAME TO "+other.Name()+"_2", "ALTER DATABASE "+other.Name()+"_2 RENAME TO "+other.Name()
	f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE log (id integer);\n" + rename + ";\nINSERT INTO log VALUES (1);"}
	die(t, tdb, f, rename, true)
	succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
	execute(t, tdb.AdminDB(t), back)
}

// TestTimeoutsBehindConcurrentIndex: the limits that a file sets hold to its end.
func TestTimeoutsBehindConcurrentIndex(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	f := files{"1_a.up.sql": "-- tldwdb: no-transaction\n-- tldwdb: statement-timeout=77s\nCREATE TABLE a (id integer);\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nCREATE TABLE seen AS SELECT current_setting('statement_timeout') AS v;\nVACUUM a;"}
	f["1_a.up.sql"] += "\nCREATE PROCEDURE p() LANGUAGE SQL AS 'UPDATE seen SET v = current_setting(''statement_timeout'')';\nCALL p();"
	succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.StatementTimeout = 5 * time.Second }).Up(t.Context()))
	if got := rowsOf(t, tdb.AdminDB(t), "SELECT v FROM seen"); got != "77s" && got != "77000ms" {
		t.Errorf("the limit was %s", got)
	}
}

// A procedure that fails may have committed a part of its work: it is not called
// again, neither for a lock that it did not get nor at the next start.
func TestCallThatFails(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("there are no procedures")
		}
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE calls (id integer)", pick(tdb, "",
			"CREATE PROCEDURE part() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO calls VALUES (1); COMMIT; RAISE EXCEPTION USING ERRCODE = '55P03'; END $$",
			"CREATE PROCEDURE part() BEGIN INSERT INTO calls VALUES (1); COMMIT; SIGNAL SQLSTATE '41000' SET MYSQL_ERRNO = 1205; END"))
		db := open(t, tdb, files{"1_call.up.sql": "-- tldwdb: no-transaction\nCALL part();"})
		if _, err := db.Up(t.Context()); err == nil || errors.Is(err, tldwdb.ErrAmbiguous) || tldwdb.Hint(err) == "" {
			t.Errorf("the first run: %v", err)
		}
		if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrAmbiguous) {
			t.Errorf("the second run: %v", err)
		}
		if got := rowsOf(t, admin, "SELECT count(*) FROM calls"); got != "1" {
			t.Errorf("called %s times", got)
		}
	})
}

// TestExchangePartition: MariaDB does not take it with autocommit off.
func TestExchangePartition(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			admin := tdb.AdminDB(t)
			execute(t, admin, "CREATE TABLE parted (x integer) PARTITION BY RANGE(x) (PARTITION p0 VALUES LESS THAN (10))", "CREATE TABLE single (x integer)", "INSERT INTO parted VALUES (1)")
			f := files{"1_a.up.sql": "INSERT INTO single VALUES (2);\nALTER TABLE parted EXCHANGE PARTITION p0 WITH TABLE single;\nINSERT INTO single VALUES (3);\nINSERT INTO nosuch VALUES (4);"}
			short := func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.RetryBudget = time.Second, time.Second }
			if _, err := open(t, tdb, f, short).Up(t.Context()); err == nil {
				t.Error("no error")
			}
			look := "SELECT (SELECT group_concat(x) FROM parted), (SELECT group_concat(x) FROM single)"
			if got := historyRows(t, admin) + " " + rowsOf(t, admin, look); got != "1|failed|up|2|4 2|1" { // autocommit is off again
				t.Errorf("behind the failure: %s", got)
			}
			f["1_a.up.sql"] = strings.Replace(f["1_a.up.sql"], "nosuch", "single", 1)
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, short).Up(t.Context()))
			if got := rowsOf(t, admin, look); got != "2|1,3,4" {
				t.Errorf("the rows are %s", got)
			}
		})
	}
}

// cutWaiting runs Up, and cancels it as soon as the query says so. The lock
// timeout is none for statements that wait for every older transaction.
func cutWaiting(t *testing.T, tdb *testdb.Database, f files, query string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	admin, ended := tdb.AdminDB(t), make(chan error, 1)
	db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.LockTimeout = time.Millisecond })
	go func() {
		_, err := db.Up(ctx)
		ended <- err
	}()
	for rowsOf(t, admin, query) != "true" {
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cut: %v", err)
	}
}

// TestConcurrentlyCutShort: what cannot be rolled back as a whole is brought to
// its end by the next run, and nothing is left over.
func TestConcurrentlyCutShort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, setup, open, statement, waiting, look, want string }{
		{"detach", "CREATE TABLE t (id integer) PARTITION BY LIST (id);\nCREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);", "SELECT * FROM t",
			"ALTER TABLE t DETACH PARTITION t1 CONCURRENTLY",
			"SELECT coalesce(bool_or((to_jsonb(i)->>'inhdetachpending')::boolean), false) FROM pg_inherits i",
			"SELECT count(*) FROM pg_inherits", "0"},
		{"reindex", "CREATE TABLE t (id integer);\nCREATE INDEX t_id ON t (id);", "INSERT INTO t VALUES (1)",
			"REINDEX TABLE CONCURRENTLY t",
			"SELECT count(*) > 0 FROM pg_index i, pg_stat_activity a WHERE NOT indisvalid AND a.datname = current_database() AND query LIKE 'REINDEX%' AND wait_event_type = 'Lock'",
			"SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't'::regclass", "t_id|true"},
		// An index of TOAST is the server's own: the table's owner may not drop what is left of it.
		{"reindex with TOAST", "CREATE TABLE t (id integer, v text);\nCREATE INDEX t_id ON t (id);", "INSERT INTO t VALUES (1)",
			"REINDEX TABLE CONCURRENTLY t",
			"SELECT count(*) > 0 FROM pg_index i, pg_stat_activity a WHERE NOT indisvalid AND a.datname = current_database() AND query LIKE 'REINDEX%' AND wait_event_type = 'Lock'",
			"SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't'::regclass", "t_id|true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.Postgres)
			admin := tdb.AdminDB(t)
			if c.name == "detach" && rowsOf(t, admin, "SELECT current_setting('server_version_num')::integer >= 140000") != "true" {
				t.Skip("DETACH CONCURRENTLY came with PostgreSQL 14")
			}
			f := files{"1_a.up.sql": c.setup}
			succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
			older, err := admin.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = older.Rollback() }()
			if _, err := older.ExecContext(t.Context(), c.open); err != nil {
				t.Fatal(err)
			}
			f["2_b.up.sql"] = "-- tldwdb: no-transaction\n" + c.statement + ";\nCREATE TABLE b (id integer);"
			cutWaiting(t, tdb, f, c.waiting)
			if err := older.Rollback(); err != nil {
				t.Fatal(err)
			}
			findings, err := open(t, tdb, f).Repair(t.Context())
			if err != nil || len(findings) != 1 || !findings[0].Automatic || !slices.Equal(findings[0].Fixes, []tldwdb.FixKind{tldwdb.FixRetry}) {
				t.Errorf("Repair finds %+v, %v", findings, err)
			}
			succeed(t, "up 0002_b; 1 → 2")(open(t, tdb, f).Up(t.Context()))
			if got := rowsOf(t, admin, c.look); got != c.want {
				t.Errorf("the catalogue says %s, want %s", got, c.want)
			}
			if c.name == "reindex with TOAST" {
				execute(t, admin, "DROP TABLE t") // with what an administrator would have to drop
			}
		})
	}
}

// TestTemporaryIsGone: behind a temporary table nothing can be resumed, and a
// file of which nothing else is done begins again.
func TestTemporaryIsGone(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.SQLite, testdb.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			f := files{
				"1_a.up.sql": "CREATE TABLE a (id integer);",
				"2_b.up.sql": "-- tldwdb: no-transaction\nCREATE TEMP TABLE scratch AS SELECT 7 AS id;\nINSERT INTO a SELECT id FROM scratch;\nINSERT INTO a SELECT id + 1 FROM scratch;",
			}
			early := testdb.New(t, engine)
			die(t, early, f, "INTO a SELECT id FROM", false)
			succeed(t, "up 0002_b; 1 → 2")(open(t, early, f).Up(t.Context()))
			if got := rowsOf(t, early.AdminDB(t), "SELECT id FROM a ORDER BY id"); got != "7\n8" {
				t.Errorf("the rows are %q", got)
			}
			late := testdb.New(t, engine)
			die(t, late, f, "id + 1 FROM", false)
			if _, err := open(t, late, f).Up(t.Context()); !errors.Is(err, tldwdb.ErrHalfApplied) || !strings.Contains(err.Error(), "line 2 makes the temporary table scratch") {
				t.Errorf("resumed behind a temporary table: %v", err)
			}
		})
	}
}

// TestValuesOfASession: a value that a statement left in its session is not
// there in another one. What is left of the file either does not use it, or is
// not run.
func TestValuesOfASession(t *testing.T) {
	t.Parallel()
	tables := "CREATE TABLE parent (id integer NOT NULL PRIMARY KEY AUTO_INCREMENT, name varchar(20));\nCREATE TABLE child (parent integer, n integer);\n" +
		"INSERT INTO parent (name) VALUES ('first');\n"
	broken, mended := "ALTER TABLE child ADD COLUMN n integer;\n", "ALTER TABLE child ADD COLUMN note varchar(20);\n"
	for _, c := range []struct {
		name, before, after string
		refused             string // what the error names; empty: it goes on
		want                string // rows of child, once everything ran
	}{
		{"generated key", "INSERT INTO parent (name) VALUES ('a');\nSET @p = LAST_INSERT_ID();\n", "INSERT INTO child (parent, n) VALUES (@p, 1);\n", "@p", ""},
		{"generated key, read later", "INSERT INTO parent (name) VALUES ('a');\n", "INSERT INTO child (parent, n) VALUES (LAST_INSERT_ID(), 1);\n", "LAST_INSERT_ID()", ""},
		{"generated key, generated anew", "INSERT INTO parent (name) VALUES ('a');\n", "INSERT INTO parent (name) VALUES ('b');\nINSERT INTO child (parent, n) VALUES (LAST_INSERT_ID(), 1);\n", "", "3|1"},
		{"select into", "SELECT COUNT(*) INTO @k FROM parent;\n", "INSERT INTO child (parent, n) VALUES (1, @k);\n", "@k", ""},
		{"by another variable", "SELECT COUNT(*) INTO @k FROM parent;\nSET @l = @k + 1;\n", "INSERT INTO child (parent, n) VALUES (1, @l);\n", "@l", ""},
		{"query in a set", "SET @k = (SELECT COUNT(*) FROM parent);\n", "INSERT INTO child (parent, n) VALUES (1, @k);\n", "@k", ""},
		{"clock", "SET @k = YEAR(NOW());\n", "INSERT INTO child (parent, n) VALUES (1, @k);\n", "@k", ""},
		{"assigned in passing", "SELECT @k := 7;\n", "INSERT INTO child (parent, n) VALUES (1, @k);\n", "@k", ""},
		{"quoted", "SET @`k` = (SELECT COUNT(*) FROM parent);\n", "INSERT INTO child (parent, n) VALUES (1, @K);\n", "@k", ""},
		{"prepared", "SET @s = (SELECT CONCAT('INSERT INTO child (parent, n) VALUES (1, ', COUNT(*), ')') FROM parent);\nPREPARE s FROM @s;\n", "EXECUTE s;\nDEALLOCATE PREPARE s;\n", "PREPARE s", ""},
		{"computed setting", "SET SESSION sql_mode = (SELECT 'ANSI_QUOTES');\n", "INSERT INTO child (parent, n) VALUES (1, 1);\n", "setting", ""},
		{"not used again", "INSERT INTO parent (name) VALUES ('a');\nSET @p = LAST_INSERT_ID();\nINSERT INTO child (parent, n) VALUES (@p, 1);\n", "INSERT INTO child (parent, n) VALUES (1, 2);\n", "", "1|2\n2|1"},
		{"set anew", "SET @k = (SELECT COUNT(*) FROM parent);\n", "SET @k = (SELECT COUNT(*) + 1 FROM parent);\nINSERT INTO child (parent, n) VALUES (1, @k);\n", "", "1|2"},
		{"fixed", "SET @k = 5, @old = @@sql_mode, sql_mode = REPLACE(@@sql_mode, 'ANSI', '');\n", "SET sql_mode = @old;\nINSERT INTO child (parent, n) VALUES (1, @k);\n", "", "1|5"},
		{"handler", "HANDLER parent OPEN AS h;\n", "HANDLER h READ FIRST;\nHANDLER h CLOSE;\nINSERT INTO child (parent, n) VALUES (1, 8);\n", "", "1|8"},
		{"fixed and prepared", "SET @s = 'INSERT INTO child (parent, n) VALUES (1, 6)';\nPREPARE s FROM @s;\n", "EXECUTE s;\n", "", "1|6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
				tdb := testdb.New(t, engine)
				// The run fails at broken, so that what is before it is done; the next
				// one finds the file mended.
				if _, err := open(t, tdb, files{"1_a.up.sql": tables + c.before + broken + c.after}).Up(t.Context()); err == nil {
					t.Fatal("it did not fail")
				}
				db := open(t, tdb, files{"1_a.up.sql": tables + c.before + mended + c.after})
				_, err := db.Up(t.Context())
				if c.refused != "" {
					if !errors.Is(err, tldwdb.ErrHalfApplied) || !strings.Contains(err.Error(), c.refused) {
						t.Fatalf("%v, want an error that names %s", err, c.refused)
					}
					findings, err := db.Repair(t.Context())
					if err != nil || len(findings) != 1 || findings[0].Automatic || !strings.Contains(strings.Join(findings[0].Evidence, "\n"), c.refused) {
						t.Errorf("Repair says %+v, %v", findings, err)
					}
					// The way out: the value itself.
					value := strings.NewReplacer("@p", "2", "LAST_INSERT_ID()", "2", "@k", "2", "@K", "2", "@l", "2").Replace(c.after)
					if value != c.after {
						if _, err := open(t, tdb, files{"1_a.up.sql": tables + c.before + mended + value}).Up(t.Context()); err != nil {
							t.Errorf("with the value itself: %v", err)
						}
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := rowsOf(t, tdb.AdminDB(t), "SELECT parent, n FROM child ORDER BY 1, 2"); got != c.want {
					t.Errorf("the rows are %s, want %s", got, c.want)
				}
			}
		})
	}
}

// TestRepeatableStartsAgain: a repeatable file that stopped half-way may be edited
// as one likes, and runs from its beginning then.
func TestRepeatableStartsAgain(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE log (what varchar(10));", "R__r.sql": "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('old');\nDROP TABLE IF EXISTS r;\nCREATE TABLE r (id integer);\nDROP TABLE nosuch;"}
		if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		f["R__r.sql"] = "-- tldwdb: no-transaction\nINSERT INTO log VALUES ('new');\nDROP TABLE IF EXISTS r;\nCREATE TABLE r (id integer);"
		db := open(t, tdb, f)
		if findings, err := db.Repair(t.Context()); err != nil || len(findings) != 1 || !findings[0].Automatic {
			t.Errorf("Repair finds %+v, %v", findings, err)
		}
		succeed(t, "up R__r; 1 → 1")(db.Up(t.Context()))
		succeed(t, "; 1 → 1")(db.Up(t.Context()))
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM log ORDER BY what"); got != "new\nold" {
			t.Errorf("what ran is %q", got)
		}
	})
}

// TestDoneElsewhere: the statement that a resumed run runs once more may be done
// by the server meanwhile, for the run that had begun it.
func TestDoneElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ statement, elsewhere, want string }{
		{"CREATE INDEX CONCURRENTLY i ON a (id)", "CREATE INDEX i ON a (id)", "1"},
		{"DROP INDEX CONCURRENTLY j", "DROP INDEX j", "0"},
	} {
		tdb := testdb.New(t, testdb.Postgres)
		admin := tdb.AdminDB(t)
		f := files{"1_a.up.sql": "-- tldwdb: no-transaction\nCREATE TABLE a (id integer);\nCREATE INDEX j ON a (id);\n" + c.statement + ";\nDROP INDEX IF EXISTS j;"}
		die(t, tdb, f, c.statement, false)
		ft := &fault{match: c.statement}
		ft.call = func() { execute(t, admin, c.elsewhere) }
		pool := ft.pool(t, tdb)
		cfg := configFor(tdb, f)
		cfg.URL = ""
		db, err := tldwdb.Attach(t.Context(), pool, cfg)
		if err != nil {
			t.Fatal(err)
		}
		succeed(t, "up 0001_a; 0 → 1")(db.Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT count(*) FROM pg_index WHERE indrelid = 'a'::regclass"); got != c.want {
			t.Errorf("%s: there are %s indexes", c.statement, got)
		}
		_ = pool.Close() // it has seen its fault
	}
}
