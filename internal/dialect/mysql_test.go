package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
)

// one scans a text that is one statement.
func one(t *testing.T, d Dialect, text string) sqlscan.Statement {
	t.Helper()
	list, err := sqlscan.Split(text, d.ScanOptions())
	if err != nil || len(list) != 1 {
		t.Fatalf("%q: %d statements, %v", text, len(list), err)
	}
	return list[0]
}

func TestMySQLStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		class   Class
		objects string // kind schema.name, …; what a fingerprint looks at
	}{
		{"INSERT INTO t VALUES (1)", ClassData, ""},
		{"CREATE TABLE t (id int)", ClassSchema, "TABLE t"},
		{"create /* why */ table -- name\n IF NOT EXISTS `a``b` . `c;d` (id int)", ClassSchema, "TABLE a`b.c;d"},
		{"/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50013 DEFINER=`u`@`%` SQL SECURITY DEFINER */ /*!50001 VIEW `v` AS SELECT 1 */", ClassSchema, "VIEW v"},
		{"/*!50001 DROP VIEW IF EXISTS `v`*/", ClassSchema, "VIEW v"},
		{"/*!40000 ALTER TABLE `t` DISABLE KEYS */", ClassSchema, "TABLE t"},
		{"/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`127.0.0.1`*/ /*!50003 TRIGGER `a b` BEFORE INSERT ON t FOR EACH ROW SET @x = 1 */", ClassSchema, "TRIGGER a b"},
		{"CREATE DEFINER=u@localhost PROCEDURE s.p() SELECT 1", ClassSchema, "PROCEDURE s.p"},
		{"CREATE DEFINER = CURRENT_USER() FUNCTION f() RETURNS int RETURN 1", ClassSchema, "FUNCTION f"},
		{"CREATE DEFINER='u'@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", ClassSchema, "EVENT e"},
		{"CREATE OR REPLACE TABLE t (id int)", ClassSchema, "TABLE t"},
		{"CREATE UNIQUE INDEX i USING BTREE ON t (a)", ClassSchema, "TABLE t"},
		{"DROP INDEX i ON s.t", ClassSchema, "TABLE s.t"},
		{"DROP TABLE IF EXISTS a, s.b CASCADE", ClassSchema, "TABLE a, TABLE s.b"},
		{"ALTER TABLE t ADD COLUMN a int, RENAME COLUMN b TO c", ClassSchema, "TABLE t"},
		{"ALTER TABLE t RENAME TO u", ClassSchema, "TABLE t, TABLE u"},
		{"RENAME TABLE a TO b, c TO d", ClassSchema, "TABLE a, TABLE b, TABLE c, TABLE d"},
		{"CREATE DATABASE IF NOT EXISTS s", ClassSchema, "DATABASE s"},
		{"CREATE TEMPORARY TABLE t (id int)", ClassTemporary, ""},
		{"DROP TEMPORARY TABLE t", ClassTemporary, ""},
		{"/*!40101 SET @saved_cs_client = @@character_set_client */", ClassSession, ""},
		{"SET NAMES utf8mb4", ClassSession, ""},
		{"SET autocommit = 0", ClassTransaction, ""},
		{"SET @a = 1, SESSION `Autocommit` := 0", ClassTransaction, ""},
		{"SET @old = @@autocommit", ClassSession, ""},
		{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", ClassSession, ""},
		{"LOCK TABLES t WRITE", ClassSession, ""},
		{"UNLOCK TABLES", ClassSession, ""},
		{"START TRANSACTION", ClassTransaction, ""},
		{"BEGIN", ClassTransaction, ""},
		{"BEGIN NOT ATOMIC SET @x = 1; END", ClassOpaque, ""},
		{"CALL p()", ClassOpaque, ""},
		{"SIGNAL SQLSTATE '45000'", ClassData, ""},
		{"CREATE USER u", ClassSchema, ""},
		{"DROP ROLE r", ClassSchema, ""},
		{"RENAME USER a TO b, b TO a", ClassSchema, ""},
		{"CREATE USER IF NOT EXISTS u", ClassRepeatable, ""},
		{"ALTER USER u IDENTIFIED BY 'a'", ClassRepeatable, ""},
		{"ALTER USER u IDENTIFIED BY 'a' RETAIN CURRENT PASSWORD", ClassSchema, ""},
		{"ALTER USER u IDENTIFIED BY 'a' REPLACE 'b'", ClassSchema, ""},
		{"ALTER USER u ADD 2 FACTOR IDENTIFIED BY 'b'", ClassSchema, ""},
		{"SET PASSWORD FOR u = 'a'", ClassRepeatable, ""},
		{"SET PASSWORD = 'a' REPLACE 'b'", ClassSchema, ""},
		{"SET DEFAULT ROLE r TO u", ClassRepeatable, ""},
		{"GRANT SELECT ON t TO u", ClassRepeatable, ""},
	} {
		d := &mysqlDialect{}
		st := one(t, d, c.text)
		if got := d.Class(st); got != c.class {
			t.Errorf("%s: class %d, want %d", c.text, got, c.class)
		}
		if c.class != ClassSchema {
			continue // nobody asks for the objects of the others
		}
		var names []string
		for _, o := range d.objects(headOf(st.Text, d.ScanOptions()), st.Verb) {
			names = append(names, strings.Replace(o.kind+" "+o.name.schema+"."+o.name.object, " .", " ", 1))
		}
		if got := strings.Join(names, ", "); got != c.objects {
			t.Errorf("%s: objects %q, want %q", c.text, got, c.objects)
		}
		if (d.Fingerprint(st) != "") != (c.objects != "") {
			t.Errorf("%s: the fingerprint is %q", c.text, d.Fingerprint(st))
		}
		d.mariaDB.Store(true) // there a DROP of several may stop half-way
		if several := st.Verb == "DROP" && strings.Contains(c.objects, ","); !several != (d.Fingerprint(st) != "") && c.objects != "" {
			t.Errorf("%s: MariaDB's fingerprint is %q", c.text, d.Fingerprint(st))
		}
	}
	mariaDB := &mysqlDialect{}
	mariaDB.mariaDB.Store(true)
	for text, class := range map[string]Class{"CREATE USER a, b": ClassOpaque, "RENAME USER a TO b": ClassSchema, "DROP USER IF EXISTS a, b": ClassRepeatable,
		"ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b": ClassAlone, "ALTER TABLE a ADD exchange int": ClassSchema, "ANALYZE LOCAL TABLE t": ClassRepeatable, "ANALYZE FORMAT=JSON UPDATE t SET v = 1": ClassData, "LOAD INDEX INTO CACHE t": ClassRepeatable} {
		if got := mariaDB.Class(one(t, mariaDB, text)); got != class {
			t.Errorf("%s on MariaDB: class %d, want %d", text, got, class)
		}
	}
	// Tables of one structure may change places without a trace.
	for _, text := range []string{
		"RENAME TABLE a TO x, b TO a, x TO b", "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b", "TRUNCATE TABLE a",
		"ALTER TABLE a DROP COLUMN c, ADD COLUMN c int DEFAULT 5", "ALTER TABLE d.a CHANGE x y int FIRST, CHANGE COLUMN y x int(10, 2) FIRST",
		"ALTER TABLE a RENAME COLUMN `x` TO y, RENAME COLUMN y TO X", "ALTER TABLE a ADD c int, ENGINE=InnoDB, DROP c",
		"ALTER ONLINE TABLE a DROP c, ADD c int", "ALTER TABLE a WAIT 5 RENAME COLUMN x TO y, RENAME COLUMN y TO x", "ALTER ONLINE IGNORE TABLE IF EXISTS a NOWAIT DROP c, ADD c int", "ALTER TABLE a DROP c, ADD COLUMN (b decimal(5, 2), C int)",
		"RENAME TABLE a NOWAIT TO x, b WAIT 5 TO a, x TO b",
		"RENAME TABLE s.a TO x, b TO a, x TO b", "RENAME TABLE a TO s.x, s.b TO s.a, x TO s.b", "ALTER TABLE a TRUNCATE PARTITION p0", "ALTER TABLE a DISCARD TABLESPACE", "ALTER TABLE a IMPORT PARTITION p TABLESPACE", "ALTER SEQUENCE s RESTART WITH 5",
		"CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO DELETE FROM t", "CREATE DEFINER = u@localhost EVENT IF NOT EXISTS e ON SCHEDULE EVERY 1 DAY ENDS '2030-01-01' DO SELECT 1",
	} {
		d := &mysqlDialect{}
		if got := d.Fingerprint(one(t, d, text)); got != "" {
			t.Errorf("%s: the fingerprint is %q", text, got)
		}
	}
	for _, text := range []string{"ALTER TABLE a DROP COLUMN c, ADD COLUMN d int", "ALTER TABLE a CHANGE c c bigint", "ALTER TABLE a DROP INDEX i, ADD INDEX i (c)", "ALTER TABLE a DROP PRIMARY KEY, ADD PRIMARY KEY (c)", "ALTER TABLE a DROP c, ADD b decimal(5, c)", "ALTER TABLE a ADD exchange int",
		"ALTER TABLE a ADD c int, ADD KEY c (c)", "ALTER TABLE a ADD import int, DROP discard",
		"RENAME TABLE s.a TO t.a", "RENAME TABLE s.a TO a, s.b TO b", "RENAME TABLE s.a TO x, b TO a", "ALTER SEQUENCE s INCREMENT BY 5", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @at = ends()",
		"CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP ON COMPLETION PRESERVE DO SELECT 1"} {
		d := &mysqlDialect{}
		if got := d.Fingerprint(one(t, d, text)); got == "" || strings.Contains(got, "CREATE_TIME") { // which is another one on a replica
			t.Errorf("%s: the fingerprint is %q", text, got)
		}
	}
}

// fingerprintAround runs a statement on the server between two readings.
func fingerprintAround(t *testing.T, pool *sql.DB, d Dialect, text string) (before, after string, err error) {
	t.Helper()
	conn, connErr := pool.Conn(t.Context())
	if connErr != nil {
		t.Fatal(connErr)
	}
	defer func() { _ = conn.Close() }()
	expression := d.Fingerprint(one(t, d, text))
	if expression == "" {
		t.Fatalf("%s: no fingerprint", text)
	}
	read := func(ctx context.Context) (value string) {
		if err := QueryRow(ctx, conn, "SELECT "+expression, nil, &value); err != nil {
			t.Fatalf("%s: reading the fingerprint: %v", text, err)
		}
		return value
	}
	before = read(t.Context())
	if again := read(t.Context()); again != before {
		t.Errorf("%s: two readings differ: %s, %s", text, before, again)
	}
	_, err = conn.ExecContext(t.Context(), text)
	return before, read(t.Context()), err
}

// TestMySQLFingerprints runs each statement on real servers: what takes effect
// shows, and what fails does not.
func TestMySQLFingerprints(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engine)
			pool := db.AdminDB(t)
			d := &mysqlDialect{}
			for _, text := range []string{
				"CREATE TABLE `a;b` (id int PRIMARY KEY, n int, v varchar(10))",
				"ALTER TABLE `a;b` ADD COLUMN m int COMMENT 'x'",
				"ALTER TABLE `a;b` ALTER COLUMN m SET DEFAULT 3",
				"ALTER TABLE `a;b` MODIFY COLUMN v varchar(20) NOT NULL",
				"CREATE INDEX i ON `a;b` (n)",
				"DROP INDEX i ON `a;b`",
				"ALTER TABLE `a;b` COMMENT 'c'",
				"CREATE TABLE child (id int, parent int, CONSTRAINT f FOREIGN KEY (parent) REFERENCES `a;b` (id))",
				"ALTER TABLE child DROP FOREIGN KEY f",
				"ALTER TABLE child ADD CONSTRAINT c CHECK (id > 0)",
				fmt.Sprintf("CREATE VIEW %s.v AS SELECT id FROM child", backtick(db.Name())),
				"ALTER VIEW v AS SELECT parent FROM child",
				"DROP VIEW v",
				"CREATE PROCEDURE p() SELECT 1",
				"ALTER PROCEDURE p COMMENT 'c'",
				"DROP PROCEDURE p",
				"CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1",
				"CREATE TRIGGER t BEFORE INSERT ON child FOR EACH ROW SET NEW.id = 1",
				"DROP TRIGGER t",
				"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
				"ALTER EVENT e COMMENT 'c' DO SELECT 2",
				"DROP EVENT e",
				"RENAME TABLE child TO grandchild",
				"ALTER TABLE grandchild RENAME TO child",
				"DROP TABLE child, `a;b`",
			} {
				before, after, err := fingerprintAround(t, pool, d, text)
				if err != nil || before == after {
					t.Errorf("%s: before %s, after %s, %v", text, before, after, err)
				}
			}
			for _, text := range []string{
				"CREATE TABLE x (id int, id int)", "DROP TABLE x", "ALTER TABLE x ADD COLUMN a int", "CREATE VIEW v AS SELECT * FROM x",
				"CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1", "DROP PROCEDURE nope", "RENAME TABLE x TO y",
			} {
				if before, after, err := fingerprintAround(t, pool, d, text); err == nil || before != after {
					t.Errorf("%s failed: before %s, after %s, %v", text, before, after, err)
				}
			}
		})
	}
}

// TestWithoutAutocommit: what else a SET does is kept.
func TestWithoutAutocommit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SET autocommit=0":                                       "",
		"/*!40101 SET @@session.autocommit = 1 */":               "",
		"SET LOCAL autocommit=0, @@autocommit=1":                 "",
		"SET autocommit=0, foreign_key_checks=0":                 "SET foreign_key_checks=0",
		"SET @o=@@AUTOCOMMIT, @@AUTOCOMMIT=0":                    "SET @o=@@AUTOCOMMIT",
		"/*!40101 SET @a=IF(1,2,3), `autocommit`=0, @b=(4,5) */": "/*!40101 SET @a=IF(1,2,3), @b=(4,5) */",
		"SET GLOBAL autocommit=0":                                "SET GLOBAL autocommit=0",
		"SET GLOBAL max_connections=7, autocommit=0":             "SET GLOBAL max_connections=7, autocommit=0",
		"SET @autocommit = 0":                                    "SET @autocommit = 0",
	} {
		d := &mysqlDialect{}
		if got, _ := d.WithoutAutocommit(one(t, d, text)); got != want {
			t.Errorf("%s\nbecomes %q\nwant    %q", text, got, want)
		}
	}
}

// TestMySQLRestoresItsOwn: the server's variables are in the snapshot too, and
// may differ by the end of a file; the session's are set back all the same.
func TestMySQLRestoresItsOwn(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			conn, err := testdb.New(t, engine).AdminDB(t).Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			d := &mysqlDialect{}
			before, err := d.Snapshot(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			before["max_connect_errors"], before["version"] = "77", "1.0" // global only, and read-only
			if _, err := conn.ExecContext(t.Context(), "SET SESSION lock_wait_timeout = 7, SESSION sql_mode = 'ANSI_QUOTES', SESSION wait_timeout = 99"); err != nil {
				t.Fatal(err)
			}
			if err := d.RestoreSnapshot(t.Context(), conn, before); err != nil {
				t.Fatal(err)
			}
			after, err := d.Snapshot(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"lock_wait_timeout", "sql_mode", "wait_timeout"} {
				if after[key] != before[key] {
					t.Errorf("%s is %q, want %q", key, after[key], before[key])
				}
			}
			if after["version"] == "1.0" || after["max_connect_errors"] == "77" {
				t.Errorf("the server's are %q and %q", after["version"], after["max_connect_errors"])
			}
		})
	}
}

// TestMySQLAbandonsItsOwn: a connection that has the number and not the lock is
// somebody else's, and lives on.
func TestMySQLAbandonsItsOwn(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			pool, ctx, d := testdb.New(t, engine).AdminDB(t), t.Context(), &mysqlDialect{}
			first, err := pool.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = first.Close() }()
			second, err := pool.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = second.Close() }()
			f, err := d.Inspect(ctx, first, "t")
			if err != nil {
				t.Fatal(err)
			}
			lock := d.Lock(f, "t")
			for _, held := range []bool{false, true} {
				if held {
					if got, err := lock.Try(ctx, first, 0); err != nil || !got {
						t.Fatal(got, err)
					}
				}
				if err := lock.Abandon(ctx, second); err != nil {
					t.Fatal(err)
				}
				var n int
				if err := QueryRow(ctx, first, "SELECT 1", nil, &n); (err == nil) == held {
					t.Errorf("held %v: %v", held, err)
				}
			}
		})
	}
}

func TestIsCutOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number uint16
		text   string
		want   bool
	}{
		{1047, "WSREP has not yet prepared node for application use", true},
		{1047, "Unknown command", false},
		{1180, "Error while appending streaming replication fragment(provider status: Not connected to Primary Component)", true},
		{1180, "Got error 28 \"No space left on device\" during COMMIT", false},
		{1213, "Deadlock found when trying to get lock; try restarting transaction", false},
	} {
		err := fmt.Errorf("at a statement: %w", &mysql.MySQLError{Number: c.number, Message: c.text})
		if got := (&mysqlDialect{}).IsCutOff(err); got != c.want {
			t.Errorf("%v: %v, want %v", err, got, c.want)
		}
	}
}

// TestMySQLHasRun: what a statement finds gone when it runs once more.
func TestMySQLHasRun(t *testing.T) {
	t.Parallel()
	d := &mysqlDialect{}
	for _, c := range []struct {
		text   string
		number uint16
		want   bool
	}{
		{"REVOKE SELECT ON t FROM u", 1147, true},
		{"RESET PERSIST max_join_size", 3615, true},
		{"RESET PERSIST max_join_size", 1227, false},
		{"REVOKE SELECT ON t FROM u", 3615, false},
	} {
		st := one(t, d, c.text)
		if got := d.HasRun(st, &mysql.MySQLError{Number: c.number}); got != c.want {
			t.Errorf("%s, error %d: %v", c.text, c.number, got)
		}
	}
}

// TestMySQLRefusesLocks: what locks the history table against its own session is not
// taken, and a FLUSH that does not lock is.
func TestMySQLRefusesLocks(t *testing.T) {
	t.Parallel()
	d := &mysqlDialect{}
	for text, refused := range map[string]bool{"FLUSH TABLES": false, "FLUSH TABLES a, b": false, "FLUSH TABLES WITH READ LOCK": true, "FLUSH LOCAL TABLES a, b WITH READ LOCK": true,
		"flush table a for export": true, "SET STATEMENT max_statement_time=1 FOR FLUSH TABLES a FOR EXPORT": true, "LOCK TABLES a READ": false} {
		if got := d.Refuse(one(t, d, text)); (got != "") != refused {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// TestWritesFile: a file that a query writes on the server stays, and is in the way
// of the next one.
func TestWritesFile(t *testing.T) {
	t.Parallel()
	d := &mysqlDialect{}
	for text, want := range map[string]bool{
		"SELECT * FROM t INTO OUTFILE '/a'": true, "select a into dumpfile '/a' from t": true, "WITH a AS (SELECT 1) SELECT * FROM a INTO OUTFILE '/a'": true, "TABLE t INTO OUTFILE '/a'": true,
		"SELECT 'INTO OUTFILE'": false, "SELECT outfile INTO @a FROM t": false, "SELECT 1": false,
	} {
		if got, err := d.Lasting().Takes(t.Context(), nil, one(t, d, text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestMySQLBrokenTrigger: the hint for a server whose cache has a broken trigger.
func TestMySQLBrokenTrigger(t *testing.T) {
	t.Parallel()
	d := &mysqlDialect{}
	err := &mysql.MySQLError{Number: 1064, Message: "Trigger 'audit' has an error in its body: 'You have an error in your SQL syntax'"}
	if hint := d.Hint(err); !strings.Contains(hint, "FLUSH TABLES") {
		t.Errorf("the hint is %q", hint)
	}
	if hint := d.Hint(&mysql.MySQLError{Number: 1064, Message: "You have an error in your SQL syntax"}); strings.Contains(hint, "FLUSH") {
		t.Errorf("of any other error: %q", hint)
	}
}
