//go:build cgo

package dialect

import (
	"errors"
	"strings"
	"syscall"

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

// Malformed reports whether SQLite says that the content of a database makes no sense.
func Malformed(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// sqliteFault is the fault of one error, which may be wrapped in others, or empty
// where it is none of SQLite's.
func sqliteFault(err error) Fault {
	//nolint:errorlint // asked about each error of a tree by itself
	e, ok := err.(sqlite3.Error)
	if !ok {
		return ""
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return FaultLocked
	case sqlite3.ErrReadonly:
		return FaultReadOnly
	case sqlite3.ErrFull:
		return FaultDiskFull
	case sqlite3.ErrIoErr:
		if e.SystemErrno == syscall.ENOSPC {
			return FaultDiskFull
		}
		return FaultStorage
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrNotFound:
		return FaultStorage
	case sqlite3.ErrCantOpen:
		return FaultMissingDatabase
	case sqlite3.ErrPerm, sqlite3.ErrAuth:
		return FaultPermission
	case sqlite3.ErrConstraint:
		return FaultConstraint
	case sqlite3.ErrMismatch, sqlite3.ErrTooBig, sqlite3.ErrRange:
		return FaultData
	case sqlite3.ErrInterrupt:
		return FaultCanceled
	case sqlite3.ErrSchema:
		return FaultSyntax
	case sqlite3.ErrError: // one code for every fault in a statement's text
		if strings.HasPrefix(e.Error(), "no such table: ") {
			return FaultMissingTable
		}
		for _, words := range []string{"syntax error", "no such ", "incomplete input", "unrecognized token", "has no column", "ambiguous column", "already exists"} {
			if strings.Contains(e.Error(), words) {
				return FaultSyntax
			}
		}
	}
	return FaultOther
}
