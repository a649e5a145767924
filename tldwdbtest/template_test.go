package tldwdbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tldw/tldwdb"
)

// TestKept: a failed test's database is kept, and the log says where, without a
// password; one that passed is dropped.
func TestKept(t *testing.T) {
	t.Parallel()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			h := home(t, e, "kept")
			var p *place
			f := &fake{TB: t}
			f.run(func(tb TB) {
				p = placeOf(t, New(tb, Config{Engine: e, Migrations: files(1)}))
				tb.Errorf("it fails")
			})
			log := f.log.String()
			_, line, _ := strings.Cut(log, "kept for a day: ")
			if line == "" || strings.Contains(log, ":tldw@") {
				t.Fatalf("the log says %s", log)
			}
			sweep(t, h)
			if e == SQLite {
				path := strings.TrimPrefix(strings.Fields(line)[0], "sqlite:///")
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
				if err := os.RemoveAll(filepath.Dir(path)); err != nil {
					t.Error(err)
				}
				return
			}
			if !exists(t, h, p.name) || !strings.Contains(line, p.name) {
				t.Errorf("%s is gone; the log says %s", p.name, log)
			}
			s := h.(*server)
			if err := s.dropAll(t.Context(), p.name); err != nil {
				t.Error(err)
			}
			f = &fake{TB: t}
			f.run(func(tb TB) { p = placeOf(t, New(tb, Config{Engine: e, Migrations: files(1)})) })
			if f.failed {
				t.Error(&f.log)
			}
		})
	}
}

// TestBrokenMigration: the error of the migration reaches the test, and there is no
// half of a template.
func TestBrokenMigration(t *testing.T) {
	t.Parallel()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			New(t, Config{Engine: e, Migrations: files(1)}) // skips
			broken := fstest.MapFS{"1_a.up.sql": {Data: []byte("CREATE TABLE a (id int);\nCREATE TABLE b (id int, FOREIGN nonsense);\n")}}
			for range 2 {
				f := &fake{TB: t}
				f.run(func(tb TB) { New(tb, Config{Engine: e, Migrations: broken}) })
				if log := f.log.String(); !f.failed || !strings.Contains(log, "1_a.up.sql:2") {
					t.Errorf("the log says %s", log)
				}
			}
			f := &fake{TB: t}
			f.run(func(tb TB) {
				New(tb, Config{Engine: e, Migrations: files(1), SetupKey: "fails", Setup: func(context.Context, *tldwdb.DB) error { return errors.New("no rows today") }})
			})
			if log := f.log.String(); !f.failed || !strings.Contains(log, "Config.Setup: no rows today") {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// TestInMemory: a database without a file.
func TestInMemory(t *testing.T) {
	t.Parallel()
	db := New(t, Config{Engine: SQLite, InMemory: true, Migrations: files(3)})
	for range 2 {
		run(t, db, "INSERT INTO t0 (name) VALUES ('x')")
		if n := count(t, db, "t0"); n != 3 {
			t.Errorf("%d rows", n)
		}
		Clean(t, db)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(placeOf(t, New(t, Config{Engine: SQLite})).name), "*.db"))
	if err != nil || len(left) != 1 {
		t.Errorf("%q: %v", left, err)
	}
}

// TestStaleTemplate: a template that is not what the migrations make, or that has
// gone while the process runs, is made again.
func TestStaleTemplate(t *testing.T) {
	t.Parallel()
	cfg, at := Config{Migrations: files(2)}, target{engine: SQLite}
	dir := t.TempDir()
	use := func(f *folder) {
		t.Helper()
		db, p, err := openIn(t.Context(), f, t, cfg, at)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "t0"); n != 2 {
			t.Errorf("%d rows", n)
		}
		if err := errors.Join(db.Close(), p.undo(t.Context())); err != nil {
			t.Error(err)
		}
	}
	f := &folder{path: dir}
	use(f)
	tpl, err := f.template(cfg, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.drop(t.Context(), tpl); err != nil {
		t.Fatal(err)
	}
	use(f)
	// Another process finds one with nothing in it.
	if err := os.WriteFile(f.file(tpl), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	use(&folder{path: dir})
	left, err := filepath.Glob(filepath.Join(dir, livePart+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%q is left: %v", left, err)
	}
}

// TestSweep: what is old goes, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	f := &folder{path: t.TempDir()}
	dir, release, err := f.live("alive")
	if err != nil {
		t.Fatal(err)
	}
	alive := filepath.Base(dir)
	old := map[string]time.Duration{ // and whether it is to go
		"template-new.db": time.Hour, "template-old.db": 25 * time.Hour, "program-new.db": time.Minute, "program-old.db": 2 * time.Hour,
		"kept-new/": time.Hour, "kept-old/": 25 * time.Hour, "db-dead/": 0, "db-dead.lock": 0, "db-lone.lock": time.Hour, "db-born.lock": 0, "mine.txt": 1000 * time.Hour, "old.lock": 25 * time.Hour,
	}
	for name, age := range old {
		path := filepath.Join(f.path, name)
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, nil, 0o600)
		}
		at := time.Now().Add(-age)
		if err := errors.Join(err, os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	f.sweep()
	var left []string
	entries, err := os.ReadDir(f.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	want := alive + " " + alive + ".lock db-born.lock kept-new mine.txt program-new.db template-new.db"
	if got := strings.Join(left, " "); got != want {
		t.Errorf("there are %s, and not %s", got, want)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// everything has one of each kind of object that MySQL and MariaDB both know.
var everything = fstest.MapFS{
	"1_all.up.sql": {Data: []byte("CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, n int NOT NULL DEFAULT 2, s varchar(20) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s \\\\', twice int GENERATED ALWAYS AS (n * 2) VIRTUAL, kept varchar(40) AS (concat(s, '!')) STORED, UNIQUE KEY (s), CHECK (s <> 'bad')) COMMENT='a; b';\n" +
		"CREATE TABLE log (n int, s varchar(20));\n" +
		"CREATE TRIGGER a_first AFTER INSERT ON a FOR EACH ROW BEGIN INSERT INTO log VALUES (NEW.id, 'first; one'); END;\n" +
		"CREATE TRIGGER a_again AFTER INSERT ON a FOR EACH ROW FOLLOWS a_first INSERT INTO log VALUES (NEW.id, 'second');\n" +
		"INSERT INTO a (s) VALUES ('one'), ('two');\n" +
		"CREATE FUNCTION half(n int) RETURNS int DETERMINISTIC NO SQL RETURN n DIV 2;\n" +
		"CREATE PROCEDURE fill() BEGIN DECLARE i int DEFAULT 0; WHILE i < 3 DO INSERT INTO log VALUES (i, 'p'); SET i = i + 1; END WHILE; END;\n" +
		"CREATE VIEW z AS SELECT id, half(twice) h FROM a;\n" +
		"CREATE VIEW b AS SELECT h FROM z WHERE h > 0;\n" +
		"CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM log;\n")},
}

// TestEverything: a copy on MySQL and MariaDB has all that its migrations make, with
// the rows, and is made by the script and not by running them.
func TestEverything(t *testing.T) {
	t.Parallel()
	ForEach(t, Config{Migrations: everything, Engines: []Engine{MySQL, MariaDB}}, func(t *testing.T, db *tldwdb.DB) {
		if scriptOf(t, db) == "" {
			t.Error("the migrations run for each test")
		}
		differences, err := db.Drift(t.Context(), tldwdb.Verification{})
		if err != nil || len(differences) > 0 {
			t.Errorf("%v: %v", differences, err)
		}
		if n, m := count(t, db, "log"), count(t, db, "b"); n != 4 || m != 2 {
			t.Errorf("%d and %d rows", n, m)
		}
		run(t, db, "CALL fill()", "INSERT INTO a (s) VALUES ('three')")
		if n := count(t, db, "log"); n != 9 {
			t.Errorf("%d rows", n)
		}
		Clean(t, db)
		if n := count(t, db, "log"); n != 4 {
			t.Errorf("%d rows after Clean", n)
		}
		if d, err := db.Drift(t.Context(), tldwdb.Verification{}); err != nil || len(d) > 0 {
			t.Errorf("%v: %v", d, err)
		}
	})
}

// scriptOf is the script by which a database was made; empty where the migrations ran.
func scriptOf(t *testing.T, db *tldwdb.DB) (text string) {
	t.Helper()
	serversMu.Lock()
	defer serversMu.Unlock()
	for _, s := range servers {
		s.templates.mu.Lock()
		for _, tpl := range s.list {
			if note, ok := tpl.note.(*script); ok && fmt.Sprint(tpl.cfg.Migrations) == fmt.Sprint(placeOf(t, db).config.Migrations) {
				text = note.text
			}
		}
		s.templates.mu.Unlock()
	}
	return text
}

// TestSequence: what is MariaDB's alone. The times of versioned rows cannot be copied,
// so that there the migrations run for each test.
func TestSequence(t *testing.T) {
	t.Parallel()
	for _, versioned := range []string{"", " WITH SYSTEM VERSIONING"} {
		fsys := fstest.MapFS{"1_s.up.sql": {Data: []byte("CREATE SEQUENCE s START WITH 5 NOCACHE;\nCREATE TABLE q (id bigint PRIMARY KEY DEFAULT nextval(s), v int)" + versioned + ";\nINSERT INTO q (v) VALUES (1);\n")}}
		db := New(t, Config{Engine: MariaDB, Migrations: fsys})
		run(t, db, "INSERT INTO q (v) VALUES (2)")
		var ids []int
		if err := db.Pool().SelectContext(t.Context(), &ids, "SELECT id FROM q ORDER BY id"); err != nil || len(ids) != 2 || ids[1] != 6 {
			t.Errorf("%v: %v", ids, err)
		}
		if script := scriptOf(t, db) != ""; script != (versioned == "") {
			t.Errorf("made by the script: %t", script)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
