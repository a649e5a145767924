//go:build !cgo

package dialect

// sqliteBusy is never asked: without cgo no SQLite database can be opened.
func sqliteBusy(error) bool { return false }
