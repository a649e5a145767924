package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// driftFiles are a schema with an object of every kind that can be changed by hand,
// for each engine.
func driftFiles(e testdb.Engine) files {
	f := files{
		"1_note.up.sql": "CREATE TABLE note (id int PRIMARY KEY, body varchar(40), parent int, CONSTRAINT note_parent FOREIGN KEY (parent) REFERENCES note (id));\n" +
			"CREATE INDEX note_body ON note (body);\n",
		"R__short.sql": "DROP VIEW IF EXISTS short_note;\nCREATE VIEW short_note AS SELECT id FROM note;\n",
	}
	switch e {
	case testdb.SQLite:
		f["2_more.up.sql"] = "CREATE TRIGGER note_log AFTER INSERT ON note BEGIN UPDATE note SET body = 'x' WHERE id = 0; END;\n"
	case testdb.Postgres:
		f["2_more.up.sql"] = `CREATE SEQUENCE ticket;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE PROCEDURE tidy() LANGUAGE sql AS 'SELECT 1';
CREATE TRIGGER note_log BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own ON note USING (id > 0);
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM note;
`
	default:
		f["2_more.up.sql"] = "CREATE TRIGGER note_log BEFORE INSERT ON note FOR EACH ROW SET NEW.body = 'x';\n" +
			"CREATE PROCEDURE tidy() SELECT 1;\nCREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;\nCREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;\n"
	}
	return f
}

// hotFix is a change by hand, how it is taken back, and what is said meanwhile.
type hotFix struct{ make, undo, want string }

func hotFixes(e testdb.Engine) []hotFix {
	list := []hotFix{
		{"CREATE TABLE hot (id int)", "DROP TABLE hot", "table hot unexpected"},
		{"ALTER TABLE note ADD COLUMN hot int", "ALTER TABLE note DROP COLUMN hot", "table note different"},
		{"CREATE VIEW hot AS SELECT 1 AS one", "DROP VIEW hot", "view hot unexpected"},
		{"DROP VIEW short_note", "CREATE VIEW short_note AS SELECT id FROM note", "view short_note missing"},
	}
	index := []hotFix{
		{"CREATE INDEX hot ON note (parent)", "DROP INDEX hot", "index hot unexpected"},
		{"DROP INDEX note_body", "CREATE INDEX note_body ON note (body)", "index note_body missing"},
	}
	switch e {
	case testdb.SQLite:
		return slices.Concat(list, index, []hotFix{
			{"DROP TRIGGER note_log", "CREATE TRIGGER note_log AFTER INSERT ON note BEGIN UPDATE note SET body = 'x' WHERE id = 0; END", "trigger note_log missing"},
		})
	case testdb.Postgres:
		return slices.Concat(list, index, []hotFix{
			{"ALTER TABLE note ALTER body TYPE text", "ALTER TABLE note ALTER body TYPE varchar(40)", "table note different"},
			{"ALTER TABLE note ADD CONSTRAINT hot CHECK (id > 0)", "ALTER TABLE note DROP CONSTRAINT hot", "table note different"},
			{"ALTER TABLE note DISABLE TRIGGER note_log", "ALTER TABLE note ENABLE TRIGGER note_log", "trigger note.note_log different"},
			{"ALTER SEQUENCE ticket INCREMENT 2", "ALTER SEQUENCE ticket INCREMENT 1", "sequence ticket different"},
			{"CREATE TYPE hot AS ENUM ('a')", "DROP TYPE hot", "type hot unexpected"},
			{"ALTER TYPE mood RENAME VALUE 'bad' TO 'sad'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'bad'", "type mood different"},
			{"ALTER DOMAIN positive SET NOT NULL", "ALTER DOMAIN positive DROP NOT NULL", "type positive different"},
			{"CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "function touch() different"},
			{"DROP PROCEDURE tidy()", "CREATE PROCEDURE tidy() LANGUAGE sql AS 'SELECT 1'", "procedure tidy() missing"},
			{"ALTER POLICY own ON note USING (id > 1)", "ALTER POLICY own ON note USING (id > 0)", "policy note.own different"},
			{"ALTER TABLE note ENABLE ROW LEVEL SECURITY", "ALTER TABLE note DISABLE ROW LEVEL SECURITY", "table note different"},
			{"CREATE UNIQUE INDEX hot ON counted (n)", "DROP INDEX hot", "index hot unexpected"},
			{"DROP MATERIALIZED VIEW counted", "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM note", "materialized view counted missing"},
			{"CREATE SCHEMA hot", "DROP SCHEMA hot", "schema hot unexpected"},
			{"CREATE EXTENSION pg_trgm", "DROP EXTENSION pg_trgm", "extension pg_trgm unexpected"},
		})
	}
	list = append(list, []hotFix{
		{"CREATE INDEX hot ON note (body, parent)", "DROP INDEX hot ON note", "table note different"},
		{"ALTER TABLE note MODIFY body varchar(41)", "ALTER TABLE note MODIFY body varchar(40)", "table note different"},
		{"ALTER TABLE note ADD CONSTRAINT hot CHECK (id > 0)", "ALTER TABLE note DROP CONSTRAINT hot", "table note different"},
		{"ALTER TABLE note COMMENT 'hot'", "ALTER TABLE note COMMENT ''", "table note different"},
		{"DROP TRIGGER note_log", "CREATE TRIGGER note_log BEFORE INSERT ON note FOR EACH ROW SET NEW.body = 'x'", "trigger note_log missing"},
		{"DROP PROCEDURE tidy", "CREATE PROCEDURE tidy() SELECT 1", "procedure tidy missing"},
		{"ALTER FUNCTION one SQL SECURITY INVOKER", "ALTER FUNCTION one SQL SECURITY DEFINER", "function one different"},
		{"ALTER EVENT nightly ENABLE", "ALTER EVENT nightly DISABLE", "event nightly different"},
	}...)
	if e == testdb.MariaDB {
		list = append(list, hotFix{"CREATE SEQUENCE hot", "DROP SEQUENCE hot", "sequence hot unexpected"})
	}
	return list
}

// summaries are differences in a line, without the schema of all that is in it.
func summaries(list []tldwdb.Difference) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = d.Kind + " " + strings.TrimPrefix(d.Name, "public.") + " " + d.Change
	}
	return strings.Join(texts, ", ")
}

// replays counts how often a Go migration among the files runs.
func replays(version int64) (edit func(*tldwdb.Config), count *atomic.Int64) {
	count = &atomic.Int64{}
	return func(cfg *tldwdb.Config) {
		cfg.GoMigrations = []tldwdb.GoMigration{{Version: version, Name: "counted", Up: func(context.Context, tldwdb.Conn) error {
			count.Add(1)
			return nil
		}}}
	}, count
}

// Every kind of change that was made by hand is found, and only that. The migrations
// are replayed once for all of it.
func TestDrift(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		counted, runs := replays(3)
		d := open(t, db, driftFiles(db.Engine), counted)
		succeed(t, "up 0001_note, up 0002_more, up 0003_counted, up R__short; 0 → 3")(d.Up(t.Context()))
		admin := db.AdminDB(t)
		drift := func(want string) {
			t.Helper()
			list, err := d.Drift(t.Context(), tldwdb.Verification{})
			if err != nil {
				t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
			}
			if got := summaries(list); got != want {
				t.Errorf("drift: %q, want %q\n%s", got, want, fmt.Sprint(list))
			}
		}
		before := db.Dump(t)
		drift("")
		for _, fix := range hotFixes(db.Engine) {
			if strings.HasPrefix(fix.make, "CREATE EXTENSION") && rowsOf(t, admin, "SELECT 1 WHERE current_setting('server_version_num')::int < 130000") != "" {
				continue // only a superuser makes one there
			}
			execute(t, admin, fix.make)
			drift(fix.want)
			execute(t, admin, fix.undo)
		}
		drift("")
		if n := runs.Load(); n != 2 {
			t.Errorf("the migrations ran %d times, once for the database and %d times to compare", n, n-1)
		}
		if after := db.Dump(t); after != before {
			t.Errorf("the database was written to:\n%s", difference(after, before))
		}
		execute(t, admin, "CREATE TABLE hot_one (id int)", "CREATE TABLE hot_two (id int)")
		if list, err := d.Drift(t.Context(), tldwdb.Verification{Ignore: []string{"hot_*"}}); err != nil || len(list) > 0 {
			t.Errorf("what is to be left out: %v, %v", list, err)
		}
		noScratchLeft(t, db)
	})
}

// What is compared follows the history: what is pending is not missing, what was
// taken back is not wanted, and a repeatable migration that has to run again is
// left out.
func TestDriftFollowsTheHistory(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id int);", "1_a.down.sql": "DROP TABLE a;",
			"2_b.up.sql": "CREATE TABLE b (id int);", "2_b.down.sql": "DROP TABLE b;",
			"3_c.up.sql": "CREATE TABLE c (id int);", "3_c.down.sql": "DROP TABLE c;",
			"R__latest.sql": "DROP VIEW IF EXISTS latest; CREATE VIEW latest AS SELECT id FROM a;",
		}
		outOfOrder := func(cfg *tldwdb.Config) { cfg.OutOfOrder = true }
		d := open(t, db, f, outOfOrder)
		drift := func(d *tldwdb.DB, want string) {
			t.Helper()
			list, err := d.Drift(t.Context(), tldwdb.Verification{})
			if err != nil {
				t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
			}
			if got := summaries(list); got != want {
				t.Errorf("drift: %q, want %q", got, want)
			}
		}
		drift(d, "") // nothing is applied
		_, err := open(t, db, f, outOfOrder).MigrateTo(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		drift(d, "")
		without := files{"1_a.up.sql": f["1_a.up.sql"], "3_c.up.sql": f["3_c.up.sql"], "3_c.down.sql": f["3_c.down.sql"]}
		succeed(t, "up 0003_c; 1 → 3")(open(t, db, without).Up(t.Context()))
		drift(d, "") // 2 and the view are pending, 3 is there
		succeed(t, "up 0002_b, up R__latest; 3 → 3")(d.Up(t.Context()))
		drift(d, "")
		execute(t, db.AdminDB(t), "DROP VIEW latest")
		drift(d, "view latest missing")
		drift(open(t, db, f.with(files{"R__latest.sql": "DROP VIEW IF EXISTS latest; CREATE VIEW latest AS SELECT id FROM b;"}), outOfOrder), "")
		execute(t, db.AdminDB(t), "CREATE VIEW latest AS SELECT id FROM a", "DROP TABLE c")
		drift(d, "table c missing")
		execute(t, db.AdminDB(t), "CREATE TABLE c (id int)")
		succeed(t, "down 0003_c; 3 → 2")(d.Down(t.Context(), 1))
		drift(d, "")
		noScratchLeft(t, db)
	})
}

// Where nobody can say what the database should be, that is an error and no
// difference.
func TestDriftThatCannotBeKnown(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := driftFiles(db.Engine)
		d := open(t, db, f)
		succeed(t, "up 0001_note, up 0002_more, up R__short; 0 → 2")(d.Up(t.Context()))
		older := files{"1_note.up.sql": f["1_note.up.sql"]}
		gap := files{"2_more.up.sql": f["2_more.up.sql"]}
		edited := f.with(files{"1_note.up.sql": f["1_note.up.sql"] + "-- edited\n"})
		for _, c := range []struct {
			files files
			kind  error
		}{{older, tldwdb.ErrNewer}, {gap, tldwdb.ErrMissing}, {edited, tldwdb.ErrChanged}} {
			_, err := open(t, db, c.files).Drift(t.Context(), tldwdb.Verification{})
			if _, ok := errors.AsType[*tldwdb.HistoryError](err); !ok || !errors.Is(err, c.kind) || tldwdb.Hint(err) == "" {
				t.Errorf("want %v: %v", c.kind, err)
			}
		}
		if _, err := d.Drift(t.Context(), tldwdb.Verification{Ignore: []string{"["}}); err == nil || !strings.Contains(err.Error(), "Verification.Ignore") {
			t.Errorf("a pattern that is none: %v", err)
		}
		execute(t, db.AdminDB(t), "UPDATE tldwdb_history SET state = 'running' WHERE version = 2")
		if _, err := d.Drift(t.Context(), tldwdb.Verification{}); !errors.Is(err, tldwdb.ErrHalfApplied) || tldwdb.Hint(err) == "" {
			t.Errorf("half applied: %v", err)
		}
		noScratchLeft(t, db)
	})
}

// Somebody who migrates between two looks is no drift.
func TestDriftDuringMigrations(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.SQLite, testdb.Postgres} { // where no look finds one half applied
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engine)
			f := files{"1_a.up.sql": "CREATE TABLE a (id int);"}
			for n := 2; n < 20; n++ {
				f[fmt.Sprintf("%d_b.up.sql", n)] = fmt.Sprintf("CREATE TABLE b%d (id int);", n)
			}
			d, other := open(t, db, f), open(t, db, f)
			var migrating sync.WaitGroup
			var ended atomic.Bool
			migrating.Go(func() {
				defer ended.Store(true)
				for n := range 19 {
					if _, err := other.MigrateTo(t.Context(), int64(n)+1); err != nil {
						t.Error(err)
						return
					}
				}
			})
			for !ended.Load() {
				if list, err := d.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(list) > 0 {
					t.Errorf("%v, %v", list, err)
				}
			}
			migrating.Wait()
		})
	}
}

// Those who ask at one time share one replay.
func TestDriftAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	counted, runs := replays(3)
	d := open(t, db, driftFiles(db.Engine), counted)
	succeed(t, "up 0001_note, up 0002_more, up 0003_counted, up R__short; 0 → 3")(d.Up(t.Context()))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if list, err := d.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(list) > 0 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n != 2 {
		t.Errorf("the migrations ran %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Drift(ctx, tldwdb.Verification{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
}

// A schema that was changed by hand is seen by the health check that was asked to
// look, without a line of code, and goes by itself.
func TestHealthDrift(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		counted, runs := replays(3)
		d := open(t, db, healthFiles, fresh, counted, func(cfg *tldwdb.Config) {
			cfg.Health.DriftEvery = time.Millisecond
			cfg.Health.DriftIgnore = []string{"theirs"}
		})
		// The comparison goes on beside the probes: one of the next has its outcome.
		until := func(what string, good func(tldwdb.Health, *tldwdb.Check) bool) tldwdb.Health {
			t.Helper()
			for {
				h := probe(t, d)
				if good(h, h.Check(tldwdb.CheckDrift)) {
					return h
				}
				if t.Context().Err() != nil {
					t.Fatalf("%s:\n%s", what, shown(h))
				}
			}
		}
		passes := func(h tldwdb.Health, c *tldwdb.Check) bool {
			return c != nil && c.Status == tldwdb.CheckPass && c.Unit != "" && !h.Degraded
		}
		succeed(t, "up 0001_user, up 0002_media, up 0003_counted; 0 → 3")(d.Up(t.Context()))
		until("as the migrations made it", passes)
		admin := db.AdminDB(t)
		execute(t, admin, "CREATE TABLE theirs (id int)", "CREATE TABLE hot (id int)")
		h := until("changed by hand", func(_ tldwdb.Health, c *tldwdb.Check) bool { return c != nil && c.Observed == 1 })
		wantHealth(t, h, tldwdb.StatusHealthy, true, tldwdb.CheckDrift, "")
		if c := h.Check(tldwdb.CheckDrift); !h.Degraded || !strings.Contains(c.Output, "hot is not from the migrations") || h.Error != "the schema is not what it should be" {
			t.Errorf("changed by hand:\n%s", shown(h))
		}
		execute(t, admin, "DROP TABLE hot")
		until("taken back", passes)
		if n := runs.Load(); n != 2 {
			t.Errorf("the migrations ran %d times", n)
		}
		// A rollout: the history check tells of it.
		newer := open(t, db, healthFiles.with(files{"4_more.up.sql": "CREATE TABLE more (id int);"}), counted)
		succeed(t, "up 0004_more; 3 → 4")(newer.Up(t.Context()))
		until("newer than the binary", func(h tldwdb.Health, c *tldwdb.Check) bool { return c == nil && h.Status == tldwdb.StatusHealthy })
	})
}

// An account that may not make a database costs the check and nothing else, and is
// told what to do.
func TestHealthDriftWithoutScratch(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	succeed(t, "up 0001_user, up 0002_media; 0 → 2")(open(t, db, healthFiles).Up(t.Context()))
	const password = "not-to-be-shown"
	role := makeRole(t, db, db.AdminDB(t), password)
	execute(t, db.AdminDB(t), "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role)
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
		cfg.URL = urlAs(t, db, role, password)
		cfg.Health.DriftEvery = time.Hour
	})
	for {
		h := probe(t, d)
		c := h.Check(tldwdb.CheckDrift)
		if c == nil && t.Context().Err() == nil {
			continue
		}
		wantHealth(t, h, tldwdb.StatusHealthy, true, tldwdb.CheckDrift, "permission")
		if c == nil || !strings.Contains(c.Output, "scratch") || !strings.Contains(c.Output, "CREATEDB") || h.Error != "the health check drift could not be made" {
			t.Errorf("%s", shown(h))
		}
		break
	}
}
