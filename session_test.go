package tldwdb_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// pick returns what belongs to the engine.
func pick(tdb *testdb.Database, sqlite, postgres, mysql string) string {
	switch tdb.Engine {
	case testdb.SQLite:
		return sqlite
	case testdb.Postgres:
		return postgres
	}
	return mysql
}

// sessionQuery shows what the settings are that the files below change.
func sessionQuery(tdb *testdb.Database) string {
	return pick(tdb,
		"SELECT (SELECT foreign_keys FROM pragma_foreign_keys), (SELECT recursive_triggers FROM pragma_recursive_triggers), (SELECT cache_size FROM pragma_cache_size), (SELECT timeout FROM pragma_busy_timeout), (SELECT count(*) FROM sqlite_temp_schema), (SELECT group_concat(name) FROM pragma_database_list)",
		"SELECT current_setting('search_path'), current_user = session_user, current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('standard_conforming_strings'), to_regclass('pg_temp.scratch')",
		"SELECT DATABASE(), @@sql_mode, @@foreign_key_checks, @@unique_checks, @@time_zone, @@autocommit, @@character_set_client, @@lock_wait_timeout, @@innodb_lock_wait_timeout")
}

// TestSessionsStayApart: what a file sets reaches neither the next file nor
// Go code after it, nor the pool; with one connection, and with several.
func TestSessionsStayApart(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		for _, variant := range []string{"", "-- tldwdb: no-transaction\n", "single"} {
			if variant == "single" && isMySQL(tdb) {
				continue
			}
			name := map[string]string{"": "plain", "single": "single transaction"}[variant]
			if name == "" {
				name = "no transaction"
			}
			t.Run(name, func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				ctx := t.Context()
				elsewhere := testdb.New(t, tdb.Engine) // another database of the same server
				admin := tdb.AdminDB(t)
				if tdb.Engine == testdb.Postgres {
					execute(t, admin, "CREATE SCHEMA elsewhere")
				}
				head := strings.TrimSuffix(variant, "single")
				f := files{
					"1_before.up.sql": head + "CREATE TABLE before_it (id integer);",
					"2_set.up.sql": head + pick(tdb,
						"PRAGMA recursive_triggers = ON;\nPRAGMA cache_size = 77;\nPRAGMA busy_timeout = 1;\nPRAGMA foreign_keys = OFF;\nCREATE TEMP TABLE scratch (id integer);\nCREATE TABLE made (id integer);",
						"SET search_path = elsewhere;\nSET lock_timeout = '9s';\nSET statement_timeout = '99s';\nSET TIME ZONE 'Asia/Tokyo';\nSET standard_conforming_strings = off;\nCREATE TEMP TABLE scratch (id integer);\nCREATE TABLE made (id integer);",
						"CREATE TEMPORARY TABLE scratch (id integer);\nSET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', foreign_key_checks = 0, unique_checks = 0, time_zone = '+09:00';\nSET NAMES latin1;\nSET lock_wait_timeout = 7;\nSET autocommit = 0;\nUSE "+elsewhere.Name()+";\nCREATE TEMPORARY TABLE scratch (id integer);\nCREATE TABLE made (id integer);"),
					"3_next.up.sql": head + "CREATE TABLE next_to_it (id integer);\nCREATE TABLE scratch (id integer);\nINSERT INTO scratch VALUES (1);",
				}
				var seen string
				edit := func(cfg *tldwdb.Config) {
					cfg.PoolSize = 1
					cfg.SingleTransaction = variant == "single"
					cfg.GoMigrations = []tldwdb.GoMigration{{Version: 4, Name: "look", Up: func(ctx context.Context, conn tldwdb.Conn) error {
						var n int
						if err := conn.GetContext(ctx, &n, "SELECT count(*) FROM scratch"); err != nil {
							return err
						}
						seen = "seen"
						return nil
					}}}
				}
				db := open(t, tdb, f, edit)
				before := rowsOf(t, db.Pool().DB, sessionQuery(tdb))
				succeed(t, "up 0001_before, up 0002_set, up 0003_next, up 0004_look; 0 → 4")(db.Up(ctx))
				if after := rowsOf(t, db.Pool().DB, sessionQuery(tdb)); after != before {
					t.Errorf("the pool's session was\n%s\nand is\n%s", before, after)
				}
				if got := rowsOf(t, admin, "SELECT count(*) FROM scratch"); got != "1" || seen == "" {
					t.Errorf("the next file's table has %s rows, Go saw %q: a temporary table was in between", got, seen)
				}
				dump := tdb.Dump(t, historyTable)
				for _, table := range []string{"before_it", "next_to_it", "scratch"} {
					if !strings.Contains(dump, "table "+table) && !strings.Contains(dump, "table public."+table) && !strings.Contains(dump, table) {
						t.Errorf("%s is not in the database of its own:\n%s", table, dump)
					}
				}
				switch {
				case tdb.Engine == testdb.Postgres:
					if got := rowsOf(t, admin, "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'elsewhere') AND tablename <> '"+historyTable+"' ORDER BY 1"); got != "elsewhere.made\npublic.before_it\npublic.next_to_it\npublic.scratch" {
						t.Errorf("the tables are\n%s", got)
					}
				case isMySQL(tdb):
					if got := elsewhere.Dump(t); !strings.Contains(got, "made") || strings.Contains(got, "next_to_it") || strings.Contains(got, historyTable) {
						t.Errorf("the other database has\n%s", got)
					}
				}
				succeed(t, "; 4 → 4")(db.Up(ctx))
			})
		}
	})
}

// TestFailureLeavesNoSession: nor does a file that fails after having set
// something.
func TestFailureLeavesNoSession(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": pick(tdb,
			"PRAGMA recursive_triggers = ON;\nPRAGMA cache_size = 77;\nCREATE TEMP TABLE scratch (id integer);\nCREATE TABLE x (id integer);\nCREATE TABLE x (id integer);",
			"SET search_path = pg_catalog;\nCREATE TEMP TABLE scratch (id integer);\nSET lock_timeout = '9s';\nCREATE TABLE public.x (id integer);\nCREATE TABLE public.x (id integer);",
			"SET sql_mode = 'ANSI_QUOTES', foreign_key_checks = 0;\nSET lock_wait_timeout = 7;\nCREATE TABLE x (id integer);\nCREATE TABLE x (id integer);")}
		db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.PoolSize = 1 })
		before := rowsOf(t, db.Pool().DB, sessionQuery(tdb))
		if _, err := db.Up(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if after := rowsOf(t, db.Pool().DB, sessionQuery(tdb)); after != before {
			t.Errorf("the pool's session was\n%s\nand is\n%s", before, after)
		}
	})
}

// TestRole: a file may become another role, which knows nothing of the history
// table. Needs an account that may create roles.
func TestRole(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	ctx, admin := t.Context(), tdb.AdminDB(t)
	role := makeRole(t, tdb, admin, "")
	execute(t, admin, "CREATE SCHEMA owned AUTHORIZATION "+role)
	f := files{
		"1_a.up.sql":   "SET ROLE " + role + ";\nCREATE TABLE owned.a (id integer);",
		"1_a.down.sql": "SET ROLE " + role + ";\nDROP TABLE owned.a;",
		"2_c.up.sql":   "CREATE TABLE c (id integer);",
		"2_c.down.sql": "DROP TABLE c;",
	}
	db := open(t, tdb, f)
	succeed(t, "up 0001_a, up 0002_c; 0 → 2")(db.Up(ctx))
	if got := rowsOf(t, admin, "SELECT tablename, tableowner = '"+role+"' FROM pg_tables WHERE tablename IN ('a', 'c') ORDER BY 1"); got != "a|true\nc|false" {
		t.Errorf("the owners are\n%s", got)
	}
	succeed(t, "down 0002_c, down 0001_a; 2 → 0")(db.Down(ctx, 2))
	single := func(cfg *tldwdb.Config) { cfg.SingleTransaction = true }
	succeed(t, "up 0001_a, up 0002_c; 0 → 2")(open(t, tdb, f, single).Up(ctx))
}

// TestTableRebuild is SQLite's twelve-step ALTER TABLE. With foreign keys on,
// DROP TABLE would delete the children's rows.
func TestTableRebuild(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	ctx, admin := t.Context(), tdb.AdminDB(t)
	f := files{
		"1_a.up.sql": "CREATE TABLE parent (id integer PRIMARY KEY, x text);\nCREATE TABLE child (id integer PRIMARY KEY, parent_id integer REFERENCES parent (id) ON DELETE CASCADE);\nINSERT INTO parent VALUES (1, 'a');\nINSERT INTO child VALUES (1, 1), (2, 1);",
		"2_b.up.sql": "CREATE TABLE parent_new (id integer PRIMARY KEY, x text NOT NULL);\nINSERT INTO parent_new SELECT * FROM parent;\nDROP TABLE parent;\nALTER TABLE parent_new RENAME TO parent;",
	}
	db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.PoolSize = 1 })
	succeed(t, "up 0001_a, up 0002_b; 0 → 2")(db.Up(ctx))
	if got := rowsOf(t, admin, "SELECT count(*) FROM child"); got != "2" {
		t.Errorf("%s children are left of 2", got)
	}
	if got := rowsOf(t, db.Pool().DB, "PRAGMA foreign_keys"); got != "1" {
		t.Error("foreign keys are off in the pool")
	}

	// The same without a transaction.
	alone := testdb.New(t, testdb.SQLite)
	succeed(t, "up 0001_a, up 0002_b; 0 → 2")(open(t, alone, f.with(files{"2_b.up.sql": "-- tldwdb: no-transaction\n" + f["2_b.up.sql"]})).Up(ctx))
	if got := rowsOf(t, alone.AdminDB(t), "SELECT count(*) FROM child"); got != "2" {
		t.Errorf("without a transaction %s children are left of 2", got)
	}

	// A file that breaks a key is rolled back, and the tables are named.
	broken := f.with(files{"3_c.up.sql": "INSERT INTO child VALUES (3, 99);"})
	_, err := open(t, tdb, broken).Up(ctx)
	var failed *tldwdb.MigrationError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "child → parent (1 rows)") || failed.Hint == "" {
		t.Errorf("a broken key: %v", err)
	}
	if got := rowsOf(t, admin, "SELECT count(*) FROM child"); got != "2" {
		t.Errorf("%s children after the roll-back", got)
	}

	// What was broken before is not the file's fault.
	execute(t, admin, "PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (4, 98)")
	fine := f.with(files{"3_c.up.sql": "INSERT INTO child VALUES (3, 1);"})
	succeed(t, "up 0003_c; 2 → 3")(open(t, tdb, fine).Up(ctx))

	// A key to a column that is not unique makes the check fail by itself: the file
	// that mends it can run.
	mismatch := testdb.New(t, testdb.SQLite)
	bad := files{"1_a.up.sql": "CREATE TABLE p (x int);\nCREATE TABLE c (x int REFERENCES p (x));", "2_b.up.sql": "INSERT INTO p VALUES (1);\nCREATE UNIQUE INDEX p_x ON p (x);"}
	succeed(t, "up 0001_a, up 0002_b; 0 → 2")(open(t, mismatch, bad).Up(ctx))

	// With the directive, keys and their actions hold while the file runs.
	on := fine.with(files{"4_d.up.sql": "-- tldwdb: foreign-keys=on\nDELETE FROM parent;"})
	execute(t, admin, "DELETE FROM child WHERE id = 4")
	succeed(t, "up 0004_d; 3 → 4")(open(t, tdb, on).Up(ctx))
	if got := rowsOf(t, admin, "SELECT count(*) FROM child"); got != "0" {
		t.Errorf("the cascade left %s children", got)
	}
	on["5_e.up.sql"] = "-- tldwdb: foreign-keys=on\nINSERT INTO child VALUES (1, 99);"
	if _, err = open(t, tdb, on).Up(ctx); !errors.As(err, &failed) || failed.Line != 2 || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("a broken key with keys on: %v", err)
	}
	// All in one transaction is held to the same.
	single := func(cfg *tldwdb.Config) { cfg.SingleTransaction = true }
	if _, err = open(t, tdb, fine.with(files{"4_d.up.sql": on["4_d.up.sql"], "5_e.up.sql": "INSERT INTO child VALUES (1, 99);"}), single).Up(ctx); err == nil || !strings.Contains(err.Error(), "child → parent") {
		t.Errorf("a broken key in one transaction for all: %v", err)
	}
}

// TestInMemory: the database is its only connection, which Up must not close.
func TestInMemory(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := tldwdb.Open(ctx, tldwdb.Config{URL: "sqlite://", Migrations: library.with(files{
		"0004_set.up.sql": "PRAGMA cache_size = 77;\nCREATE TEMP TABLE scratch (id integer);\nATTACH ':memory:' AS aside;"}).fs()})
	if err != nil {
		t.Fatal(err)
	}
	before := rowsOf(t, db.Pool().DB, "SELECT * FROM pragma_cache_size")
	if _, err := db.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(t, db.Pool().DB, "SELECT * FROM titles"); got != "Notes" {
		t.Errorf("the rows are %q", got)
	}
	if got := rowsOf(t, db.Pool().DB, "SELECT * FROM pragma_cache_size"); got != before {
		t.Errorf("the cache size was %s and is %s", before, got)
	}
	if got := rowsOf(t, db.Pool().DB, "SELECT count(*) FROM sqlite_temp_schema"); got != "0" {
		t.Errorf("%s temporary objects are left", got)
	}
	if got := rowsOf(t, db.Pool().DB, "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')"); got != "" {
		t.Errorf("attached: %s", got)
	}
	if _, err := db.Down(ctx, 1); !errors.Is(err, tldwdb.ErrIrreversible) {
		t.Error(err)
	}
	broken := library.with(files{"0004_x.up.sql": "CREATE TABLE author (id integer);"})
	second, err := tldwdb.Open(ctx, tldwdb.Config{URL: "sqlite://", Migrations: broken.fs()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Up(ctx); err == nil {
		t.Error("no error")
	}
	if got := rowsOf(t, second.Pool().DB, "SELECT * FROM book"); got != "1|1|Notes|1843" {
		t.Errorf("after a failure the rows are %q", got)
	}
	for _, d := range []*tldwdb.DB{db, second} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPositions: characters before the fault do not move it, however many bytes
// they have.
func TestPositions(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		head := "-- é ü 漢字 🙂\n/* ñ */ CREATE TABLE a (id integer); -- ö\n"
		for name, c := range map[string]struct {
			text, sqlite, postgres, mysql string
		}{
			"a syntax error, lines into the statement": {
				text:     head + "SELECT 'é🙂',\n  'ü' FRÖM a;\nCREATE TABLE b (id integer);\n",
				postgres: "4:12: ", mysql: "4: ", sqlite: "3: ",
			},
			"a table that is not there": {
				text:     head + "INSERT INTO a VALUES (1);\n  INSERT INTO a SELECT 'é🙂' FROM nowhere;\n",
				postgres: "4:34: ", mysql: "4: ", sqlite: "4: ",
			},
			"a fault without a position": {
				text:     head + "INSERT INTO a VALUES (1);\r\n\r\nCREATE TABLE a (id integer);\r\n",
				postgres: "5: ", mysql: "5: ", sqlite: "5: ",
			},
		} {
			for _, header := range []string{"", "-- tldwdb: no-transaction\n"} {
				t.Run(name+header, func(t *testing.T) {
					tdb := testdb.New(t, tdb.Engine)
					// The header takes the place of the first line, so that lines stay.
					text := header + strings.TrimPrefix(c.text, strings.Repeat("-- é ü 漢字 🙂\n", len(header)/max(len(header), 1)))
					_, err := open(t, tdb, files{"1_a.up.sql": text}).Up(t.Context())
					if want := "1_a.up.sql:" + pick(tdb, c.sqlite, c.postgres, c.mysql); err == nil || !strings.HasPrefix(err.Error(), want) {
						t.Errorf("%v; want %s…", err, want)
					}
				})
			}
		}
	})
}

// TestCancelledInsideAFile: the error of a run that was told to end says which
// file it was in, and which line where that can be known: PostgreSQL gets a
// transaction as one packet, and does not say how far it has come in it.
func TestCancelledInsideAFile(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		for header, line := range map[string]int{"": 3, "-- tldwdb: no-transaction\n": 4} {
			if header == "" && tdb.Engine == testdb.Postgres {
				line = 0
			}
			tdb := testdb.New(t, tdb.Engine)
			f := files{"1_a.up.sql": "CREATE TABLE effects (step text);", "2_b.up.sql": header + "CREATE TABLE b (id integer);\n\n" + slow(tdb.Engine) + ";\nCREATE TABLE c (id integer);"}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			db, ended := open(t, tdb, f), make(chan error, 1)
			go func() {
				_, err := db.Up(ctx)
				ended <- err
			}()
			awaitServer(t, tdb, sleeping, true)
			cancel()
			err := <-ended
			var failed *tldwdb.MigrationError
			if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) {
				t.Fatalf("cancelled: %v", err)
			}
			if failed.File != "2_b.up.sql" || failed.Line != line || (failed.Statement != "") != (line > 0) {
				t.Errorf("the error is about %s, line %d, statement %q; want line %d", failed.File, failed.Line, failed.Statement, line)
			}
			succeed(t, "up 0002_b; 1 → 2")(db.Up(t.Context()))
		}
	})
}

// TestHints: the usual mistakes come with the usual remedies.
func TestHints(t *testing.T) {
	t.Parallel()
	hint := func(t *testing.T, tdb *testdb.Database, text, want string) {
		t.Helper()
		_, err := open(t, tdb, files{"1_a.up.sql": text}).Up(t.Context())
		var failed *tldwdb.MigrationError
		if !errors.As(err, &failed) || !strings.Contains(failed.Hint, want) || tldwdb.Hint(err) != failed.Hint {
			t.Errorf("%s: %v, hint %q; want %s", text, err, tldwdb.Hint(err), want)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		hint(t, testdb.New(t, testdb.SQLite), "CREATE TABLE t (id int);\nVACUUM;", "no-transaction")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		tdb := testdb.New(t, testdb.Postgres)
		hint(t, tdb, "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY i ON a (id);", "no-transaction")
		hint(t, tdb, "-- tldwdb: statement-timeout=1s\nSELECT pg_sleep(60);", "statement-timeout=")
		hint(t, tdb, "SET statement_timeout = 10;\nSELECT pg_sleep(60);", "statement-timeout=")
		hint(t, tdb, "CREATE TABLE pg_catalog.mine (id int);", "TLDWDB_MIGRATE_URL")
	})
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			hint(t, testdb.New(t, engine), "CREATE TABLE mysql.mine (id int);", "TLDWDB_MIGRATE_URL")
		})
	}
}

// TestStatementTimeout: the directive and the setting bound a statement, and
// the directive goes before.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	show := "CREATE TABLE %s AS SELECT current_setting('statement_timeout') AS s, current_setting('lock_timeout') AS l;"
	f := files{
		"1_a.up.sql": strings.ReplaceAll(show, "%s", "a"),
		"2_b.up.sql": "-- tldwdb: statement-timeout=90s\n-- tldwdb: lock-timeout=7s\n" + strings.ReplaceAll(show, "%s", "b"),
		"3_c.up.sql": strings.ReplaceAll(show, "%s", "c"),
		"4_d.up.sql": "-- tldwdb: no-transaction\n-- tldwdb: statement-timeout=90s\n-- tldwdb: lock-timeout=7s\n" + strings.ReplaceAll(show, "%s", "d"),
	}
	query := "SELECT * FROM a UNION ALL SELECT * FROM b UNION ALL SELECT * FROM c UNION ALL SELECT * FROM d"
	if _, err := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.StatementTimeout = 50e9 }).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"50s|2s", "90s|7s", "50s|2s", "90s|7s"}
	got := strings.ReplaceAll(rowsOf(t, tdb.AdminDB(t), query), "1min30s", "90s")
	if lines := strings.Split(got, "\n"); !slices.Equal(lines, want) {
		t.Errorf("the timeouts are %v, want %v", lines, want)
	}
}

// TestVariablesStayApart: what a file leaves in user variables does not reach the
// next file.
func TestVariablesStayApart(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		tdb := testdb.New(t, engine)
		f := files{
			"1_a.up.sql": "CREATE TABLE log (what varchar(20));\nSET @a = 'a';\nSELECT 'b' INTO @`b c`;\nINSERT INTO log VALUES (@c := 'own');",
			"2_b.up.sql": "INSERT INTO log SELECT CONCAT(COALESCE(@a, 'none'), COALESCE(@`b c`, 'none'), COALESCE(@c, 'none'));",
		}
		if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := rowsOf(t, tdb.AdminDB(t), "SELECT what FROM log ORDER BY what"); got != "nonenonenone\nown" {
			t.Errorf("%s: %q", engine, got)
		}
	}
}

// TestSetStatement: what MariaDB's SET STATEMENT sets something for is a
// statement like any other, and does not run again with the session's settings.
func TestSetStatement(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.MariaDB)
	head := "CREATE TABLE log (what varchar(20));\nSET STATEMENT max_statement_time = 10 FOR INSERT INTO log VALUES ('once');\nSET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE log ADD COLUMN n integer;\n"
	if _, err := open(t, tdb, files{"1_a.up.sql": head + "ALTER TABLE log ADD COLUMN n integer;"}).Up(t.Context()); err == nil {
		t.Fatal("it did not fail")
	}
	succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, files{"1_a.up.sql": head + "ALTER TABLE log ADD COLUMN m integer;"}).Up(t.Context()))
	if got := rowsOf(t, tdb.AdminDB(t), "SELECT * FROM log"); got != "once|NULL|NULL" {
		t.Errorf("the rows are %q", got)
	}
}

// TestSetRole: a role that a file takes on a MySQL server does not reach the next
// file, and is taken again when the file is resumed.
func TestSetRole(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, engine)
			admin := tdb.AdminDB(t)
			role := strings.ToLower("tldw_r_" + rand.Text()[:10])
			if _, err := admin.ExecContext(t.Context(), "CREATE ROLE "+role); err != nil {
				t.Skipf("the test account of %s may not create roles: %v", engine, err)
			}
			t.Cleanup(func() { _, _ = admin.Exec("DROP ROLE " + role) }) //nolint:noctx // the test's context has ended
			execute(t, admin, "GRANT ALL ON "+tdb.Name()+".* TO "+role, "GRANT "+role+" TO CURRENT_USER")
			what := "INSERT INTO log VALUES (CURRENT_ROLE() LIKE '%" + role + "%');"
			f := files{
				"1_a.up.sql": "CREATE TABLE log (taken integer);\nSET ROLE " + role + ";\nCREATE TABLE log (again integer);\n" + what,
				"2_b.up.sql": what,
			}
			if _, err := open(t, tdb, f).Up(t.Context()); err == nil {
				t.Fatal("it did not fail")
			}
			f["1_a.up.sql"] = strings.Replace(f["1_a.up.sql"], "TABLE log (again", "TABLE b (again", 1)
			if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := rowsOf(t, admin, "SELECT COALESCE(taken, 0) FROM log ORDER BY 1"); got != "0\n1" {
				t.Errorf("the role was taken: %q, want only in the first file", got)
			}
		})
	}
}

// TestSetOutsideTransaction: a setting that cannot be made in a transaction can be
// made behind rows all the same: a file is written for autocommit. So is its script.
func TestSetOutsideTransaction(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO a VALUES (2);"}
		admin := tdb.AdminDB(t)
		if _, err := admin.ExecContext(t.Context(), "SET SESSION sql_log_bin = 1"); err == nil { // who may
			f["1_a.up.sql"] += "\nSET @old = @@sql_log_bin, sql_log_bin = 0;\nINSERT INTO a VALUES (3);\nSET SESSION sql_log_bin = @old;\nINSERT INTO a VALUES (4);"
		}
		scripted(scriptOf(t, tdb, f, 0, tldwdb.Request{})).run(t, testdb.New(t, tdb.Engine))
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f).Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT id FROM a ORDER BY id"); !strings.HasPrefix(got, "1\n2") {
			t.Errorf("the rows are %q", got)
		}
	})
}
