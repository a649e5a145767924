package trace_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/trace"
)

// observed is one statement, and what is to be seen of it, as summary writes it.
type observed struct{ setup, statement, want string }

// summary is an observation in a line for each table that was there before.
func summary(o trace.Observation) string {
	var lines []string
	for _, t := range o.Tables {
		if t.New {
			continue
		}
		line := t.Name
		if _, bare, ok := strings.Cut(t.Name, "."); ok {
			line = bare
		}
		for _, word := range []string{t.Algorithm, t.Lock} {
			if word != "" {
				line += " " + word
			}
		}
		if t.Blocks != "" {
			line += " blocks " + string(t.Blocks)
		}
		for word, is := range map[string]bool{"dropped": t.Dropped, "rewritten": t.Rewritten} {
			if is {
				line += " " + word
			}
		}
		if t.Scanned {
			line += " scanned"
		}
		if len(t.Built) > 0 {
			line += " built " + strings.Join(t.Built, " ")
		}
		if t.Rows > 0 {
			line += fmt.Sprintf(" %d rows", t.Rows)
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, o.Notes...), "; ")
}

// connect opens a connection for one test, and what it is watched by.
func connect(t *testing.T, db *testdb.Database) (dialect.Dialect, *sql.Conn, trace.Watch) {
	t.Helper()
	name := string(db.Engine)
	if db.Engine == testdb.MariaDB {
		name = dialect.NameMySQL
	}
	d, err := dialect.New(name, true)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := testdb.Open(db.Engine, db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, c, func(ctx context.Context) (*sql.Conn, func(), error) {
		w, err := pool.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		return w, func() { _ = w.Close() }, nil // the pool closes it
	}
}

// texts are the rows of a query.
func texts(t *testing.T, db *testdb.Database, query string) (list []string) {
	t.Helper()
	_, c, _ := connect(t, db)
	rows, err := c.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Error(err)
		}
	}()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	return list
}

// run observes every statement on a database of its own tables.
func run(t *testing.T, db *testdb.Database, reset string, list []observed) {
	t.Helper()
	d, c, watch := connect(t, db)
	for _, o := range list {
		got, err := trace.Observe(t.Context(), d, c, watch, reset+o.setup, o.statement)
		if err != nil {
			t.Errorf("%s: %v", o.statement, err)
			continue
		}
		if s := summary(got); s != o.want {
			t.Errorf("%s\n got %q\nwant %q", o.statement, s, o.want)
		}
	}
}

const pgReset = `DROP TABLE IF EXISTS users, people, posts, notes, part, p1 CASCADE; DROP FUNCTION IF EXISTS f;
CREATE TABLE users (id int PRIMARY KEY, name varchar(20), age int, born timestamp);
CREATE TABLE posts (id int PRIMARY KEY, author int, title text);
INSERT INTO users SELECT n, 'n' || n, n, now() FROM generate_series(1, 3) n;
INSERT INTO posts SELECT n, n, 't' FROM generate_series(1, 3) n;
`

// What PostgreSQL's manual, and research on its locks, say of each statement.
func TestPostgres(t *testing.T) {
	t.Parallel()
	const ael = "ACCESS EXCLUSIVE blocks reads and writes"
	db := testdb.New(t, testdb.Postgres)
	detached := ael // the lock of a partition that is detached
	if rows := texts(t, db, "SELECT 1 WHERE current_setting('server_version_num')::int < 140000"); len(rows) > 0 {
		detached = "SHARE UPDATE EXCLUSIVE blocks schema changes"
	}
	run(t, db, pgReset, []observed{
		{"", "ALTER TABLE users ADD COLUMN note text", "users " + ael},
		{"", "ALTER TABLE users ADD COLUMN note text DEFAULT 'x'", "users " + ael},
		{"", "ALTER TABLE users ADD COLUMN at timestamptz DEFAULT now()", "users " + ael},
		{"", "ALTER TABLE users ADD COLUMN at timestamptz DEFAULT clock_timestamp()", "users " + ael + " rewritten"},
		{"", "ALTER TABLE users ADD COLUMN n serial", "users " + ael + " rewritten"},
		{"", "ALTER TABLE users ADD COLUMN n int GENERATED ALWAYS AS (id + 1) STORED", "users " + ael + " rewritten"},
		{"", "ALTER TABLE users ALTER age TYPE bigint", "users " + ael + " rewritten"},
		{"", "ALTER TABLE users ALTER name TYPE varchar(40)", "users " + ael},
		{"", "ALTER TABLE users ALTER name TYPE text", "users " + ael},
		{"", "ALTER TABLE users ALTER name TYPE varchar(10)", "users " + ael + " rewritten"},
		{"CREATE INDEX i ON users (name);", "ALTER TABLE users ALTER name TYPE text", "users " + ael},
		{"CREATE INDEX i ON users (name);", `ALTER TABLE users ALTER name TYPE varchar(20) COLLATE "C"`, "users " + ael + " scanned built i"},
		{"", "ALTER TABLE users ALTER name SET NOT NULL", "users " + ael + " scanned"},
		{"ALTER TABLE users ADD CONSTRAINT c CHECK (name IS NOT NULL);", "ALTER TABLE users ALTER name SET NOT NULL", "users " + ael},
		{"", "ALTER TABLE users ADD CHECK (age > 0)", "users " + ael + " scanned"},
		{"", "ALTER TABLE users ADD CHECK (age > 0) NOT VALID", "users " + ael},
		{"ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;", "ALTER TABLE users VALIDATE CONSTRAINT c", "users SHARE UPDATE EXCLUSIVE blocks schema changes scanned"},
		{"", "ALTER TABLE users ADD UNIQUE (name)", "users " + ael + " scanned built users_name_key"},
		{"CREATE UNIQUE INDEX i ON users (name);", "ALTER TABLE users ADD CONSTRAINT i UNIQUE USING INDEX i", "users " + ael},
		{"", "ALTER TABLE posts ADD FOREIGN KEY (author) REFERENCES users", "posts SHARE ROW EXCLUSIVE blocks writes scanned; users SHARE ROW EXCLUSIVE blocks writes scanned"},
		{"", "ALTER TABLE posts ADD FOREIGN KEY (author) REFERENCES users NOT VALID", "posts SHARE ROW EXCLUSIVE blocks writes; users SHARE ROW EXCLUSIVE blocks writes"},
		{"ALTER TABLE posts ADD CONSTRAINT f FOREIGN KEY (author) REFERENCES users;", "ALTER TABLE posts DROP CONSTRAINT f", "posts " + ael + "; users " + ael},
		{"ALTER TABLE posts ADD CONSTRAINT f FOREIGN KEY (author) REFERENCES users;", "DROP TABLE posts", "posts " + ael + " dropped; users " + ael},
		{"", "CREATE TABLE notes (id int, u int REFERENCES users)", "users SHARE ROW EXCLUSIVE blocks writes"},
		{"", "CREATE INDEX i ON users (name)", "users SHARE blocks writes scanned built i"},
		{"", "CREATE INDEX CONCURRENTLY i ON users (name)", "users SHARE UPDATE EXCLUSIVE blocks schema changes scanned built i"},
		{"CREATE INDEX i ON users (name);", "DROP INDEX i", "users " + ael},
		{"CREATE INDEX i ON users (name);", "DROP INDEX CONCURRENTLY i", "users SHARE UPDATE EXCLUSIVE blocks schema changes"},
		{"CREATE INDEX i ON users (name);", "REINDEX INDEX i", "users SHARE blocks reads and writes scanned built i; public.i is locked ACCESS EXCLUSIVE, and no query of its table can be planned meanwhile"},
		{"CREATE INDEX i ON users (name);", "REINDEX INDEX CONCURRENTLY i", "users SHARE UPDATE EXCLUSIVE blocks schema changes scanned built i"},
		{"", "VACUUM FULL users", "users " + ael + " rewritten"},
		{"", "VACUUM users", "users SHARE UPDATE EXCLUSIVE blocks schema changes"},
		{"", "UPDATE users SET age = 1", "users ROW EXCLUSIVE scanned 3 rows"},
		{"", "UPDATE users SET age = 1 WHERE id = 2", "users ROW EXCLUSIVE 1 rows"},
		{"", "DELETE FROM posts", "posts ROW EXCLUSIVE scanned 3 rows"},
		{"", "INSERT INTO posts SELECT id + 10, id FROM users", "posts ROW EXCLUSIVE 3 rows; users ACCESS SHARE"},
		{"", "TRUNCATE posts", "posts " + ael},
		{"", "ALTER TABLE users RENAME name TO nick", "users " + ael},
		{"", "ALTER TABLE users RENAME TO people", "users " + ael},
		{"", "ALTER TABLE users SET UNLOGGED", "users " + ael + " rewritten"},
		{"", "ALTER TABLE users DROP COLUMN age", "users " + ael},
		{"CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM users;", "REFRESH MATERIALIZED VIEW m", "m " + ael + " rewritten 1 rows; users ACCESS SHARE"},
		{"CREATE TABLE part (id int) PARTITION BY RANGE (id); CREATE TABLE p1 (id int); INSERT INTO p1 VALUES (1);", "ALTER TABLE part ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10)", "p1 " + ael + " scanned; part SHARE UPDATE EXCLUSIVE blocks schema changes"},
		{"CREATE TABLE part (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10);", "CREATE INDEX i ON part (id)", "p1 SHARE blocks writes scanned built p1_id_idx; part SHARE blocks writes"},
		{"CREATE TABLE part (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10);", "ALTER TABLE part DETACH PARTITION p1", "p1 " + detached + "; part " + ael},
		{"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';", "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", "users SHARE ROW EXCLUSIVE blocks writes"},
		{"", "CREATE VIEW v AS SELECT * FROM users", "users ACCESS SHARE"},
		{"", "COMMENT ON TABLE users IS 'x'", "users SHARE UPDATE EXCLUSIVE blocks schema changes"},
		{"", "LOCK TABLE users IN SHARE MODE", "users SHARE blocks writes"},
		{"", "DO $$ BEGIN ALTER TABLE users ADD x int; END $$", "users " + ael},
	})
}

const mysqlReset = `SET foreign_key_checks = 0; DROP TABLE IF EXISTS posts, users, people, part, notes; SET foreign_key_checks = 1;
CREATE TABLE users (id int PRIMARY KEY, name varchar(40), age int, kind enum('a', 'b'));
CREATE TABLE posts (id int PRIMARY KEY, author int, title text);
INSERT INTO users VALUES (1, 'a', 1, 'a'), (2, 'b', 2, 'b'), (3, 'c', 3, 'a');
INSERT INTO posts VALUES (1, 1, 't'), (2, 2, 't'), (3, 3, 't');
`

// mysqlStatements say what MariaDB does, and beside it what MySQL does in another way.
var mysqlStatements = []struct {
	observed
	mysql string
}{
	{observed{"", "ALTER TABLE users ADD COLUMN note text", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users ADD COLUMN n int NOT NULL", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users ADD COLUMN n int AS (id + 1) STORED", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users DROP COLUMN age", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users MODIFY age bigint", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users MODIFY age int NOT NULL", "users INPLACE NONE rewritten"}, ""},
	{observed{"", "ALTER TABLE users MODIFY name varchar(63)", "users INSTANT EXCLUSIVE blocks reads and writes"}, "users INPLACE NONE"},
	{observed{"", "ALTER TABLE users MODIFY name varchar(300)", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users MODIFY kind enum('a', 'b', 'c')", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users MODIFY kind enum('b', 'a')", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users ADD INDEX i (name)", "users NOCOPY NONE scanned built i"}, "users INPLACE NONE scanned built i"},
	{observed{"", "CREATE INDEX i ON users (name)", "users NOCOPY NONE scanned built i"}, "users INPLACE NONE scanned built i"},
	{observed{"", "CREATE UNIQUE INDEX i ON users (name)", "users NOCOPY NONE scanned built i"}, "users INPLACE NONE scanned built i"},
	{observed{"", "CREATE FULLTEXT INDEX i ON users (name)", "users INPLACE SHARED blocks writes rewritten built i"}, ""},
	{observed{"CREATE INDEX i ON users (name);", "DROP INDEX i ON users", "users NOCOPY NONE"}, "users INPLACE NONE"},
	{observed{"", "ALTER TABLE posts ADD CONSTRAINT f FOREIGN KEY (author) REFERENCES users (id)", "posts COPY SHARED blocks writes rewritten built f; users EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"ALTER TABLE posts ADD CONSTRAINT f FOREIGN KEY (author) REFERENCES users (id);", "ALTER TABLE posts DROP FOREIGN KEY f", "posts INSTANT EXCLUSIVE blocks reads and writes; users EXCLUSIVE blocks reads and writes"}, "posts INPLACE NONE; users EXCLUSIVE blocks reads and writes"},
	{observed{"", "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0)", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users CONVERT TO CHARACTER SET latin1", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "ALTER TABLE users DROP PRIMARY KEY, ADD PRIMARY KEY (id, kind)", "users INPLACE NONE rewritten built PRIMARY"}, ""},
	{observed{"", "ALTER TABLE users ENGINE = InnoDB", "users INPLACE NONE rewritten"}, ""},
	{observed{"", "ALTER TABLE users RENAME COLUMN age TO years", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users RENAME TO people", "users INSTANT EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "RENAME TABLE users TO people", "users EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "ALTER TABLE users ADD COLUMN x int, ALGORITHM=COPY", "users COPY SHARED blocks writes rewritten"}, ""},
	{observed{"", "TRUNCATE TABLE posts", "posts EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "DROP TABLE posts", "posts EXCLUSIVE blocks reads and writes dropped"}, ""},
	{observed{"", "OPTIMIZE TABLE users", "users INPLACE NONE rewritten"}, ""},
	{observed{"", "UPDATE users SET age = 9", "users 3 rows"}, ""},
	{observed{"", "CREATE TABLE notes (id int, u int, FOREIGN KEY (u) REFERENCES users (id))", "users EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"", "CREATE TRIGGER trig BEFORE INSERT ON users FOR EACH ROW SET NEW.age = 1", "users EXCLUSIVE blocks reads and writes"}, ""},
	{observed{"CREATE TABLE part (id int) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10));", "ALTER TABLE part ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))", "part SHARED blocks writes rewritten; the server takes no ALGORITHM here, and does not say what it does: it is taken for a COPY"}, "part INPLACE NONE"},
}

// What the manuals of MariaDB and MySQL say of online DDL.
func TestMySQLAndMariaDB(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			online := e == testdb.MariaDB && copiesOnline(t, db)
			var list []observed
			for _, s := range mysqlStatements {
				if e == testdb.MySQL && s.mysql != "" {
					s.want = s.mysql
				}
				if online && !strings.Contains(s.statement, "PARTITION") {
					s.want = strings.ReplaceAll(s.want, "COPY SHARED blocks writes", "COPY NONE")
				}
				list = append(list, s.observed)
			}
			run(t, db, mysqlReset, list)
		})
	}
}

// copiesOnline reports whether a MariaDB lets rows be written while it copies a table,
// which it does since 11.2.
func copiesOnline(t *testing.T, db *testdb.Database) bool {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(texts(t, db, "SELECT VERSION()")[0], "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 11 || major == 11 && minor >= 2
}

const sqliteReset = `DROP TABLE IF EXISTS posts; DROP TABLE IF EXISTS users; DROP TABLE IF EXISTS people;
CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT, name text, age int);
CREATE TABLE posts (id integer PRIMARY KEY, author int REFERENCES users (id));
CREATE INDEX users_name ON users (name);
CREATE TRIGGER users_log AFTER INSERT ON users BEGIN UPDATE posts SET author = 0 WHERE id = 0; END;
INSERT INTO users (name) VALUES ('a'), ('b'), ('c');
INSERT INTO posts (author) VALUES (1), (2);
`

func TestSQLite(t *testing.T) {
	t.Parallel()
	run(t, testdb.New(t, testdb.SQLite), sqliteReset, []observed{
		{"", "ALTER TABLE users ADD COLUMN note text", "users RESERVED blocks writes"},
		{"", "ALTER TABLE users DROP COLUMN age", "users RESERVED blocks writes rewritten"},
		{"", "ALTER TABLE users RENAME COLUMN age TO years", "users RESERVED blocks writes"},
		{"", "CREATE INDEX i ON users (age)", "users RESERVED blocks writes scanned built i"},
		{"", "DROP INDEX users_name", ""},
		{"", "UPDATE users SET age = 1", "users RESERVED blocks writes 3 rows"},
		{"", "DROP TABLE users", "users RESERVED blocks writes dropped; index users_name goes with users; trigger users_log goes with users"},
		{"CREATE VIEW v AS SELECT age FROM users;", "DROP TABLE users", "users RESERVED blocks writes dropped; index users_name goes with users; trigger users_log goes with users; view v cannot be read: no such table: main.users"},
		{"DROP VIEW v;", "VACUUM", "posts RESERVED blocks writes rewritten; users RESERVED blocks writes rewritten"},
		{"", "CREATE TABLE new (id int)", ""},
	})
}

// Rows are made up for what can be guessed, and taken out again.
func TestFill(t *testing.T) {
	t.Parallel()
	tables := map[testdb.Engine]string{
		testdb.SQLite: `CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, at timestamp NOT NULL, data blob NOT NULL, price decimal(4, 2), good boolean NOT NULL, anything NOT NULL)`,
		testdb.Postgres: `CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TYPE pair AS (a int, b int);
			CREATE TABLE users (id bigserial PRIMARY KEY, name varchar(1) NOT NULL, mood mood NOT NULL, tags text[] NOT NULL, key uuid NOT NULL UNIQUE, at timestamptz NOT NULL, day date NOT NULL, hour time NOT NULL,
				data bytea NOT NULL, doc jsonb NOT NULL, price numeric(4, 2) NOT NULL, good boolean NOT NULL, span interval NOT NULL, host inet NOT NULL, years int4range NOT NULL, twice int GENERATED ALWAYS AS (2) STORED);
			CREATE TABLE pairs (p pair NOT NULL)`,
	}
	const mysqlTable = `CREATE TABLE users (id int AUTO_INCREMENT PRIMARY KEY, name varchar(1) NOT NULL, mood enum('good', 'bad') NOT NULL, at datetime NOT NULL, day date NOT NULL, hour time NOT NULL,
		data blob NOT NULL, doc json NOT NULL, price decimal(4, 2) NOT NULL, good bool NOT NULL, since year NOT NULL)`
	tables[testdb.MariaDB], tables[testdb.MySQL] = mysqlTable, mysqlTable
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d, c, _ := connect(t, db)
		if _, err := d.Inspect(t.Context(), c, "tldwdb_history"); err != nil {
			t.Fatal(err)
		}
		list, err := sqlscan.Split(tables[db.Engine]+`; CREATE TABLE posts (id int PRIMARY KEY, author int NOT NULL, up int, FOREIGN KEY (author) REFERENCES users (id), FOREIGN KEY (up) REFERENCES posts (id));
			CREATE TABLE profile (author int NOT NULL UNIQUE REFERENCES users (id));
			CREATE TABLE one (only_one int CHECK (only_one = 1));
			CREATE TABLE guess (word int CHECK (word = 4711));
			CREATE TABLE has (n int); INSERT INTO has VALUES (7);
			CREATE TABLE mine (n int);`, d.ScanOptions())
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range list {
			if _, err := c.ExecContext(t.Context(), strings.Replace(st.Text, "author int", map[bool]string{true: "author bigint", false: "author int"}[db.Engine == testdb.Postgres], 1)); err != nil {
				t.Fatalf("%s: %v", st.Text, err)
			}
		}
		filled, err := trace.Fill(t.Context(), d, c, []string{"mine"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(slices.Values(filled)), " "); got != "one posts profile users" {
			t.Errorf("filled are %q", got)
		}
		counts := "SELECT concat((SELECT count(*) FROM users), ' ', (SELECT count(*) FROM posts), ' ', (SELECT count(*) FROM one), ' ', (SELECT count(*) FROM has))"
		if got := texts(t, db, counts)[0]; got != "3 3 1 1" {
			t.Errorf("rows of users, posts, one and has: %s", got)
		}
		if err := trace.Empty(t.Context(), d, c, filled); err != nil {
			t.Fatal(err)
		}
		filled, err = trace.Fill(t.Context(), d, c, nil, map[string]bool{"alter": true, "table": true, "posts": true})
		if err != nil || strings.Join(filled, " ") != "users posts" {
			t.Errorf("what is named, and what that refers to: %q, %v", filled, err)
		}
		if err := trace.Empty(t.Context(), d, c, filled); err != nil {
			t.Fatal(err)
		}
		if got := texts(t, db, counts)[0]; got != "0 0 0 1" {
			t.Errorf("rows of users, posts, one and has in the end: %s", got)
		}
	})
}
