package atomicfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBehind has the system begin to bring a part of a file to the disk. It waits for
// nothing, and an error is none: whoever syncs later is told.
func writeBehind(f *os.File, from, n int64) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), from, n, unix.SYNC_FILE_RANGE_WRITE) })
	}
}
