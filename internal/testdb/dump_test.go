package testdb_test

import (
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// Two roads to one schema: the second makes columns, keys and tables in another order, and has a
// history table and rows besides.
var roads = map[testdb.Engine][2]string{
	testdb.SQLite: {
		`CREATE TABLE a (id integer PRIMARY KEY, b text, CHECK (b <> ',(')); ALTER TABLE a ADD COLUMN c int REFERENCES a(id);
		 CREATE INDEX i ON a (b); CREATE VIEW v AS SELECT * FROM a;`,
		`CREATE TABLE tldwdb_history (v int); CREATE INDEX h ON tldwdb_history (v);
		 CREATE TABLE "old" (id integer PRIMARY KEY /* , ( */, b text, -- , )
		   c int REFERENCES a(id), CHECK (b <> ',('));
		 ALTER TABLE "old" RENAME TO a; INSERT INTO a (b) VALUES ('x');
		 CREATE VIEW v AS SELECT * FROM a; CREATE INDEX i ON a (b);`,
	},
	testdb.Postgres: {
		`CREATE TABLE a (id int PRIMARY KEY, b text COLLATE "C", c int DEFAULT 1 REFERENCES a, d bigint GENERATED ALWAYS AS IDENTITY);
		 CREATE INDEX i ON a (b) WHERE c > 0; CREATE VIEW v AS SELECT * FROM a; CREATE TYPE mood AS ENUM ('x', 'y');
		 CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
		 CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		 CREATE TABLE p (k int) PARTITION BY RANGE (k); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
		 COMMENT ON COLUMN a.b IS 'said'; ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON a USING (c = 1); CREATE STATISTICS s ON b, c FROM a;`,
		`CREATE TYPE mood AS ENUM ('y'); ALTER TYPE mood ADD VALUE 'x' BEFORE 'y'; CREATE TABLE tldwdb_history (v int PRIMARY KEY); COMMENT ON TABLE tldwdb_history IS 'ours';
		 CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
		 CREATE TABLE a (gone int, id int, b text COLLATE "C", c int DEFAULT 1, d bigint GENERATED ALWAYS AS IDENTITY); ALTER TABLE a DROP COLUMN gone, ADD PRIMARY KEY (id); ALTER TABLE a ADD FOREIGN KEY (c) REFERENCES a;
		 CREATE STATISTICS s ON b, c FROM a; CREATE POLICY own ON a USING (c = 1); ALTER TABLE a ENABLE ROW LEVEL SECURITY; COMMENT ON COLUMN a.b IS 'said';
		 CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
		 CREATE VIEW v AS SELECT * FROM a; CREATE INDEX i ON a (b) WHERE c > 0; INSERT INTO a (id) VALUES (1);
		 CREATE TABLE p (k int) PARTITION BY RANGE (k); CREATE TABLE p1 (k int); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (9);`,
	},
	testdb.MariaDB: mysqlRoads,
	testdb.MySQL:   mysqlRoads,
}

var mysqlRoads = [2]string{
	`CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, b varchar(9), c int, KEY k (b), KEY l (c)) COMMENT 'x';
	 CREATE VIEW v AS SELECT * FROM a; CREATE PROCEDURE p() SELECT 1; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.c = 1;
	 CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1`,
	`CREATE TABLE tldwdb_history (v int); CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;
	 CREATE PROCEDURE p() SELECT 1; CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, c int, KEY l (c)) COMMENT 'x';
	 ALTER TABLE a ADD COLUMN b varchar(9) AFTER id, ADD KEY k (b); INSERT INTO a (b) VALUES ('x');
	 CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.c = 1; CREATE VIEW v AS SELECT * FROM a`,
}

func TestDumpIsCanonical(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var dumps [2]string
		for i, road := range roads[db.Engine] {
			d := testdb.New(t, db.Engine)
			if _, err := d.AdminDB(t).ExecContext(t.Context(), road); err != nil {
				t.Fatal(err)
			}
			dumps[i] = d.Dump(t, "tldwdb_history")
		}
		if dumps[0] != dumps[1] {
			t.Errorf("one schema, two dumps:\n%s\n\n%s", dumps[0], dumps[1])
		}
	})
}

// Every small change of the schema shows.
func TestDumpShowsChanges(t *testing.T) {
	t.Parallel()
	changes := map[testdb.Engine][]string{
		testdb.SQLite: {
			"DROP INDEX i", "DROP VIEW v", "ALTER TABLE a ADD COLUMN z", "ALTER TABLE a RENAME COLUMN b TO bb",
			"CREATE TABLE w (x int PRIMARY KEY) WITHOUT ROWID, STRICT", "CREATE TRIGGER g AFTER INSERT ON a BEGIN SELECT 1; END",
		},
		testdb.Postgres: {
			"DROP INDEX i", "DROP VIEW v", "ALTER TABLE a ADD COLUMN z int", "ALTER TABLE a ALTER c SET DEFAULT 2", "ALTER TABLE a ALTER c SET NOT NULL",
			"ALTER TABLE a ADD CHECK (c > 0) NOT VALID", "ALTER TABLE a DISABLE TRIGGER t", "ALTER TYPE mood ADD VALUE 'z'", "CREATE SCHEMA other",
			"ALTER TABLE a DISABLE ROW LEVEL SECURITY", "COMMENT ON COLUMN a.b IS NULL", "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
			"DROP POLICY own ON a", "DROP STATISTICS s", "ALTER TABLE p DETACH PARTITION p1", "CREATE SEQUENCE q", "GRANT SELECT ON a TO PUBLIC", "DROP AGGREGATE total(int)",
			"ALTER TABLE a SET (fillfactor = 50)", "CREATE RULE r AS ON DELETE TO a DO INSTEAD NOTHING", "ALTER DOMAIN positive SET NOT NULL", "CREATE TYPE pair AS (l int, r int)",
		},
		testdb.MariaDB: {
			"DROP INDEX k ON a", "DROP VIEW v", "ALTER TABLE a ADD COLUMN z int", "ALTER TABLE a COMMENT 'y'", "DROP PROCEDURE p", "DROP TRIGGER t", "DROP FUNCTION f",
			"ALTER EVENT e COMMENT 'y'", "CREATE SEQUENCE s", "ALTER DATABASE CHARACTER SET latin1", "ALTER TABLE a ADD SYSTEM VERSIONING",
		},
		testdb.MySQL: {
			"DROP INDEX k ON a", "DROP VIEW v", "ALTER TABLE a ADD COLUMN z int", "ALTER TABLE a COMMENT 'y'", "DROP PROCEDURE p", "DROP TRIGGER t", "DROP FUNCTION f",
			"ALTER EVENT e COMMENT 'y'", "ALTER TABLE a ALTER INDEX l INVISIBLE",
		},
	}
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		pool := db.AdminDB(t)
		if _, err := pool.ExecContext(t.Context(), roads[db.Engine][0]); err != nil {
			t.Fatal(err)
		}
		before := db.Dump(t)
		for _, change := range changes[db.Engine] {
			if _, err := pool.ExecContext(t.Context(), change); err != nil {
				t.Errorf("%s: %v", change, err)
			}
			after := db.Dump(t)
			if after == before {
				t.Errorf("the dump does not show %s", change)
			}
			before = after
		}
		if db.Dump(t, "a") == before {
			t.Error("a table to be left out is not")
		}
	})
}
