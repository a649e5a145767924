package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// rebuilt is a database with one table that is rebuilt, and what is asked behind that.
type rebuilt struct {
	before string // the first migration
	file   string // the second one
	query  string
	want   string // rows, with | between values and ; between rows
	fails  string // or the error of the second migration
}

var rebuilds = map[string]rebuilt{
	"what hangs on the table is kept": {
		before: `CREATE TABLE person (id integer PRIMARY KEY, name text, age text);
CREATE INDEX person_name ON person (name COLLATE NOCASE DESC) WHERE name IS NOT NULL;
CREATE INDEX person_lower ON person (lower(name));
CREATE TABLE log (what text);
CREATE TRIGGER person_log AFTER INSERT ON person BEGIN INSERT INTO log VALUES (NEW.name); END;
CREATE VIEW named AS SELECT name FROM person;
CREATE VIEW shouted AS SELECT upper(name) AS name FROM named;
CREATE TRIGGER other AFTER DELETE ON log BEGIN UPDATE person SET name = OLD.what WHERE id = 1; END;
INSERT INTO person VALUES (1, 'Ann', '41'), (7, NULL, NULL);`,
		file: `-- tldwdb: rebuild person
CREATE TABLE person (id integer PRIMARY KEY, name text, age integer NOT NULL DEFAULT 0 CHECK (person.age >= 0))`,
		fails: "copying the rows: NOT NULL constraint failed: person.age",
	},
	"an expression fills a column": {
		before: `CREATE TABLE person (id integer PRIMARY KEY, name text, age text);
CREATE INDEX person_name ON person (name COLLATE NOCASE DESC) WHERE name IS NOT NULL;
CREATE INDEX person_lower ON person (lower(name));
CREATE TABLE log (what text);
CREATE TRIGGER person_log AFTER INSERT ON person BEGIN INSERT INTO log VALUES (NEW.name); END;
CREATE VIEW named AS SELECT name FROM person;
CREATE VIEW shouted AS SELECT upper(name) AS name FROM named;
CREATE TRIGGER other AFTER DELETE ON log BEGIN UPDATE person SET name = OLD.what WHERE id = 1; END;
INSERT INTO person VALUES (1, 'Ann', '41'), (7, NULL, NULL);`,
		file: `-- tldwdb: rebuild person
-- Nobody is younger.
-- tldwdb: column age = coalesce(age, 0)
CREATE TABLE person (id integer PRIMARY KEY, name text, age integer NOT NULL DEFAULT 0 CHECK (person.age >= 0));
INSERT INTO person VALUES (8, 'Eve', 9); DELETE FROM log WHERE what = 'Eve';`,
		query: `SELECT id, name, age, typeof(age) FROM person UNION ALL SELECT type, name, sql, '' FROM sqlite_schema WHERE type IN ('index', 'trigger') AND tbl_name = 'person' UNION ALL SELECT '', '', name, '' FROM shouted WHERE name > ''`,
		want: "1|Eve|41|integer;7||0|integer;8|Eve|9|integer;" +
			"index|person_name|CREATE INDEX person_name ON person (name COLLATE NOCASE DESC) WHERE name IS NOT NULL|;index|person_lower|CREATE INDEX person_lower ON person (lower(name))|;" +
			"trigger|person_log|CREATE TRIGGER person_log AFTER INSERT ON person BEGIN INSERT INTO log VALUES (NEW.name); END|;" +
			"||EVE|;||EVE|",
	},
	"children and the table's own references": {
		before: `CREATE TABLE node (id integer PRIMARY KEY, parent integer REFERENCES node (id) ON DELETE CASCADE);
CREATE TABLE leaf (node integer REFERENCES node ON DELETE CASCADE);
INSERT INTO node VALUES (1, NULL), (2, 1); INSERT INTO leaf VALUES (2);`,
		file: `-- tldwdb: rebuild node
CREATE TABLE node (id integer PRIMARY KEY, parent integer REFERENCES node (id) ON DELETE SET NULL, note text);
DELETE FROM leaf WHERE node = 1;`,
		query: `SELECT count(*) FROM leaf UNION ALL SELECT sql FROM sqlite_schema WHERE name IN ('node', 'leaf')`,
		want:  "1;CREATE TABLE leaf (node integer REFERENCES node ON DELETE CASCADE);CREATE TABLE node (id integer PRIMARY KEY, parent integer REFERENCES node (id) ON DELETE SET NULL, note text)",
	},
	"a child without its parent": {
		before: `CREATE TABLE node (id integer PRIMARY KEY, code text UNIQUE); CREATE TABLE leaf (code text REFERENCES node (code));
INSERT INTO node VALUES (1, 'a'); INSERT INTO leaf VALUES ('a');`,
		file: `-- tldwdb: rebuild node
-- tldwdb: column code = upper(code)
CREATE TABLE node (id integer PRIMARY KEY, code text UNIQUE)`,
		fails: "rows would break a foreign key: leaf → node (1 rows)",
	},
	"AUTOINCREMENT goes on": {
		before: `CREATE TABLE ticket (id integer PRIMARY KEY AUTOINCREMENT); INSERT INTO ticket VALUES (1), (90); DELETE FROM ticket WHERE id = 90;`,
		file: `-- tldwdb: rebuild ticket
CREATE TABLE "Ticket" (id integer PRIMARY KEY AUTOINCREMENT, note text); INSERT INTO ticket (note) VALUES ('next');`,
		query: `SELECT id FROM ticket UNION ALL SELECT name || seq FROM sqlite_sequence`,
		want:  "1;91;Ticket91",
	},
	"AUTOINCREMENT of an empty table goes on": {
		before: `CREATE TABLE ticket (id integer PRIMARY KEY AUTOINCREMENT); INSERT INTO ticket VALUES (90); DELETE FROM ticket;`,
		file: `-- tldwdb: rebuild ticket
CREATE TABLE ticket (id integer PRIMARY KEY AUTOINCREMENT, note text); INSERT INTO ticket (note) VALUES ('next');`,
		query: `SELECT id FROM ticket`,
		want:  "91",
	},
	"rowids": {
		before: `CREATE TABLE doc (body text); INSERT INTO doc (rowid, body) VALUES (5, 'five'), (9, 'nine');`,
		file: `-- tldwdb: rebuild doc
CREATE TABLE doc (body text NOT NULL)`,
		query: `SELECT rowid, body FROM doc`,
		want:  "5|five;9|nine",
	},
	"rowids become a key": {
		before: `CREATE TABLE doc (body text, rowid text); INSERT INTO doc (_rowid_, body) VALUES (5, 'five');`,
		file: `-- tldwdb: rebuild doc
-- tldwdb: drop rowid
CREATE TABLE doc (id integer PRIMARY KEY, body text NOT NULL)`,
		query: `SELECT id, rowid, body FROM doc`,
		want:  "5|5|five",
	},
	"odd names, WITHOUT ROWID, STRICT": {
		before: `CREATE TABLE "a ""b"" c" ("x;y" text PRIMARY KEY, [select] int) WITHOUT ROWID; INSERT INTO "a ""b"" c" VALUES ('k', 3); CREATE INDEX "i'x" ON "a ""b"" c" ("select");`,
		file: `-- tldwdb: rebuild "a ""b"" c"
-- tldwdb: column "new; one" = "x;y" || '; '
CREATE TABLE "a ""b"" c" ("x;y" text PRIMARY KEY, "select" text, "new; one" text NOT NULL) STRICT, WITHOUT ROWID`,
		query: `SELECT "x;y", "select", typeof("select"), "new; one" FROM "a ""b"" c" UNION ALL SELECT name, strict, wr, '' FROM pragma_table_list WHERE name LIKE 'a%' UNION ALL SELECT name, '', '', '' FROM sqlite_schema WHERE name LIKE 'i%'`,
		want:  `k|3|text|k;;a "b" c|1|1|;i'x|||`,
	},
	"from and to WITHOUT ROWID": {
		before: `CREATE TABLE a (id int PRIMARY KEY, v text) WITHOUT ROWID; INSERT INTO a VALUES (3, 'x'); CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b VALUES (4, 'y');`,
		file: `-- tldwdb: rebuild a
CREATE TABLE a (id int PRIMARY KEY, v text);
-- tldwdb: rebuild 'b'
CREATE TABLE main.b (id int PRIMARY KEY, v text) WITHOUT ROWID;`,
		query: `SELECT id, v FROM a UNION ALL SELECT id, v FROM b UNION ALL SELECT name, wr FROM pragma_table_list WHERE name IN ('a', 'b')`,
		want:  "3|x;4|y;b|1;a|0",
	},
	"generated columns": {
		before: `CREATE TABLE g (a int, b int AS (a * 2) VIRTUAL, c int AS (a * 3) STORED); INSERT INTO g VALUES (2);`,
		file: `-- tldwdb: rebuild g
-- tldwdb: column c = c
CREATE TABLE g (a int, c int, d int AS (a + c))`,
		query: `SELECT a, c, d FROM g`,
		want:  "2|6|8",
	},
	"a full-text neighbour finds its rows": {
		before: `CREATE TABLE doc (body text, kind text); INSERT INTO doc (rowid, body) VALUES (7, 'seven dwarfs');
CREATE VIRTUAL TABLE doc_text USING fts4(content="doc", body); INSERT INTO doc_text (docid, body) SELECT rowid, body FROM doc;`,
		file: `-- tldwdb: rebuild doc
CREATE TABLE doc (body text NOT NULL, kind text)`,
		query: `SELECT docid, body FROM doc_text WHERE doc_text MATCH 'dwarfs'`,
		want:  "7|seven dwarfs",
	},
	"a view that was broken before": {
		before: `CREATE TABLE a (id int, b int); CREATE VIEW broken AS SELECT x FROM nowhere;`,
		file: `-- tldwdb: rebuild a
CREATE TABLE a (id int, b text)`,
		query: `SELECT sql FROM sqlite_schema WHERE name = 'broken'`,
		want:  "CREATE VIEW broken AS SELECT x FROM nowhere",
	},
	"values that nobody named": {
		before: `CREATE TABLE a (id int, email text)`,
		file: `-- tldwdb: rebuild a
CREATE TABLE a (id int, emial text)`,
		fails: `the values of email are in no column of the new a: say '-- tldwdb: column NEW = "email"' below the rebuild, or '-- tldwdb: drop "email"'`,
	},
	"an index of a column that goes": {
		before: `CREATE TABLE a (id int, email text); CREATE INDEX a_email ON a (id) WHERE "email" IS NOT NULL`,
		file: `-- tldwdb: rebuild a
-- tldwdb: drop email
CREATE TABLE a (id int)`,
		fails: "the index a_email names the column email, which the new a has not: drop it in front of the rebuild",
	},
	"an index that was dropped in front": {
		before: `CREATE TABLE a (id int, lower text); CREATE INDEX a_lower ON a (lower); CREATE INDEX a_id ON a (lower(id))`,
		file: `DROP INDEX a_lower;
-- tldwdb: rebuild a
-- tldwdb: drop lower
CREATE TABLE a (id int)`,
		query: `SELECT name FROM sqlite_schema WHERE type = 'index'`,
		want:  "a_id",
	},
	"a view of a column that goes": {
		before: `CREATE TABLE a (id int, email text); CREATE VIEW mails AS SELECT email FROM a`,
		file: `-- tldwdb: rebuild a
-- tldwdb: drop email
CREATE TABLE a (id int)`,
		fails: "something that names a does not fit its new form: error in view mails",
	},
	"another table's trigger names a column that goes": {
		before: `CREATE TABLE a (id int, email text); CREATE TABLE b (id int); CREATE TRIGGER t AFTER INSERT ON b BEGIN UPDATE a SET email = 'x'; END`,
		file: `-- tldwdb: rebuild a
-- tldwdb: drop email
CREATE TABLE a (id int)`,
		fails: "something that names a does not fit its new form: a trigger of b: no such column: email",
	},
	"rows that the new form would let go": {
		before: `CREATE TABLE a (id int); INSERT INTO a VALUES (1), (1)`,
		file: `-- tldwdb: rebuild a
CREATE TABLE a (id int UNIQUE ON CONFLICT REPLACE)`,
		fails: "copying the rows: UNIQUE constraint failed: a.id",
	},
	"no such table":       {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild b\nCREATE TABLE b (id int)", fails: "there is no table b to rebuild"},
	"no ordinary table":   {before: `CREATE VIRTUAL TABLE f USING fts4(x)`, file: "-- tldwdb: rebuild f\nCREATE TABLE f (x text)", fails: "f is no ordinary table but a virtual one"},
	"a shadow table":      {before: `CREATE VIRTUAL TABLE f USING fts4(x)`, file: "-- tldwdb: rebuild f_content\nCREATE TABLE f_content (docid integer PRIMARY KEY, c0x)", fails: "f_content is no ordinary table but a shadow one"},
	"a column not there":  {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a\n-- tldwdb: column x = id\nCREATE TABLE a (id int)", fails: "the new a has no column x"},
	"nothing to drop":     {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a\n-- tldwdb: drop x\nCREATE TABLE a (id int)", fails: "a has no column x to drop"},
	"another name":        {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a\nCREATE TABLE b (id int)", fails: "2_rebuild.up.sql:1: the directive rebuilds a, and the statement below it makes b"},
	"another statement":   {before: `CREATE TABLE a (id int)`, file: "SELECT 1;\n-- tldwdb: rebuild a\nDROP TABLE a", fails: "2_rebuild.up.sql:2: a rebuild is written as"},
	"from a query":        {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a\nCREATE TABLE a AS SELECT 1", fails: "CREATE TABLE … AS SELECT has no constraints"},
	"nothing below":       {before: `CREATE TABLE a (id int)`, file: "SELECT 1;\n-- tldwdb: rebuild a\n", fails: "2_rebuild.up.sql:2: there is no statement below this directive"},
	"inside":              {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a\nCREATE TABLE a (\n  -- tldwdb: column id = id + 1\n  id int)", fails: "2_rebuild.up.sql:3: this directive stands inside of a statement"},
	"two words":           {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: rebuild a b\nCREATE TABLE a (id int)", fails: "2_rebuild.up.sql:1: the directive rebuild takes one name"},
	"a column by itself":  {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: column id = 1\nCREATE TABLE a (id int)", fails: "2_rebuild.up.sql:1: a rebuild is written as"},
	"no transaction":      {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: no-transaction\n-- tldwdb: rebuild a\nCREATE TABLE a (id int)", fails: "2_rebuild.up.sql:2: a table is rebuilt in a transaction"},
	"foreign keys on":     {before: `CREATE TABLE a (id int)`, file: "-- tldwdb: foreign-keys=on\n-- tldwdb: rebuild a\nCREATE TABLE a (id int)", fails: "2_rebuild.up.sql:2: a table is rebuilt while foreign keys are off"},
	"a directive in text": {before: `CREATE TABLE a (id text)`, file: "INSERT INTO a VALUES ('\n-- tldwdb: rebuild b\n'); /*\n-- tldwdb: rebuild c\n*/ INSERT INTO a VALUES (1)", query: "SELECT count(*) FROM a", want: "2"},
}

func TestRebuild(t *testing.T) {
	t.Parallel()
	for name, test := range rebuilds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.SQLite)
			f := files{"1_before.up.sql": test.before}
			if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := tdb.Dump(t, historyTable)
			db := open(t, tdb, f.with(files{"2_rebuild.up.sql": test.file}))
			_, err := db.Up(t.Context())
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Fatalf("got error %v, want %q", err, test.fails)
				}
				if after := tdb.Dump(t, historyTable); after != before {
					t.Errorf("something is left of it:\n%s\nbefore:\n%s", after, before)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				if got := answer(t, db, test.query); got != test.want {
					t.Errorf("got\n%s\nwant\n%s", got, test.want)
				}
			}
			if got := answer(t, db, "SELECT foreign_keys, (SELECT legacy_alter_table FROM pragma_legacy_alter_table), (SELECT count(*) FROM sqlite_schema WHERE name LIKE 'tldwdb_rebuild%') FROM pragma_foreign_keys"); got != "1|0|0" {
				t.Errorf("settings behind it, and tables left: %s", got)
			}
		})
	}
}

// answer are the rows of a query.
func answer(t *testing.T, db *tldwdb.DB, query string) string {
	t.Helper()
	conn, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows, err := conn.QueryxContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			if v != nil {
				texts[i] = strings.TrimSpace(fmt.Sprint(v))
			}
		}
		list = append(list, strings.Join(texts, "|"))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, ";")
}

// A rebuild is undone as it was done, by the text that the database has kept too, and a
// plan says what it does.
func TestRebuildBackAndPlan(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	f := files{
		"1_a.up.sql":       "CREATE TABLE a (id int); CREATE INDEX a_id ON a (id);",
		"2_rebuild.up.sql": "-- tldwdb: rebuild a\n-- tldwdb: column n = id + 1\nCREATE TABLE a (id int, n int);",
		"2_rebuild.down.sql": `-- tldwdb: rebuild a
-- tldwdb: drop n
CREATE TABLE a (id int);`,
	}
	if _, err := open(t, tdb, files{"1_a.up.sql": f["1_a.up.sql"]}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := tdb.Dump(t, historyTable)
	db := open(t, tdb, f)
	plan, err := db.Plan(t.Context(), tldwdb.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := plan.Steps[0].Statements[0].SQL, "-- tldwdb: rebuild \"a\"\n-- tldwdb: column \"n\" = id + 1\nCREATE TABLE a (id int, n int)"; got != want {
		t.Errorf("the plan says %q, want %q", got, want)
	}
	if err := db.Script(t.Context(), io.Discard, tldwdb.Request{}); err == nil || !strings.Contains(err.Error(), "a script cannot hold 0002_rebuild, which rebuilds a table") {
		t.Errorf("a script: %v", err)
	}
	if _, err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	without := open(t, tdb, files{"1_a.up.sql": f["1_a.up.sql"]})
	if _, err := without.Migrate(t.Context(), tldwdb.Request{Goal: tldwdb.GoalDown, Steps: 1}); err != nil {
		t.Fatal(err)
	}
	if after := tdb.Dump(t, historyTable); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

// On other engines a rebuild is refused when the files are read.
func TestRebuildIsOfSQLite(t *testing.T) {
	t.Parallel()
	cfg := tldwdb.Config{Migrations: files{"1_a.up.sql": "-- tldwdb: rebuild a\nCREATE TABLE a (id int)"}.fs()}
	for _, engine := range []string{"postgres", "mysql"} {
		if _, err := tldwdb.Files(cfg, engine); err == nil || !strings.Contains(err.Error(), "1_a.up.sql:1: tables are rebuilt on SQLite alone") {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

// A rebuild that is cut off leaves nothing behind.
func TestRebuildCancelled(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	f := files{"1_a.up.sql": "CREATE TABLE a (id int); INSERT INTO a VALUES (1), (2);"}
	if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := tdb.Dump(t, historyTable)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	db := open(t, tdb, f.with(files{"2_r.up.sql": "-- tldwdb: rebuild a\n-- tldwdb: column n = (WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT max(i) FROM c)\nCREATE TABLE a (id int, n int);"}),
		func(cfg *tldwdb.Config) {
			cfg.Progress = func(p tldwdb.Progress) {
				if p.Statement == 1 {
					cancel()
				}
			}
		})
	if _, err := db.Up(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := tdb.Dump(t, historyTable); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	if got := answer(t, db, "SELECT foreign_keys, (SELECT legacy_alter_table FROM pragma_legacy_alter_table) FROM pragma_foreign_keys"); got != "1|0" {
		t.Errorf("settings behind it: %s", got)
	}
}
