package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// SQLite has one lock, and so its rules are about what fails, is lost, or does nothing. That is seen by looking at all that is in the
// file before and after.

// inventory is what is in a file.
type inventory struct {
	objects    map[string]string // name: its kind and table
	columns    map[string][]string
	values     map[string]string // table and column: all values, in the order of the keys
	rows       map[string]int
	numbers    map[string]int      // of AUTOINCREMENT
	references map[string][]string // table: those that its foreign keys refer to
	unwritable map[string]string   // tables, and why
	unreadable map[string]string   // views, and why
	constants  int                 // indexes on a text that was meant for a name
}

// column is the first column of all rows of a query, as text.
func (o *observer) column(t *testing.T, query string, args ...any) (list []string) {
	t.Helper()
	rows, err := o.c.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // Err below has what went wrong
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// look makes an inventory.
func (o *observer) look(t *testing.T) inventory {
	t.Helper()
	in := inventory{objects: map[string]string{}, columns: map[string][]string{}, values: map[string]string{}, rows: map[string]int{}, numbers: map[string]int{}, references: map[string][]string{},
		unwritable: map[string]string{}, unreadable: map[string]string{}}
	o.exec(t, "PRAGMA foreign_keys = ON")
	defer o.exec(t, "PRAGMA foreign_keys = OFF")
	for _, object := range o.column(t, "SELECT type || ' ' || name || ' ' || tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'") {
		words := strings.Fields(object)
		kind, name := words[0], words[1]
		in.objects[name] = kind + " " + words[2]
		switch kind {
		case "view":
			if _, err := o.c.ExecContext(t.Context(), "EXPLAIN SELECT * FROM "+name); err != nil {
				in.unreadable[name] = err.Error()
			}
		case "index":
			text := o.column(t, "SELECT sql FROM sqlite_schema WHERE name = ?", name)[0]
			for range o.column(t, "SELECT seqno FROM pragma_index_xinfo(?) WHERE cid = -2", name) {
				if strings.Contains(text, `("`) {
					in.constants++
				}
			}
		case "table":
			in.columns[name] = o.column(t, "SELECT name FROM pragma_table_xinfo(?)", name)
			in.references[name] = o.column(t, `SELECT "table" FROM pragma_foreign_key_list(?) ORDER BY id`, name)
			in.rows[name] = len(o.column(t, "SELECT 1 FROM "+name))
			for _, c := range in.columns[name] {
				in.values[name+"."+c] = strings.Join(o.column(t, fmt.Sprintf("SELECT quote(%s) FROM %s ORDER BY 1", c, name)), " ")
			}
			for _, write := range []string{"EXPLAIN DELETE FROM " + name, "EXPLAIN UPDATE " + name + " SET " + in.columns[name][len(in.columns[name])-1] + " = 1", "EXPLAIN INSERT INTO " + name + " DEFAULT VALUES"} {
				if _, err := o.c.ExecContext(t.Context(), write); err != nil && !strings.Contains(err.Error(), "generated column") {
					in.unwritable[name] = err.Error()
				}
			}
		}
	}
	if len(o.column(t, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'")) > 0 {
		for _, line := range o.column(t, "SELECT name || ' ' || seq FROM sqlite_sequence") {
			var name string
			var n int
			if _, err := fmt.Sscan(line, &name, &n); err != nil {
				t.Fatal(err)
			}
			in.numbers[name] = n
		}
	}
	return in
}

// harm is what a file has done that nobody can have meant by its words, or that nobody gets back.
func harm(before, after inventory, statements []sqlscan.Statement) map[string]string {
	found := map[string]string{}
	says := func(words ...string) bool {
		return slices.ContainsFunc(statements, func(st sqlscan.Statement) bool {
			text := " " + strings.Join(strings.Fields(st.Text), " ") + " "
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, " "+w+" ") })
		})
	}
	for name, was := range before.objects {
		kind, table, _ := strings.Cut(was, " ")
		if _, there := after.objects[name]; !there && !says("DROP", name) && (kind != "table" || !says("RENAME", name)) {
			found["objects"] = name + " of " + table
		}
	}
	for table, columns := range before.columns {
		if _, there := after.columns[table]; !there {
			if !says("RENAME", table) {
				found["tables"] = table
			}
			continue
		}
		for _, c := range columns {
			if !slices.Contains(after.columns[table], c) {
				if !says("RENAME", c) {
					found["columns"] = table + "." + c
				}
				continue
			}
			if was, is := before.values[table+"."+c], after.values[table+"."+c]; was != is && before.rows[table] == after.rows[table] && !says("UPDATE", table) && !says("DO", "UPDATE") {
				found["values"] = fmt.Sprintf("%s.%s: %s, and was %s", table, c, is, was)
			}
		}
		if after.rows[table] < before.rows[table] && !says("DELETE", "FROM", table) {
			found["rows"] = table
		}
		if was, is := before.references[table], after.references[table]; len(is) < len(was) || slices.ContainsFunc(is, func(parent string) bool { return after.objects[parent] == "" }) ||
			slices.ContainsFunc(was, func(parent string) bool { return !slices.Contains(is, parent) && after.objects[parent] != "" }) {
			found["references"] = fmt.Sprintf("%s refers to %v, and to %v before", table, is, was)
		}
	}
	for name, was := range before.numbers {
		if after.objects[name] != "" && after.numbers[name] < was {
			found["numbers"] = name
		}
	}
	for name, why := range after.unwritable {
		if before.unwritable[name] == "" {
			found["writes"] = name + ": " + why
		}
	}
	for name, why := range after.unreadable {
		if before.unreadable[name] == "" {
			found["reads"] = name + ": " + why
		}
	}
	if after.constants > before.constants {
		found["constants"] = "an index on a text"
	}
	return found
}

// harmBy runs a file over tables with rows, as a run of migrations does, and says what it has done.
func (o *observer) harmBy(t *testing.T, setup, rows string, text *Text, probe string) map[string]string {
	t.Helper()
	empty(t, o.c, sqlite)
	o.exec(t, "PRAGMA legacy_alter_table = OFF")
	statements := func(text string) []sqlscan.Statement {
		list, err := sqlscan.Split(text, o.d.ScanOptions())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, st := range append(statements(setup), statements(rows)...) {
		o.exec(t, st.Text)
	}
	before := o.look(t)
	if strings.Contains(text.SQL, "tldwdb: foreign-keys=on") {
		o.exec(t, "PRAGMA foreign_keys = ON")
	}
	list := statements(text.SQL)
	alone := text.NoTransaction || len(list) == 1 && aloneText(list[0], o.d.ScanOptions())
	if !alone {
		o.exec(t, "BEGIN IMMEDIATE")
	}
	found := map[string]string{}
	for _, st := range list {
		name, set := "", false
		if st.Verb == "PRAGMA" {
			name, _, set = strings.Cut(strings.TrimPrefix(st.Text, "PRAGMA "), " = ")
		}
		var was []string
		if set {
			was = o.column(t, "PRAGMA "+name)
		}
		if _, err := o.c.ExecContext(t.Context(), st.Text); err != nil {
			found["refused"] = err.Error()
			break
		}
		if set && slices.Equal(was, o.column(t, "PRAGMA "+name)) {
			found["ignored"] = st.Text
		}
	}
	if !alone {
		end := "COMMIT"
		if found["refused"] != "" {
			end = "ROLLBACK"
		}
		o.exec(t, end)
	}
	maps.Copy(found, harm(before, o.look(t), list))
	if probe != "" {
		for _, st := range statements(probe) {
			if _, err := o.c.ExecContext(t.Context(), st.Text); err != nil {
				return found
			}
		}
		found["probe"] = probe
	}
	return found
}

// sqliteClaims are what the rules about SQLite warn of: one of these is seen behind each bad example, and none behind a good one.
var sqliteClaims = map[string][]string{
	"LT101": {"refused"}, "LT102": {"rows", "refused"}, "LT103": {"ignored"}, "LT104": {"references", "objects"}, "LT105": {"objects", "refused"}, "LT106": {"numbers"}, "LT107": {"refused"},
	"LT108": {"refused"}, "LT110": {"refused", "ignored"}, "LT112": {"constants"}, "LT113": {"probe"}, "LT114": {"probe"}, "LT116": {"probe"}, "LT117": {"values"}, "LT118": {"values"},
	"LT119": {"references", "reads", "writes"}, "LT120": {"refused"}, "LT122": {"writes"}, "LT123": {"writes"}, "LT124": {"tables", "columns"},
}

// sqliteProbes are taken without an error behind a bad example alone.
var sqliteProbes = map[string]string{
	"LT113": "CREATE TABLE seen (code CHECK (typeof(code) = 'integer')); INSERT INTO codes (id, code) VALUES (1, '007'); INSERT INTO seen SELECT code FROM codes",
	"LT114": "INSERT INTO countries VALUES (NULL); INSERT INTO countries VALUES (NULL)",
	"LT116": "INSERT INTO users_copy (id) SELECT id FROM users; INSERT INTO users_copy (id) SELECT id FROM users",
}

var sqliteUnseen = map[string]string{
	"LT109": "takes an older SQLite than the one that is linked",
	"LT111": "the driver refuses to write there",
	"LT121": "takes a crash between two files",
}

var sqliteSeeds = map[string]string{
	"LT118": "UPDATE users SET name = 'A' WHERE id = 1;",
	"LT106": "INSERT INTO invoices (amount) VALUES (1), (2), (3); DELETE FROM invoices WHERE id = 3;",
}

const sqliteRows = `
INSERT INTO users (id, email, name) VALUES (1, 'x@example.org', NULL), (2, 'b@example.org', 'B');
INSERT INTO orders (id, user_id, amount, state) VALUES (1, 1, 5, 'new'), (2, 1, 6, 'sent');
`

// TestSQLiteRulesAreObserved holds every rule about SQLite against what SQLite does.
func TestSQLiteRulesAreObserved(t *testing.T) {
	t.Parallel()
	for _, r := range all {
		if strings.HasPrefix(r.id, "LT") && (sqliteClaims[r.id] != nil) == (sqliteUnseen[r.id] != "") {
			t.Errorf("%s: what is to be seen of it, or why nothing is?", r.id)
		}
	}
	o := newObserver(t, testdb.SQLite, sqlite)
	cases := 0
	for _, e := range compared(t, sqlite) {
		claims := sqliteClaims[e.rule]
		if claims == nil {
			continue
		}
		cases++
		texts := e.own()
		probe := sqliteProbes[e.rule]
		rows := sqliteRows + sqliteSeeds[e.rule]
		found := o.harmBy(t, e.tables(), rows, texts[len(texts)-1], probe)
		seen := slices.ContainsFunc(claims, func(c string) bool { return found[c] != "" })
		if seen == e.good {
			t.Errorf("%s: the rule warns of %v, and seen is %v", e.path, claims, found)
		}
	}
	empty(t, o.c, sqlite)
	t.Logf("%d rules compared by %d examples; %d cannot be", len(sqliteClaims), cases, len(sqliteUnseen))
}

// The tables that the files below are about.
const sqliteTables = `
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE, amount NUMERIC NOT NULL, state TEXT);
CREATE TABLE invoices (id INTEGER PRIMARY KEY AUTOINCREMENT, amount NUMERIC NOT NULL, note TEXT);
CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT, b TEXT CHECK (b <> ''), c TEXT UNIQUE, d INTEGER AS (length(a)) VIRTUAL);
CREATE INDEX users_name ON users (name);
CREATE UNIQUE INDEX users_email ON users (email);
CREATE VIEW states AS SELECT state FROM orders;
CREATE TRIGGER invoices_touch AFTER INSERT ON invoices BEGIN UPDATE plain SET a = 'x' WHERE id = 0; END;
`

// sqliteFiles are migrations, a line each. What a rule says of each has to be what is seen; where it differs on purpose, the reason
// stands behind --.
const sqliteFiles = `
ALTER TABLE users ADD COLUMN z TEXT
ALTER TABLE users ADD COLUMN z TEXT DEFAULT 'x'
ALTER TABLE users ADD COLUMN z INTEGER NOT NULL DEFAULT 0
ALTER TABLE users ADD COLUMN z INTEGER NOT NULL
ALTER TABLE users ADD COLUMN z TEXT DEFAULT CURRENT_TIMESTAMP
ALTER TABLE users ADD COLUMN z TEXT DEFAULT (datetime('now'))
ALTER TABLE users ADD COLUMN z INTEGER DEFAULT (1 + 1)
ALTER TABLE users ADD COLUMN z INTEGER DEFAULT (7)
ALTER TABLE users ADD COLUMN z TEXT UNIQUE
ALTER TABLE users ADD COLUMN z INTEGER PRIMARY KEY
ALTER TABLE users ADD COLUMN z TEXT AS (lower(name)) STORED
ALTER TABLE users ADD COLUMN z TEXT AS (lower(name)) VIRTUAL
ALTER TABLE users ADD COLUMN z INTEGER REFERENCES orders (id)
ALTER TABLE users ADD COLUMN z TEXT CHECK (z <> 'x')
ALTER TABLE users ADD COLUMN z INTEGER NOT NULL DEFAULT 1 CHECK (z > 5) -- nobody computes here whether a default meets a condition
ALTER TABLE users ADD COLUMN z TEXT NOT NULL DEFAULT NULL
ALTER TABLE orders DROP COLUMN amount
ALTER TABLE orders DROP COLUMN state
ALTER TABLE orders DROP COLUMN user_id
ALTER TABLE users DROP COLUMN id
ALTER TABLE users DROP COLUMN name
ALTER TABLE plain DROP COLUMN a
ALTER TABLE plain DROP COLUMN b
ALTER TABLE plain DROP COLUMN c
ALTER TABLE plain DROP COLUMN d
ALTER TABLE users RENAME COLUMN name TO nick
ALTER TABLE users RENAME TO people
ALTER TABLE users ALTER COLUMN email DROP NOT NULL
ALTER TABLE orders ALTER COLUMN state SET NOT NULL
ALTER TABLE users ALTER COLUMN name SET NOT NULL -- fails only where there is a NULL, which the rows know
ALTER TABLE users ALTER COLUMN name SET DEFAULT 'x'
ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(20)
ALTER TABLE orders ADD CONSTRAINT positive CHECK (amount > 0)
ALTER TABLE orders ADD CONSTRAINT large CHECK (amount > 100) -- fails only where a row breaks it, which the rows know
ALTER TABLE orders ADD UNIQUE (state)
ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users (id)
ALTER TABLE users ADD COLUMN z TEXT; UPDATE users SET z = 'x'
ALTER TABLE users ADD COLUMN a TEXT, ADD COLUMN b TEXT
CREATE INDEX fresh ON users (name, email)
CREATE INDEX fresh ON users ("nothing")
CREATE UNIQUE INDEX fresh ON users (lower(email))
CREATE UNIQUE INDEX fresh ON orders (user_id) -- fails only where rows are equal, which the rows know
DROP INDEX users_name
CREATE TABLE fresh (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id))
CREATE TABLE fresh (id INTEGER PRIMARY KEY, email TEXT REFERENCES users (email))
CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT REFERENCES users (name))
CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, FOREIGN KEY (name) REFERENCES users (name))
CREATE TABLE fresh (id INTEGER PRIMARY KEY, x INTEGER REFERENCES nowhere (id)) -- a table that no file makes may have been there before
CREATE OR REPLACE VIEW states AS SELECT id FROM orders
CREATE VIEW fresh AS SELECT name FROM users
CREATE VIEW fresh AS SELECT nothing FROM users -- a view of what is not there is in no rule: it is seen when it is first read
DROP VIEW states
DROP TRIGGER invoices_touch
DROP TABLE orders
DROP TABLE users
DROP TABLE plain
DROP TABLE orders; DROP TABLE users
INSERT INTO users (id, email) VALUES (7, 'y@example.org')
INSERT OR REPLACE INTO users (id, email) VALUES (2, 'y@example.org')
REPLACE INTO users (id, email) VALUES (2, 'y@example.org')
INSERT OR IGNORE INTO users (id, email) VALUES (2, 'y@example.org')
INSERT INTO users (id, email) VALUES (2, 'y@example.org') ON CONFLICT (id) DO UPDATE SET email = 'y@example.org'
UPDATE users SET name = 'x'
DELETE FROM orders WHERE id = 1
DELETE FROM orders
TRUNCATE TABLE orders
VACUUM
DELETE FROM orders WHERE id = 1; VACUUM
REINDEX
ANALYZE
DELETE FROM orders WHERE id = 1; PRAGMA foreign_keys = ON
DELETE FROM orders WHERE id = 1; PRAGMA journal_mode = MEMORY
DELETE FROM orders WHERE id = 1; PRAGMA synchronous = OFF
DELETE FROM orders WHERE id = 1; PRAGMA user_version = 7
CREATE TABLE n (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT); INSERT INTO n (id, email, name) SELECT id, email, name FROM users; DROP TABLE users; ALTER TABLE n RENAME TO users
CREATE TABLE n (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT); INSERT INTO n (id, email, name) SELECT id, email, name FROM users; DROP TABLE users; ALTER TABLE n RENAME TO users; CREATE INDEX users_name ON users (name); CREATE UNIQUE INDEX users_email ON users (email)
CREATE TABLE n (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL); INSERT INTO n (id, email, name) SELECT id, email, name FROM users; DROP TABLE users; ALTER TABLE n RENAME TO users; CREATE INDEX users_name ON users (name); CREATE UNIQUE INDEX users_email ON users (email)
CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT, email TEXT); INSERT INTO n SELECT * FROM users; DROP TABLE users; ALTER TABLE n RENAME TO users; CREATE INDEX users_name ON users (name); CREATE UNIQUE INDEX users_email ON users (email)
CREATE TABLE n (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, amount NUMERIC, state TEXT); INSERT INTO n SELECT * FROM orders; DROP TABLE orders; ALTER TABLE n RENAME TO orders
DROP VIEW states; CREATE TABLE n (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), amount NUMERIC, state TEXT); INSERT INTO n SELECT * FROM orders; DROP TABLE orders; ALTER TABLE n RENAME TO orders; CREATE VIEW states AS SELECT state FROM orders
DROP VIEW states; CREATE TABLE n (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), amount NUMERIC, state TEXT); INSERT INTO n SELECT * FROM orders WHERE amount > 5; DROP TABLE orders; ALTER TABLE n RENAME TO orders; CREATE VIEW states AS SELECT state FROM orders -- the condition leaves rows out, as its author says
CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, amount NUMERIC NOT NULL, note TEXT); INSERT INTO n SELECT * FROM invoices; DROP TABLE invoices; ALTER TABLE n RENAME TO invoices; CREATE TRIGGER invoices_touch AFTER INSERT ON invoices BEGIN UPDATE plain SET a = 'x' WHERE id = 0; END
ALTER TABLE users RENAME TO old; CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT); INSERT INTO users SELECT * FROM old; DROP TABLE old
PRAGMA legacy_alter_table = ON; ALTER TABLE users RENAME TO people; PRAGMA legacy_alter_table = OFF
PRAGMA legacy_alter_table = ON; ALTER TABLE orders RENAME TO sales; PRAGMA legacy_alter_table = OFF
`

// TestEverySQLiteStatement asks the other way round: is there a finding about each file that fails, loses something or does nothing, and
// none about the rest?
func TestEverySQLiteStatement(t *testing.T) {
	t.Parallel()
	o := newObserver(t, testdb.SQLite, sqlite)
	rows := sqliteRows + sqliteSeeds["LT106"] + "INSERT INTO plain (id, a, b, c) VALUES (1, 'a', 'b', 'c');"
	var files, harmful, found, both int
	for line := range strings.Lines(sqliteFiles) {
		sql, why, _ := strings.Cut(strings.TrimSpace(line), " -- ")
		if sql == "" {
			continue
		}
		files++
		text := &Text{Path: "x.sql", SQL: sql, Irreversible: true}
		done := o.harmBy(t, sqliteTables, rows, text, "")
		var rules []string
		for _, f := range mustCheck(t, []Migration{{Version: 1, Name: "tables", Up: &Text{Path: "tables.sql", SQL: sqliteTables}, Quiet: true}, {Version: 2, Name: "x", Up: text}}, sqlite, tldwdblint.Config{}) {
			if f.Severity.AtLeast(tldwdblint.SeverityWarning) {
				rules = append(rules, f.Rule)
			}
		}
		switch differ := (len(done) > 0) != (len(rules) > 0); {
		case differ && why == "":
			t.Errorf("%s\n\tfound %v, and seen %v", sql, rules, done)
		case !differ && why != "":
			t.Errorf("%s: there is no difference to explain: %v, %v", sql, rules, done)
		}
		if len(done) > 0 {
			harmful++
		}
		if len(rules) > 0 {
			found++
		}
		if len(done) > 0 && len(rules) > 0 {
			both++
		}
	}
	empty(t, o.c, sqlite)
	t.Logf("%d files; %d do harm, of which %d are found (recall %.3f); findings about %d (precision %.3f)", files, harmful, both, float64(both)/float64(harmful), found, float64(both)/float64(found))
}
