//go:build cgo

package dialect

import (
	"errors"

	"github.com/mattn/go-sqlite3"
)

// sqliteReadOnly reports whether the file or the connection takes no writes.
func sqliteReadOnly(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrReadonly
}

// sqliteBusy reports whether another connection has the lock. SQLITE_LOCKED is
// no such thing: rows that this connection itself has open are in the way, and
// stay there however often it tries. With a shared cache they are another's.
func sqliteBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.ExtendedCode == sqlite3.ErrLockedSharedCache)
}
