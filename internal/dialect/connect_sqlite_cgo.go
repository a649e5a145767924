//go:build cgo

package dialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb/internal/dburl"
)

// SQLiteVersion is the version of the SQLite library in this program; it is
// empty without cgo.
func SQLiteVersion() string {
	version, _, _ := sqlite3.Version()
	return version
}

func sqliteConnector(u dburl.URL, o ConnectOptions) (driver.Connector, error) {
	c := &sqliteOpener{
		path:    u.Path,
		plain:   sqliteDSN(u, o, false),
		timeout: sqliteBusyTimeout(u, o),
	}
	if sqliteSwitchesJournal(u, o) {
		c.journal = sqliteDSN(u, o, true)
	}
	return c, nil
}

// sqliteOpener opens connections to one database.
type sqliteOpener struct {
	path    string
	journal string // DSN that also switches the file to WAL; empty: do not
	plain   string // DSN that leaves the journal as it is
	timeout time.Duration
}

// Driver returns the driver.
func (c *sqliteOpener) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// Connect opens a connection. Switching to WAL answers "busy" at once, without
// asking the busy handler, whenever another connection is in the file: processes
// that open a fresh file at the same moment would all fail but one. So the
// waiting is done here.
func (c *sqliteOpener) Connect(ctx context.Context) (driver.Conn, error) {
	var d sqlite3.SQLiteDriver
	deadline := time.Now().Add(c.timeout)
	dsn := c.journal
	if dsn == "" {
		dsn = c.plain
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		conn, err := d.Open(dsn)
		if err == nil {
			return conn, nil
		}
		var code sqlite3.Error
		if !errors.As(err, &code) {
			return nil, sqliteOpenError(c.path, err)
		}
		switch {
		case code.Code == sqlite3.ErrReadonly && dsn == c.journal && c.journal != "":
			dsn = c.plain // a file that cannot be written can still be read
			continue
		case sqliteMissesSideFiles(c.path, code):
			return nil, sqliteOpenError(c.path, fmt.Errorf("%w: %w", errWALReadOnly, err))
		case code.Code != sqlite3.ErrBusy || time.Now().After(deadline):
			return nil, sqliteOpenError(c.path, err)
		}
		wait := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

// sqliteMissesSideFiles reports whether a file in WAL mode could not be opened
// because its folder takes no files. Opening writes nothing else, so that a write
// which was refused was that; on a read-only file system the system says that
// there is no such file, and the database itself is there. A rollback journal
// that a crash left is another matter.
func sqliteMissesSideFiles(path string, e sqlite3.Error) bool {
	if e.Code == sqlite3.ErrReadonly {
		return e.ExtendedCode != sqlite3.ErrReadonlyRollback
	}
	info, err := os.Stat(path)
	return e.Code == sqlite3.ErrCantOpen && e.SystemErrno == syscall.ENOENT && err == nil && info.Mode().IsRegular()
}
