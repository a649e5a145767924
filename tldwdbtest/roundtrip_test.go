package tldwdbtest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbtest"
)

func roundTripFiles(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

// said is a test that is looked at instead of failing.
type said struct {
	tldwdbtest.TB
	errors, logs []string
}

func (s *said) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}
func (s *said) Logf(format string, args ...any) {
	s.logs = append(s.logs, fmt.Sprintf(format, args...))
}

// Fatalf ends what run has begun.
func (s *said) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

func (s *said) run(f func()) {
	var wait sync.WaitGroup
	wait.Go(f)
	wait.Wait()
}

// engineOf is the engine of a subtest of ForEach.
func engineOf(t *testing.T) tldwdbtest.Engine {
	return tldwdbtest.Engine(t.Name()[strings.LastIndex(t.Name(), "/")+1:])
}

// Migrations that can be taken back pass, with rows in the tables; so do those that say
// that they cannot.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	tldwdbtest.ForEach(t, tldwdbtest.Config{}, func(t *testing.T, _ *tldwdb.DB) {
		e := engineOf(t)
		log := &said{TB: t}
		cfg := tldwdbtest.Config{Engine: e, Migrations: roundTripFiles(
			"1_a.up.sql", "CREATE TABLE a (id int PRIMARY KEY, mood varchar(10) NOT NULL CHECK (mood IN ('good', 'bad')), at date NOT NULL, price decimal(8,2));", "1_a.down.sql", "DROP TABLE a;",
			"2_b.up.sql", "CREATE TABLE b (id int PRIMARY KEY, a_id int NOT NULL, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id));", "2_b.down.sql", "DROP TABLE b;",
			"3_column.up.sql", "ALTER TABLE a ADD COLUMN note varchar(20) DEFAULT 'x';", "3_column.down.sql", "ALTER TABLE a DROP COLUMN note;",
			"4_gone.up.sql", "-- tldwdb: irreversible the rows are gone\nDELETE FROM b;",
			"6_column.up.sql", "ALTER TABLE a DROP COLUMN price;", "6_column.down.sql", "ALTER TABLE a ADD COLUMN price decimal(8,2);",
			"R__view.sql", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT id FROM a;",
		), GoMigrations: []tldwdb.GoMigration{{Version: 5, Name: "code", Up: func(context.Context, tldwdb.Conn) error { return nil }}}}
		log.run(func() { tldwdbtest.RoundTrip(log, cfg) })
		if len(log.errors) > 0 || len(log.logs) > 0 {
			t.Errorf("%s\n%s", strings.Join(log.errors, "\n"), strings.Join(log.logs, "\n"))
		}
	})
}

// What does not come back is named: the migration, the object, and what differs.
func TestRoundTripFails(t *testing.T) {
	t.Parallel()
	const a = "CREATE TABLE a (id int PRIMARY KEY, name varchar(20) NOT NULL);"
	tldwdbtest.ForEach(t, tldwdbtest.Config{}, func(t *testing.T, _ *tldwdb.DB) {
		e := engineOf(t)
		for want, files := range map[string]fstest.MapFS{
			"left_over is not from the migrations": roundTripFiles("1_a.up.sql", a+"CREATE TABLE IF NOT EXISTS left_over (id int);", "1_a.down.sql", "DROP TABLE a;"),
			"b is missing":                         roundTripFiles("1_b.up.sql", "CREATE TABLE b (id int);", "1_b.down.sql", "DROP TABLE b;", "2_a.up.sql", a+"DROP TABLE IF EXISTS b;", "2_a.down.sql", "DROP TABLE a;"),
			"0002_b has no way back":               roundTripFiles("1_a.up.sql", a, "1_a.down.sql", "DROP TABLE a;", "2_b.up.sql", "CREATE TABLE b (id int);"),
			"down with rows":                       roundTripFiles("1_a.up.sql", a, "1_a.down.sql", "DROP TABLE no_such_table;"),
			"up for the second time":               roundTripFiles("1_a.up.sql", a, "1_a.down.sql", "ALTER TABLE a DROP COLUMN name;"),
			"after up, down and up":                roundTripFiles("1_a.up.sql", strings.Replace(a, "TABLE", "TABLE IF NOT EXISTS", 1), "1_a.down.sql", "DROP TABLE a; CREATE TABLE a (id int);"),
			"0002_b: up with rows in th":           roundTripFiles("1_a.up.sql", a, "1_a.down.sql", "DROP TABLE a;", "2_b.up.sql", "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT 1 FROM a; INSERT INTO b SELECT 1 FROM a;", "2_b.down.sql", "DROP TABLE b;"),
		} {
			log := &said{TB: t}
			log.run(func() { tldwdbtest.RoundTrip(log, tldwdbtest.Config{Engine: e, Migrations: files}) })
			if text := strings.Join(log.errors, "\n"); !strings.Contains(text, want) {
				t.Errorf("want %q: %s", want, text)
			}
		}
	})
}

// The caller's own rows take the place of invented ones.
func TestRoundTripFill(t *testing.T) {
	t.Parallel()
	var versions []int64
	tldwdbtest.RoundTrip(t, tldwdbtest.Config{Engine: tldwdbtest.SQLite, Migrations: roundTripFiles(
		"1_a.up.sql", "CREATE TABLE a (id int CHECK (id = 4711));", "1_a.down.sql", "DROP TABLE a;",
		"2_b.up.sql", "CREATE TABLE b AS SELECT id FROM a;", "2_b.down.sql", "DROP TABLE b;",
	), Fill: func(ctx context.Context, db *tldwdb.DB, version int64) error {
		versions = append(versions, version)
		_, err := db.Pool().ExecContext(ctx, "INSERT INTO a VALUES (4711)")
		return err
	}})
	if !slices.Equal(versions, []int64{1, 1, 2, 2}) {
		t.Errorf("called at %v", versions)
	}
}
