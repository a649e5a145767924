package tldwdb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Each migration is announced before it runs, and each statement that the server
// gets by itself.
func TestProgress(t *testing.T) {
	t.Parallel()
	source := files{
		"1_a.up.sql": "CREATE TABLE a (n int);\n\nINSERT INTO a VALUES (1);\n", "1_a.down.sql": "DROP TABLE a;\n",
		"2_b.up.sql": "CREATE TABLE b (n int);\n",
	}
	each := []string{
		"up 1/2 0001_a 0/2 :0 ", "up 1/2 0001_a 1/2 :1 CREATE TABLE a (n int)", "up 1/2 0001_a 2/2 :3 INSERT INTO a VALUES (1)",
		"up 2/2 0002_b 0/1 :0 ", "up 2/2 0002_b 1/1 :1 CREATE TABLE b (n int)",
	}
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var got []string
		note := func(cfg *tldwdb.Config) {
			cfg.Progress = func(p tldwdb.Progress) {
				got = append(got, fmt.Sprintf("%s %d/%d %s %d/%d :%d %s", p.Direction, p.Step, p.Steps, p.Migration, p.Statement, p.Statements, p.Line, p.SQL))
			}
		}
		handle := open(t, db, source, note)
		succeed(t, "up 0001_a, up 0002_b; 0 → 2")(handle.Up(t.Context()))
		want := each
		if db.Engine == testdb.Postgres { // it gets the statements of a migration at once
			want = []string{each[0], each[3]}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		got = nil
		succeed(t, "; 2 → 2")(handle.Up(t.Context()))
		if len(got) > 0 {
			t.Errorf("nothing was done, and %q announced", got)
		}
	})
}
