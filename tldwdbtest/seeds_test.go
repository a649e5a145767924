package tldwdbtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
)

// parents has a name as its key, and rows that lead to others.
func parents() fstest.MapFS {
	return fstest.MapFS{"1_a.up.sql": {Data: []byte(`
CREATE TABLE author (id int PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, at timestamp NULL);
CREATE TABLE book (id int PRIMARY KEY, author int NOT NULL REFERENCES author (id), title varchar(40) NOT NULL);`)}}
}

func names(t *testing.T, db *tldwdb.DB, query string) string {
	t.Helper()
	var list []string
	if err := db.Pool().SelectContext(t.Context(), &list, query); err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// TestSeeds: each database begins with the rows of common and of test, or of the sets
// that were asked for, and has them again when it is cleaned.
func TestSeeds(t *testing.T) {
	t.Parallel()
	seeds := fstest.MapFS{
		"rows/common/1_authors.yaml":    {Data: []byte("author:\n  key: [name]\n  rows:\n    - {id: 1, name: ann}\n")},
		"rows/test/2_more.yaml":         {Data: []byte("author:\n  ben: {id: 2, name: ben}\nbook:\n  first: {id: 1, title: One, author: {ref: author.ben}}\n")},
		"rows/development/3_other.yaml": {Data: []byte("author:\n  - {id: 3, name: eve}\n")},
	}
	dora := tldwdb.GoSeed{Set: "development", Name: "4_dora", Run: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "INSERT INTO author (id, name) VALUES (4, 'dora')")
		return err
	}}
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"usual", Config{Seeds: seeds, SeedsDir: "rows"}, "ann ben"},
		{"base", Config{Base: tldwdb.Config{Seeds: seeds, SeedsDir: "rows"}}, "ann ben"},
		{"named", Config{Seeds: seeds, SeedsDir: "rows", SeedSets: []string{"development"}}, "eve"},
		{"code", Config{GoSeeds: []tldwdb.GoSeed{dora}, SeedSets: []string{"development"}}, "dora"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Migrations = parents()
			ForEach(t, c.cfg, func(t *testing.T, db *tldwdb.DB) {
				for range 2 {
					if got := names(t, db, "SELECT name FROM author ORDER BY id"); got != c.want {
						t.Errorf("authors %q, want %q", got, c.want)
					}
					run(t, db, "INSERT INTO author (id, name) VALUES (9, 'zoe')")
					Clean(t, db)
				}
			})
		})
	}
	f := &fake{TB: t}
	f.run(func(tb TB) {
		New(tb, Config{Migrations: parents(), Seeds: seeds, SeedsDir: "rows", SeedSets: []string{"nowhere"}})
	})
	if !f.failed || !strings.Contains(f.log.String(), `no set of seeds "nowhere"`) {
		t.Errorf("the log says %q", &f.log)
	}
}

// TestSeedsAreInTheKey: what rows depend on makes another template.
func TestSeedsAreInTheKey(t *testing.T) {
	const variable = "TLDWDBTEST_SEEDS_KEY"
	t.Setenv(variable, "one")
	fsys := fstest.MapFS{
		"common/a.yaml": {Data: []byte("author:\n  - {id: 1, name: {env: " + variable + "}}\n")},
		"common/b.csv":  {Data: []byte("id,title\n")},
	}
	key := func(cfg Config) string {
		t.Helper()
		cfg.Migrations = parents()
		key, _, err := keyOf(cfg, SQLite, "")
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	keys := map[string]string{"as it is": key(Config{Seeds: fsys}), "without": key(Config{}), "other sets": key(Config{Seeds: fsys, SeedSets: []string{"common"}})}
	if again := key(Config{Base: tldwdb.Config{Seeds: fsys}}); again != keys["as it is"] {
		t.Error("the same files have another key")
	}
	t.Setenv(variable, "two")
	keys["environment"] = key(Config{Seeds: fsys})
	fsys["common/b.csv"] = &fstest.MapFile{Data: []byte("id,title\n1,One\n")}
	keys["file"] = key(Config{Seeds: fsys})
	if distinct := slices.Compact(slices.Sorted(maps.Values(keys))); len(distinct) != len(keys) {
		t.Errorf("some keys are the same: %v", keys)
	}
}

// TestLoadRows: files of a folder go together, whatever their order, and a fault has
// the place in the file.
func TestLoadRows(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"testdata/books.json":         {Data: []byte(`{"book": [{"id": 1, "title": "One", "author": {"ref": "author.ann"}}, {"id": 2, "title": "Two", "author": {"ref": "author.ann"}}]}`)},
		"testdata/authors.yaml":       {Data: []byte("author:\n  ann: {id: 7, name: ann}\n")},
		"testdata/mysql/authors.yaml": {Data: []byte("author:\n  ann: {id: 8, name: ann}\n")},
		"testdata/author.csv":         {Data: []byte("id,name\n20,carl\n21,dora\n")},
		"testdata/other.yaml":         {Data: []byte("not: read\n")},
		"root.yaml":                   {Data: []byte("author:\n  - {id: 30, name: root}\n")},
		"bad/bad.yaml":                {Data: []byte("author:\n  - {id: 31, name: bad}\n  - {id: 32, title: bad}\n")},
	}
	check := func(t *testing.T, db *tldwdb.DB) {
		Load(t, db, fsys, "testdata/books.json", "testdata/authors.yaml", "testdata/author.csv", "root.yaml")
		Load(t, db, fsys, "testdata/author.csv") // rows that are there stay
		if got := names(t, db, "SELECT name FROM author ORDER BY id"); got != "ann carl dora root" {
			t.Errorf("authors %q", got)
		}
		want := 14
		if e := db.Pool().DriverName(); e == "mysql" {
			want = 16
		}
		var sum int
		if err := db.Pool().GetContext(t.Context(), &sum, "SELECT sum(author) FROM book"); err != nil || sum != want {
			t.Errorf("the books' authors come to %d, want %d: %v", sum, want, err)
		}
		for file, want := range map[string]string{"bad/bad.yaml": "bad/bad.yaml:3: table author", "testdata/none.yaml": "testdata/none.yaml"} {
			f := &fake{TB: t}
			f.run(func(tb TB) { Load(tb, db, fsys, file) })
			if !f.failed || !strings.Contains(f.log.String(), want) {
				t.Errorf("%s: the log says %q", file, &f.log)
			}
		}
		if n := count(t, db, "author"); n != 4 {
			t.Errorf("there are %d authors", n)
		}
	}
	ForEach(t, Config{Migrations: parents()}, check)
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		check(t, New(t, Config{Migrations: parents(), Engine: SQLite, InMemory: true}))
	})
}
