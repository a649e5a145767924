package tldwdb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdbdocs"
)

// documented are migrations with what a document has to tell.
func documented(tdb *testdb.Database) files {
	f := files{
		"1_author.up.sql": "CREATE TABLE author (id int PRIMARY KEY, name varchar(40) DEFAULT 'x, y' NOT NULL, mail varchar(60), CONSTRAINT author_mail UNIQUE (mail));\n",
		"2_book.up.sql": "CREATE TABLE book (author int NOT NULL, no int NOT NULL, title varchar(99), translates int, price decimal(8, 2) DEFAULT 0 CHECK (price >= 0), PRIMARY KEY (author, no), " +
			"CONSTRAINT book_author FOREIGN KEY (author) REFERENCES author (id) ON DELETE CASCADE);\nCREATE INDEX book_title ON book (title);\n",
		"3_kind.up.sql":     "ALTER TABLE book ADD COLUMN kind varchar(10);\n",
		"4_title.up.sql":    "ALTER TABLE book RENAME COLUMN title TO name;\n",
		"R__books.sql":      "DROP VIEW IF EXISTS books;\nCREATE VIEW books AS SELECT author, no FROM book;\n",
		"5_nothing.up.sql":  "UPDATE book SET kind = 'x';\n",
		"6_odd.up.sql":      pick(tdb, `CREATE TABLE "a|b ""q""" ("x y" int)`, `CREATE TABLE "a|b ""q""" ("x y" int)`, "CREATE TABLE `a|b \"q\"` (`x y` int)") + ";\n",
		"7_comments.up.sql": pick(tdb, "SELECT 1", "COMMENT ON TABLE author IS 'who writes | it'; COMMENT ON COLUMN author.mail IS 'it''s <secret>'", "ALTER TABLE author COMMENT 'who writes | it', MODIFY mail varchar(60) COMMENT 'it''s <secret>'") + ";\n",
	}
	return f
}

func TestDocument(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, documented(tdb))
		s, err := db.Document(t.Context(), tldwdb.DocumentOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"0001_author", "0002_book", "0003_kind", "0004_title", "0005_nothing", "0006_odd", "0007_comments", "R__books"}; !slices.Equal(s.Migrations, want) || s.Live {
			t.Errorf("migrations %v", s.Migrations)
		}
		if len(s.Tables) != 3 {
			t.Fatalf("tables: %+v", s.Tables)
		}
		if k := slices.IndexFunc(s.Objects, func(o tldwdbdocs.Object) bool { return o.Made == "0001_author" }); k >= 0 {
			t.Errorf("nobody has made %+v", s.Objects[k])
		}
		prefix := pick(tdb, "", "public.", "")
		i := slices.IndexFunc(s.Tables, func(t tldwdbdocs.Table) bool { return t.Name == prefix+"author" })
		k := slices.IndexFunc(s.Tables, func(t tldwdbdocs.Table) bool { return t.Name == prefix+"book" })
		if i < 0 || k < 0 {
			t.Fatalf("tables: %+v", s.Tables)
		}
		author, book := s.Tables[i], s.Tables[k]
		comments := tdb.Engine != testdb.SQLite
		if comments && (author.Comment != "who writes | it" || author.Columns[2].Comment != "it's <secret>" || author.Changed != "0007_comments" || author.Columns[2].Changed != "0007_comments") {
			t.Errorf("author: %+v", author)
		}
		if name := author.Columns[1]; !name.NotNull || !strings.HasPrefix(name.Default, "'x, y'") || name.Made != "0001_author" || name.Changed != "" || author.Made != "0001_author" {
			t.Errorf("author.name: %+v, %+v", name, author.Origin)
		}
		var origins []string
		for _, c := range book.Columns {
			origins = append(origins, fmt.Sprintf("%s %s %s", c.Name, c.Made, c.Changed))
		}
		want := []string{"author 0002_book ", "no 0002_book ", "name 0004_title ", "translates 0002_book ", "price 0002_book ", "kind 0003_kind "}
		if !slices.Equal(origins, want) || book.Made != "0002_book" || book.Changed != "0004_title" {
			t.Errorf("book: %q, %+v", origins, book.Origin)
		}
		if len(book.Keys) != 1 || !book.Keys[0].Primary || !slices.Equal(book.Keys[0].Columns, []string{"author", "no"}) {
			t.Errorf("keys of book: %+v", book.Keys)
		}
		if f := book.ForeignKeys; len(f) != 1 || !slices.Equal(f[0].Columns, []string{"author"}) || f[0].Table != prefix+"author" || !slices.Equal(f[0].References, []string{"id"}) || !strings.EqualFold(f[0].Extra, "on delete cascade") {
			t.Errorf("foreign keys of book: %+v", f)
		}
		if u := author.Keys; len(u) != 2 || !u[0].Primary || u[1].Primary || !slices.Equal(u[1].Columns, []string{"mail"}) {
			t.Errorf("keys of author: %+v", u)
		}
		view := slices.IndexFunc(s.Objects, func(o tldwdbdocs.Object) bool { return o.Kind == "view" })
		if view < 0 || s.Objects[view].Made != "R__books" {
			t.Errorf("objects: %+v", s.Objects)
		}

		var text, again strings.Builder
		if err := s.Markdown(&text, "TL;DW"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"# TL;DW\n", "```mermaid\nerDiagram\n", `    "` + prefix + `book" {`, " int author PK,FK\n", "decimal_8_2_", `a|b 'q'"`, " x_y\n",
			`    "` + prefix + `book" }o--|| "` + prefix + `author" : "author"`, "`0003_kind`", `\|b`,
		} {
			if !strings.Contains(strings.NewReplacer("integer", "int", "int(11)", "int", "decimal(8_2)", "decimal_8_2_", "decimal(8__2)", "decimal_8_2_", "numeric(8_2)", "decimal_8_2_").Replace(text.String()), want) {
				t.Errorf("no %q in\n%s", want, text.String())
			}
		}
		for line := range strings.Lines(text.String()) {
			if strings.Contains(line, "<secret>") && !strings.Contains(line, `"it's <secret>"`) {
				t.Errorf("a comment is HTML: %s", line)
			}
		}

		// The same schema gives the same bytes, from a live database too; what somebody has
		// made by hand is of no migration.
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), "CREATE TABLE hot (id int)"); err != nil {
			t.Fatal(err)
		}
		live, err := db.Document(t.Context(), tldwdb.DocumentOptions{Live: true})
		if err != nil {
			t.Fatal(err)
		}
		hot := slices.IndexFunc(live.Tables, func(t tldwdbdocs.Table) bool { return t.Name == prefix+"hot" })
		if hot < 0 || live.Tables[hot].Origin != (tldwdbdocs.Origin{}) || live.Tables[hot].Columns[0].Made != "" || !live.Live {
			t.Errorf("live: %+v", live.Tables)
		}
		live, err = db.Document(t.Context(), tldwdb.DocumentOptions{Live: true, Verification: tldwdb.Verification{Ignore: []string{"hot"}}})
		if err != nil {
			t.Fatal(err)
		}
		if live.Live = false; live.Markdown(&again, "TL;DW") != nil || again.String() != text.String() {
			t.Errorf("the live database is\n%s", again.String())
		}
	})
}
