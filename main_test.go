package tldwdb_test

import (
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// TestMain runs the tests, unless this process is a worker that a test has
// started: see process_test.go.
func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	testdb.Main(m)
}
