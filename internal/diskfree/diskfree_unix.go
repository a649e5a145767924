//go:build linux || darwin || freebsd

package diskfree

import "syscall"

// At returns how many bytes an ordinary user may still write on the file system
// of the path, which must exist.
func At(path string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil // of another type on each system
}
