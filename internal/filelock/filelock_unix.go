//go:build unix && !aix && !solaris

package filelock

import (
	"errors"
	"os"
	"syscall"
)

// lock uses flock, not fcntl: an fcntl lock belongs to the process, and is lost
// as soon as any other handle of the file is closed.
func lock(f *os.File, m mode) error {
	how := syscall.LOCK_EX
	if m == shared {
		how = syscall.LOCK_SH
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		}
		return err
	}
}
