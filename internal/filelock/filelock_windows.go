package filelock

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

const (
	lockfileFailImmediately = 0x1
	lockfileExclusiveLock   = 0x2

	errorLockViolation = syscall.Errno(33)
)

// lock takes one byte far behind the end of the file, so that the description
// in it stays readable for others.
func lock(f *os.File, m mode) error {
	flags := uintptr(lockfileFailImmediately)
	if m == exclusive {
		flags |= lockfileExclusiveLock
	}
	var at syscall.Overlapped
	at.OffsetHigh = 0x7fffffff
	ok, _, err := lockFileEx.Call(f.Fd(), flags, 0, 1, 0, uintptr(unsafe.Pointer(&at)))
	if ok != 0 {
		return nil
	}
	if errors.Is(err, errorLockViolation) || errors.Is(err, syscall.ERROR_IO_PENDING) {
		return ErrHeld
	}
	return err
}
