package lint

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// A loss is what a bad example does to rows or objects without an error, and its good one does not. The question is asked before and
// after: only behind the bad one it has another answer, or none.
type loss struct {
	rule, bad, good string
	seed            string
	question        string // a statement, or several: the last is the question
}

var sqliteLosses = []loss{
	{rule: "LT102", bad: "bad", good: "good", seed: rows, question: "SELECT count(*) FROM orders"},
	{rule: "LT104", bad: "bad", good: "good", seed: rows, question: `SELECT "table" FROM pragma_foreign_key_list('orders')`},
	{rule: "LT105", bad: "bad", good: "good", seed: rows, question: "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type IN ('index', 'trigger') AND name NOT LIKE 'sqlite%' ORDER BY name)"},
	{rule: "LT106", bad: "bad", good: "good", seed: "INSERT INTO invoices (amount) VALUES (1), (2); DELETE FROM invoices WHERE id = 2", question: "SELECT seq FROM sqlite_sequence WHERE name = 'invoices'"},
	{rule: "LT117", bad: "bad", good: "good", seed: rows, question: "SELECT name FROM users WHERE id = 1"},
	{rule: "LT118", bad: "bad", good: "good", seed: "INSERT INTO users (id, email, name) VALUES (1, 'a@example.org', 'A')", question: "SELECT email FROM users"},
	{rule: "LT119", bad: "bad", good: "good", seed: rows, question: "SELECT (SELECT count(*) FROM pragma_table_list WHERE name = f.\"table\") FROM pragma_foreign_key_list('orders') f"},
	{rule: "LT122", bad: "bad", good: "good-nothing", seed: rows, question: "UPDATE orders SET user_id = user_id; SELECT 1"},
}

const rows = "INSERT INTO users (id, email, name) VALUES (1, 'a@example.org', 'A'); INSERT INTO orders (user_id, amount) VALUES (1, 5), (1, 6)"

var mysqlLosses = []loss{
	{rule: "MY114", bad: "bad", good: "good", question: "SELECT is_nullable FROM information_schema.columns WHERE table_schema = database() AND table_name = 'items' AND column_name = 'stock'"},
	{rule: "MY115", bad: "bad", good: "good", seed: "INSERT INTO events (at, price) VALUES ('2026-01-02 03:04:05.678', 1.55)", question: "SELECT CAST(at AS char) FROM events"},
	{rule: "MY115", bad: "bad-decimal", good: "good", seed: "INSERT INTO events (at, price) VALUES ('2026-01-02 03:04:05.678', 1.55)", question: "SELECT CAST(price AS char) FROM events"},
	{rule: "MY139", bad: "bad-partition", good: "good-nothing", seed: "INSERT INTO logs VALUES (1, 'a'), (1001, 'b')", question: "SELECT count(*) FROM logs"},
	{rule: "MY140", bad: "bad", good: "good", seed: rows, question: "SELECT name FROM users WHERE id = 1"},
	{rule: "MY141", bad: "bad", good: "good", question: "SELECT @@sql_mode LIKE '%STRICT%'"},
	{rule: "MY144", bad: "bad", good: "good", seed: rows, question: "SELECT name FROM users WHERE id = 1"},
	{rule: "MY145", bad: "bad", good: "good", seed: rows, question: keyless},
	{rule: "MY147", bad: "bad", good: "good", question: "SELECT count(*) FROM notes n LEFT JOIN users u ON u.id = n.user_id WHERE u.id IS NULL"},
	{rule: "MY150", bad: "bad", good: "good", question: keyless},
	{rule: "MY151", bad: "bad", good: "good", question: "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND engine <> 'InnoDB'"},
}

// keyless counts the tables without a primary key.
const keyless = `SELECT count(*) FROM information_schema.tables t WHERE t.table_schema = database() AND NOT EXISTS
	(SELECT 1 FROM information_schema.table_constraints c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY')`

var mariadbLosses = []loss{
	{rule: "MY101", bad: "bad-mariadb", good: "good", seed: rows, question: "UPDATE users SET name = 'B'; SELECT 1"},
	{rule: "MY116", bad: "bad", good: "good", question: "UPDATE orders SET state = 'x'; SELECT 1"},
	{rule: "MY142", bad: "bad", good: "good-nothing", seed: "INSERT INTO users (email) VALUES ('a'), ('a')", question: "SELECT count(*) FROM users"},
}

// mysqlUnseen are the rules about MySQL and MariaDB that no observation confirms, and why.
var mysqlUnseen = map[string]string{
	"MY102": "takes a MySQL before 9.0, which none of the tests' servers is",
	"MY133": "the server is told what to do, and does it",
	"MY134": "an opinion, off by default",
	"MY136": "hangs on the rows: where there is no NULL nothing happens",
	"MY138": "an opinion, off by default",
	"MY143": "takes a crash between two tables",
	"MY148": "would change the server for all who test",
	"MY149": "is about the other connections of a run",
	"MY152": "an opinion, and a notice",
	"MY153": "two thousand million rows",
	"MY154": "January 2038",
	"MY156": "costs time at every write, and nothing else",
	"MY161": "is about two statements that were one",
	"MY164": "is the sum of what MY103 and its like say",
	"MY165": "locks of rows: what a statement without WHERE writes needs no proof",
}

// Every rule about MySQL and MariaDB is held against a server: by the ways in which it alters, by what is lost, or by what it refuses.
func TestMySQLRulesAreObserved(t *testing.T) {
	t.Parallel()
	seen := maps.Clone(aboutLocks)
	for _, l := range slices.Concat(mysqlLosses, mariadbLosses) {
		seen[l.rule] = true
	}
	for _, e := range examples(t) {
		if !e.good && strings.HasPrefix(e.options["server"], "error") {
			seen[e.rule] = true
		}
	}
	for _, r := range all {
		if strings.HasPrefix(r.id, "MY") && seen[r.id] == (mysqlUnseen[r.id] != "") {
			t.Errorf("%s: what is to be seen of it, or why nothing is?", r.id)
		}
	}
}

// TestBadExamplesLose is the observation beside the rule, where what is lost is neither locked nor refused.
func TestBadExamplesLose(t *testing.T) {
	t.Parallel()
	for _, engine := range []struct {
		engine  testdb.Engine
		dialect string
		losses  []loss
	}{
		{testdb.SQLite, sqlite, sqliteLosses}, {testdb.MySQL, mysql, mysqlLosses}, {testdb.MariaDB, mariadb, append(mysqlLosses[:len(mysqlLosses):len(mysqlLosses)], mariadbLosses...)},
	} {
		t.Run(engine.dialect, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engine.engine)
			db.ExpectFindings("the examples leave references to nothing")
			pool, err := testdb.Open(engine.engine, db.URL)
			if err != nil {
				t.Fatal(err)
			}
			pool.SetMaxOpenConns(1)
			all := map[string]example{}
			for _, e := range examples(t) {
				name := strings.TrimSuffix(e.path[strings.LastIndexByte(e.path, '/')+1:], ".sql")
				all[e.folder+" "+e.rule+" "+name] = e
			}
			folder := engine.dialect
			if folder == mariadb {
				folder = mysql
			}
			for _, l := range engine.losses {
				for _, name := range []string{l.bad, l.good} {
					e, ok := all[folder+" "+l.rule+" "+name]
					if !ok && name != "good-nothing" {
						t.Fatalf("%s has no example %s", l.rule, name)
					}
					if !ok {
						continue
					}
					before, after := e.lose(t, pool, engine.dialect, l)
					if changed := before != after; changed != (name == l.bad) {
						t.Errorf("%s %s: %q was %q, and is %q", e.path, engine.dialect, l.question, before, after)
					}
				}
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// lose runs an example over some rows, and asks before and after.
func (e *example) lose(t *testing.T, pool *sql.DB, dialect string, l loss) (before, after string) {
	t.Helper()
	ctx := t.Context()
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		empty(t, conn, dialect)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	empty(t, conn, dialect)
	keys := func(on string) {
		if dialect == sqlite {
			if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = "+on); err != nil {
				t.Fatal(err)
			}
		}
	}
	setup, last := *e, *e
	setup.list, last.list = e.list[:len(e.list)-1], e.list[len(e.list)-1:]
	seed := example{folder: e.folder, options: e.options, list: []Migration{{Up: &Text{SQL: l.seed}}}}
	for _, step := range []*example{&setup, &seed} {
		if err := step.run(ctx, conn); err != nil {
			t.Fatalf("%s: %v", e.path, err)
		}
	}
	keys("ON")
	before = ask(ctx, conn, l.question)
	if !strings.Contains(e.text, "foreign-keys=on") {
		keys("OFF")
	}
	if err := last.run(ctx, conn); err != nil {
		t.Fatalf("%s: %v", e.path, err)
	}
	keys("ON")
	return before, ask(ctx, conn, l.question)
}

// ask is the answer to a question, or its error.
func ask(ctx context.Context, conn *sql.Conn, question string) string {
	parts := strings.Split(question, "; ")
	for _, statement := range parts[:len(parts)-1] {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err.Error()
		}
	}
	var answer sql.NullString
	if err := conn.QueryRowContext(ctx, parts[len(parts)-1]).Scan(&answer); err != nil {
		return err.Error()
	}
	return fmt.Sprint(answer)
}

// TestRemediesRun runs what a finding offers in the place of the statement that it is about.
func TestRemediesRun(t *testing.T) {
	t.Parallel()
	engines := map[string]testdb.Engine{sqlite: testdb.SQLite, mysql: testdb.MySQL, mariadb: testdb.MariaDB}
	byDialect := map[string][]example{}
	for _, e := range examples(t) {
		if strings.HasPrefix(e.rule, "MY") || strings.HasPrefix(e.rule, "LT") {
			byDialect[e.dialect()] = append(byDialect[e.dialect()], e)
		}
	}
	for dialect, list := range byDialect {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engines[dialect])
			db.ExpectFindings("the remedies are run without what surrounds them")
			pool, err := testdb.Open(engines[dialect], db.URL)
			if err != nil {
				t.Fatal(err)
			}
			pool.SetMaxOpenConns(1)
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				for _, f := range e.findings(t) {
					if f.Rule != e.rule || strings.HasPrefix(f.Remedy, "-- behind") || strings.Contains(f.Remedy, "…") || !strings.HasSuffix(f.Remedy, ";") || strings.HasPrefix(e.options["server"], "not run") {
						continue // words, or a part of a statement
					}
					last := len(e.list) - 1
					text := e.list[last].Up.SQL
					remedied := e
					remedied.list = append(e.list[:last:last], Migration{Up: &Text{SQL: text[:strings.Index(text, f.Statement)] + f.Remedy, NoTransaction: strings.Contains(f.Remedy, "no-transaction")}})
					empty(t, conn, dialect)
					if err := remedied.run(t.Context(), conn); err != nil {
						t.Errorf("%s: what %s offers fails: %v\n%s", e.path, f.Rule, err, f.Remedy)
					}
				}
			}
			empty(t, conn, dialect)
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
