//go:build !cgo

package dialect

// sqliteReadOnly and sqliteBusy are never asked: without cgo no SQLite database can be opened.
func sqliteReadOnly(error) bool { return false }

func sqliteBusy(error) bool { return false }
