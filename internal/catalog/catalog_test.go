package catalog_test

import (
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

var dialects = map[testdb.Engine]string{testdb.SQLite: dialect.NameSQLite, testdb.Postgres: dialect.NamePostgres, testdb.MariaDB: dialect.NameMySQL, testdb.MySQL: dialect.NameMySQL}

// read describes the database that pool is connected to.
func read(t *testing.T, e testdb.Engine, pool *sql.DB, o catalog.Options) catalog.Catalog {
	t.Helper()
	d, err := dialect.New(dialects[e], true)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := catalog.Read(t.Context(), d, conn, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exec(t *testing.T, pool *sql.DB, script string) {
	t.Helper()
	if _, err := pool.ExecContext(t.Context(), script); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

func summaries(list []catalog.Difference) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = d.Kind + " " + d.Name + " " + d.Change
	}
	return strings.Join(texts, ", ")
}

func text(list []catalog.Difference) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

// Two roads to one schema.
var roads = map[testdb.Engine][][2]string{
	testdb.SQLite: {
		{`CREATE TABLE a (id integer PRIMARY KEY, b text UNIQUE CHECK (b <> ',('), d int DEFAULT (1)); ALTER TABLE a ADD COLUMN c int REFERENCES a;
		  CREATE INDEX i ON a (b); CREATE VIEW v AS SELECT id, b FROM a; CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET d = 2; DELETE FROM a; END;`,
			`CREATE TABLE IF NOT EXISTS "old" ([id] INTEGER NOT NULL, "b" TEXT /* , ( */, d INT default 1, -- , )
		   'c' int, CONSTRAINT u UNIQUE (b), FOREIGN KEY (c) REFERENCES "old" ("id") ON DELETE NO ACTION, CHECK ( "b" <> ',('), PRIMARY KEY ("id"));
		  ALTER TABLE "old" RENAME TO A; INSERT INTO a (b) VALUES ('x');
		  CREATE  VIEW  "v"
		    AS SELECT id,b FROM "a"; CREATE INDEX IF NOT EXISTS i ON "a" (b ASC);
		  CREATE TRIGGER IF NOT EXISTS "t" AFTER INSERT ON "a" begin update a set d=2; delete from a; end;`},
		{`CREATE TABLE a (k text PRIMARY KEY, v real) WITHOUT ROWID, STRICT`, `CREATE TABLE a (k TEXT NOT NULL, v REAL NULL DEFAULT NULL, PRIMARY KEY (k)) STRICT, WITHOUT ROWID`},
		{`CREATE TABLE a (id integer PRIMARY KEY AUTOINCREMENT, x decimal(10, 2) COLLATE binary NOT NULL ON CONFLICT ABORT, g int AS (id + 1))`,
			`CREATE TABLE a (id INTEGER, x DECIMAL (10,2) NOT NULL, g INT GENERATED ALWAYS AS (id+1) VIRTUAL, PRIMARY KEY (id AUTOINCREMENT))`},
		{`CREATE VIRTUAL TABLE f USING fts3(a, b)`, `CREATE VIRTUAL TABLE  f  USING fts3( a,b )`},
		{`CREATE TABLE a (x int, y int, UNIQUE (x, y) UNIQUE (y))`, `CREATE TABLE a (x int, y int UNIQUE, UNIQUE (x, y))`},
	},
	testdb.Postgres: {
		{`CREATE TABLE a (id int PRIMARY KEY, b text COLLATE "C", c int DEFAULT 1 REFERENCES a, d bigint GENERATED ALWAYS AS IDENTITY);
		  CREATE INDEX i ON a (b) WHERE c > 0; CREATE VIEW v AS SELECT * FROM a; CREATE TYPE mood AS ENUM ('x', 'y');
		  CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
		  CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		  CREATE TABLE p (k int, s serial) PARTITION BY RANGE (k); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
		  COMMENT ON COLUMN a.b IS 'said'; ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON a USING (c = 1); CREATE STATISTICS s ON b, c FROM a;
		  CREATE TABLE w (k varchar(9) CHECK (k IN ('x', 'y'))); CREATE VIEW wv AS SELECT k FROM w WHERE k NOT IN ('x', 'y');`,
			`CREATE TABLE w (k varchar(9), CONSTRAINT w_k_check CHECK (k::text = ANY (ARRAY['x'::varchar::text, 'y'::varchar::text])));
		  CREATE VIEW wv AS SELECT k FROM w WHERE k::text <> ALL (ARRAY['x'::varchar::text, 'y'::varchar::text]);
		  CREATE TYPE mood AS ENUM ('y'); ALTER TYPE mood ADD VALUE 'x' BEFORE 'y'; CREATE TABLE tldwdb_history (v int PRIMARY KEY); COMMENT ON TABLE tldwdb_history IS 'ours';
		  CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
		  CREATE TABLE old (gone int, id int, b text COLLATE "C", c int DEFAULT 1, d bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME other)); ALTER TABLE old RENAME TO a; ALTER TABLE a DROP COLUMN gone, ADD PRIMARY KEY (id); ALTER TABLE a ADD FOREIGN KEY (c) REFERENCES a;
		  CREATE STATISTICS s ON b, c FROM a; CREATE POLICY own ON a USING (c = 1); ALTER TABLE a ENABLE ROW LEVEL SECURITY; COMMENT ON COLUMN a.b IS 'said';
		  CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
		  SET search_path = pg_catalog; CREATE VIEW public.v AS SELECT * FROM public.a; SET search_path = public; CREATE INDEX i ON a (b) WHERE c > 0; INSERT INTO a (id) VALUES (1);
		  CREATE TABLE p (k int, s serial) PARTITION BY RANGE (k); CREATE TABLE p1 (k int, s int NOT NULL DEFAULT nextval('p_s_seq')); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (9);`},
	},
	testdb.MariaDB: {mysqlRoads},
	testdb.MySQL:   {mysqlRoads},
}

var mysqlRoads = [2]string{
	"CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, b varchar(9), c int, d int, KEY k (b), KEY l (c), CONSTRAINT own FOREIGN KEY (d) REFERENCES a (id)) COMMENT 'x';" +
		"CREATE TABLE p (k int) PARTITION BY RANGE (k) (PARTITION p0 VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN (9));" +
		"CREATE VIEW v AS SELECT * FROM a; CREATE PROCEDURE p() SELECT 1; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.c = 1;" +
		"CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;" +
		"CREATE EVENT once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 5 YEAR DISABLE DO SELECT 1; CREATE EVENT until ON SCHEDULE EVERY '1:30' HOUR_MINUTE ENDS CURRENT_TIMESTAMP + INTERVAL 5 YEAR DISABLE DO SELECT 1",
	"CREATE EVENT once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 6 YEAR DISABLE DO SELECT 1; CREATE EVENT until ON SCHEDULE EVERY '1:30' HOUR_MINUTE ENDS CURRENT_TIMESTAMP + INTERVAL 6 YEAR DISABLE DO SELECT 1;" +
		"CREATE TABLE tldwdb_history (v int); CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;" +
		"CREATE TABLE p (k int) PARTITION BY RANGE (k) (PARTITION p0 VALUES LESS THAN (5)); ALTER TABLE p ADD PARTITION (PARTITION p1 VALUES LESS THAN (9));" +
		"CREATE PROCEDURE p() SELECT 1; CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, c int, KEY l (c)) COMMENT 'x';" +
		"ALTER TABLE a ADD COLUMN b varchar(9) AFTER id, ADD KEY k (b); INSERT INTO a (b) VALUES ('x'); ALTER TABLE a ADD COLUMN d int, ADD CONSTRAINT own FOREIGN KEY (d) REFERENCES a (id);" +
		"CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.c = 1; SET sql_mode = 'ANSI_QUOTES'; CREATE VIEW v AS SELECT * FROM a",
}

func TestRoadsToOneSchemaAreEqual(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, first *testdb.Database) {
		for i, road := range roads[first.Engine] {
			a, b := first, testdb.New(t, first.Engine)
			if i > 0 {
				a = testdb.New(t, first.Engine)
			}
			exec(t, a.AdminDB(t), road[0])
			exec(t, b.AdminDB(t), road[1])
			o := catalog.Options{Ignore: []string{"tldwdb_history"}}
			if list := catalog.Compare(read(t, a.Engine, a.AdminDB(t), o), read(t, b.Engine, b.AdminDB(t), o)); len(list) > 0 {
				t.Errorf("road %d:\n%s", i, text(list))
			}
		}
	})
}

// change is a hot-fix, and what the comparison says about it.
type change struct{ script, want string }

var changes = map[testdb.Engine][]change{
	testdb.SQLite: {
		{"ALTER TABLE a ADD COLUMN z", "table a different"},
		{"ALTER TABLE a DROP COLUMN z", "table a different"},
		{"ALTER TABLE a RENAME COLUMN d TO e", "table a different, trigger t different"},
		{`CREATE TABLE "ä" (x)`, "table ä unexpected"},
		{`ALTER TABLE "ä" RENAME TO "Ä"`, "table Ä unexpected, table ä missing"},
		{`DROP TABLE "Ä"`, "table Ä missing"},
		{"CREATE TABLE w (x int PRIMARY KEY); CREATE INDEX wi ON w (x)", "table w unexpected"},
		{"DROP TABLE w; CREATE TABLE w (x int PRIMARY KEY) WITHOUT ROWID", "index wi missing, table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int PRIMARY KEY) STRICT", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x INTEGER PRIMARY KEY) STRICT", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x INTEGER PRIMARY KEY DESC) STRICT", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int, CHECK (x > 0))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int, CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int DEFAULT 1, CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int DEFAULT '1', CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int DEFAULT '1' NOT NULL, CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int DEFAULT '1' NOT NULL, y text COLLATE nocase, CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int DEFAULT '1' NOT NULL, y text, CHECK (x > 1))", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int REFERENCES a)", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int REFERENCES a ON DELETE CASCADE)", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int REFERENCES a ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int, g int AS (x * 2) STORED)", "table w different"},
		{"DROP TABLE w; CREATE TABLE w (x int, g int AS (x * 2))", "table w different"},
		{"DROP TABLE w", "table w missing"},
		{"DROP INDEX i; CREATE UNIQUE INDEX i ON a (b)", "index i different"},
		{"DROP INDEX i; CREATE UNIQUE INDEX i ON a (b) WHERE b <> 'x'", "index i different"},
		{"DROP INDEX i; CREATE UNIQUE INDEX i ON a (b DESC) WHERE b <> 'x'", "index i different"},
		{"DROP VIEW v; CREATE VIEW v AS SELECT id, b FROM a WHERE b = 'X'", "view v different"},
		{"DROP VIEW v; CREATE VIEW v AS SELECT id, b FROM a WHERE b = 'x'", "view v different"},
		{"DROP TRIGGER t", "trigger t missing"},
		{"CREATE VIRTUAL TABLE f USING fts3(a)", "table f unexpected"},
	},
	testdb.Postgres: {
		{"ALTER TABLE a ADD COLUMN z int", "table public.a different"},
		{"ALTER TABLE a ALTER z SET DEFAULT 2", "table public.a different"},
		{"ALTER TABLE a ALTER z SET NOT NULL", "table public.a different"},
		{"ALTER TABLE a ALTER z TYPE bigint", "table public.a different"},
		{"ALTER TABLE a ALTER d SET GENERATED BY DEFAULT", "table public.a different"},
		{"ALTER TABLE a ALTER d SET INCREMENT 5", "table public.a different"},
		{"ALTER TABLE a ADD g int GENERATED ALWAYS AS (c + 1) STORED", "table public.a different"},
		{"ALTER TABLE a ADD h text COLLATE \"POSIX\"", "table public.a different"},
		{"ALTER TABLE a ADD CONSTRAINT k CHECK (c > 0) NOT VALID", "table public.a different"},
		{"ALTER TABLE a VALIDATE CONSTRAINT k", "table public.a different"},
		{"ALTER TABLE a DISABLE TRIGGER t", "trigger public.a.t different"},
		{"DROP TRIGGER t ON a", "trigger public.a.t missing"},
		{"ALTER TABLE a DISABLE ROW LEVEL SECURITY", "table public.a different"},
		{"ALTER POLICY own ON a USING (c = 2)", "policy public.a.own different"},
		{"DROP POLICY own ON a", "policy public.a.own missing"},
		{"CREATE RULE r AS ON DELETE TO a DO INSTEAD NOTHING", "rule public.a.r unexpected"},
		{"ALTER TABLE a SET (fillfactor = 50)", "table public.a different"},
		{"ALTER TABLE a REPLICA IDENTITY FULL", "table public.a different"},
		{"ALTER TABLE a SET UNLOGGED", "table public.a different"},
		{"CREATE INDEX j ON a (c)", "index public.j unexpected"},
		{"DROP INDEX j; CREATE UNIQUE INDEX j ON a (c DESC NULLS LAST) INCLUDE (b)", "index public.j different"},
		{"DROP STATISTICS s", "statistics public.s missing"},
		{"COMMENT ON COLUMN a.b IS 'else'", "comment table column public.a.b different"},
		{"COMMENT ON COLUMN a.b IS NULL", "comment table column public.a.b missing"},
		{"CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "function public.f() different"},
		{"CREATE PROCEDURE q() LANGUAGE sql AS 'SELECT 1'", "procedure public.q() unexpected"},
		{"DROP AGGREGATE total(int); CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')", "aggregate public.total(integer) different"},
		{"ALTER TYPE mood ADD VALUE 'z'", "type public.mood different"},
		{"CREATE TYPE pair AS (l int, r int)", "type public.pair unexpected"},
		{"ALTER TYPE pair ADD ATTRIBUTE m int", "type public.pair different"},
		{"CREATE TYPE span AS RANGE (subtype = int)", "type public.span unexpected"},
		{"ALTER DOMAIN positive SET NOT NULL", "type public.positive different"},
		{"ALTER DOMAIN positive DROP CONSTRAINT positive_check", "type public.positive different"},
		{"CREATE SEQUENCE q", "sequence public.q unexpected"},
		{"ALTER SEQUENCE q INCREMENT 2", "sequence public.q different"},
		{"SELECT nextval('q')", ""},
		{"CREATE OR REPLACE VIEW v AS SELECT id, b, c, d, 1 AS one FROM a", "view public.v different"},
		{"CREATE MATERIALIZED VIEW m AS SELECT 1 AS one", "materialized view public.m unexpected"},
		{"CREATE UNIQUE INDEX mi ON m (one)", "index public.mi unexpected"},
		{"DROP MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW m AS SELECT 2 AS one", "index public.mi missing, materialized view public.m different"},
		{"ALTER TABLE p DETACH PARTITION p1", "table public.p1 different"},
		{"CREATE SCHEMA app; CREATE TABLE app.a (x int)", "schema app unexpected, table app.a unexpected"},
		{"CREATE TABLE child () INHERITS (app.a)", "table public.child unexpected"},
		{"CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)", "operator public.===(integer, integer) unexpected"},
		{"CREATE COLLATION german FROM \"C\"", "collation public.german unexpected"},
		{"CREATE CAST (public.pair AS int) WITH INOUT", "cast public.pair as integer unexpected"},
		{"CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)", "text search configuration public.words unexpected"},
		{"ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR int", "text search configuration public.words different"},
		{"CREATE PUBLICATION pub FOR TABLE p1", "publication pub unexpected"},
		{"DROP TABLE p1", "publication pub different, table public.p1 missing"},
		{"CREATE TEMPORARY TABLE passing (x int)", ""},
		{"GRANT SELECT ON a TO PUBLIC", ""},
		{"SELECT lo_create(0)", ""},
	},
	testdb.MariaDB: slices.Concat(mysqlChanges, []change{
		{"CREATE SEQUENCE s", "sequence s unexpected"},
		{"DO NEXTVAL(s)", ""},
		{"ALTER SEQUENCE s INCREMENT 5", "sequence s different"},
		{"ALTER TABLE a ADD SYSTEM VERSIONING", "table a different"},
	}),
	testdb.MySQL: slices.Concat(mysqlChanges, []change{
		{"ALTER TABLE a ALTER INDEX l INVISIBLE", "table a different"},
		{"ALTER TABLE a ADD INDEX x ((c + 1))", "table a different"},
	}),
}

var mysqlChanges = []change{
	{"ALTER TABLE a ADD COLUMN z int NOT NULL", "table a different"},
	{"INSERT INTO a (b, z) VALUES ('x', 1), ('y', 2)", ""},
	{"ALTER TABLE a MODIFY z int NOT NULL DEFAULT 1", "table a different"},
	{"ALTER TABLE a ADD CONSTRAINT k CHECK (z > 0)", "table a different"},
	{"ALTER TABLE a ADD g int AS (z + 1) STORED", "table a different"},
	{"ALTER TABLE a ADD UNIQUE KEY u (z, b)", "table a different"},
	{"DROP INDEX k ON a", "table a different"},
	{"ALTER TABLE a DROP FOREIGN KEY own", "table a different"},
	{"ALTER TABLE a CONVERT TO CHARACTER SET latin1", "table a different"},
	{"ALTER TABLE a COMMENT 'y'", "table a different"},
	{"ALTER TABLE a ROW_FORMAT = COMPRESSED", "table a different"},
	{"ALTER TABLE a AUTO_INCREMENT = 77", ""},
	{"ALTER TABLE p DROP PARTITION p1", "table p different"},
	{"CREATE TABLE w (x int)", "table w unexpected"},
	{"CREATE TRIGGER t2 BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 'x'", "trigger t2 unexpected"},
	{"DROP TRIGGER t; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW FOLLOWS t2 SET NEW.c = 1", "trigger t different, trigger t2 different"},
	{"DROP TRIGGER t", "trigger t missing"},
	{"CREATE OR REPLACE VIEW v AS SELECT id FROM a", "view v different"},
	{"DROP PROCEDURE p; CREATE PROCEDURE p() SELECT 2", "procedure p different"},
	{"ALTER FUNCTION f SQL SECURITY INVOKER", "function f different"},
	{"SET sql_mode = 'PIPES_AS_CONCAT'; DROP FUNCTION f; CREATE FUNCTION f() RETURNS int DETERMINISTIC SQL SECURITY INVOKER RETURN 1", "function f different"},
	{"DROP FUNCTION f", "function f missing"},
	{"ALTER EVENT e COMMENT 'y'", "event e different"},
	{"ALTER EVENT e ENABLE", "event e different"},
	{"DROP EVENT e", "event e missing"},
	{"ALTER DATABASE CHARACTER SET latin1", "database  different"},
}

// Each change of one object is found, and nothing else beside it.
func TestEachChangeIsFound(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		pool := db.AdminDB(t)
		exec(t, pool, roads[db.Engine][0][0])
		before := read(t, db.Engine, pool, catalog.Options{})
		for _, c := range changes[db.Engine] {
			if _, err := pool.ExecContext(t.Context(), c.script); err != nil {
				t.Errorf("%s: %v", c.script, err)
				continue
			}
			after := read(t, db.Engine, pool, catalog.Options{})
			if got := summaries(catalog.Compare(before, after)); got != c.want {
				t.Errorf("%s:\n got %s\nwant %s\n%s", c.script, got, c.want, text(catalog.Compare(before, after)))
			}
			before = after
		}
	})
}

// What is ignored is left out with all that belongs to it, in any case.
func TestIgnore(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		pool := db.AdminDB(t)
		exec(t, pool, roads[db.Engine][0][0])
		for _, o := range read(t, db.Engine, pool, catalog.Options{Ignore: []string{"A"}}) {
			if strings.TrimPrefix(o.Name, "public.") == "a" || strings.TrimPrefix(o.Of, "public.") == "a" {
				t.Errorf("not ignored: %s %s of %s", o.Kind, o.Name, o.Of)
			}
		}
		if err := (catalog.Options{Ignore: []string{"a", "[b"}}).Check(); err == nil || !strings.Contains(err.Error(), "[b") {
			t.Errorf("a pattern that is none: %v", err)
		}
	})
}

// The order of columns counts, unless it is said that it does not.
func TestColumnOrder(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		exec(t, db.AdminDB(t), "CREATE TABLE a (x int, y varchar(9))")
		other := testdb.New(t, db.Engine)
		exec(t, other.AdminDB(t), "CREATE TABLE a (y varchar(9), x int)")
		for _, free := range []bool{false, true} {
			o := catalog.Options{AnyColumnOrder: free}
			list := catalog.Compare(read(t, db.Engine, db.AdminDB(t), o), read(t, db.Engine, other.AdminDB(t), o))
			if (len(list) == 0) != free {
				t.Errorf("AnyColumnOrder %v: %s", free, text(list))
			}
		}
	})
}

// The session is as it was: reading has settings of its own.
func TestReadLeavesTheSession(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		pool := db.AdminDB(t)
		pool.SetMaxOpenConns(1)
		query := map[testdb.Engine]string{
			testdb.SQLite: "SELECT group_concat(name) FROM pragma_database_list", testdb.Postgres: "SELECT current_setting('search_path')",
			testdb.MariaDB: "SELECT CONCAT(@@sql_mode, @@sql_quote_show_create)", testdb.MySQL: "SELECT CONCAT(@@sql_mode, @@sql_quote_show_create)",
		}[db.Engine]
		switch db.Engine {
		case testdb.SQLite:
		case testdb.Postgres:
			exec(t, pool, "SET search_path = public")
		default:
			exec(t, pool, "SET sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES', sql_quote_show_create = 0")
		}
		var before, after string
		if err := pool.QueryRowContext(t.Context(), query).Scan(&before); err != nil {
			t.Fatal(err)
		}
		read(t, db.Engine, pool, catalog.Options{})
		if err := pool.QueryRowContext(t.Context(), query).Scan(&after); err != nil {
			t.Fatal(err)
		}
		if before != after {
			t.Errorf("it was %q and is %q", before, after)
		}
	})
}

func TestDifference(t *testing.T) {
	t.Parallel()
	want := catalog.Catalog{{Kind: "index", Name: "i", Of: "gone", Text: "x"}, {Kind: "table", Name: "a", Text: "one\ntwo\nthree\nfour"}, {Kind: "table", Name: "gone", Text: "x"}}
	got := catalog.Catalog{{Kind: "index", Name: "k", Of: "a", Text: "on a"}, {Kind: "table", Name: "a", Text: "one\n2\nthree\nfour\nfive"}, {Kind: "trigger", Name: "t", Of: "new", Text: "x"}, {Kind: "table", Name: "new", Text: "x"}}
	slices.SortFunc(got, func(a, b catalog.Object) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	list := catalog.Compare(want, got)
	wanted := `index k is not from the migrations
    + on a
table a is different
    - two
    + 2
    + five
table gone is missing
    - x
table new is not from the migrations
    + x`
	if text(list) != wanted {
		t.Errorf("got:\n%s\nwant:\n%s", text(list), wanted)
	}
	if left := catalog.Compare(want, want); left != nil {
		t.Errorf("with itself: %v", left)
	}
	for _, o := range want.Without(list) {
		t.Errorf("left: %v", o)
	}
}

// 200 tables with an index each.
func BenchmarkRead(b *testing.B) {
	for _, e := range testdb.Engines() {
		b.Run(string(e), func(b *testing.B) {
			db := testdb.New(b, e)
			pool := db.AdminDB(b)
			for i := range 200 {
				n := strconv.Itoa(i)
				if _, err := pool.ExecContext(b.Context(), "CREATE TABLE t"+n+" (id int PRIMARY KEY, a varchar(9) NOT NULL, b int); CREATE INDEX i"+n+" ON t"+n+" (a)"); err != nil {
					b.Fatal(err)
				}
			}
			d, err := dialect.New(dialects[e], true)
			if err != nil {
				b.Fatal(err)
			}
			conn, err := pool.Conn(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			for b.Loop() {
				if _, err := catalog.Read(b.Context(), d, conn, catalog.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever is made in a PostgreSQL database, it is not untouched any more.
func TestUntouched(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d, err := dialect.New(dialects[db.Engine], true)
		if err != nil {
			t.Fatal(err)
		}
		pool := db.AdminDB(t)
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if untouched, err := catalog.Untouched(t.Context(), d, conn); err != nil || untouched != (db.Engine == testdb.Postgres) {
			t.Fatalf("a new database: %v, %v", untouched, err)
		}
		if db.Engine != testdb.Postgres {
			return
		}
		list := map[string]bool{
			"CREATE SCHEMA s": true, "CREATE TABLE t (id int)": false, "CREATE SEQUENCE s": false, "CREATE TYPE mood AS ENUM ()": false, "CREATE DOMAIN d AS int": false,
			"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'": false, "CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, PROCEDURE = int4pl)": false,
			"CREATE COLLATION c (locale = 'C')": false, "CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8": false,
			"CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)": false, "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)": false, "CREATE PUBLICATION p": false,
		}
		var super bool
		if err := conn.QueryRowContext(t.Context(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super); err != nil {
			t.Fatal(err)
		}
		if super {
			list["CREATE FOREIGN DATA WRAPPER w"] = false
			list["CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))"] = false
			list["CREATE CAST (int AS point) WITH INOUT"] = false
		}
		for statement, want := range list {
			tx, err := conn.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			} else if untouched, err := catalog.Untouched(t.Context(), d, tx); err != nil || untouched != want {
				t.Errorf("%s: untouched is %v, %v", statement, untouched, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
