package tldwdb_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestLastingRows: rows in a table without transactions are not written twice. A run
// that dies inside such a statement leaves it in doubt, and one that dies behind it
// does not.
func TestLastingRows(t *testing.T) {
	t.Parallel()
	const write = "INSERT INTO way VALUES ('once')"
	for _, c := range []struct{ name, setup, before, statement string }{
		{"MyISAM", "CREATE TABLE way (what varchar(10) NOT NULL) ENGINE=MyISAM", "", ""},
		{"MEMORY", "CREATE TABLE way (what varchar(10) NOT NULL) ENGINE MEMORY", "", ""},
		{"CSV", "CREATE TABLE way (what varchar(10) NOT NULL) ENGINE='CSV'", "", ""},
		{"ARCHIVE", "CREATE TABLE way (what varchar(10) NOT NULL) ENGINE=ARCHIVE", "", ""},
		{"Aria", "CREATE TABLE way (what varchar(10) NOT NULL) ENGINE=Aria TRANSACTIONAL=1", "", ""},
		{"made by the file", "", "INSERT INTO log VALUES ('x');\nCREATE TABLE way (what varchar(10)) ENGINE = MyISAM", ""},
		{"made like another", "CREATE TABLE other (what varchar(10)) ENGINE=MyISAM", "INSERT INTO log VALUES ('x');\nCREATE TABLE way LIKE other", ""},
		{"by the session's default", "", "SET SESSION default_storage_engine = MyISAM;\nINSERT INTO log VALUES ('x');\nCREATE TABLE way (what varchar(10))", ""},
		{"view", "CREATE TABLE base (what varchar(10)) ENGINE=MyISAM;\nCREATE VIEW between_them AS SELECT what FROM base;\nCREATE VIEW way AS SELECT what FROM between_them", "", ""},
		{"trigger", "CREATE TABLE base (what varchar(10)) ENGINE=MyISAM;\nCREATE TABLE way (what varchar(10));\nCREATE TRIGGER g AFTER INSERT ON way FOR EACH ROW INSERT INTO base VALUES (NEW.what)", "", ""},
		{"another database", "CREATE TABLE way (what varchar(10)) ENGINE=MyISAM", "CREATE DATABASE IF NOT EXISTS %_2;\nUSE %_2", "INSERT INTO `%`.`way` VALUES ('once')"},
		{"under LOCK TABLES", "CREATE TABLE way (what varchar(10)) ENGINE=MyISAM;\nCREATE TABLE other (what varchar(10)) ENGINE=MyISAM", "LOCK TABLES way WRITE, log WRITE;\nALTER TABLE way DISABLE KEYS", ""},
		{"update", "CREATE TABLE way (what varchar(10)) ENGINE=MyISAM;\nINSERT INTO way VALUES ('')", "", "UPDATE log, %.way SET way.what = concat('once', way.what) WHERE log.what = 'x'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
				engine := "SELECT count(*) FROM information_schema.ENGINES WHERE ENGINE = '" + c.name + "' AND SUPPORT IN ('YES', 'DEFAULT')"
				if strings.Contains(c.setup, c.name) && rowsOf(t, tdb.AdminDB(t), engine) == "0" {
					t.Skip("this server has no such engine")
				}
				look := "SELECT what FROM way"
				if c.name == "trigger" {
					look = "SELECT what FROM base" // the row itself was rolled back with the connection
				}
				for at, died := range []string{"", "", "('behind')"} {
					tdb := testdb.New(t, tdb.Engine)
					admin := tdb.AdminDB(t)
					named := func(text string) string { return strings.ReplaceAll(text, "%", tdb.Name()) }
					statement := write
					if c.statement != "" {
						statement = named(c.statement)
					}
					f := files{"1_setup.up.sql": "CREATE TABLE log (what varchar(10));\nINSERT INTO log VALUES ('x');\n" + c.setup + ";",
						"2_it.up.sql": named(c.before) + ";\n" + statement + ";\nINSERT INTO " + tdb.Name() + ".log VALUES ('behind');"}
					if died == "" {
						died = statement
					}
					die(t, tdb, f, died, at == 1)
					db := open(t, tdb, f)
					_, err := db.Up(t.Context())
					if at < 2 {
						var failed *tldwdb.MigrationError
						if !errors.Is(err, tldwdb.ErrAmbiguous) || !errors.As(err, &failed) || failed.Statement != statement {
							t.Fatalf("nobody can know, and Up says %v", err)
						}
						fix := tldwdb.Fix{Migration: tldwdb.ID{Version: 2}, Kind: []tldwdb.FixKind{tldwdb.FixRetry, tldwdb.FixDone}[at]}
						if _, err := db.Repair(t.Context(), fix); err != nil {
							t.Fatal(err)
						}
						_, err = db.Up(t.Context())
					}
					if err != nil {
						t.Fatal(err)
					}
					if got := rowsOf(t, admin, look); got != "once" {
						t.Errorf("case %d: the rows are %q", at, got)
					}
					if got := rowsOf(t, admin, "SELECT count(*) FROM log WHERE what = 'behind'"); got != "1" {
						t.Errorf("case %d: %s rows behind it", at, got)
					}
					if strings.Contains(c.before, "%_2") {
						execute(t, admin, "DROP DATABASE "+tdb.Name()+"_2")
					}
				}
			})
		})
	}
}

// TestLastingRowsStay: a statement that failed with a part of its rows written is not
// taken for one without effect, and one that wrote nothing is.
func TestLastingRowsStay(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE m (id integer PRIMARY KEY) ENGINE=MyISAM", "CREATE TABLE a (id integer)",
			"CREATE FUNCTION f(n integer) RETURNS integer NO SQL RETURN n", "CREATE FUNCTION writes() RETURNS integer MODIFIES SQL DATA BEGIN INSERT INTO m VALUES (20); RETURN 20; END")
		for i, c := range []struct {
			text, mended, rows string
			stays              bool
		}{
			{"INSERT INTO m VALUES (1);\nINSERT INTO m VALUES (1);", "INSERT INTO m VALUES (1);\nINSERT INTO m VALUES (2);", "1\n2", false},
			{"INSERT INTO a VALUES (1);\nINSERT INTO m VALUES (3), (3);", "", "1\n2\n3", true},
			{"INSERT INTO m VALUES (4);\nINSERT INTO missing VALUES (3);", "INSERT INTO m VALUES (4);\nINSERT INTO a VALUES (3);", "1\n2\n3\n4", false},
			// Nobody sees in its text what a function does. The server tells.
			{"INSERT INTO a VALUES (writes());\nINSERT INTO missing VALUES (3);", "", "1\n2\n3\n4\n20", true},
			{"CREATE TEMPORARY TABLE scratch (id integer) ENGINE=MEMORY;\nINSERT INTO scratch VALUES (5);\nINSERT INTO missing VALUES (5);",
				"CREATE TEMPORARY TABLE scratch (id integer) ENGINE=MEMORY;\nINSERT INTO scratch VALUES (5);\nINSERT INTO m SELECT id FROM scratch;", "1\n2\n3\n4\n5\n20", false},
		} {
			id := tldwdb.ID{Version: int64(i + 1)}
			name := string(rune('1'+i)) + "_it.up.sql"
			f := files{name: c.text}
			relaxed := func(cfg *tldwdb.Config) { cfg.OutOfOrder = true }
			if _, err := open(t, tdb, f, relaxed).Up(t.Context()); err == nil || errors.Is(err, tldwdb.ErrAmbiguous) {
				t.Fatalf("%s: %v", c.text, err)
			}
			if c.stays {
				_, err := open(t, tdb, f, relaxed).Up(t.Context())
				if !errors.Is(err, tldwdb.ErrAmbiguous) {
					t.Errorf("%s: a part of it is there, and Up says %v", c.text, err)
				}
				if _, err := open(t, tdb, f, relaxed).Repair(t.Context(), tldwdb.Fix{Migration: id, Kind: tldwdb.FixApplied}); err != nil {
					t.Error(err)
				}
			} else {
				f[name] = c.mended
				if _, err := open(t, tdb, f, relaxed).Up(t.Context()); err != nil {
					t.Errorf("%s: %v", c.mended, err)
				}
			}
			if got := rowsOf(t, admin, "SELECT id FROM m ORDER BY id"); got != c.rows {
				t.Errorf("%s: the rows are %q, want %q", c.text, got, c.rows)
			}
		}
	})
}

// TestLastingRowsTriedAgain: a statement that waits for its table is tried again, and
// the rows before it are not written a second time.
func TestLastingRowsTriedAgain(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AdminDB(t)
		execute(t, admin, "CREATE TABLE m (v integer) ENGINE=MyISAM", "CREATE TABLE b (v integer)", "INSERT INTO b VALUES (5)")
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
		short := func(cfg *tldwdb.Config) { cfg.LockTimeout, cfg.Logger = time.Second, book.logger() }
		// What is in a temporary table stays as well, and is not told from what was there before.
		temporary := files{"1_a.up.sql": "CREATE TEMPORARY TABLE s (v integer) ENGINE=MEMORY;\nCREATE TABLE made (v integer);\nINSERT INTO s VALUES (1);\nUPDATE b SET v = 7;"}
		if _, err := open(t, tdb, temporary, short).Up(t.Context()); err == nil || !strings.Contains(err.Error(), "rows of a temporary table stay") || errors.Is(err, tldwdb.ErrAmbiguous) {
			t.Errorf("behind a temporary table: %v", err)
		}
		if _, err := open(t, tdb, temporary).Repair(t.Context(), tldwdb.Fix{Migration: tldwdb.ID{Version: 1}, Kind: tldwdb.FixForget}); err != nil {
			t.Error(err)
		}
		f := files{"1_a.up.sql": "INSERT INTO m VALUES (1);\nUPDATE b SET v = 7;"}
		succeed(t, "up 0001_a; 0 → 1")(open(t, tdb, f, short).Up(t.Context()))
		if got := rowsOf(t, admin, "SELECT v FROM m"); got != "1" {
			t.Errorf("the rows are %q", got)
		}
	})
}
