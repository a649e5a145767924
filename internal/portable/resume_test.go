package portable_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A copy that stops in the middle of a table goes on there, as long as the source
// begins with the rows that are over; else it begins anew. What is there in the end is
// what the source has.
func TestCopyGoesOnInsideATable(t *testing.T) {
	t.Parallel()
	const rows, bad = 3000, 2000
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		for _, change := range []struct {
			name, statement string
			anew            bool
		}{
			{"nothing has changed", "", false},
			{"rows were added", "INSERT INTO entries SELECT id + 10000, body FROM entries WHERE id < 500", false},
			{"a row has changed", "UPDATE entries SET body = 'other' WHERE id = 3", true},
			{"rows are gone", "DELETE FROM entries WHERE id > 10", true},
		} {
			t.Run(change.name, func(t *testing.T) {
				a, b := testdb.New(t, testdb.SQLite), testdb.New(t, b.Engine)
				fill(t, a, "CREATE TABLE entries (id INTEGER PRIMARY KEY, body VARCHAR(20))",
					fmt.Sprintf("INSERT INTO entries WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < %d) SELECT id, CASE id WHEN %d THEN 'bad' ELSE 'line ' || id END FROM n", rows, bad))
				fill(t, b, "CREATE TABLE entries (id INTEGER PRIMARY KEY, body VARCHAR(20), CHECK (body <> 'bad'))")
				from, to := side(t, a), side(t, b)
				to.Options.Chunk = 4 << 10
				if _, err := portable.Copy(t.Context(), from, to); !errors.As(err, new(*portable.ValueError)) {
					t.Fatalf("the first time: %v", err)
				}
				var there int64
				if err := b.AdminDB(t).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM entries").Scan(&there); err != nil || there < bad/2 || there >= bad {
					t.Fatalf("%d rows are there: %v", there, err)
				}
				fill(t, a, "UPDATE entries SET body = 'good' WHERE body = 'bad'")
				if change.statement != "" {
					fill(t, a, change.statement)
				}
				sum, err := portable.Copy(t.Context(), from, to)
				if err != nil {
					t.Fatal(err)
				}
				want := there
				if change.anew {
					want = 0
				}
				if got := sum.Tables[0].Kept; got != want {
					t.Errorf("%d rows were kept, want %d", got, want)
				}
				_, one := dump(t, side(t, a))
				_, other := dump(t, side(t, b))
				if one.Tables[0].Digest != other.Tables[0].Digest || one.Tables[0].Rows != sum.Tables[0].Rows {
					t.Errorf("%+v, and the source has %+v", other.Tables, one.Tables)
				}
			})
		}
	})
}
