package lint

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// The examples are in testdata/lint/DIALECT/RULE: bad*.sql and good*.sql; those of generic rules in the folder of a dialect
// that they can be shown in. DIALECT/setup.sql is a migration before all of them, RULE/setup.sql another.
//
//	-- expect: RULE severity        at the end of a line: what is found there, and nothing else
//	-- target: 13                   the oldest server that has to be served
//	-- on: mariadb                  instead of the folder's dialect
//	-- ask: RULE=severity           a rule that is off by default, or another weight
//	-- down                         the text is a way back
//	-- next file                    what follows is the next migration
//	-- server: error TEXT           the server refuses it, and its message has this TEXT
//	-- server: not run, REASON      it is not shown to a server
const examplesDir = "../../testdata/lint"

// example is one file of them.
type example struct {
	path    string
	folder  string // sqlite, postgres or mysql
	rule    string
	good    bool
	text    string
	options map[string]string
	list    []Migration
}

func examples(t *testing.T) []example {
	t.Helper()
	paths, err := filepath.Glob(examplesDir + "/*/*/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var list []example
	for _, path := range paths {
		base := filepath.Base(path)
		if base == "setup.sql" {
			continue
		}
		dir := filepath.Dir(path)
		e := example{path: path, rule: filepath.Base(dir), folder: filepath.Base(filepath.Dir(dir)), good: strings.HasPrefix(base, "good"), text: read(t, path), options: map[string]string{}}
		for line := range strings.Lines(e.text) {
			for _, word := range []string{"target", "on", "ask", "server"} {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "+word+":"); ok {
					e.options[word] = strings.TrimSpace(rest)
				}
			}
			if strings.TrimSpace(line) == "-- down" {
				e.options["down"] = "yes"
			}
		}
		for _, setup := range []string{filepath.Join(filepath.Dir(dir), "setup.sql"), filepath.Join(dir, "setup.sql")} {
			if _, err := os.Stat(setup); err == nil {
				e.add(filepath.Base(filepath.Dir(setup))+"_setup.up.sql", read(t, setup))
			}
		}
		for i, part := range strings.Split(e.text, "-- next file\n") {
			e.add(fmt.Sprintf("%s/%d", path, i+1), part)
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatal("there are no examples")
	}
	return list
}

func (e *example) add(path, text string) {
	m := Migration{Version: int64(len(e.list) + 1), Name: "example", Up: &Text{Path: path, SQL: text, NoTransaction: strings.Contains(text, "-- tldwdb: no-transaction"), Irreversible: strings.Contains(text, "-- tldwdb: irreversible")}}
	if e.options["down"] != "" && !strings.Contains(path, "setup") {
		m.Up, m.Down = nil, m.Up
	}
	e.list = append(e.list, m)
}

// dialect is the server that an example is for.
func (e *example) dialect() string {
	if on := e.options["on"]; on != "" {
		return on
	}
	return e.folder
}

func (e *example) config() tldwdblint.Config {
	cfg := tldwdblint.Config{Target: map[string]string{}, Severity: map[string]tldwdblint.Severity{}}
	if target := e.options["target"]; target != "" {
		cfg.Target[e.dialect()] = target
	}
	if e.rule != "GN102" { // examples have no way back
		cfg.Severity["GN102"] = tldwdblint.SeverityOff
	}
	for _, ask := range strings.Fields(e.options["ask"]) {
		id, severity, _ := strings.Cut(ask, "=")
		cfg.Severity[id] = tldwdblint.Severity(severity)
	}
	return cfg
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expected are the findings that an example is marked with, as file:line rule severity.
func (e *example) expected() (list []string) {
	for _, m := range e.list {
		text := m.Up
		if text == nil {
			text = m.Down
		}
		number := 0
		for line := range strings.Lines(text.SQL) {
			number++
			for _, mark := range strings.Split(line, "-- expect: ")[1:] {
				list = append(list, fmt.Sprintf("%s:%d %s", text.Path, number, strings.TrimSpace(mark)))
			}
		}
	}
	slices.Sort(list)
	return list
}

func (e *example) findings(t *testing.T) (list []tldwdblint.Finding) {
	t.Helper()
	list, err := Check(e.list, e.dialect(), e.config())
	if err != nil {
		t.Fatalf("%s: %v", e.path, err)
	}
	return slices.DeleteFunc(list, func(f tldwdblint.Finding) bool { return strings.HasSuffix(f.File, "_setup.up.sql") })
}

// Every example is judged as it is marked, and nothing else is found in it.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		var got []string
		for _, f := range e.findings(t) {
			got = append(got, fmt.Sprintf("%s:%d %s %s", f.File, f.Line, f.Rule, f.Severity))
			if f.Message == "" || f.Offset+f.Length > len(e.text) {
				t.Errorf("%s: the finding %s says nothing, or of something that is not there", e.path, f)
			}
		}
		slices.Sort(got)
		if want := e.expected(); !slices.Equal(got, want) {
			t.Errorf("%s: found\n\t%s\nmarked\n\t%s", e.path, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

// Every rule has an example of each kind, and the bad one shows this rule.
func TestEveryRuleHasExamples(t *testing.T) {
	t.Parallel()
	bad, good := map[string]bool{}, map[string]bool{}
	for _, e := range examples(t) {
		if e.good {
			good[e.rule] = true
			if len(e.expected()) > 0 {
				t.Errorf("%s: a good example has no marks", e.path)
			}
			continue
		}
		if !slices.ContainsFunc(e.expected(), func(mark string) bool { return strings.Contains(mark, " "+e.rule+" ") }) {
			t.Errorf("%s: nothing in it is marked with %s", e.path, e.rule)
		}
		bad[e.rule] = true
	}
	for _, r := range all {
		if !bad[r.id] || !good[r.id] {
			t.Errorf("%s has no bad.sql and good.sql in %s", r.id, examplesDir)
		}
	}
}

// The examples are SQL that the servers take, or refuse for the reason that the rule gives.
func TestServersTakeTheExamples(t *testing.T) {
	t.Parallel()
	engines := map[string]testdb.Engine{sqlite: testdb.SQLite, postgres: testdb.Postgres, mysql: testdb.MySQL, mariadb: testdb.MariaDB}
	byDialect := map[string][]example{}
	for _, e := range examples(t) {
		if strings.HasPrefix(e.options["server"], "not run") {
			continue
		}
		byDialect[e.dialect()] = append(byDialect[e.dialect()], e)
		if e.folder == mysql && e.options["on"] == "" { // both understand it
			byDialect[mariadb] = append(byDialect[mariadb], e)
		}
	}
	for dialect, list := range byDialect {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engines[dialect])
			pool, err := testdb.Open(engines[dialect], db.URL)
			if err != nil {
				t.Fatal(err)
			}
			pool.SetMaxOpenConns(1)
			for _, e := range list {
				e.onServer(t, pool, dialect)
			}
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			empty(t, conn, dialect) // what examples leave is not for the check at the test's end
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// onServer runs an example in a database that it empties first.
func (e *example) onServer(t *testing.T, pool *sql.DB, dialect string) {
	t.Helper()
	ctx := t.Context()
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	empty(t, conn, dialect)
	err = e.run(ctx, conn)
	want, refused := strings.CutPrefix(e.options["server"], "error ")
	switch {
	case err != nil && (!refused || !strings.Contains(err.Error(), want)):
		t.Errorf("%s on %s: %v", e.path, dialect, err)
	case err == nil && refused:
		t.Errorf("%s on %s: the server takes it, and was to refuse it with %q", e.path, dialect, want)
	}
}

func (e *example) run(ctx context.Context, conn *sql.Conn) error {
	options := map[string]sqlscan.Options{
		sqlite: {Dialect: sqlscan.SQLite}, postgres: {Dialect: sqlscan.Postgres}, mysql: {Dialect: sqlscan.MySQL}, mariadb: {Dialect: sqlscan.MySQL, MariaDB: true},
	}[e.dialect()]
	for _, m := range e.list {
		text := m.Up
		if text == nil {
			text = m.Down
		}
		list, err := sqlscan.Split(text.SQL, options)
		if err != nil {
			return err
		}
		alone := len(list) == 1 && aloneText(list[0], options)
		transaction := e.folder != mysql && !text.NoTransaction && !alone
		if transaction {
			list = slices.Concat([]sqlscan.Statement{{Text: "BEGIN"}}, list, []sqlscan.Statement{{Text: "COMMIT"}})
		}
		for _, st := range list {
			if _, err := conn.ExecContext(ctx, st.Text); err != nil {
				if transaction {
					_, _ = conn.ExecContext(ctx, "ROLLBACK") // the first error is the one that is looked at
				}
				return fmt.Errorf("%s: %w", st.Text, err)
			}
		}
	}
	return nil
}

func aloneText(st sqlscan.Statement, o sqlscan.Options) bool {
	s := stmt{toks: slices.Collect(sqlscan.Tokens(st.Text, o))}
	classify(&s, st.Text, o.Dialect)
	return alone(&s)
}

// empty takes everything out of the database of a connection.
func empty(t *testing.T, conn *sql.Conn, dialect string) {
	t.Helper()
	exec := func(statement string) {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	query := func(text string) (list []string) {
		rows, err := conn.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // Err below has what went wrong
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			list = append(list, name)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return list
	}
	switch dialect {
	case postgres:
		exec("RESET ALL")
		exec("SET synchronous_commit = off") // nothing here has to outlive the server
		for _, schema := range query("SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'") {
			exec("DROP SCHEMA " + schema + " CASCADE")
		}
		exec("CREATE SCHEMA public")
	case mysql, mariadb:
		for _, name := range query("SELECT DATABASE()") {
			exec("DROP DATABASE `" + name + "`")
			exec("CREATE DATABASE `" + name + "` CHARACTER SET utf8mb4")
			exec("USE `" + name + "`")
		}
		exec("SET SESSION sql_mode = DEFAULT, foreign_key_checks = 1")
	case sqlite:
		exec("PRAGMA writable_schema = 0")
		exec("PRAGMA foreign_keys = 0")
		for _, statement := range query("SELECT format('DROP %s IF EXISTS \"%w\"', type, name) FROM sqlite_schema WHERE type IN ('view', 'trigger', 'table') AND name NOT LIKE 'sqlite_%' ORDER BY type = 'table'") {
			exec(statement)
		}
	}
}
