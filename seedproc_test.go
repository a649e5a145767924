package tldwdb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// TestWorkersSeed: of processes that start at the same instant one seeds. The table has
// no key that would keep a row from being there twice.
func TestWorkersSeed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		var rows strings.Builder
		rows.WriteString("code,what\n")
		for i := range 50 {
			fmt.Fprintf(&rows, "c%d,x\n", i)
		}
		j := job{URL: tdb.URL, Files: seedSchema(tdb), Seeds: files{
			"common/10_plain.yaml":  "plain: {key: code, csv: rows/plain.csv}\n",
			"common/rows/plain.csv": rows.String(),
			"common/20_once.sql":    "-- tldwdb: once\nINSERT INTO plain (code, what) VALUES ('once', 'x');\n",
			"common/30_person.yaml": people2,
		}}
		for range 2 {
			workers, release := startWorkers(t, 5, j)
			release()
			for _, r := range reports(t, workers) {
				if r.Error != "" || !r.Ready {
					t.Errorf("a worker: %+v", r)
				}
			}
		}
		for query, want := range map[string]string{
			"SELECT COUNT(*) FROM plain":             "51",
			"SELECT COUNT(DISTINCT code) FROM plain": "51",
			"SELECT COUNT(*) FROM person":            "2",
			"SELECT n FROM counted":                  "2",
		} {
			if got := answerOf(t, tdb, query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
	})
}
