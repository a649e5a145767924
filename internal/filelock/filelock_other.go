//go:build !windows && (!unix || aix || solaris)

package filelock

import (
	"errors"
	"os"
)

func lock(*os.File, mode) error { return errors.ErrUnsupported }
