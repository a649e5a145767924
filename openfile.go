package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dialect"
)

// openFile knows which file a pool of SQLite connections has open. The zero value
// learns it when it is first asked.
//
// A file that was deleted, or that a backup was put in the place of, stays open
// under the connections that have it: all they do succeeds, and nobody else will
// ever see it. Connections that the pool makes later have the new one.
type openFile struct {
	mu    sync.Mutex
	asked bool        // path is known
	path  string      // absolute; empty: the database is in memory
	known fs.FileInfo // nil: the file was not there when it was looked for
}

// opened notes the file at the path, which the pool has just opened.
func (f *openFile) opened(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	abs, err := filepath.Abs(path)
	if err != nil {
		return // the working directory is gone: the first connection tells where the file is
	}
	if info, err := os.Stat(abs); err == nil {
		f.asked, f.path, f.known = true, abs, info
	}
}

// knownPath is where the file is, or empty where that is not known or there is
// none.
func (f *openFile) knownPath() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// check fails with [ErrFileReplaced] when there is another file now where the
// pool's was, or none. It only looks at what the folder says: to open the file
// otherwise than by SQLite would drop SQLite's locks.
func (f *openFile) check(ctx context.Context, d dialect.Dialect, conn *sqlx.Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.asked {
		facts, err := d.Inspect(ctx, conn.Conn, "")
		if err != nil {
			return fmt.Errorf("asking for the database file: %w", err)
		}
		f.asked, f.path = true, facts.Database
	}
	if f.path == "" {
		return nil
	}
	now, err := os.Stat(f.path)
	switch {
	case f.known == nil && errors.Is(err, fs.ErrNotExist): // it is made by the first statement that writes
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return f.replaced("is not there any more")
	case err != nil:
		return fmt.Errorf("looking at the database file: %w", err)
	case f.known == nil:
		f.known = now
	case !os.SameFile(f.known, now):
		return f.replaced("is another file now")
	}
	return nil
}

func (f *openFile) replaced(how string) error {
	return withHint(fmt.Errorf("%w: %s %s", ErrFileReplaced, f.path, how),
		"restart this process: what it writes goes to a file that nobody else can see; to put another file in the place of a database, stop those that use it first")
}
