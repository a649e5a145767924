package tldwdbcli

import (
	"os"

	"golang.org/x/sys/windows"
)

// knowsSequences reports whether a console acts on ANSI escape sequences. One of
// Windows has to be asked to; before Windows 10 it would print them.
func knowsSequences(file *os.File) bool {
	console := windows.Handle(file.Fd())
	var mode uint32
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	const sequences = windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING
	return mode&sequences != 0 || windows.SetConsoleMode(console, mode|sequences) == nil
}
