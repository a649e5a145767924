package tldwdb_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// SQLite keeps the comment at the end of a statement, and shows a text up to its first
// zero byte only.
func TestSnapshotKeepsWhatSQLiteHides(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (v text);\nINSERT INTO a VALUES (CAST(X'61002762' AS TEXT));\n" +
		"CREATE VIEW one AS SELECT v FROM a -- all of them\n;\nCREATE VIEW two AS SELECT v FROM one;\n"}
	with, _ := snapshotOf(t, open(t, db, f), f, 1)
	fresh := open(t, db, with)
	succeed(t, "up 0001_snapshot; 0 → 1")(fresh.Up(t.Context()))
	var v string
	if err := fresh.Pool().GetContext(t.Context(), &v, "SELECT hex(v) FROM two"); err != nil || v != "61002762" {
		t.Errorf("%s, %v", v, err)
	}
}

// aroundGo are migrations that are squashed, but for the one in Go between them.
func aroundGo(t *testing.T, db *testdb.Database) (squashed files, s *tldwdb.Snapshot, inGo func(*tldwdb.Config)) {
	t.Helper()
	f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n", "3_c.up.sql": "CREATE TABLE c (id int);\n"}
	inGo = func(cfg *tldwdb.Config) {
		cfg.GoMigrations = []tldwdb.GoMigration{{Version: 2, Name: "b", Up: func(ctx context.Context, conn tldwdb.Conn) error {
			_, err := conn.ExecContext(ctx, "INSERT INTO a VALUES (1)")
			return err
		}}}
	}
	with, s := snapshotOf(t, open(t, db, f, inGo), f, 3)
	return with.with(files{"1_a.up.sql": "", "3_c.up.sql": ""}), s, inGo
}

func TestDocumentSquashedAroundGo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	squashed, _, inGo := aroundGo(t, db)
	schema, err := open(t, db, squashed, inGo).Document(t.Context(), tldwdb.DocumentOptions{})
	if err != nil || len(schema.Tables) != 2 || schema.Tables[0].Made != "0003_c" {
		t.Errorf("%+v, %v", schema, err)
	}
}

// What is kept of a replay is not what another snapshot of the same files makes.
func TestDriftKeptOfAnotherSnapshot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n"}
	with, s := snapshotOf(t, open(t, db, f), f, 1)
	squashed := with.with(files{"1_a.up.sql": ""})
	at := strings.Index(s.Text, "CREATE TABLE")
	head, body := s.Text[:at], s.Text[at:]
	_, holds, _ := strings.Cut(head, "\n")
	other := strings.Replace(body, "id int", "id int, b int", 1)
	remade := squashed.with(files{s.File: "-- tldwdb: snapshot " + checksumOf(other) + "\n" + holds + other})
	v := tldwdb.Verification{CacheDir: filepath.Join(t.TempDir(), "kept")}
	d := open(t, db, squashed)
	succeed(t, "up 0001_snapshot; 0 → 1")(d.Up(t.Context()))
	if list, err := d.Drift(t.Context(), v); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := open(t, db, remade).Drift(t.Context(), v); err != nil || len(list) != 1 {
		t.Errorf("another snapshot: %v, %v", list, err)
	}
}

// What was applied before the rules came cannot be changed, and is not refused where it
// runs once more.
func TestLintLeavesScratchAlone(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f, _ := unsafeFiles(db.Engine)
		if _, err := open(t, db, f, func(cfg *tldwdb.Config) { cfg.Lint.Mode = tldwdblint.ModeOff }).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := open(t, db, f, func(cfg *tldwdb.Config) { cfg.Lint.Mode = tldwdblint.ModeEnforce })
		if list, err := d.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(list) > 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// What is a value in a row is none to a session with the usual sql_mode: 0 would be the
// next number, and a zero date an error.
func TestSnapshotKeepsZeros(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if !isMySQL(db) {
			t.Skip("the others have no zero of their own")
		}
		f := files{"1_zero.up.sql": "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n" +
			"CREATE TABLE zero (id int AUTO_INCREMENT PRIMARY KEY, day date NOT NULL DEFAULT '0000-00-00', at datetime, note varchar(9) DEFAULT 'a\\\\b');\n" +
			"INSERT INTO zero (id, at) VALUES (0, '2026-00-00 00:00:00'), (7, '2026-02-31 10:00:00');\n" +
			"CREATE VIEW shown AS SELECT id, 'x\\\\y' AS v FROM zero;\n",
			"2_strict.up.sql": "CREATE TRIGGER strict BEFORE INSERT ON zero FOR EACH ROW SET @strict = NEW.note;\n"}
		with, s := snapshotOf(t, open(t, db, f), f, 2)
		loaded := testdb.New(t, db.Engine)
		succeed(t, "up 0002_snapshot, up 0003_after; 0 → 3")(open(t, loaded, with.with(files{"3_after.up.sql": "CREATE TABLE mode AS SELECT @@SESSION.sql_mode AS m;\n"})).Up(t.Context()))
		succeed(t, "up 0001_zero, up 0002_strict, up 0003_after; 0 → 3")(open(t, db, f.with(files{"3_after.up.sql": "CREATE TABLE mode AS SELECT @@SESSION.sql_mode AS m;\n"})).Up(t.Context()))
		for _, query := range []string{
			"SELECT id, CAST(day AS CHAR) AS d, CAST(at AS CHAR) AS a, note FROM zero ORDER BY id", "SELECT DISTINCT v FROM shown", "SELECT m FROM mode",
			"SELECT sql_mode FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
		} {
			if got, want := rowsOf(t, loaded.AdminDB(t), query), rowsOf(t, db.AdminDB(t), query); got != want {
				t.Errorf("%s: %s\n%s", query, difference(got, want), s.Text)
			}
		}
	})
}

// Rows with values that are larger than what a server has to sort them in, with a key
// and without one.
func TestSnapshotOfLargeValues(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		text := "text"
		if isMySQL(db) {
			text = "longtext"
		}
		insert := func(table string) (list string) {
			for _, id := range []string{"10", "9", "2"} {
				list += "INSERT INTO " + table + " VALUES (" + id + ", '" + strings.Repeat("x"+id, 300_000) + "');\n"
			}
			return list
		}
		f := files{"1_large.up.sql": "CREATE TABLE keyed (id int PRIMARY KEY, body " + text + ");\nCREATE TABLE free (id int, body " + text + ");\n" + insert("keyed") + insert("free")}
		with, _ := snapshotOf(t, open(t, db, f), f, 1)
		succeed(t, "up 0001_snapshot; 0 → 1")(open(t, db, with).Up(t.Context()))
		const query = "SELECT id, LENGTH(body) AS n FROM free WHERE body IN (SELECT body FROM keyed) ORDER BY id"
		if got, want := rowsOf(t, db.AdminDB(t), query), "2|600000\n9|600000\n10|900000"; got != want {
			t.Errorf("%s", difference(got, want))
		}
	})
}

// What is in a schema that no migration speaks of is no reason to run the files, and
// what is in another one is, with a line in the log that names it.
func TestSnapshotBesideOtherSchemas(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine != testdb.Postgres {
			t.Skip("schemas are PostgreSQL's")
		}
		f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n", "2_b.up.sql": "DO $$ BEGIN IF to_regclass('looked_at.t') IS NULL THEN CREATE TABLE b (id int); END IF; END $$;\n"}
		with, _ := snapshotOf(t, open(t, db, f), f, 2)
		for _, c := range []struct{ there, want, reason string }{
			{"CREATE SCHEMA team; CREATE TABLE team.t (id int PRIMARY KEY); COMMENT ON TABLE team.t IS 'theirs'", "up 0002_snapshot; 0 → 2", ""},
			{"CREATE SCHEMA looked_at; CREATE TABLE looked_at.t (id int)", "up 0001_a, up 0002_b; 0 → 2", "table looked_at.t is in it"},
			{"CREATE SCHEMA team; CREATE TYPE public.mood AS ENUM ('good')", "up 0001_a, up 0002_b; 0 → 2", "type public.mood is in it"},
			{"CREATE PUBLICATION theirs", "up 0001_a, up 0002_b; 0 → 2", "publication theirs is in it"},
		} {
			other := testdb.New(t, db.Engine)
			execute(t, other.AdminDB(t), c.there)
			log := &logbook{}
			succeed(t, c.want)(open(t, other, with, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }).Up(t.Context()))
			if said := strings.Join(log.lines, ""); strings.Contains(said, "a snapshot is not loaded") != (c.reason != "") || !strings.Contains(said, c.reason) {
				t.Errorf("%s: %s", c.there, said)
			}
		}
		inGo := testdb.New(t, db.Engine)
		execute(t, inGo.AdminDB(t), "CREATE SCHEMA team; CREATE TABLE team.t (id int)")
		squashed, s, code := aroundGo(t, testdb.New(t, db.Engine))
		_, err := open(t, inGo, squashed, code).Up(t.Context())
		if !errors.Is(err, tldwdb.ErrSquashed) || !strings.Contains(err.Error(), "table team.t is in it") {
			t.Errorf("%s, and what a Go migration looks into is unknown: %v", s.File, err)
		}
	})
}

// What no snapshot can carry is listed with its place.
func TestSnapshotLeftOut(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		c := map[testdb.Engine]struct{ statement, shown, about string }{
			testdb.SQLite:   {"PRAGMA auto_vacuum = 2", "PRAGMA auto_vacuum = 2", "the database's file"},
			testdb.Postgres: {"GRANT SELECT ON a TO public", "GRANT SELECT ON a TO public", "rights"},
			testdb.MariaDB:  {"PREPARE s FROM 'SELECT ''GRANT'''", "PREPARE s FROM '***'", "rights"},
			testdb.MySQL:    {"PREPARE s FROM 'SELECT ''GRANT'''", "PREPARE s FROM '***'", "rights"},
		}[db.Engine]
		f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n", "2_b.up.sql": "CREATE TABLE b (id int);\n\n" + c.statement + ";\n", "3_c.up.sql": c.statement + ";\n"}
		d := open(t, db, f)
		_, s := snapshotOf(t, d, f, 2)
		if len(s.LeftOut) != 1 || s.LeftOut[0].String() != "2_b.up.sql:3: "+c.shown+" ("+c.about+")" || s.LeftOut[0].Migration.Version != 2 {
			t.Errorf("left out: %+v", s.LeftOut)
		}
		if _, s := snapshotOf(t, d, f, 1); s.LeftOut == nil || len(s.LeftOut) > 0 {
			t.Errorf("of another version: %+v", s.LeftOut)
		}
	})
}
