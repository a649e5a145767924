//go:build !linux

package dump

import "os"

// widen does nothing: pipes of other systems have one size.
func widen(*os.File, int) {}
