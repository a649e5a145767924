package videos

import (
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbtest"
)

var config = tldwdbtest.Config{Migrations: Schema, MigrationsDir: "schema"}

func TestMain(m *testing.M) { tldwdbtest.Main(m) }

// Each case has a database of its own on each engine, and they all run at once.
func TestAdd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		video Video
		ok    bool
	}{
		{"good", Video{"jNQXAC9IVRw", "Me at the zoo", 19}, true},
		{"no length", Video{"jNQXAC9IVRw", "Me at the zoo", 0}, false},
		{"there already", Video{"dQw4w9WgXcQ", "again", 213}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tldwdbtest.ForEach(t, config, func(t *testing.T, db *tldwdb.DB) {
				if err := Add(t.Context(), db, c.video); (err == nil) != c.ok {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// The rows afterwards are those of testdata/longest.golden, on every engine.
func TestLongest(t *testing.T) {
	t.Parallel()
	tldwdbtest.ForEach(t, config, func(t *testing.T, db *tldwdb.DB) {
		for _, v := range []Video{{"jNQXAC9IVRw", "Me at the zoo", 19}, {"9bZkp7q19f0", "Gangnam Style", 252}} {
			if err := Add(t.Context(), db, v); err != nil {
				t.Fatal(err)
			}
		}
		list, err := Longest(t.Context(), db, 1)
		if err != nil || len(list) != 1 || list[0].Seconds != 252 {
			t.Errorf("%v: %v", list, err)
		}
		tldwdbtest.Golden(t, db, "longest", "video")

		tldwdbtest.Clean(t, db)
		if list, err = Longest(t.Context(), db, 9); err != nil || len(list) != 1 {
			t.Errorf("after Clean: %v: %v", list, err)
		}
	})
}
