package schemadiff

import (
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func TestHints(t *testing.T) {
	t.Parallel()
	const text = `-- A schema. -- tldwdb: renamed from nobody
-- tldwdb: renamed from person
CREATE TABLE app."the member" ( -- tldwdb: renamed elsewhere
	id int, a decimal(3, 1), -- tldwdb: renamed from b
	-- tldwdb: renamed from "old one"
	c text DEFAULT '-- tldwdb: renamed from text',
	d int -- tldwdb: renamed from e
);
CREATE TABLE IF NOT EXISTS plain (x int);
`
	for _, rules := range []sqlscan.Options{{Dialect: sqlscan.SQLite}, {Dialect: sqlscan.Postgres}} {
		hints, statements, err := Hints(text, rules)
		if err != nil {
			t.Fatal(err)
		}
		want := []Hint{
			{2, "app", "the member", "", "person"}, {4, "app", "the member", "a", "b"},
			{5, "app", "the member", "c", "old one"}, {7, "app", "the member", "d", "e"},
		}
		if !slices.Equal(hints, want) {
			t.Errorf("got %v, want %v", hints, want)
		}
		const without = `CREATE TABLE app."the member" ( -- tldwdb: renamed elsewhere
	id int, a decimal(3, 1),
	c text DEFAULT '-- tldwdb: renamed from text',
	d int
)`
		if len(statements) != 2 || statements[0].Text != without || statements[0].Line != 3 || statements[1].Line != 9 {
			t.Errorf("what is left: %+v", statements)
		}
	}
	for _, wrong := range []string{"-- tldwdb: renamed from a\nCREATE INDEX i ON t (a);", "CREATE TABLE t (\n-- tldwdb: renamed from a\n);"} {
		if hints, _, err := Hints(wrong, sqlscan.Options{Dialect: sqlscan.SQLite}); err == nil || !strings.Contains(err.Error(), "there is nothing below this hint") {
			t.Errorf("%q: %v, %v", wrong, hints, err)
		}
	}
}

// sqlitePairs are schemas and the statements from one to the other.
var sqlitePairs = map[string]struct{ from, to, want, back string }{
	"columns at the end": {
		from: "CREATE TABLE a (id integer PRIMARY KEY, n text, CHECK (n > ''))",
		to:   "CREATE TABLE a (id INTEGER PRIMARY KEY, /* why */ [n] text, k int NOT NULL DEFAULT -1, m text -- a note\n, CHECK (n > ''))",
		want: "ALTER TABLE \"a\" ADD COLUMN k int NOT NULL DEFAULT -1; ALTER TABLE \"a\" ADD COLUMN m text",
		back: "ALTER TABLE \"a\" DROP COLUMN \"k\"; ALTER TABLE \"a\" DROP COLUMN \"m\"",
	},
	"a column that ALTER TABLE does not add": {
		from: "CREATE TABLE a (id int)", to: "CREATE TABLE a (id int, k text DEFAULT CURRENT_TIMESTAMP)",
		want: "-- tldwdb: rebuild \"a\"\nCREATE TABLE a (id int, k text DEFAULT CURRENT_TIMESTAMP)",
		back: "-- tldwdb: rebuild \"a\"\n-- tldwdb: drop \"k\"\nCREATE TABLE a (id int)",
	},
	"an index that changes, one that stays": {
		from: "CREATE TABLE a (id int, n int); CREATE INDEX i ON a (id); CREATE INDEX k ON a (n)", to: "CREATE TABLE a (id int, n int); CREATE UNIQUE INDEX i ON a (id); CREATE INDEX k ON a (n ASC)",
		want: "DROP INDEX \"i\"; CREATE UNIQUE INDEX i ON a (id)", back: "DROP INDEX \"i\"; CREATE INDEX i ON a (id)",
	},
	"views and triggers": {
		from: "CREATE TABLE a (id int, n int); CREATE VIEW v AS SELECT n FROM a; CREATE VIEW w AS SELECT n FROM v; CREATE TRIGGER t INSTEAD OF DELETE ON v BEGIN SELECT 1; END; CREATE TRIGGER stays AFTER DELETE ON a BEGIN SELECT 2; END",
		to:   "CREATE TABLE a (id int); CREATE VIEW v AS SELECT id AS n FROM a; CREATE VIEW w AS SELECT n FROM v; CREATE TRIGGER t INSTEAD OF DELETE ON v BEGIN SELECT 1; END; CREATE TRIGGER stays AFTER DELETE ON a BEGIN SELECT 2; END",
		want: "DROP VIEW \"w\"; DROP VIEW \"v\"; ALTER TABLE \"a\" DROP COLUMN \"n\"; CREATE VIEW v AS SELECT id AS n FROM a; CREATE VIEW w AS SELECT n FROM v; CREATE TRIGGER t INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
		back: "DROP VIEW \"w\"; DROP VIEW \"v\"; ALTER TABLE \"a\" ADD COLUMN n int; CREATE VIEW v AS SELECT n FROM a; CREATE VIEW w AS SELECT n FROM v; CREATE TRIGGER t INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
	},
	"a table with all that is on it": {
		from: "CREATE TABLE a (id int)", to: "CREATE TABLE a (id int); CREATE TABLE b (id int, n int); CREATE INDEX i ON b (n); CREATE TRIGGER t AFTER DELETE ON b BEGIN SELECT 1; END",
		want: "CREATE TABLE b (id int, n int); CREATE INDEX i ON b (n); CREATE TRIGGER t AFTER DELETE ON b BEGIN SELECT 1; END",
		back: "DROP TABLE \"b\"",
	},
	"a column that may not be NULL any more": {
		from: "CREATE TABLE a (id int, n int, g int AS (n + 1))", to: "CREATE TABLE a (id int, n int NOT NULL DEFAULT 7, g int)",
		want: "-- tldwdb: rebuild \"a\"\n-- tldwdb: column \"n\" = coalesce(\"n\", 7)\nCREATE TABLE a (id int, n int NOT NULL DEFAULT 7, g int)",
		back: "-- tldwdb: rebuild \"a\"\n-- tldwdb: drop \"g\"\nCREATE TABLE a (id int, n int, g int AS (n + 1))",
	},
	"nothing": {from: "CREATE TABLE a (id int)", to: "CREATE TABLE \"a\" ( id INT )"},
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	for name, pair := range sqlitePairs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := readSchema(t, pair.from), readSchema(t, pair.to)
			for _, way := range []struct {
				from, to *SQLiteSchema
				want     string
			}{{from, to, pair.want}, {to, from, pair.back}} {
				list, err := SQLite(way.from, way.to)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(list, "; "); got != way.want {
					t.Errorf("got\n%s\nwant\n%s", got, way.want)
				}
			}
		})
	}
}

func readSchema(t *testing.T, text string) *SQLiteSchema {
	t.Helper()
	tdb := testdb.New(t, testdb.SQLite)
	db, err := testdb.Open(tdb.Engine, tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	d, err := dialect.New(dialect.NameSQLite, true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Read(t.Context(), d, conn, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSQLite(t.Context(), conn, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mysqlPairs are the lines of two tables and the clauses between them.
var mysqlPairs = map[string]struct{ from, to, want string }{
	"columns move": {
		from: "`a` int\n`b` int\n`c` int", to: "`c` int\n`a` int\n`n` int\n`b` int",
		want: "ALTER TABLE `t`\n  MODIFY COLUMN `c` int FIRST,\n  ADD COLUMN `n` int AFTER `a`",
	},
	"a column that is computed otherwise": {
		from: "`a` int\n`b` int GENERATED ALWAYS AS (`a`) VIRTUAL", to: "`a` int\n`b` int GENERATED ALWAYS AS (`a`) STORED",
		want: "ALTER TABLE `t`\n  DROP COLUMN `b`,\n  ADD COLUMN `b` int GENERATED ALWAYS AS (`a`) STORED",
	},
	"keys and checks": {
		from: "`a` int\nPRIMARY KEY (`a`)\nKEY `k, y` (`a`)\nCONSTRAINT `c` CHECK (`a` > 0)", to: "`a` int\nKEY `k, y` (`a` DESC)\nFULLTEXT KEY `f` (`a`)",
		want: "ALTER TABLE `t`\n  DROP PRIMARY KEY,\n  DROP KEY `k, y`,\n  DROP CONSTRAINT `c`,\n  ADD KEY `k, y` (`a` DESC),\n  ADD FULLTEXT KEY `f` (`a`)",
	},
	"a foreign key in the way of its column": {
		from: "`a` int\nKEY `t_to` (`a`)\nCONSTRAINT `t_to` FOREIGN KEY (`a`) REFERENCES `t` (`a`)", to: "`a` bigint\nKEY `t_to` (`a`)\nCONSTRAINT `t_to` FOREIGN KEY (`a`) REFERENCES `t` (`a`)",
		want: "ALTER TABLE `t` DROP FOREIGN KEY `t_to`; ALTER TABLE `t` MODIFY COLUMN `a` bigint; ALTER TABLE `t` ADD CONSTRAINT `t_to` FOREIGN KEY (`a`) REFERENCES `t` (`a`)",
	},
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	parse := func(lines, options string) *mysqlTable {
		table, err := parseMySQL("t", "CREATE TABLE `t` (\n  "+strings.ReplaceAll(lines, "\n", ",\n  ")+"\n) "+options)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	for name, pair := range mysqlPairs {
		list, err := MySQL(MySQLSchema{"t": parse(pair.from, "ENGINE=InnoDB AUTO_INCREMENT=7")}, MySQLSchema{"t": parse(pair.to, "ENGINE=InnoDB")})
		if got := strings.Join(list, "; "); err != nil || got != pair.want {
			t.Errorf("%s: got\n%s, %v\nwant\n%s", name, got, err, pair.want)
		}
	}
	list, err := MySQL(MySQLSchema{"t": parse("`a` text", "ENGINE=InnoDB DEFAULT CHARSET=latin1 ROW_FORMAT=COMPRESSED COMMENT='x; y'")}, MySQLSchema{"t": parse("`a` text", "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4")})
	if got, want := strings.Join(list, "; "), "ALTER TABLE `t`\n  MODIFY COLUMN `a` text,\n  ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DEFAULT COMMENT=''"; err != nil || got != want {
		t.Errorf("got\n%s, %v\nwant\n%s", got, err, want)
	}
	// Two new tables that name each other.
	a := parse("`a` int\nKEY `k` (`a`)\nCONSTRAINT `t_to` FOREIGN KEY (`a`) REFERENCES `u` (`a`)", "ENGINE=InnoDB")
	b, err := parseMySQL("u", "CREATE TABLE `u` (\n  `a` int,\n  KEY `k` (`a`),\n  CONSTRAINT `u_to` FOREIGN KEY (`a`) REFERENCES `t` (`a`)\n) ENGINE=InnoDB")
	if err != nil {
		t.Fatal(err)
	}
	list, err = MySQL(nil, MySQLSchema{"t": a, "u": b})
	if err != nil || len(list) != 3 || list[2] != "ALTER TABLE `t` ADD CONSTRAINT `t_to` FOREIGN KEY (`a`) REFERENCES `u` (`a`)" || !strings.Contains(list[1], "u_to") {
		t.Errorf("got %q, %v", list, err)
	}
	list, err = MySQL(MySQLSchema{"t": a, "u": b}, nil)
	if want := []string{"DROP TABLE `t`", "DROP TABLE `u`"}; err != nil || len(list) != 4 || !slices.Equal(list[2:], want) && !slices.Equal([]string{list[1], list[3]}, want) {
		t.Errorf("got %q, %v", list, err)
	}
	if _, err := parseMySQL("t", "CREATE TABLE `t` (\n  PERIOD FOR SYSTEM_TIME (`a`, `b`)\n) ENGINE=InnoDB"); err == nil {
		t.Error("a line that is not known was passed over")
	}
}

// A column whose name is quoted otherwise is the same column.
func TestPlain(t *testing.T) {
	t.Parallel()
	if a, b := plain("[a]  INT /* x */"), plain(`"A" int`); a != b {
		t.Errorf("%q and %q", a, b)
	}
}
