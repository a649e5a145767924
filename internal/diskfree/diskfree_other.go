//go:build !linux && !darwin && !freebsd && !windows

package diskfree

// At returns [ErrUnknown].
func At(string) (int64, error) { return 0, ErrUnknown }
