package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdbcli"
)

// Between any two schemas the migration that diff writes leads to exactly the second
// one, keeps all rows that both have room for, and its way back leads to exactly the
// first. TLDWDB_TEST_DIFF_PAIRS sets how many pairs are tried for each engine, and
// TLDWDB_TEST_DIFF_SEED which.
func TestDiffOfRandomSchemas(t *testing.T) {
	t.Parallel()
	pairs, seed := 2, uint64(1)
	if text := os.Getenv("TLDWDB_TEST_DIFF_PAIRS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		pairs = n
	}
	if text := os.Getenv("TLDWDB_TEST_DIFF_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	for _, e := range testdb.Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			for i := range pairs {
				t.Run(fmt.Sprint(seed+uint64(i)), func(t *testing.T) { diffOnce(t, e, seed+uint64(i)) })
			}
		})
	}
}

func diffOnce(t *testing.T, e testdb.Engine, seed uint64) {
	g := &schemaGenerator{Rand: rand.New(rand.NewPCG(seed, 0)), e: e}
	before := g.schema()
	after := g.mutated(before)
	dir := t.TempDir()
	migrations := filepath.Join(dir, "migrations")
	write(t, filepath.Join(migrations, "0001_first.up.sql"), before.text(e))
	write(t, filepath.Join(dir, "schema.sql"), after.text(e))
	defer func() {
		if t.Failed() {
			for _, file := range []string{"migrations/0001_first.up.sql", "schema.sql", "migrations/0002_second.up.sql", "migrations/0002_second.down.sql"} {
				text, _ := os.ReadFile(filepath.Join(dir, file)) // it may not have been written
				t.Logf("%s:\n%s", file, text)
			}
		}
	}()

	wanted := testdb.New(t, e)
	write(t, filepath.Join(dir, "wanted", "0001_all.up.sql"), after.text(e))
	want := migrated(t, wanted, filepath.Join(dir, "wanted"), tldwdb.GoalUp)
	tdb := testdb.New(t, e)
	was := migrated(t, tdb, migrations, tldwdb.GoalUp)
	before.fill(t, tdb)
	rows := kept(t, tdb, before, after)

	if out, code := command(t, "diff", "second", "--to", filepath.Join(dir, "schema.sql"), "--dir", migrations, "--url", tdb.URL, "-q"); code != tldwdbcli.ExitDone && code != tldwdbcli.ExitUnhealthy { // the latter where a rule warns
		t.Fatalf("diff ends with %d: %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(migrations, "0002_second.up.sql")); err != nil {
		if left := catalog.Compare(want, was); len(left) > 0 {
			t.Fatalf("nothing was written: %v", left)
		}
		return
	}
	is := migrated(t, tdb, migrations, tldwdb.GoalUp)
	for _, d := range catalog.Compare(want, is) {
		t.Errorf("up: %s", d)
	}
	if got := kept(t, tdb, before, after); got != rows {
		t.Errorf("up has changed rows:\n%s\nwant:\n%s", got, rows)
	}
	for _, d := range catalog.Compare(was, migrated(t, tdb, migrations, tldwdb.GoalDown)) {
		t.Errorf("down: %s", d)
	}
	if got := kept(t, tdb, before, after); got != rows {
		t.Errorf("down has changed rows:\n%s\nwant:\n%s", got, rows)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs tldwdb in this process, on nothing of the environment.
func command(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	root := tldwdbcli.New(tldwdbcli.Options{Use: "tldwdb", PlanChanges: planChanges, LookupEnv: func(string) (string, bool) { return "", false }})
	code = tldwdbcli.Run(t.Context(), root, args, &out, &out)
	return out.String(), code
}

// migrated goes up all the way, or down one step, and reads the catalogue.
func migrated(t *testing.T, tdb *testdb.Database, dir string, goal tldwdb.Goal) (c catalog.Catalog) {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: tdb.URL, Migrations: os.DirFS(dir), PoolSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, db)
	if _, err := db.Migrate(t.Context(), tldwdb.Request{Goal: goal}); err != nil {
		t.Fatalf("%s: %v", goal, err)
	}
	conn, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, conn)
	d, err := dialect.New(nameOf(tdb.Engine), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Inspect(t.Context(), conn.Conn, "tldwdb_history"); err != nil {
		t.Fatal(err)
	}
	c, err = catalog.Read(t.Context(), d, conn.Conn, catalog.Options{Ignore: []string{"tldwdb_*"}, AnyColumnOrder: tdb.Engine == testdb.Postgres})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closed(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func nameOf(e testdb.Engine) string {
	if e == testdb.MariaDB {
		return dialect.NameMySQL
	}
	return string(e)
}

// randomSchema is a schema that all of a pair's engines take.
type randomSchema struct{ tables []*randomTable }

type randomTable struct {
	name    string
	columns []*randomColumn
	indexes []randomIndex
	options string
	auto    bool
	serial  bool     // PostgreSQL: auto by a sequence of a default, and not by an identity
	view    []string // columns that a view of it has, beside the key; nil for no view
}

type randomColumn struct {
	name, kind, standard, generated, check, references, action string
	null                                                       bool
	fresh                                                      bool // of the second schema alone: it has no values
}

type randomIndex struct {
	name, on, where string
	unique          bool
}

func (s *randomSchema) table(name string) *randomTable {
	for _, t := range s.tables {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (t *randomTable) column(name string) *randomColumn {
	for _, c := range t.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

// text is the schema as statements, keys between tables last.
func (s *randomSchema) text(e testdb.Engine) string {
	var b strings.Builder
	if e == testdb.Postgres {
		b.WriteString("CREATE TYPE mood AS ENUM ('good', 'bad');\n")
	}
	for _, t := range s.tables {
		key := "id integer PRIMARY KEY"
		if t.auto {
			key = map[testdb.Engine]string{
				testdb.SQLite: "id integer PRIMARY KEY AUTOINCREMENT", testdb.Postgres: "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
			}[e]
			if t.serial {
				key = "id serial PRIMARY KEY"
			}
			if key == "" {
				key = "id integer AUTO_INCREMENT PRIMARY KEY"
			}
		}
		lines := []string{key}
		var foreign []string
		for _, c := range t.columns {
			line := c.name + " " + c.kind
			if c.generated != "" {
				line += " GENERATED ALWAYS AS (" + c.generated + ") STORED"
			}
			if !c.null && c.generated == "" {
				line += " NOT NULL"
			}
			if c.standard != "" {
				line += " DEFAULT " + c.standard
			}
			lines = append(lines, line)
			if c.check != "" {
				foreign = append(foreign, "CONSTRAINT "+t.name+"_"+c.name+"_positive CHECK ("+c.check+")")
			}
			if c.references != "" {
				foreign = append(foreign, "CONSTRAINT "+t.name+"_"+c.name+"_to FOREIGN KEY ("+c.name+") REFERENCES "+c.references+" (id)"+c.action)
			}
		}
		fmt.Fprintf(&b, "CREATE TABLE %s (\n\t%s\n)%s;\n", t.name, strings.Join(append(lines, foreign...), ",\n\t"), t.options)
		for _, i := range t.indexes {
			unique := ""
			if i.unique {
				unique = "UNIQUE "
			}
			fmt.Fprintf(&b, "CREATE %sINDEX %s ON %s (%s)%s;\n", unique, i.name, t.name, i.on, i.where)
		}
	}
	for i, t := range s.tables { // each on the one before it, too
		if t.view == nil {
			continue
		}
		list, from := []string{"t.id"}, t.name+" t"
		for _, name := range t.view {
			if t.column(name) != nil {
				list = append(list, "t."+name)
			}
		}
		if i > 0 && s.tables[i-1].view != nil {
			list, from = append(list, "u.id AS other"), from+" JOIN "+s.tables[i-1].name+"_v u ON u.id = t.id"
		}
		fmt.Fprintf(&b, "CREATE VIEW %s_v AS SELECT %s FROM %s;\n", t.name, strings.Join(list, ", "), from)
	}
	return b.String()
}

// fill puts three rows into every table. A number is that of its row, a text has it.
func (s *randomSchema) fill(t *testing.T, tdb *testdb.Database) {
	t.Helper()
	db, err := testdb.Open(tdb.Engine, tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, db)
	for _, table := range s.tables {
		for row := 1; row <= 3; row++ {
			columns, values := []string{"id"}, []string{fmt.Sprint(row)}
			for _, c := range table.columns {
				if c.generated != "" {
					continue
				}
				columns, values = append(columns, c.name), append(values, c.value(row))
			}
			statement := "INSERT INTO " + table.name + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
			if _, err := db.ExecContext(context.Background(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
}

func (c *randomColumn) number() bool { return strings.Contains(c.kind, "int") }

func (c *randomColumn) value(row int) string {
	switch {
	case c.number():
		return fmt.Sprint(row)
	case c.kind == "mood":
		return "'bad'"
	}
	return fmt.Sprintf("'v%d'", row)
}

// kept are the values that both schemas have a place for.
func kept(t *testing.T, tdb *testdb.Database, before, after *randomSchema) string {
	t.Helper()
	db, err := testdb.Open(tdb.Engine, tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, db)
	var b strings.Builder
	for _, table := range before.tables {
		other := after.table(table.name)
		if other == nil {
			continue
		}
		for _, c := range table.columns {
			o := other.column(c.name)
			if o == nil || o.fresh || o.generated != "" || c.generated != "" {
				continue
			}
			rows, err := db.QueryContext(t.Context(), "SELECT id, "+c.name+" FROM "+table.name+" ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var id int
				var value string
				if err := rows.Scan(&id, &value); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%s %d %s %s\n", table.name, id, c.name, strings.TrimRight(value, " "))
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.String()
}

// schemaGenerator makes pairs of schemas in which rows can be kept: it gives no column
// that has no value what a value would be needed for, forth or back.
type schemaGenerator struct {
	*rand.Rand
	e testdb.Engine
}

func (g *schemaGenerator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *schemaGenerator) one(list ...string) string { return list[g.IntN(len(list))] }

func (g *schemaGenerator) mysql() bool { return g.e == testdb.MySQL || g.e == testdb.MariaDB }

// kind is a type of a family: within it values can go from one to the other.
func (g *schemaGenerator) kind(number bool) string {
	switch {
	case number && g.e == testdb.SQLite:
		return g.one("integer", "int", "bigint")
	case number && g.e == testdb.Postgres:
		return g.one("smallint", "integer", "bigint")
	case number:
		return g.one("smallint", "int", "bigint", "int unsigned")
	case g.e == testdb.Postgres:
		return g.one("text", "varchar(20)", "varchar(50)", "char(12)")
	case g.e == testdb.SQLite:
		return g.one("text", "varchar(20)", "varchar(50) COLLATE NOCASE")
	}
	return g.one("varchar(20)", "varchar(50)", "char(12)", "varchar(30) CHARACTER SET latin1", "varchar(30) COMMENT 'it''s'")
}

func (g *schemaGenerator) newColumn(name string) *randomColumn {
	c := &randomColumn{name: name, null: g.chance(50)}
	if c.kind = g.kind(g.chance(50)); g.e == testdb.Postgres && g.chance(10) {
		c.kind = "mood"
	}
	if !c.null || g.chance(30) {
		c.standard = g.standard(c)
	}
	if c.number() && g.chance(25) {
		c.check = name + " > 0"
	}
	return c
}

func (g *schemaGenerator) standard(c *randomColumn) string {
	switch {
	case c.number():
		return g.one("5", "6")
	case c.kind == "mood":
		return "'good'"
	}
	return g.one("'x'", "'it''s'")
}

func (g *schemaGenerator) schema() *randomSchema {
	s := &randomSchema{}
	for _, name := range []string{"alpha", "beta", "gamma", "delta"}[:2+g.IntN(3)] {
		s.tables = append(s.tables, g.newTable(s, name))
	}
	return s
}

func (g *schemaGenerator) newTable(s *randomSchema, name string) *randomTable {
	t := &randomTable{name: name, auto: g.chance(40), serial: g.e == testdb.Postgres && g.chance(50)}
	for i := range 2 + g.IntN(4) {
		t.columns = append(t.columns, g.newColumn(fmt.Sprintf("c%d", i+1)))
	}
	if g.e == testdb.SQLite && g.chance(20) && !t.auto {
		t.options = " WITHOUT ROWID"
	}
	if g.mysql() && g.chance(20) {
		t.options = " COMMENT='a; b'"
	}
	if g.chance(50) {
		t.view = []string{"c1", "c2"}
	}
	if len(s.tables) > 0 && g.chance(60) {
		g.refer(s, t, "up")
	}
	if first := t.columns[0]; first.number() && g.chance(25) {
		t.columns = append(t.columns, &randomColumn{name: "twice", kind: "int", generated: "c1 * 2", null: true})
	}
	for i := range g.IntN(3) {
		g.index(t, fmt.Sprintf("%s_i%d", name, i+1))
	}
	return t
}

// refer adds a column with a foreign key.
func (g *schemaGenerator) refer(s *randomSchema, t *randomTable, name string) {
	parent := s.tables[g.IntN(len(s.tables))]
	kind := "integer"
	if g.e == testdb.Postgres && parent.auto {
		kind = "bigint"
	}
	t.columns = append(t.columns, &randomColumn{name: name, kind: kind, null: true, references: parent.name, action: g.one("", " ON DELETE CASCADE", " ON DELETE SET NULL")})
}

// index adds an index on columns that have values, each its own in every row.
func (g *schemaGenerator) index(t *randomTable, name string) {
	var plain []*randomColumn
	for _, c := range t.columns {
		if c.generated == "" && c.kind != "mood" && !c.fresh {
			plain = append(plain, c)
		}
	}
	if len(plain) == 0 {
		return
	}
	c := plain[g.IntN(len(plain))]
	i := randomIndex{name: name, on: c.name, unique: g.chance(30) && c.standard == ""}
	switch {
	case g.chance(30):
		i.on += ", id"
	case g.chance(20):
		i.on += " DESC"
	case !g.mysql() && !c.number() && g.chance(30):
		i.on = "lower(" + c.name + ")"
	}
	if !g.mysql() && g.chance(20) {
		i.where = " WHERE " + c.name + " IS NOT NULL"
	}
	t.indexes = append(t.indexes, i)
}

// used reports whether an index or another column names a column.
func (t *randomTable) used(c *randomColumn) bool {
	return slices.ContainsFunc(t.columns, func(o *randomColumn) bool { return strings.Contains(o.generated, c.name) }) ||
		slices.ContainsFunc(t.indexes, func(i randomIndex) bool { return strings.Contains(i.on+i.where, c.name) })
}

// referred reports whether a table is another one's parent.
func (s *randomSchema) referred(name string) bool {
	return slices.ContainsFunc(s.tables, func(t *randomTable) bool {
		return slices.ContainsFunc(t.columns, func(c *randomColumn) bool { return c.references == name })
	})
}

func (s *randomSchema) clone() *randomSchema {
	other := &randomSchema{}
	for _, t := range s.tables {
		copied := *t
		copied.indexes, copied.view = slices.Clone(t.indexes), slices.Clone(t.view)
		copied.columns = nil
		for _, c := range t.columns {
			column := *c
			copied.columns = append(copied.columns, &column)
		}
		other.tables = append(other.tables, &copied)
	}
	return other
}

// mutated is the schema after some changes.
func (g *schemaGenerator) mutated(before *randomSchema) *randomSchema {
	s := before.clone()
	for n := range 1 + g.IntN(8) {
		t := s.tables[g.IntN(len(s.tables))]
		if before.table(t.name) == nil {
			continue
		}
		c := t.columns[g.IntN(len(t.columns))]
		switch g.IntN(14) {
		case 13:
			t.serial = g.e == testdb.Postgres && !t.serial
		case 0:
			s.tables = append(s.tables, g.newTable(s, fmt.Sprintf("new%d", n)))
		case 1:
			if len(s.tables) > 1 && !before.referred(t.name) && !s.referred(t.name) {
				s.tables = slices.DeleteFunc(s.tables, func(o *randomTable) bool { return o == t })
			}
		case 2, 3:
			fresh := g.newColumn(fmt.Sprintf("n%d", n))
			fresh.fresh = true
			t.columns = append(t.columns, fresh)
		case 4:
			if g.e != testdb.Postgres { // it has no place but the end
				fresh := g.newColumn(fmt.Sprintf("f%d", n))
				fresh.fresh = true
				t.columns = slices.Insert(t.columns, g.IntN(len(t.columns)+1), fresh)
			}
		case 5:
			if len(t.columns) > 1 && (c.null || c.standard != "") && c.references == "" && !t.used(c) && !before.table(t.name).used(c) {
				t.columns = slices.DeleteFunc(t.columns, func(o *randomColumn) bool { return o == c })
			}
		case 6:
			if c.references == "" && c.generated == "" && c.kind != "mood" && !t.used(c) {
				c.kind = g.kind(c.number())
			}
		case 7:
			if c.generated == "" && c.references == "" && !c.fresh {
				c.null = !c.null
			}
		case 8:
			if c.generated == "" && c.references == "" && !c.fresh {
				if c.standard = ""; g.chance(50) {
					c.standard = g.standard(c)
				}
			}
		case 9:
			if c.number() && c.generated == "" && c.references == "" {
				if c.check == "" || g.chance(50) {
					c.check = c.name + g.one(" > 0", " >= 1", " <> 7")
				} else {
					c.check = ""
				}
			}
		case 10:
			if len(t.indexes) > 0 && g.chance(50) {
				t.indexes = t.indexes[1:]
			} else {
				g.index(t, fmt.Sprintf("%s_n%d", t.name, n))
			}
		case 11:
			if c.references != "" && g.chance(50) {
				c.references, c.action = "", ""
			} else if c.references != "" {
				c.action = g.one("", " ON DELETE CASCADE")
			} else {
				// To a table that is there already, and made before this one: no
				// statement of a schema can name what comes behind it.
				at := slices.Index(s.tables, t)
				earlier := slices.DeleteFunc(slices.Clone(s.tables[:at+1]), func(o *randomTable) bool { return before.table(o.name) == nil })
				g.refer(&randomSchema{earlier}, t, fmt.Sprintf("r%d", n))
				t.columns[len(t.columns)-1].fresh = true
			}
		case 12:
			if t.view == nil || g.chance(50) {
				t.view = append(t.view, c.name)
				slices.Sort(t.view)
				t.view = slices.Compact(t.view)
			} else {
				t.view = nil
			}
		}
	}
	return s
}
