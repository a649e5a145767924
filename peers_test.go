package tldwdb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestOtherTools runs other tools as they are, not recordings of them. They are
// in a module of their own: their requirements are not ours. Where that cannot
// be built the test is skipped, for a test does not fetch anything (make peers
// does).
func TestOtherTools(t *testing.T) {
	t.Parallel()
	program := peers(filepath.Join(t.TempDir(), "peers.exe")) // a name that every system runs
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("internal", "tools", "peers"), "-o", string(program), ".")
	build.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("the other tools cannot be built here (make peers fetches what they need): %v\n%s", err, out)
	}
	t.Run("adopt", func(t *testing.T) {
		t.Parallel()
		adoptLive(t, program)
	})
	t.Run("side by side", func(t *testing.T) {
		t.Parallel()
		runSideBySide(t, program)
	})
}

// peers is the program in internal/tools/peers.
type peers string

// run runs a tool on the database, with the files given.
func (p peers) run(t *testing.T, tdb *testdb.Database, tool, direction string, f files) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range f {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), string(p), tool, tdb.URL, dir, direction).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", tool, direction, err, out)
	}
}

// runSideBySide: for a release the old binaries, which migrate with the other
// tool, and the new ones run side by side on one database; then it is taken back,
// and forward again.
func runSideBySide(t *testing.T, program peers) {
	ours := shelves(inOrder)
	for _, c := range []struct {
		tool string
		old  files // the folder of the old release, which is frozen
		next files // what is added to it when the old release goes on without us
	}{
		{"goose", files{
			"00001_author.sql": "-- +goose Up\n" + ours["1_author.up.sql"],
			"00002_book.sql":   "-- +goose Up\n" + ours["2_book.up.sql"] + "\n-- +goose Down\n" + ours["2_book.down.sql"],
		}, files{"00003_year.sql": "-- +goose Up\n" + ours["3_year.up.sql"] + "\n-- +goose Down\n" + ours["3_year.down.sql"]}},
		{"golang-migrate", files{
			"1_author.up.sql": ours["1_author.up.sql"], "2_book.up.sql": ours["2_book.up.sql"], "2_book.down.sql": ours["2_book.down.sql"],
		}, files{"3_year.up.sql": ours["3_year.up.sql"], "3_year.down.sql": ours["3_year.down.sql"]}},
	} {
		t.Run(c.tool, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
				ctx := t.Context()
				program.run(t, tdb, c.tool, "up", c.old)
				db := open(t, tdb, ours)
				adopted(t, db, tldwdb.AdoptRequest{}, "1 2")

				// Old and new start together. The old one has nothing to do; a
				// worker of it that starts later has not either.
				var wg sync.WaitGroup
				wg.Go(func() { program.run(t, tdb, c.tool, "up", c.old) })
				succeed(t, "up 0003_year; 2 → 3")(db.Up(ctx))
				wg.Wait()
				program.run(t, tdb, c.tool, "up", c.old)
				if err := db.Check(ctx); err != nil {
					t.Error(err)
				}

				// Back: what came with the new release is taken back with it, and
				// the old tool is where it was.
				succeed(t, "down 0003_year; 3 → 2")(db.Down(ctx, 1))
				program.run(t, tdb, c.tool, "up", c.old.with(c.next))
				program.run(t, tdb, c.tool, "down", c.old.with(c.next))
				program.run(t, tdb, c.tool, "up", c.old.with(c.next))
				// And forward again: what the old tool has done since is adopted.
				adopted(t, db, tldwdb.AdoptRequest{}, "3")
				succeed(t, "; 3 → 3")(db.Up(ctx))
			})
		})
	}
}

// adoptLive adopts what each tool has made a moment ago.
func adoptLive(t *testing.T, program peers) {
	ours := shelves(inOrder)
	sections := func(up, down string, names ...string) files {
		f := files{}
		for _, name := range names {
			f[name+".sql"] = up + "\n" + ours[name+".up.sql"] + "\n" + down + "\n"
		}
		return f
	}
	for tool, f := range map[string]files{
		"goose":          sections("-- +goose Up", "-- +goose Down", "1_author", "2_book"),
		"golang-migrate": {"1_author.up.sql": ours["1_author.up.sql"], "2_book.up.sql": ours["2_book.up.sql"]},
		"dbmate":         sections("-- migrate:up", "-- migrate:down", "1_author", "2_book"),
		"sql-migrate":    sections("-- +migrate Up", "-- +migrate Down", "1_author", "2_book"),
		"tern":           sections("", "", "1_author", "2_book"),
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
				if tool == "tern" && tdb.Engine != testdb.Postgres {
					t.Skip("tern knows PostgreSQL only")
				}
				program.run(t, tdb, tool, "up", f)
				db := open(t, tdb, ours)
				if a := adopted(t, db, tldwdb.AdoptRequest{}, "1 2"); a.Tool != tool {
					t.Errorf("the history of %s was taken for that of %s", tool, a.Tool)
				}
				succeed(t, "up 0003_year; 2 → 3")(db.Up(t.Context()))
			})
		})
	}
}
