//go:build cgo

package dump

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/dialect"
)

// A SQLite database is copied, and put in the place of another, by SQLite's own
// backup interface, page by page. Nothing here opens a database that others use
// otherwise: in a process that has the file open, closing any other handle of it
// drops SQLite's locks.

const (
	// stepPages is how many pages are copied between two looks at the context. Of
	// 4 KiB each they are 16 MiB: as fast as all at once, and a cancelled copy ends
	// within a fraction of a second.
	stepPages = 4096

	// beginPause is the pause between two tries to begin.
	beginPause = 20 * time.Millisecond
)

// SQLiteWait is how long a copy, or what is to replace a database, waits for others
// to let it begin.
const SQLiteWait = 30 * time.Second

// CopySQLite writes a copy of the database of src into a new file, which only this
// user can read. The copy is the database as it is at one instant.
//
// A read transaction on the source holds that instant for as long as the copy
// takes: without it SQLite begins again after every write of another connection,
// and under writers who do not pause for ever. In WAL mode nobody waits meanwhile;
// the WAL grows, because it cannot be reset. With a rollback journal writers wait
// until the copy is done, as they do for every reader.
//
// The copy is not in WAL mode, and has no file beside it. To bring it to the disk is
// the caller's; where it is to stay, the system begins with that meanwhile. tell, which
// may be nil, is told how many bytes are done.
func CopySQLite(ctx context.Context, src *sql.Conn, path string, stays bool, tell func(done, all int64)) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		// Not before SQLite has closed it: that would drop its locks.
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path) // what is half done is nobody's; the error says why
		}
	}()
	// Nobody else knows of the file, and after a crash it is thrown away: it needs no
	// journal, and no flush.
	dst, err := openSQLite(path, "mode=rw&_journal_mode=OFF&_synchronous=OFF&_locking_mode=EXCLUSIVE")
	if err != nil {
		return err
	}
	behind := atomicfile.NewBehind(f)
	err = onSQLite(src, func(raw *sqlite3.SQLiteConn) error {
		if err := pin(ctx, raw); err != nil {
			return fmt.Errorf("beginning to read: %w", err)
		}
		err := transfer(ctx, dst, raw, func(done, all int64) {
			if stays {
				behind.Reached(done)
			}
			if tell != nil {
				tell(done, all)
			}
		})
		return errors.Join(err, execSQLite(context.WithoutCancel(ctx), raw, "ROLLBACK"))
	})
	if err == nil {
		// The copy says that it is in WAL mode, as its source does.
		err = execSQLite(ctx, dst, "PRAGMA journal_mode = DELETE")
	}
	return errors.Join(err, dst.Close())
}

// ReplaceSQLite puts the content of the database file at path in the place of what
// the database of dst has. It is one transaction: others see all of the old content
// or all of the new one, and whatever ends this process before the last page, the
// old one is there. Connections stay valid, and see the new schema.
//
// The file at path may be rewritten, so that its pages have the size of the
// database's: it must be nobody else's.
func ReplaceSQLite(ctx context.Context, dst *sql.Conn, path string, tell func(done, all int64)) error {
	var size int64
	if err := dialect.QueryRow(ctx, dst, "PRAGMA page_size", nil, &size); err != nil {
		return err
	}
	src, err := openSQLite(path, "mode=rw&_journal_mode=DELETE&_locking_mode=EXCLUSIVE")
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read, or VACUUM has said that it is done
	own, err := numberOf(ctx, src, "PRAGMA page_size")
	if err != nil {
		return err
	}
	if own != size {
		if err := execSQLite(ctx, src, fmt.Sprintf("PRAGMA page_size = %d; VACUUM", size)); err != nil {
			return fmt.Errorf("rewriting it with pages of %d bytes: %w", size, err)
		}
	}
	return onSQLite(dst, func(raw *sqlite3.SQLiteConn) error { return transfer(ctx, raw, src, tell) })
}

// pin begins a transaction that reads.
func pin(ctx context.Context, c *sqlite3.SQLiteConn) error {
	for end := time.Now().Add(SQLiteWait); ; {
		err := execSQLite(ctx, c, "BEGIN DEFERRED")
		if err == nil {
			if _, err = numberOf(ctx, c, "SELECT count(*) FROM main.sqlite_schema"); err == nil {
				return nil
			}
			err = errors.Join(err, execSQLite(context.WithoutCancel(ctx), c, "ROLLBACK"))
		}
		var code sqlite3.Error
		if !errors.As(err, &code) || code.Code != sqlite3.ErrBusy || time.Now().After(end) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// transfer copies all pages. The driver does not tell a step that was refused,
// because somebody else has a lock, from one that was made: only the number of pages
// that are left does.
func transfer(ctx context.Context, dst, src *sqlite3.SQLiteConn, tell func(done, all int64)) (err error) {
	size, err := numberOf(ctx, src, "PRAGMA page_size")
	if err != nil {
		return err
	}
	b, err := dst.Backup("main", src, "main")
	if err != nil {
		return err
	}
	defer func() {
		if finishErr := b.Finish(); err == nil && finishErr != nil {
			err = finishErr
		}
	}()
	end := time.Now().Add(SQLiteWait)
	for left := -1; ; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		done, err := b.Step(stepPages)
		if err != nil {
			return err
		}
		all := int64(b.PageCount())
		if tell != nil {
			tell((all-int64(b.Remaining()))*size, all*size)
		}
		if done {
			return nil
		}
		if now := b.Remaining(); now > 0 && now != left {
			left, end = now, time.Now().Add(SQLiteWait)
			continue
		}
		if time.Now().After(end) {
			return fmt.Errorf("other connections did not let it begin within %v: %w", SQLiteWait, sqlite3.Error{Code: sqlite3.ErrBusy})
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(beginPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// openSQLite opens a file that is ours alone.
func openSQLite(path, settings string) (*sqlite3.SQLiteConn, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(dialect.SQLiteURI(path) + "?" + settings)
	if err != nil {
		return nil, err
	}
	raw, ok := conn.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection is a %T", conn), conn.Close())
	}
	return raw, nil
}

// onSQLite calls fn with the driver's own connection, also where something is
// wrapped around it.
func onSQLite(c *sql.Conn, fn func(*sqlite3.SQLiteConn) error) error {
	return c.Raw(func(v any) error {
		for range 8 { // wrappers of wrappers, but no circle
			switch w := v.(type) {
			case *sqlite3.SQLiteConn:
				return fn(w)
			case interface{ Raw() driver.Conn }:
				v = w.Raw()
			case interface{ Unwrap() driver.Conn }:
				v = w.Unwrap()
			}
		}
		return fmt.Errorf("the connection (%T) does not show what it wraps: it needs a method Raw or Unwrap that returns the driver.Conn", v)
	})
}

func execSQLite(ctx context.Context, c *sqlite3.SQLiteConn, statement string) error {
	_, err := c.ExecContext(ctx, statement, nil)
	return err
}

// numberOf reads one number.
func numberOf(ctx context.Context, c *sqlite3.SQLiteConn, query string) (n int64, err error) {
	rows, err := c.QueryContext(ctx, query, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, dialect.ErrNoRow
		}
		return 0, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%s: the answer is a %T", query, row[0])
	}
	return n, nil
}
