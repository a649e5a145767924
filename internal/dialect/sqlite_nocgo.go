//go:build !cgo

package dialect

// sqliteReadOnly, sqliteBusy and sqliteFault are asked to no avail: without cgo no SQLite database can be opened.
func sqliteReadOnly(error) bool { return false }

func sqliteBusy(error) bool { return false }

func sqliteFault(error) Fault { return "" }
