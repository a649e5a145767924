package portable_test

import (
	"slices"
	"testing"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestKeysOfMain: keys are those of the database's own tables, whatever temporary table
// of the same name the session has.
func TestKeysOfMain(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	s := side(t, db)
	for _, statement := range []string{
		"CREATE TABLE up (id INTEGER PRIMARY KEY)",
		"CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE, up INTEGER REFERENCES up (id))",
		"CREATE TEMP TABLE a (id INTEGER, other TEXT, id2 INTEGER REFERENCES a (id))",
		"CREATE UNIQUE INDEX temp.a_other ON a (other)",
	} {
		if _, err := s.Conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d, err := dialect.New(dialect.NameSQLite, true)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := portable.OpenRows(t.Context(), d, s.Conn, portable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := rows.Table("a")
	if keys := rows.Unique(a); len(keys) != 2 || !slices.Equal(keys[1], []string{"name"}) {
		t.Errorf("unique are %q", keys)
	}
	if keys := rows.ForeignKeys(a); len(keys) != 1 || keys[0].Table != rows.Table("up") {
		t.Errorf("references are %v", keys)
	}
}
