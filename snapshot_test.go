package tldwdb_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// snapshotFiles are migrations that make an object of every kind, and rows with values
// that are hard to write.
func snapshotFiles(e testdb.Engine) files {
	return driftFiles(e).with(files{
		"1_note.down.sql": "DROP TABLE note;",
		"4_rows.up.sql": "CREATE TABLE sample (id int PRIMARY KEY, text varchar(80), real_number double precision, at timestamp NULL);\n" +
			"INSERT INTO sample VALUES (1, 'it''s; -- no comment', 0.1, '2026-01-02 03:04:05'), (2, NULL, NULL, NULL), (3, 'über\nzwei Zeilen', -1e300, NULL);\n" +
			"CREATE VIEW latest AS SELECT id FROM sample;\nCREATE VIEW earlier AS SELECT id FROM latest;\n" +
			"CREATE TABLE moment (id int PRIMARY KEY, at timestamp DEFAULT CURRENT_TIMESTAMP);\nINSERT INTO moment (id) VALUES (1);\n",
		"4_rows.down.sql": "DROP VIEW earlier; DROP VIEW latest; DROP TABLE moment; DROP TABLE sample;",
		"5_later.up.sql":  "CREATE TABLE later (id int);", "5_later.down.sql": "DROP TABLE later;",
	})
}

// snapshotOf makes one up to a version and puts it among the files.
func snapshotOf(t *testing.T, d *tldwdb.DB, f files, version int64) (files, *tldwdb.Snapshot) {
	t.Helper()
	dumps(t, d)
	s, err := d.Snapshot(t.Context(), tldwdb.SnapshotRequest{Version: version})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
	return f.with(files{s.File: s.Text}), s
}

// dumps leaves a test out where the server's own program is too old or not here.
func dumps(t *testing.T, d *tldwdb.DB) {
	t.Helper()
	if err := tldwdb.CanBackUp(t.Context(), d); err != nil && d.Pool().DriverName() == "pgx" {
		t.Skip(err)
	}
}

func goRows(cfg *tldwdb.Config) {
	cfg.GoMigrations = []tldwdb.GoMigration{{Version: 3, Name: "rows", Idempotent: true, Up: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "INSERT INTO note (id, body) VALUES (7, 'by Go')")
		return err
	}, Down: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "DELETE FROM note")
		return err
	}}}
}

// What a snapshot makes is what the migrations make: objects, rows, and the history
// from which everything else goes on.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := snapshotFiles(db.Engine)
		byFiles := open(t, db, f, goRows)
		with, s := snapshotOf(t, byFiles, f, 4)
		if s.Version != 4 || s.Holds != 4 || s.File != "4_snapshot."+string(db.Engine)+".sql" {
			t.Errorf("made %d, %d, %s", s.Version, s.Holds, s.File)
		}
		if again, err := byFiles.Snapshot(t.Context(), tldwdb.SnapshotRequest{Version: 4}); err != nil || stable(again.Text) != stable(s.Text) {
			t.Errorf("another text, %v:\n%s", err, difference(again.Text, s.Text))
		}

		bySnapshot := testdb.New(t, db.Engine)
		d := open(t, bySnapshot, with, goRows)
		plan, err := d.Plan(t.Context(), tldwdb.Request{})
		if err != nil || len(plan.Steps) != 3 || plan.Steps[0].Reason != "snapshot" {
			t.Fatalf("%v, %v", plan, err)
		}
		succeed(t, "up 0004_snapshot, up 0005_later, up R__short; 0 → 5")(d.Apply(t.Context(), plan))
		succeed(t, "; 5 → 5")(d.Up(t.Context()))
		succeed(t, "up 0001_note, up 0002_more, up 0003_rows, up 0004_rows, up 0005_later, up R__short; 0 → 5")(byFiles.Up(t.Context()))
		if got, want := bySnapshot.Dump(t, "tldwdb_history"), db.Dump(t, "tldwdb_history"); got != want {
			t.Errorf("the schema differs:\n%s", difference(got, want))
		}
		for _, query := range []string{
			"SELECT * FROM sample ORDER BY id", "SELECT id, body FROM note", "SELECT COUNT(*) FROM moment", "SELECT id FROM earlier ORDER BY id",
			"SELECT version, name, checksum, down_sql FROM tldwdb_history WHERE set_name = 'default' ORDER BY version, name",
		} {
			if got, want := rowsOf(t, bySnapshot.AdminDB(t), query), rowsOf(t, db.AdminDB(t), query); got != want {
				t.Errorf("%s: %s", query, difference(got, want))
			}
		}
		status, err := d.Status(t.Context())
		if err != nil || len(status.Problems) > 0 || status.Pending != 0 || status.Migrations[0].State != tldwdb.StateSnapshot {
			t.Errorf("status: %+v, %v", status, err)
		}
		if list, err := d.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(list) > 0 {
			t.Errorf("drift: %v, %v", list, err)
		}
		if names, err := d.CheckSnapshots(t.Context()); err != nil || !slices.Equal(names, []string{s.File}) {
			t.Errorf("checked %v, %v", names, err)
		}
		succeed(t, "down 0005_later, down 0004_rows, down 0003_rows; 5 → 2")(d.Down(t.Context(), 3))
		succeed(t, "up 0003_rows, up 0004_rows, up 0005_later; 2 → 5")(d.Up(t.Context())) // with a history, by files
		noScratchLeft(t, db)
	})
}

// stable leaves out of a snapshot what is another time's each time.
func stable(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "-- tldwdb: snapshot") && !strings.Contains(line, "(1, '20") {
			list = append(list, line)
		}
	}
	return strings.Join(list, "")
}

// A snapshot that is not what the files say is passed over, and the check says so; one
// that was edited is a fault.
func TestSnapshotThatDoesNotFit(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id int);\n", "2_b.up.sql": "CREATE TABLE b (id int);\n", "3_c.up.sql": "CREATE TABLE c (id int);\n",
		}
		with, s := snapshotOf(t, open(t, db, f), f, 2)
		edited := with.with(files{"2_b.up.sql": "CREATE TABLE b (id int, name int);\n"})
		log := &logbook{}
		logged := func(cfg *tldwdb.Config) { cfg.Logger = log.logger() }
		d := open(t, db, edited, logged)
		if _, err := d.CheckSnapshots(t.Context()); !errors.Is(err, tldwdb.ErrSnapshotDiffers) || !strings.Contains(err.Error(), "0002_b") {
			t.Errorf("an edited file: %v", err)
		}
		succeed(t, "up 0001_a, up 0002_b, up 0003_c; 0 → 3")(d.Up(t.Context()))
		if !strings.Contains(strings.Join(log.lines, ""), "a snapshot is not loaded") {
			t.Errorf("nothing was said:\n%s", strings.Join(log.lines, ""))
		}
		broken := with.with(files{s.File: strings.Replace(s.Text, "id", "ID", 1)})
		if _, err := open(t, db, broken).Up(t.Context()); err == nil || !strings.Contains(err.Error(), "was changed after it was made") {
			t.Errorf("an edited snapshot: %v", err)
		}
		lying := with.with(files{"2_b.up.sql": "CREATE TABLE other (id int);\n"})
		forged := strings.Replace(s.Text, held(t, s.Text, "0002_b"), checksumOf(lying["2_b.up.sql"]), 1)
		if _, err := open(t, db, lying.with(files{s.File: forged})).CheckSnapshots(t.Context()); !errors.Is(err, tldwdb.ErrSnapshotDiffers) || !strings.Contains(err.Error(), "other") {
			t.Errorf("a snapshot of something else: %v", err)
		}

		// What somebody has made before us is not for a snapshot.
		taken := testdb.New(t, db.Engine)
		execute(t, taken.AdminDB(t), "CREATE TABLE mine (id int)")
		succeed(t, "up 0001_a, up 0002_b, up 0003_c; 0 → 3")(open(t, taken, with).Up(t.Context()))

		// A request that ends before it does not load it, nor does one by steps.
		below := testdb.New(t, db.Engine)
		succeed(t, "up 0001_a; 0 → 1")(open(t, below, with).MigrateTo(t.Context(), 1))
		exact := testdb.New(t, db.Engine)
		succeed(t, "up 0002_snapshot; 0 → 2")(open(t, exact, with).MigrateTo(t.Context(), 2))
		succeed(t, "down 0002_b, down 0001_a; 2 → 0")(open(t, exact, with.with(files{"1_a.down.sql": "DROP TABLE a;", "2_b.down.sql": "DROP TABLE b;"})).Migrate(t.Context(), tldwdb.Request{Goal: tldwdb.GoalBase}))
		noScratchLeft(t, db)
	})
}

func held(t *testing.T, text, id string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "holds "+id+" ")
	if !found {
		t.Fatalf("%s is not held in\n%s", id, text)
	}
	sum, _, _ := strings.Cut(rest, "\n")
	return sum
}

// Where the files are gone, their snapshot is what there is: databases that have them
// see no difference, empty ones load it, and those between are told what to do.
func TestSquashed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{
			"1_a.up.sql": "CREATE TABLE a (id int);\n", "1_a.down.sql": "DROP TABLE a;",
			"2_b.up.sql": "CREATE TABLE b (id int);\n", "2_b.down.sql": "DROP TABLE b;",
			"3_c.up.sql": "CREATE TABLE c (id int);\n", "3_c.down.sql": "DROP TABLE c;",
		}
		old := open(t, db, f)
		with, s := snapshotOf(t, old, f, 2)
		squashed := with.with(files{"1_a.up.sql": "", "1_a.down.sql": "", "2_b.up.sql": "", "2_b.down.sql": ""})
		content := func(d *tldwdb.DB) {
			t.Helper()
			status, err := d.Status(t.Context())
			if err != nil || len(status.Problems) > 0 || status.Pending != 0 || status.Current != 3 || len(status.Migrations) != 3 {
				t.Errorf("status: %+v, %v", status, err)
			}
			if err := d.Check(t.Context()); err != nil {
				t.Errorf("check: %v", err)
			}
			if list, err := d.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(list) > 0 {
				t.Errorf("drift: %v, %v", list, err)
			}
			if names, err := d.CheckSnapshots(t.Context()); err != nil || len(names) > 0 {
				t.Errorf("there is nothing to compare it with: %v, %v", names, err)
			}
		}

		succeed(t, "up 0001_a, up 0002_b; 0 → 2")(old.MigrateTo(t.Context(), 2))
		has := open(t, db, squashed)
		succeed(t, "up 0003_c; 2 → 3")(has.Up(t.Context()))
		content(has)
		for _, live := range []bool{false, true} {
			schema, err := has.Document(t.Context(), tldwdb.DocumentOptions{Live: live})
			if err != nil || !slices.Equal(schema.Migrations, []string{"0002_b", "0003_c"}) || len(schema.Tables) != 3 || schema.Tables[0].Made != "0002_b" || schema.Tables[2].Made != "0003_c" {
				t.Errorf("documented, live %v: %+v, %v", live, schema, err)
			}
		}
		succeed(t, "down 0003_c, down 0002_b; 3 → 1")(has.MigrateTo(t.Context(), 1)) // by what the history has kept
		_, err := has.Up(t.Context())
		if problems, ok := errors.AsType[*tldwdb.HistoryError](err); !ok || !errors.Is(err, tldwdb.ErrSquashed) || !strings.Contains(problems.Error(), "last release that has the file") {
			t.Errorf("in the middle: %v", err)
		}
		if err := has.Check(t.Context()); !errors.Is(err, tldwdb.ErrSquashed) {
			t.Errorf("in the middle: %v", err)
		}
		succeed(t, "up 0002_b, up 0003_c; 1 → 3")(old.Up(t.Context()))
		content(has)

		empty := testdb.New(t, db.Engine)
		fresh := open(t, empty, squashed)
		if err := fresh.Check(t.Context()); !errors.Is(err, tldwdb.ErrPending) || !strings.Contains(err.Error(), "3 to apply") {
			t.Errorf("an empty database: %v", err)
		}
		if _, err := fresh.MigrateTo(t.Context(), 1); !errors.Is(err, tldwdb.ErrSquashed) || tldwdb.Hint(err) == "" {
			t.Errorf("to a version within: %v", err)
		}
		succeed(t, "up 0002_snapshot, up 0003_c; 0 → 3")(fresh.Up(t.Context()))
		content(fresh)
		if _, err := fresh.Down(t.Context(), 2); !errors.Is(err, tldwdb.ErrIrreversible) {
			t.Errorf("the way back is gone with the files: %v", err)
		}
		if next, _ := snapshotOf(t, fresh, squashed, 3); next["3_snapshot."+string(db.Engine)+".sql"] == "" {
			t.Error("no snapshot behind a squashed one")
		}

		occupied := testdb.New(t, db.Engine)
		execute(t, occupied.AdminDB(t), "CREATE TABLE a (id int)")
		if _, err := open(t, occupied, squashed).Up(t.Context()); !errors.Is(err, tldwdb.ErrSquashed) || !strings.Contains(tldwdb.Hint(err), "Baseline") {
			t.Errorf("a database with a schema and no history: %v", err)
		}
		if _, err := open(t, occupied, squashed).Baseline(t.Context(), 2); err != nil {
			t.Error(err)
		}

		other := "sqlite"
		if db.Engine == testdb.SQLite {
			other = "postgres"
		}
		foreign := squashed.with(files{s.File: "", "2_snapshot." + other + ".sql": s.Text})
		if _, err := open(t, empty, foreign).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "stands for files that are gone") {
			t.Errorf("a snapshot of another engine alone: %v", err)
		}
		noScratchLeft(t, db)
	})
}

// A squashed migration that a database has with another text is no less changed for having no file.
func TestSquashedFromAnotherText(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n", "2_b.up.sql": "CREATE TABLE b (id int);\n"}
	with, _ := snapshotOf(t, open(t, db, f), f, 2)
	succeed(t, "up 0001_a, up 0002_b; 0 → 2")(open(t, db, f.with(files{"1_a.up.sql": "CREATE TABLE a (id integer);\n"})).Up(t.Context()))
	_, err := open(t, db, with.with(files{"1_a.up.sql": "", "2_b.up.sql": ""})).Up(t.Context())
	if !errors.Is(err, tldwdb.ErrChanged) || !strings.Contains(err.Error(), "2_snapshot.sqlite.sql") {
		t.Errorf("the run ended with %v", err)
	}
}

// A snapshot whose loading is cut short at any statement is gone on with, and nobody
// takes the database for whole before.
func TestSnapshotCutShort(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{}
		for n := 1; n <= 6; n++ {
			f[fmt.Sprintf("%d_t.up.sql", n)] = fmt.Sprintf("CREATE TABLE t%d (id int);\nINSERT INTO t%d VALUES (%d);\n", n, n, n)
		}
		with, _ := snapshotOf(t, open(t, db, f), f, 5)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cut := open(t, db, with, func(cfg *tldwdb.Config) {
			cfg.Progress = func(p tldwdb.Progress) {
				if p.Statement == 7 {
					cancel()
				}
			}
		})
		if _, err := cut.Up(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		next := open(t, db, with)
		if err := next.Check(t.Context()); !errors.Is(err, tldwdb.ErrPending) {
			t.Errorf("cut short: %v", err)
		}
		if isMySQL(db) {
			changed := with.with(files{"5_snapshot." + string(db.Engine) + ".sql": ""})
			if _, err := open(t, db, changed).Up(t.Context()); !errors.Is(err, tldwdb.ErrHalfApplied) || tldwdb.Hint(err) == "" {
				t.Errorf("without the snapshot: %v", err)
			}
		}
		status, err := next.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := "up 0005_snapshot, up 0006_t; 0 → 6"
		if status.Current == 5 && db.Engine == testdb.Postgres { // which is told of a statement while the server is at the next
			want = "up 0006_t; 5 → 6"
		}
		succeed(t, want)(next.Up(t.Context()))
		if got := historyRows(t, db.AdminDB(t)); strings.Count(got, "snapshot") != 5 || strings.Count(got, "applied") != 1 {
			t.Errorf("history:\n%s", got)
		}
		for n := 1; n <= 6; n++ {
			if got := rowsOf(t, db.AdminDB(t), fmt.Sprintf("SELECT id FROM t%d", n)); got != fmt.Sprint(n) {
				t.Errorf("t%d has %q", n, got)
			}
		}
		noScratchLeft(t, db)
	})
}

// A schema.sql is compared by what it makes, and not by how it is written.
func TestCompareSchema(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, snapshotFiles(db.Engine), goRows)
		dumps(t, d)
		schema, err := d.SchemaSQL(t.Context(), tldwdb.SnapshotRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(schema, "short_note") || strings.Contains(schema, "by Go") || strings.Contains(schema, "tldwdb") {
			t.Errorf("with all migrations:\n%s", schema)
		}
		if below, err := d.SchemaSQL(t.Context(), tldwdb.SnapshotRequest{Version: 4}); err != nil || strings.Contains(below, "short_note") || strings.Contains(below, "later") || !strings.Contains(below, "earlier") {
			t.Errorf("up to a version: %v\n%s", err, below)
		}
		if _, err := d.SchemaSQL(t.Context(), tldwdb.SnapshotRequest{Version: 9}); !errors.Is(err, tldwdb.ErrUnknownVersion) {
			t.Errorf("a version that is not there: %v", err)
		}
		if list, err := d.CompareSchema(t.Context(), "-- by hand\n"+schema, tldwdb.Verification{}); err != nil || len(list) > 0 {
			t.Errorf("its own text: %v, %v", list, err)
		}
		list, err := d.CompareSchema(t.Context(), schema+"CREATE TABLE extra (id int);\n", tldwdb.Verification{})
		if got := summaries(list); err != nil || got != "table extra unexpected" {
			t.Errorf("%s, %v", got, err)
		}
		if list, err := d.CompareSchema(t.Context(), "", tldwdb.Verification{}); err != nil || len(list) == 0 || list[0].Got != "" {
			t.Errorf("of an empty text: %v (%v)", list, err)
		}
		if _, err := d.CompareSchema(t.Context(), "CREATE TABLE;", tldwdb.Verification{}); err == nil || !strings.Contains(err.Error(), "schema.sql:1") {
			t.Errorf("a text that fails: %v", err)
		}
		noScratchLeft(t, db)
	})
}

func checksumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Where another set has migrated, what is there is that set's, and no reason to do without
// a snapshot: not even when its files are gone.
func TestSnapshotBesideAnotherSet(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{"1_a.up.sql": "CREATE TABLE a (id int);", "2_b.up.sql": "CREATE TABLE b (id int);"}
		_, s := snapshotOf(t, open(t, db, f), f, 0)
		set := func(name string) func(*tldwdb.Config) { return func(cfg *tldwdb.Config) { cfg.Set = name } }
		if _, err := open(t, db, files{"1_other.up.sql": "CREATE TABLE other (id int);"}, set("other")).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := open(t, db, files{s.File: s.Text})
		succeed(t, "up 0002_snapshot; 0 → 2")(d.Up(t.Context()))
		status, err := d.Status(t.Context())
		if err != nil || len(status.Migrations) != 2 || status.Migrations[0].State != tldwdb.StateSnapshot {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
