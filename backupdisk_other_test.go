//go:build !linux

package tldwdb_test

import "testing"

func fullDisk(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("only Linux is asked for a full disk")
	return ""
}
