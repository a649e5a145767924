package tldwdbtest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
)

func run(t *testing.T, db *tldwdb.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Pool().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestClean: rows, counters and tables that a test has made are gone, and what the
// migrations put there is back.
func TestClean(t *testing.T) {
	t.Parallel()
	ForEach(t, Config{Migrations: files(3)}, func(t *testing.T, db *tldwdb.DB) {
		for range 2 {
			run(t, db, "DELETE FROM t0 WHERE name = 'first'", "INSERT INTO t0 (name) VALUES ('third')", "INSERT INTO t1 (name, parent) VALUES ('child', 2)", "CREATE TABLE mine (v int)")
			Clean(t, db)
			if n, m := count(t, db, "t0"), count(t, db, "t1"); n != 2 || m != 0 {
				t.Errorf("there are %d and %d rows", n, m)
			}
			run(t, db, "INSERT INTO t0 (name) VALUES ('again')")
			var id int
			if err := db.Pool().GetContext(t.Context(), &id, "SELECT max(id) FROM t0"); err != nil || id != 3 {
				t.Errorf("the new row has the id %d: %v", id, err)
			}
			var mine int
			if err := db.Pool().GetContext(t.Context(), &mine, "SELECT count(*) FROM mine"); err == nil {
				t.Error("the test's own table is still there")
			}
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestCleanRefuses: nothing but what New made is ever cleaned, and not under a
// transaction that is open.
func TestCleanRefuses(t *testing.T) {
	t.Parallel()
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: "sqlite:///" + t.TempDir() + "/own.db"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{TB: t}
	f.run(func(tb TB) { Clean(tb, db) })
	if !f.failed {
		t.Error("a database of somebody else was cleaned")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	ForEach(t, Config{Migrations: files(1), Engines: []Engine{Postgres, MySQL, MariaDB}}, func(t *testing.T, db *tldwdb.DB) {
		run(t, db, "INSERT INTO t0 (name) VALUES ('x')")
		tx := Tx(t, db)
		f := &fake{TB: t}
		f.run(func(tb TB) { Clean(tb, db) })
		if !f.failed || !strings.Contains(f.log.String(), "in use") {
			t.Errorf("the log says %q", &f.log)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if n := count(t, db, "t0"); n != 3 {
			t.Errorf("there are %d rows", n)
		}
	})
}

// TestTx: what is written in it is gone.
func TestTx(t *testing.T) {
	t.Parallel()
	ForEach(t, Config{Migrations: files(1)}, func(t *testing.T, db *tldwdb.DB) {
		f := &fake{TB: t}
		f.run(func(tb TB) {
			if _, err := Tx(tb, db).ExecContext(tb.Context(), "DELETE FROM t0"); err != nil {
				t.Error(err)
			}
		})
		if n := count(t, db, "t0"); n != 2 || f.failed {
			t.Errorf("there are %d rows; %s", n, &f.log)
		}
	})
}

// TestLoad: files run in their order, each as a whole, in the words of the engine.
func TestLoad(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"a.sql":          {Data: []byte("INSERT INTO t0 (name) VALUES ('a;b');\nINSERT INTO t0 (name) VALUES ('c');\n")},
		"b.sql":          {Data: []byte("INSERT INTO t0 (name, v) VALUES ('other', 1);")},
		"postgres/b.sql": {Data: []byte("COPY t0 (name, v) FROM STDIN;\nother\t1\n\\.\n")},
		"bad.sql":        {Data: []byte("INSERT INTO t0 (name) VALUES ('d');\nINSERT INTO nowhere VALUES (1);\n")},
		"b.toml":         {Data: []byte("x = 1")},
	}
	ForEach(t, Config{Migrations: files(1)}, func(t *testing.T, db *tldwdb.DB) {
		Load(t, db, fsys, "a.sql", "b.sql")
		Golden(t, db, "load", "t0")
		for file, want := range map[string]string{"bad.sql": "bad.sql: line 2", "b.toml": ".toml", "none.sql": "none.sql"} {
			f := &fake{TB: t}
			f.run(func(tb TB) { Load(tb, db, fsys, file) })
			if !f.failed || !strings.Contains(f.log.String(), want) {
				t.Errorf("%s: the log says %q", file, &f.log)
			}
		}
		if n := count(t, db, "t0"); n != 5 {
			t.Errorf("there are %d rows", n)
		}
	})
}

// TestGolden: one text for all engines, and a difference is shown by its rows.
func TestGolden(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"sqlite/1_k.up.sql":   {Data: []byte("CREATE TABLE k (id integer PRIMARY KEY, b boolean, d decimal(12, 2), f double, at timestamp, s text, x blob, n int);")},
		"postgres/1_k.up.sql": {Data: []byte("CREATE TABLE k (id bigint PRIMARY KEY, b boolean, d decimal(12, 2), f double precision, at timestamp, s text, x bytea, n int);")},
		"mysql/1_k.up.sql":    {Data: []byte("CREATE TABLE k (id bigint PRIMARY KEY, b boolean, d decimal(12, 2), f double, at datetime, s text, x blob, n int);")},
	}
	ForEach(t, Config{Migrations: fsys}, func(t *testing.T, db *tldwdb.DB) {
		insert := db.Pool().Rebind("INSERT INTO k (id, b, d, f, at, s, x, n) VALUES (?, ?, ?, ?, '2026-01-02 03:04:05', ?, ?, ?)")
		for _, id := range []int{10, 9} {
			if _, err := db.Pool().ExecContext(t.Context(), insert, id, id == 9, map[int]string{9: "1.25", 10: "12345678.50"}[id], 0.5, "a \"b\"\n", []byte{0, 255}, nil); err != nil {
				t.Fatal(err)
			}
		}
		Golden(t, db, "kinds", "k", "k (id, s)")
		if updating() {
			return
		}
		run(t, db, "UPDATE k SET s = 'other' WHERE id = 10")
		f := &fake{TB: t}
		f.run(func(tb TB) { Golden(tb, db, "kinds", "k", "k (id, s)") })
		if log := f.log.String(); !f.failed || !strings.Contains(log, `+   id=10 s="other"`) || strings.Contains(log, "id=9") {
			t.Errorf("the log says %s", log)
		}
	})
}
