//go:build !windows

package tldwdbcli

import "os"

// knowsSequences reports whether a terminal acts on ANSI escape sequences. TERM
// says so here, where it does not.
func knowsSequences(*os.File) bool { return true }
