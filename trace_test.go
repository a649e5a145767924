package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// traceText is a trace in a line for each statement: what is written anew, read or
// built, who waits, and what fails on rows.
func traceText(tr *tldwdb.Trace) string {
	var b strings.Builder
	for _, m := range tr.Migrations {
		fmt.Fprintf(&b, "%s %v", m.Migration, m.Filled)
		if len(m.Lost) > 0 {
			fmt.Fprintf(&b, " lost %s", strings.ReplaceAll(strings.Join(m.Lost, ", "), "public.", ""))
		}
		b.WriteByte('\n')
		for _, st := range m.Statements {
			fmt.Fprintf(&b, " %d:", st.Line)
			for _, t := range st.Tables {
				if t.New {
					continue
				}
				fmt.Fprintf(&b, " %s", strings.TrimPrefix(t.Name, "public."))
				if t.Rewritten {
					b.WriteString(" rewritten")
				}
				if t.Scanned {
					b.WriteString(" scanned")
				}
				fmt.Fprintf(&b, " (%s)", t.Blocks)
			}
			if st.OnRows != "" {
				b.WriteString(" fails on rows")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// traceFiles are migrations of which the second is pending, and of which each engine
// does something else with each statement.
func traceFiles(e testdb.Engine) (f files, want string) {
	f = files{
		"1_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name varchar(20) NOT NULL, age int);\nCREATE INDEX users_age ON users (age);\n",
	}
	switch e {
	case testdb.SQLite:
		f["2_more.up.sql"] = "CREATE TABLE new_users (id int PRIMARY KEY, name text NOT NULL, age int);\nINSERT INTO new_users SELECT * FROM users;\nDROP TABLE users;\nALTER TABLE new_users RENAME TO users;\nCREATE UNIQUE INDEX users_name ON users (name);\n"
		want = "0002_more [users] lost index users_age\n 1:\n 2:\n 3: users (writes)\n 4: users (writes)\n 5: users scanned (writes)\n"
	case testdb.Postgres:
		f["2_more.up.sql"] = "ALTER TABLE users ALTER age TYPE bigint;\nALTER TABLE users ADD CONSTRAINT long CHECK (age > 100);\nALTER TABLE users DROP COLUMN age;\n"
		f["3_apart.up.sql"] = "-- tldwdb: no-transaction\nCREATE INDEX CONCURRENTLY users_name ON users (name);\nUPDATE users SET name = 'x';\n"
		want = "0002_more [users] lost index users_age\n 1: users rewritten (reads and writes)\n 2: users scanned (reads and writes) fails on rows\n 3: users (reads and writes)\n" +
			"0003_apart [users]\n 2: users scanned (schema changes)\n 3: users scanned ()\n"
	default:
		f["2_more.up.sql"] = "ALTER TABLE users ADD COLUMN n int;\nALTER TABLE users ADD CONSTRAINT old CHECK (age > 100);\nCREATE INDEX users_name ON users (name);\n"
		want = "0002_more [users]\n 1: users (reads and writes)\n 2: users rewritten (writes) fails on rows\n 3: users scanned ()\n"
	}
	return f, want
}

// What is pending is observed, and neither the database nor its server keeps anything of it.
func TestTrace(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f, want := traceFiles(db.Engine)
		d := open(t, db, f, func(cfg *tldwdb.Config) { cfg.PoolSize = 1 })
		if _, err := d.MigrateTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		before := db.Dump(t)
		got, err := d.Trace(t.Context(), tldwdb.TraceRequest{})
		if err != nil {
			t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
		}
		if text := traceText(got); text != want {
			t.Errorf("the trace is\n%s\nwant\n%s", text, want)
		}
		if after := db.Dump(t); after != before {
			t.Errorf("the database was written to:\n%s", difference(after, before))
		}
		if _, err := d.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Trace(t.Context(), tldwdb.TraceRequest{}); err != nil || len(got.Migrations) > 0 {
			t.Errorf("with nothing pending: %v, %v", got, err)
		}
		noScratchLeft(t, db)
	})
}

// A rebuild is traced as what it does, and not as the CREATE TABLE that it is written as.
func TestTraceOfARebuild(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	d := open(t, db, files{
		"1_users.up.sql": "CREATE TABLE users (id integer PRIMARY KEY, age text);\nCREATE INDEX users_age ON users (age);\n",
		"2_age.up.sql":   "-- tldwdb: rebuild users\n-- tldwdb: column age = length(age)\nCREATE TABLE users (id integer PRIMARY KEY, age integer NOT NULL);\n",
	})
	if _, err := d.MigrateTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	got, err := d.Trace(t.Context(), tldwdb.TraceRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if text, want := traceText(got), "0002_age [users]\n 3: users rewritten scanned (writes)\n"; text != want {
		t.Errorf("the trace is\n%s\nwant\n%s", text, want)
	}
	if sql, want := got.Migrations[0].Statements[0].SQL, "-- tldwdb: rebuild \"users\"\n"; !strings.HasPrefix(sql, want) {
		t.Errorf("the statement is %q, and does not begin with %q", sql, want)
	}
	noScratchLeft(t, db)
}

// What was squashed is loaded, and what stands behind it is observed.
func TestTraceBehindASnapshot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (id int);\n", "2_b.up.sql": "CREATE TABLE b (id int);\n", "3_c.up.sql": "CREATE INDEX b_id ON b (id);\n"}
	with, _ := snapshotOf(t, open(t, db, f), f, 2)
	d := open(t, db, with.with(files{"1_a.up.sql": "", "2_b.up.sql": ""}))
	got, err := d.Trace(t.Context(), tldwdb.TraceRequest{})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
	}
	if text, want := traceText(got), "0003_c [b]\n 1: b scanned (writes)\n"; text != want {
		t.Errorf("the trace is\n%s\nwant\n%s", text, want)
	}
	if _, err := d.Trace(t.Context(), tldwdb.TraceRequest{Versions: []int64{1}}); !errors.Is(err, tldwdb.ErrSquashed) || tldwdb.Hint(err) == "" {
		t.Errorf("a version without a file: %v", err)
	}
	noScratchLeft(t, db)
}

// Applied and pending versions can be named, and what stands before them runs too.
func TestTraceOfVersions(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		f := files{"R__all.sql": "DROP VIEW IF EXISTS every; CREATE VIEW every AS SELECT id FROM d;"}
		for i, name := range []string{"a", "b", "c", "d"} {
			f[fmt.Sprintf("%d_%s.up.sql", i+1, name)] = "CREATE TABLE " + name + " (id int);\n"
		}
		f["3_c.up.sql"] = "ALTER TABLE b ADD COLUMN c int;\n"
		d := open(t, db, f)
		if _, err := d.MigrateTo(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			versions []int64
			want     string
		}{
			{nil, "0004_d R__all"}, {[]int64{3}, "0003_c"}, {[]int64{4}, "0004_d"}, {[]int64{4, 2}, "0002_b 0004_d"},
		} {
			got, err := d.Trace(t.Context(), tldwdb.TraceRequest{Versions: c.versions})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, m := range got.Migrations {
				names = append(names, m.Migration.String())
			}
			if text := strings.Join(names, " "); text != c.want {
				t.Errorf("%v: %s, want %s", c.versions, text, c.want)
			}
		}
		if _, err := d.Trace(t.Context(), tldwdb.TraceRequest{Versions: []int64{9}}); !errors.Is(err, tldwdb.ErrUnknownVersion) {
			t.Errorf("a version that is none: %v", err)
		}
		noScratchLeft(t, db)
	})
}

// A statement that fails with rows and without is an error with its place, and what was
// seen before it stays.
func TestTraceOfWhatFails(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, files{
			"1_a.up.sql": "CREATE TABLE a (id int);\n",
			"2_b.up.sql": "CREATE TABLE b (id int);\nINSERT INTO a VALUES (1);\n\nALTER TABLE missing ADD COLUMN c int;\n",
		})
		got, err := d.Trace(t.Context(), tldwdb.TraceRequest{})
		failed, ok := errors.AsType[*tldwdb.MigrationError](err)
		if !ok || failed.File != "2_b.up.sql" || failed.Line != 4 || !strings.Contains(err.Error(), "missing") {
			t.Errorf("error: %v", err)
		}
		if len(got.Migrations) != 2 || len(got.Migrations[1].Statements) != 2 {
			t.Errorf("what was seen before it: %s", traceText(got))
		}
		noScratchLeft(t, db)
	})
}

// A Go migration is observed as a whole. Who gives up half-way leaves nothing.
func TestTraceOfGoMigrations(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stop := false
		d := open(t, db, files{"1_a.up.sql": "CREATE TABLE a (id int);\n"}, func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 2, Name: "index", Up: func(ctx context.Context, tx tldwdb.Conn) error {
				if stop {
					cancel()
				}
				_, err := tx.ExecContext(ctx, "CREATE INDEX a_id ON a (id)")
				return err
			}}}
		})
		if _, err := d.MigrateTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		got, err := d.Trace(ctx, tldwdb.TraceRequest{})
		if err != nil {
			t.Fatal(err)
		}
		blocks := "writes"
		if isMySQL(db) { // which is asked for its ways statement by statement
			blocks = ""
		}
		if m := got.Migrations[0]; len(m.Statements) != 1 || len(m.Statements[0].Tables) != 1 || m.Statements[0].Tables[0].Blocks != blocks || !slices.Equal(m.Statements[0].Tables[0].Built, []string{"a_id"}) {
			t.Errorf("the Go migration: %+v", m)
		}
		stop = true
		if _, err := d.Trace(ctx, tldwdb.TraceRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		noScratchLeft(t, db)
	})
}

// Sizes are those of the database, and times grow with them.
func TestTraceStats(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		change := "ALTER TABLE big ADD CONSTRAINT short CHECK (length(name) < 9);\nCREATE INDEX big_name ON big (name);\n"
		if db.Engine == testdb.SQLite {
			change = "CREATE INDEX big_id ON big (id, name);\nCREATE INDEX big_name ON big (name);\n"
		}
		d := open(t, db, files{
			"1_big.up.sql":    "CREATE TABLE big (id int PRIMARY KEY, name varchar(20));\n",
			"2_change.up.sql": change,
		})
		if _, err := d.MigrateTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		admin := db.AdminDB(t)
		execute(t, admin, "INSERT INTO big VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f'), (7, 'g'), (8, 'h'), (9, 'i'), (10, 'j')")
		execute(t, admin, "INSERT INTO big SELECT a.id + 10 * b.id + 100 * c.id, 'x' FROM big a, big b, big c")
		if db.Engine == testdb.Postgres {
			execute(t, admin, "ANALYZE big")
		} else if db.Engine != testdb.SQLite {
			execute(t, admin, "ANALYZE TABLE big")
		}
		got, err := d.Trace(t.Context(), tldwdb.TraceRequest{Stats: true})
		if err != nil {
			t.Fatal(err)
		}
		first, second := got.Migrations[0].Statements[0].Tables[0].Size, got.Migrations[0].Statements[1].Tables[0].Size
		if first == nil || second == nil {
			t.Fatalf("there are no sizes: %+v", got.Migrations[0])
		}
		if first.Rows < 500 || first.Rows > 2000 || first.Bytes < 10_000 || first.Work[0] <= 0 || first.Work[1] <= first.Work[0] {
			t.Errorf("the first statement: %+v", first)
		}
		if got.Migrations[0].Transaction && first.Blocked[1] != first.Work[1]+second.Work[1] {
			t.Errorf("in a transaction others wait to its end: %+v, %+v", first, second)
		}
		noScratchLeft(t, db)
	})
}
