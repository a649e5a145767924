//go:build !cgo

package dialect

// Malformed reports whether SQLite says that the content of a database makes no sense.
func Malformed(error) bool { return false }

// sqliteReadOnly, sqliteBusy and sqliteFault are asked to no avail: without cgo no SQLite database can be opened.
func sqliteReadOnly(error) bool { return false }

func sqliteBusy(error) bool { return false }

func sqliteFault(error) Fault { return "" }
