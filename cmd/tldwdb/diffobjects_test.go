package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/testdb"
)

// What stands around tables: views, routines, triggers and so on. diff leads from the
// first text to the second and back.
type objectPair struct {
	from, to string
	want     []string // parts of the way up, in this order
	never    string   // what is not in it
}

// fromThirteen are the pairs that PostgreSQL 12 does not take: there DROP EXPRESSION is
// unknown, and an extension is for superusers.
var fromThirteen = []string{"columns that are computed", "an extension"}

const postgresBase = `CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE person (id bigint PRIMARY KEY, name varchar(20) NOT NULL, mood mood, changed timestamptz);
COMMENT ON TABLE person IS 'who';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE OF name ON person FOR EACH ROW EXECUTE FUNCTION touch();
CREATE VIEW named AS SELECT id, name FROM person WHERE name <> '';
CREATE VIEW short AS SELECT id FROM named;
COMMENT ON VIEW named IS 'it''s';
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON person FOR SELECT USING (name = CURRENT_USER);
`

func changed(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

var objectPairs = map[testdb.Engine]map[string]objectPair{
	testdb.MySQL: { // the planner is MariaDB's
		"views":   mysqlObjectPairs["views, a trigger before another, a routine"],
		"renames": mysqlObjectPairs["a renamed column that checks, computed columns, views and triggers name"],
	},
	testdb.MariaDB: mysqlObjectPairs,
	testdb.Postgres: {
		"a column, and all else stays": {
			postgresBase, changed(postgresBase, "changed timestamptz", "changed timestamptz, age int"), []string{`ALTER TABLE "person" ADD COLUMN "age" integer`}, "VIEW",
		},
		"a column that things stand on": {
			postgresBase, changed(postgresBase, "varchar(20)", "text"),
			[]string{"DROP VIEW short", "DROP VIEW named", "ALTER TABLE", "CREATE TRIGGER touched", "CREATE VIEW named", "CREATE VIEW short", "CREATE POLICY own", "COMMENT ON VIEW public.named IS 'it''s'"}, "FUNCTION touch() RETURNS",
		},
		"a view that gets a column": {
			postgresBase, changed(postgresBase, "SELECT id, name FROM", "SELECT id, name, mood FROM"), []string{"CREATE OR REPLACE VIEW named"}, "DROP",
		},
		"a view that loses one": {
			postgresBase, changed(postgresBase, "SELECT id, name FROM", "SELECT id FROM"), []string{"DROP VIEW short", "DROP VIEW named", "CREATE VIEW named", "CREATE VIEW short"}, "TABLE",
		},
		"a routine with another body, and one with another result": {
			postgresBase + "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW ones AS SELECT one();",
			changed(postgresBase, "now()", "clock_timestamp()") + "CREATE FUNCTION one() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'; CREATE VIEW ones AS SELECT one(); CREATE PROCEDURE p(mood) LANGUAGE sql AS 'SELECT 1';",
			[]string{"DROP VIEW ones", "DROP FUNCTION one()", "CREATE OR REPLACE FUNCTION public.touch()", "CREATE OR REPLACE FUNCTION public.one()", "CREATE VIEW ones", "CREATE OR REPLACE PROCEDURE"}, "TRIGGER",
		},
		"all of it comes": {
			"CREATE TABLE other (id int);", "CREATE TABLE other (id int);" + postgresBase + `CREATE RULE no AS ON DELETE TO other DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW many AS SELECT count(*) AS n FROM short; CREATE UNIQUE INDEX many_n ON many (n); COMMENT ON FUNCTION touch() IS 'f'; COMMENT ON TRIGGER touched ON person IS 't'; COMMENT ON COLUMN named.name IS 'c';
CREATE STATISTICS st ON id, name FROM person;`,
			[]string{"CREATE TYPE", "CREATE TABLE", "FUNCTION public.touch()", "CREATE TRIGGER", "CREATE VIEW named", "CREATE VIEW short", "CREATE POLICY", "CREATE MATERIALIZED VIEW", "CREATE UNIQUE INDEX"}, "",
		},
		"tables that stand on routines, domains and sequences": {
			"CREATE TABLE other (id int);", `CREATE TABLE other (id int); CREATE DOMAIN positive AS int DEFAULT 1 NOT NULL CONSTRAINT more CHECK (VALUE > 0); CREATE SEQUENCE numbers AS int INCREMENT 2 START 5 CYCLE;
CREATE FUNCTION twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 2';
CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('numbers'), n positive, CHECK (twice(id) > 0)); CREATE INDEX t_twice ON t (twice(id));
CREATE TYPE pair AS (a int, b text); COMMENT ON TYPE pair IS 'two'; COMMENT ON SEQUENCE numbers IS 'odd';`,
			[]string{"FUNCTION public.twice", "CREATE TABLE"}, "DROP",
		},
		"a sequence, a rule, a policy, and security": {
			postgresBase + "CREATE SEQUENCE s; CREATE RULE r AS ON DELETE TO named DO INSTEAD NOTHING;",
			changed(postgresBase, "FOR SELECT USING (name = CURRENT_USER)", "AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (name <> '')", "ENABLE ROW", "FORCE ROW") + "CREATE SEQUENCE s CACHE 20; CREATE RULE r AS ON DELETE TO named DO ALSO NOTHING;",
			[]string{"DROP RULE r ON named", "ALTER SEQUENCE s", "NO CYCLE"}, "VIEW",
		},
		"an enum with other values, and what stands on them": {
			postgresBase + "ALTER TABLE person ADD last mood DEFAULT 'bad', ADD many mood[], ADD CONSTRAINT fine CHECK (mood <> 'bad'); CREATE INDEX bad ON person (id) WHERE mood = 'bad'; CREATE VIEW good AS SELECT id FROM person WHERE mood = 'good'; CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1';",
			changed(postgresBase, "'good', 'bad'", "'bad', 'fair', 'good'") + "ALTER TABLE person ADD last mood DEFAULT 'bad', ADD many mood[], ADD CONSTRAINT fine CHECK (mood <> 'good'); CREATE INDEX bad ON person (id) WHERE mood = 'bad'; CREATE VIEW good AS SELECT id FROM person WHERE mood = 'good'; CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1';",
			[]string{"DROP VIEW good", "DROP INDEX bad", "RENAME TO", "CREATE TYPE mood", "SET DEFAULT 'bad'::mood", "many TYPE mood[]", "DROP TYPE", "CREATE INDEX bad", "IF EXISTS \"fine\"", "CREATE VIEW good"}, "",
		},
		"what can be deferred, and what excludes": {
			"CREATE TABLE a (id int PRIMARY KEY, n int UNIQUE DEFERRABLE, r int4range, x int REFERENCES a DEFERRABLE);",
			"CREATE TABLE a (id int PRIMARY KEY, n int UNIQUE, r int4range, x int REFERENCES a DEFERRABLE INITIALLY DEFERRED, EXCLUDE USING gist (r WITH &&)); CREATE TABLE b (a int REFERENCES a (n) DEFERRABLE);",
			[]string{"DROP CONSTRAINT a_n_key", "EXCLUDE USING gist", "INITIALLY DEFERRED"}, "",
		},
		"keys that are checked later, as Django writes them, and odd ones": {
			`CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE TABLE b (id bigint PRIMARY KEY, x bigint REFERENCES a, y bigint REFERENCES a DEFERRABLE, z bigint CONSTRAINT z REFERENCES a DEFERRABLE INITIALLY DEFERRED, "U" int UNIQUE);`,
			`CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE TABLE b (id bigint PRIMARY KEY, x bigint REFERENCES a DEFERRABLE INITIALLY DEFERRED, y bigint REFERENCES a, z bigint CONSTRAINT z REFERENCES a ON DELETE CASCADE DEFERRABLE, "U" int UNIQUE DEFERRABLE);
CREATE TABLE "C" (id bigint PRIMARY KEY, b bigint REFERENCES b DEFERRABLE INITIALLY DEFERRED, x int, y int, UNIQUE (x, y));
CREATE TABLE d (x int, y int, FOREIGN KEY (x, y) REFERENCES "C" (x, y) MATCH FULL);`,
			[]string{`UNIQUE ("U") DEFERRABLE`, "INITIALLY DEFERRED", "MATCH FULL"}, "b_pkey",
		},
		"columns that are computed": {
			"CREATE TABLE t (id int, n int, m varchar(9), twice int GENERATED ALWAYS AS (n * 2) STORED, up text GENERATED ALWAYS AS (upper(m)) STORED, plain int); CREATE INDEX t_twice ON t (twice); CREATE VIEW v AS SELECT up FROM t;",
			"CREATE TABLE t (id int, n bigint, m varchar(9), twice int GENERATED ALWAYS AS (n * 2) STORED, up text GENERATED ALWAYS AS (lower(m)) STORED, plain int GENERATED ALWAYS AS (id + 1) STORED); CREATE INDEX t_twice ON t (twice); CREATE VIEW v AS SELECT up FROM t;",
			[]string{"DROP VIEW v", `DROP COLUMN "twice"`, `DROP COLUMN "up"`, `DROP COLUMN "plain"`, `CREATE INDEX "t_twice"`, "CREATE VIEW v"}, "",
		},
		"types that the server does not convert by itself": {
			`CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE t (a text DEFAULT '1', b text DEFAULT 'good' NOT NULL, c boolean, d text, e int, "F" varchar(9), g text[]);`,
			`CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE t (a bigint DEFAULT 2, b mood DEFAULT 'bad' NOT NULL, c integer, d varchar(5), e bigint, "F" bit(3), g int[]);`,
			[]string{`ALTER COLUMN "a" DROP DEFAULT, ALTER COLUMN "b" DROP DEFAULT`, `TYPE bigint USING "a"::bigint`, `USING "b"::mood`, `USING "c"::integer`, `USING "F"::"bit"`, `USING "g"::integer[]`}, `USING "e"`,
		},
		"an extension": {"", "CREATE EXTENSION pgcrypto; CREATE TABLE t (id uuid DEFAULT gen_random_uuid());", []string{"CREATE EXTENSION pgcrypto", "CREATE TABLE"}, ""},
	},
}

const mysqlBase = `CREATE TABLE person (id int PRIMARY KEY, name varchar(20) NOT NULL, changed datetime);
CREATE FUNCTION uno() RETURNS int DETERMINISTIC NO SQL RETURN 1;
CREATE VIEW named AS SELECT id, name FROM person WHERE name <> '';
CREATE VIEW a_short AS SELECT id FROM named;
CREATE TRIGGER t1 BEFORE UPDATE ON person FOR EACH ROW BEGIN SET NEW.changed = now(); SET NEW.name = trim(NEW.name); END;
CREATE TRIGGER t2 BEFORE UPDATE ON person FOR EACH ROW SET NEW.name = lower(NEW.name);
`

var mysqlObjectPairs = map[string]objectPair{
	"a column, and all else stays": {
		mysqlBase, changed(mysqlBase, "changed datetime", "changed datetime, age int"), []string{"ALTER TABLE `person` ADD COLUMN `age`"}, "VIEW",
	},
	"views, a trigger before another, a routine": {
		mysqlBase, changed(mysqlBase, "SELECT id, name FROM", "SELECT id, name, changed, uno() AS n FROM", "SET NEW.changed = now();", "IF NEW.id > 1 THEN SET NEW.changed = now(); END IF;", "RETURN 1", "RETURN 2"),
		[]string{"DROP FUNCTION `uno`", "CREATE FUNCTION `uno`", "CREATE OR REPLACE", "CREATE TRIGGER", "t1", "CREATE TRIGGER", "t2"}, "a_short",
	},
	"all of it comes": {
		"CREATE TABLE other (id int);", "CREATE TABLE other (id int);" + mysqlBase + "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT ';'; END; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM other; CREATE EVENT f ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DO DELETE FROM other;",
		[]string{"CREATE TABLE", "FUNCTION", "PROCEDURE", "named", "a_short", "TRIGGER", "EVENT `e` ON SCHEDULE EVERY 1 DAY ON", "EVENT `f`", "STARTS '2037-01-01 03:00:00'"}, "DROP",
	},
	"a renamed column that checks, computed columns, views and triggers name": {
		changed(mysqlBase, "changed datetime)", "changed datetime, size int AS (length(name)), KEY person_size (size), CONSTRAINT long_name CHECK (name <> 'x')) COMMENT 'who'"),
		changed(mysqlBase, "name varchar(20) NOT NULL, changed datetime)", "called varchar(20) NOT NULL, -- tldwdb: renamed from name\n changed datetime, size int AS (length(called)), KEY person_size (size), CONSTRAINT long_name CHECK (called <> 'x')) COMMENT 'whom'", "id, name FROM person WHERE name", "id, called FROM person WHERE called", "NEW.name", "NEW.called", "trim(NEW.name)", "trim(NEW.called)"),
		[]string{"DROP CONSTRAINT `long_name`", "RENAME COLUMN `name` TO `called`", "ADD COLUMN `size`", "CREATE OR REPLACE", "CREATE TRIGGER"}, "a_short",
	},
	"a comment changes, and foreign keys stay": {
		"CREATE TABLE a (id int PRIMARY KEY) COMMENT 'x'; CREATE TABLE b (a int, FOREIGN KEY (a) REFERENCES a (id)) COMMENT 'x';",
		"CREATE TABLE a (id int PRIMARY KEY) COMMENT 'y'; CREATE TABLE b (a int, FOREIGN KEY (a) REFERENCES a (id)) COMMENT 'y';", []string{"ALTER TABLE"}, "FOREIGN",
	},
	"a column goes that a view and a trigger name": {
		mysqlBase, changed(mysqlBase, ", changed datetime", "", "SET NEW.changed = now();", ""), []string{"DROP TRIGGER", "DROP COLUMN `changed`", "CREATE TRIGGER"}, "VIEW",
	},
}

func TestDiffOfObjects(t *testing.T) {
	t.Parallel()
	for _, e := range testdb.Engines() {
		for name, pair := range objectPairs[e] {
			t.Run(string(e)+"/"+name, func(t *testing.T) {
				t.Parallel()
				tdb := testdb.New(t, e)
				if e == testdb.Postgres && slices.Contains(fromThirteen, name) {
					var version int
					if err := tdb.AdminDB(t).QueryRowContext(t.Context(), "SELECT current_setting('server_version_num')").Scan(&version); err != nil {
						t.Fatal(err)
					}
					if version < 130000 {
						t.Skipf("PostgreSQL %d", version/10000)
					}
				}
				diffObjects(t, tdb, pair)
			})
		}
	}
}

func diffObjects(t *testing.T, tdb *testdb.Database, pair objectPair) {
	dir := t.TempDir()
	migrations, wanted, schema := filepath.Join(dir, "migrations"), filepath.Join(dir, "wanted"), filepath.Join(dir, "schema.sql")
	write(t, filepath.Join(migrations, "0001_first.up.sql"), pair.from+"\nSELECT 1;")
	write(t, filepath.Join(wanted, "0001_all.up.sql"), pair.to+"\nSELECT 1;")
	write(t, schema, pair.to)
	was := migrated(t, tdb, migrations, tldwdb.GoalUp)
	want := migrated(t, testdb.New(t, tdb.Engine), wanted, tldwdb.GoalUp)
	out, code := command(t, "diff", "second", "--to", schema, "--dir", migrations, "--url", tdb.URL, "-q")
	if code != 0 {
		t.Fatalf("diff ends with %d: %s", code, out)
	}
	up := read(t, filepath.Join(migrations, "0002_second.up.sql"))
	for at, part := 0, ""; len(pair.want) > 0; pair.want = pair.want[1:] {
		part = pair.want[0]
		next := strings.Index(up[at:], part)
		if next < 0 {
			t.Errorf("%q is not there, or too early:\n%s", part, up)
			break
		}
		at += next + len(part)
	}
	if pair.never != "" && strings.Contains(up, pair.never) {
		t.Errorf("there is %q:\n%s", pair.never, up)
	}
	for _, d := range catalog.Compare(want, migrated(t, tdb, migrations, tldwdb.GoalUp)) {
		t.Errorf("up: %s", d)
	}
	for _, d := range catalog.Compare(was, migrated(t, tdb, migrations, tldwdb.GoalDown)) {
		t.Errorf("down: %s", d)
	}
	if t.Failed() {
		t.Log(out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
