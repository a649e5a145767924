package diskfree_test

import (
	"testing"

	"github.com/tldw/tldwdb/internal/diskfree"
)

func TestAt(t *testing.T) {
	t.Parallel()
	if free, err := diskfree.At(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := diskfree.At(t.TempDir() + "/none"); err == nil {
		t.Error("a path that is not there has room")
	}
}
