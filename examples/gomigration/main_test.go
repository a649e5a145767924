package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// Example runs the program as main does.
func Example() {
	if err := run(context.Background(), "sqlite://", os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// up 0001_create_video
	// up 0002_backfill_youtube_id
	// up 0003_unique_youtube_id
	// videos: dQw4w9WgXcQ jNQXAC9IVRw aqz-KE-bpKQ
}

func TestEveryEngine(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		var out strings.Builder
		if err := run(t.Context(), d.URL, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out.String(), "videos: dQw4w9WgXcQ jNQXAC9IVRw aqz-KE-bpKQ\n") {
			t.Errorf("printed: %s", &out)
		}

		// The Go migration can be taken back like the files around it.
		db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Migrations: files, MigrationsDir: "migrations", GoMigrations: []tldwdb.GoMigration{backfill}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		if _, err := db.Down(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		filled := func() (n int) {
			if err := db.Pool().GetContext(t.Context(), &n, "SELECT count(youtube_id) FROM video"); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := filled(); n != 0 {
			t.Errorf("%d videos keep their IDs after Down", n)
		}

		// A row that it cannot read stops it, and nothing of it remains where the
		// engine has a transaction around it.
		if _, err := db.Pool().ExecContext(t.Context(), "INSERT INTO video (id, url) VALUES (4, 'https://example.com/')"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "0002_backfill_youtube_id (Go, up): video 4: no video ID in https://example.com/") {
			t.Errorf("the error is %v", err)
		}
		if n := filled(); n != 0 && (d.Engine == testdb.SQLite || d.Engine == testdb.Postgres) {
			t.Errorf("%d videos have IDs from the migration that failed", n)
		}
		if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM video WHERE id = 4"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Up(t.Context()); err != nil {
			t.Errorf("after the row was mended: %v", err)
		}
		if n := filled(); n != 3 {
			t.Errorf("%d videos have IDs, want 3", n)
		}
	})
}
