//go:build !cgo

package dump

import (
	"context"
	"database/sql"
	"errors"
)

// errNoCgo is never seen: without cgo no SQLite database can be opened.
var errNoCgo = errors.New("SQLite needs a program that was built with cgo")

// CopySQLite needs cgo.
func CopySQLite(context.Context, *sql.Conn, string, bool, func(done, all int64)) error {
	return errNoCgo
}

// ReplaceSQLite needs cgo.
func ReplaceSQLite(context.Context, *sql.Conn, string, func(done, all int64)) error { return errNoCgo }
