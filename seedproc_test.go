package tldwdb_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
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

// haltSeeds is the seed, behind the files 10 and 20 of its set, at which a worker waits
// to be killed.
func (j job) haltSeeds() []tldwdb.GoSeed {
	if j.HaltSeed == "" {
		return nil
	}
	return []tldwdb.GoSeed{{Set: j.HaltSeed, Name: "25_halt", Run: func(context.Context, tldwdb.Conn) error {
		fmt.Println(sayHalt)
		select {}
	}}}
}

// TestKilledWhileSeeding: of a process that is killed inside of a set, the sets before it
// are there and that one is not, with what it has recorded; the next process writes what
// is missing, and no row a second time.
func TestKilledWhileSeeding(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		set := func(name string) files {
			var rows strings.Builder
			rows.WriteString("code,what\n")
			for i := range 3000 { // more than a batch
				fmt.Fprintf(&rows, "%s%d,x\n", name[:1], i)
			}
			return files{
				name + "/10_plain.yaml":  "plain: {key: code, csv: rows/plain.csv}\n",
				name + "/rows/plain.csv": rows.String(),
				name + "/20_once.sql":    "-- tldwdb: once\nINSERT INTO plain (code, what) VALUES ('" + name + ", once', 'x');\n",
				name + "/30_plain.yaml":  "plain: {key: code, rows: [{code: '" + name + ", last'}]}\n",
			}
		}
		j := job{URL: tdb.URL, Files: seedSchema(tdb), Seeds: set("common")}
		for name, text := range set("development") {
			j.Seeds[name] = text
		}
		const each = 3002
		for i, name := range []string{"common", "development"} {
			killed := j
			killed.HaltSeed = name
			w := startWorker(t, killed)
			w.await(t, sayHalt)
			w.kill()
			if got, want := answerOf(t, tdb, "SELECT COUNT(*) FROM plain"), fmt.Sprint(i*each); got != want {
				t.Errorf("killed inside of %s: %s rows are there, want %s", name, got, want)
			}
		}
		for range 2 {
			if r := startWorker(t, j).report(t); r.Error != "" || !r.Ready {
				t.Errorf("the next process: %+v", r)
			}
			for _, count := range []string{"*", "DISTINCT code"} {
				if got := answerOf(t, tdb, "SELECT COUNT("+count+") FROM plain"); got != fmt.Sprint(2*each) {
					t.Errorf("COUNT(%s): %s, want %d", count, got, 2*each)
				}
			}
		}
	})
}
