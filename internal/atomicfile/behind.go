package atomicfile

import "os"

// behindStep is how much is written between two words to the system. A disk is fast
// with that much, and whoever else waits for it does not wait long.
const behindStep = 8 << 20

// Behind has the system bring a large file to the disk while it is written. Left to
// itself it begins when the file is synced at the end: that takes as long as the
// writing did, and meanwhile every other program's sync waits.
type Behind struct {
	f     *os.File
	begun int64
}

// NewBehind is for a file that is written from its beginning to its end.
func NewBehind(f *os.File) *Behind { return &Behind{f: f} }

// Reached says how much of the file is written.
func (b *Behind) Reached(size int64) {
	if size-b.begun >= behindStep {
		writeBehind(b.f, b.begun, size-b.begun)
		b.begun = size
	}
}
