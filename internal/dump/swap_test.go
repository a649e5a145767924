package dump

import (
	"context"

	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// restored makes a second database beside db with what statements make.
func restored(t *testing.T, db *testdb.Database, statements ...string) *testdb.Database {
	t.Helper()
	other := testdb.New(t, db.Engine)
	fill(t, other, nil, statements...)
	return other
}

// dropKept drops what a swap has kept.
func dropKept(t *testing.T, pool *sql.DB, kept string) {
	t.Helper()
	if !strings.Contains(kept, "_before_20") {
		t.Fatalf("the old one is kept as %q", kept)
	}
	run(t, pool, "DROP DATABASE "+kept)
}

// elsewhere is a pool on another database of the server.
func elsewhere(t *testing.T, db *testdb.Database) *sql.DB {
	t.Helper()
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/tldw"
	pool, err := testdb.Open(db.Engine, u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// TestSwapPostgres: the restored database is under the name at once, sessions of the
// old one end, and what belongs to the database itself stays.
func TestSwapPostgres(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, nil, "CREATE TABLE t (v text); INSERT INTO t VALUES ('old')",
		"ALTER DATABASE "+db.Name()+" SET work_mem = '7MB'", `ALTER DATABASE `+db.Name()+` SET search_path = "$user", app, public`,
		"ALTER DATABASE "+db.Name()+" CONNECTION LIMIT 17", "COMMENT ON DATABASE "+db.Name()+" IS 'it''s ours'",
		"REVOKE ALL ON DATABASE "+db.Name()+" FROM PUBLIC", "GRANT CONNECT ON DATABASE "+db.Name()+" TO pg_monitor WITH GRANT OPTION")
	other := restored(t, db, "CREATE TABLE t (v text); INSERT INTO t VALUES ('new')")
	busy := db.AdminDB(t)
	held, err := busy.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if _, err := held.ExecContext(t.Context(), "BEGIN; INSERT INTO t VALUES ('lost')"); err != nil {
		t.Fatal(err)
	}
	outside := elsewhere(t, db)
	of := func(name string) string {
		return value(t, outside, `SELECT concat_ws('|', d.datconnlimit, shobj_description(d.oid, 'pg_database'), d.datacl, d.datallowconn,
			(SELECT string_agg(s.setrole || array_to_string(s.setconfig, ';'), ' ') FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)) FROM pg_database d WHERE datname = '`+name+"'")
	}
	want := of(db.Name())
	kept, err := Swap(t.Context(), target(t, db), other.Name(), Asleep{})
	if err != nil {
		t.Fatal(err)
	}
	if err := held.PingContext(t.Context()); err == nil {
		t.Error("a session of the old database goes on")
	}
	if got := value(t, db.AdminDB(t), "SELECT string_agg(v, ',') FROM t"); got != "new" {
		t.Errorf("under the name is %q", got)
	}
	if got := of(db.Name()); got != want {
		t.Errorf("the database has %s, and not %s", got, want)
	}
	dropKept(t, outside, kept)
	run(t, outside, "CREATE DATABASE "+other.Name()) // for the clean-up
}

// TestSwapPostgresFails: what goes wrong in the middle changes nothing, and nobody
// is kept out.
func TestSwapPostgresFails(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, nil, "CREATE TABLE t (v text); INSERT INTO t VALUES ('old')")
	other := restored(t, db, "CREATE TABLE t (v text); INSERT INTO t VALUES ('new')")
	to := target(t, db)
	if _, err := Swap(t.Context(), to, "tldw_is_not_there", Asleep{}); err == nil {
		t.Error("with a database that is not there")
	}
	p := &postgres{to}
	outside := elsewhere(t, db)
	err := p.whileEnding(t.Context(), outside, []string{db.Name(), other.Name()}, func(ctx context.Context) error {
		return transaction(ctx, outside, []string{"ALTER DATABASE " + db.Name() + " RENAME TO " + db.Name() + "_x", "ALTER DATABASE " + other.Name() + " RENAME TO " + db.Name(), "SELECT 1/0"})
	})
	if err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Error(err)
	}
	if got := value(t, db.AdminDB(t), "SELECT v FROM t"); got != "old" {
		t.Errorf("under the name is %q", got)
	}
}

// skipOld is for servers on which a crash can tear a RENAME TABLE apart.
func skipOld(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "are the first that do not") {
		t.Skip(err)
	}
}

// TestSwapMySQL: the tables change places, and foreign keys go with them.
func TestSwapMySQL(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			schema := []string{
				"CREATE TABLE parent (id int PRIMARY KEY, v text)", "CREATE TABLE child (id int PRIMARY KEY, parent int, CONSTRAINT up FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
				"CREATE TABLE `it's; odd` (id int)", "CREATE VIEW both_of AS SELECT p.v FROM parent p JOIN child c ON c.parent = p.id",
				"CREATE PROCEDURE names() SELECT v FROM parent",
			}
			fill(t, db, nil, append(schema, "INSERT INTO parent VALUES (1, 'old')", "INSERT INTO child VALUES (1, 1)", "CREATE TABLE later (id int)")...)
			other := restored(t, db, append(schema, "INSERT INTO parent VALUES (1, 'new'), (2, 'newer')", "INSERT INTO child VALUES (1, 1), (2, 2)")...)
			kept, err := Swap(t.Context(), target(t, db), other.Name(), Asleep{})
			skipOld(t, err)
			if err != nil {
				t.Fatalf("%v", err)
			}
			pool := db.AdminDB(t)
			if got := value(t, pool, "SELECT GROUP_CONCAT(v ORDER BY v) FROM both_of"); got != "new,newer" {
				t.Errorf("the view shows %q", got)
			}
			run(t, pool, "DELETE FROM parent WHERE id = 1")
			if got := value(t, pool, "SELECT COUNT(*) FROM child"); got != "1" {
				t.Errorf("%s children: the foreign key leads elsewhere", got)
			}
			if got := value(t, pool, "SELECT GROUP_CONCAT(table_name ORDER BY table_name) FROM information_schema.tables WHERE table_schema = '"+kept+"'"); got != "child,it's; odd,later,parent" {
				t.Errorf("kept are %q", got)
			}
			if got := value(t, pool, "SELECT CONCAT((SELECT v FROM "+kept+".parent), (SELECT COUNT(*) FROM "+kept+".child))"); got != "old1" {
				t.Errorf("the old tables have %q", got)
			}
			dropKept(t, pool, kept)
		})
	}
}

// TestSwapMySQLRefuses: what cannot move is told, and nothing has moved.
func TestSwapMySQLRefuses(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		for name, c := range map[string]struct{ live, restored, says string }{
			"trigger": {"CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1", "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1", "table t has a trigger"},
			"view":    {"CREATE VIEW v AS SELECT 1 AS one", "CREATE VIEW v AS SELECT 2 AS one", "view v"},
			"routine": {"DO 1", "CREATE PROCEDURE r() SELECT 1", "procedure r"},
			"event":   {"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "DO 1", "event e"},
		} {
			t.Run(string(e)+"/"+name, func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t, e)
				fill(t, db, nil, "CREATE TABLE t (id int)", c.live)
				other := restored(t, db, "CREATE TABLE t (id int)", "CREATE TABLE new_one (id int)", c.restored)
				_, err := Swap(t.Context(), target(t, db), other.Name(), Asleep{})
				skipOld(t, err)
				refusal, ok := errors.AsType[*Refusal](err)
				if !ok || !strings.Contains(err.Error(), c.says) || refusal.Hint == "" {
					t.Fatalf("%v", err)
				}
				pool := db.AdminDB(t)
				if got := value(t, pool, "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema = DATABASE()"); got != "t" {
					t.Errorf("there is %q", got)
				}
				if got := value(t, pool, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE '"+db.Name()+"\\_before%'"); got != "0" {
					t.Error("a database is left")
				}
			})
		}
	}
}

// TestMaySwap: what no restored database would change is known before one is there.
func TestMaySwap(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			fill(t, db, nil, "CREATE TABLE t (id int)", "CREATE VIEW v AS SELECT id FROM t")
			err := MaySwap(t.Context(), target(t, db))
			skipOld(t, err)
			if err != nil {
				t.Fatal(err)
			}
			if e == testdb.Postgres {
				return
			}
			run(t, db.AdminDB(t), "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1")
			err = MaySwap(t.Context(), target(t, db))
			if refusal, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "table t has a trigger, g") || refusal.Hint == "" {
				t.Errorf("with a trigger: %v", err)
			}
		})
	}
}
