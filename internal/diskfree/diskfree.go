// Package diskfree tells how much room a file system has left.
package diskfree

import "errors"

// ErrUnknown is returned where the operating system is not asked.
var ErrUnknown = errors.New("free disk space is not known on this system")
