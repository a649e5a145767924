package tldwdbtest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
)

// files are migrations for every engine: n tables, each with an index and a parent.
func files(n int) fs.FS {
	fsys := fstest.MapFS{}
	for i := range n {
		parent := ""
		if i > 0 {
			parent = fmt.Sprintf(", parent bigint, FOREIGN KEY (parent) REFERENCES t%d (id)", i-1)
		}
		for folder, id := range map[string]string{"sqlite": "integer PRIMARY KEY AUTOINCREMENT", "postgres": "bigserial PRIMARY KEY", "mysql": "bigint PRIMARY KEY AUTO_INCREMENT"} {
			text := fmt.Sprintf("CREATE TABLE t%d (id %s, name varchar(100) NOT NULL, v int%s);\nCREATE INDEX t%[1]d_name ON t%[1]d (name);\n", i, id, parent)
			fsys[fmt.Sprintf("%s/%04d_t%d.up.sql", folder, i+1, i)] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	fsys["9000_rows.up.sql"] = &fstest.MapFile{Data: []byte("INSERT INTO t0 (name, v) VALUES ('first', 1), ('second', NULL);\n")}
	return fsys
}

// fake is a test that fails, is skipped and ends when a test says so.
type fake struct {
	TB
	mu       sync.Mutex
	log      strings.Builder
	failed   bool
	skipped  bool
	cleanups []func()
}

func (f *fake) Failed() bool { return f.failed }
func (f *fake) Cleanup(c func()) {
	f.cleanups = append(f.cleanups, c)
}
func (f *fake) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.log, format+"\n", args...)
}
func (f *fake) Errorf(format string, args ...any) {
	f.Logf(format, args...)
	f.failed = true
}

// over is what Fatalf and Skipf of a fake throw.
type over struct{}

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(over{})
}
func (f *fake) Skipf(format string, args ...any) {
	f.Logf(format, args...)
	f.skipped = true
	panic(over{})
}

// run calls the test and then what it has registered, as testing does.
func (f *fake) run(test func(tb TB)) {
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(over{}) {
				panic(v)
			}
		}()
		test(f)
	}()
	for i := range f.cleanups {
		f.cleanups[len(f.cleanups)-1-i]()
	}
	f.cleanups = nil
}

func count(t *testing.T, db *tldwdb.DB, table string) (n int) {
	t.Helper()
	if err := db.Pool().GetContext(t.Context(), &n, "SELECT count(*) FROM "+table); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNew: each test has the migrated schema and rows, nothing to migrate, and
// nothing of another test.
func TestNew(t *testing.T) {
	t.Parallel()
	cfg := Config{Migrations: files(5), SetupKey: "1", Setup: func(ctx context.Context, db *tldwdb.DB) error {
		_, err := db.Pool().ExecContext(ctx, "INSERT INTO t0 (name) VALUES ('set up')")
		return err
	}}
	for range 3 {
		ForEach(t, cfg, func(t *testing.T, db *tldwdb.DB) {
			if n := count(t, db, "t0"); n != 3 {
				t.Errorf("%d rows at first", n)
			}
			res, err := db.Up(t.Context())
			if err != nil || len(res.Applied) > 0 {
				t.Errorf("Up finds %v to do: %v", res, err)
			}
			if _, err := db.Pool().ExecContext(t.Context(), "INSERT INTO t0 (name) VALUES ('mine')"); err != nil {
				t.Error(err)
			}
			var id int
			if err := db.Pool().GetContext(t.Context(), &id, "SELECT max(id) FROM t0"); err != nil || id != 4 {
				t.Errorf("the new row's id is %d: %v", id, err)
			}
		})
	}
}

// A configuration without migrations is an empty database, on every engine.
func TestNewEmpty(t *testing.T) {
	t.Parallel()
	ForEach(t, Config{}, func(t *testing.T, db *tldwdb.DB) {
		if status, err := db.Status(t.Context()); err != nil || len(status.Migrations) > 0 {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
