//go:build unix

package dialect

import (
	"io/fs"
	"syscall"
)

// fileOwner is the number of the account that a file belongs to.
func fileOwner(info fs.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
