package portable_test

import (
	"bytes"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// loaded makes two databases of a schema, puts rows into the one, and its archive
// into the other.
func loaded(t *testing.T, e testdb.Engine, schema []string, rows ...string) *testdb.Database {
	t.Helper()
	a, b := testdb.New(t, e), testdb.New(t, e)
	fill(t, a, append(schema, rows...)...)
	fill(t, b, schema...)
	text, _ := dump(t, side(t, a))
	archive, err := portable.Open(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	to := side(t, b)
	if _, err := archive.Load(t.Context(), to.Dialect, to.Conn, portable.Options{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// textOf is what a query of one value finds.
func textOf(t *testing.T, db *testdb.Database, query string) (text string) {
	t.Helper()
	if err := db.AdminDB(t).QueryRowContext(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// Types that migrations make are the same types on both sides: the search path by
// which one of them is called something else is not part of them.
func TestOwnTypes(t *testing.T) {
	t.Parallel()
	schema := []string{
		`CREATE TYPE mood AS ENUM ('sad', 'ok')`, `CREATE TYPE "a Pair" AS (a integer, b text)`, `CREATE DOMAIN small AS integer`, `CREATE DOMAIN smaller AS small`, `CREATE SCHEMA far`, `CREATE TYPE far.mood AS ENUM ('far')`,
		`CREATE TABLE own (id integer PRIMARY KEY, m mood, list mood[], p "a Pair", s smaller, f far.mood[])`,
	}
	b := loaded(t, testdb.Postgres, schema, `INSERT INTO own VALUES (1, 'ok', '{sad,ok}', ROW(1, 'x'), 3, '{far}')`)
	if got, want := textOf(t, b, "SELECT own::text FROM own"), `(1,ok,"{sad,ok}","(1,x)",3,{far})`; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}
