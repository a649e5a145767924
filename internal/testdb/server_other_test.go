//go:build !unix

package testdb

// folderOf is empty: no server is started here.
func folderOf(*Server) string { return "" }
