package tldwdb_test

import (
	"bytes"
	"context"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A program's goroutines are after Close what they were before Open, whether
// the run ended well or was cancelled. testdb sees to it that no connection is
// left.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		label := "leak " + t.Name()
		// A goroutine has the labels of the one that started it: so the tests that
		// run beside this one do not count.
		pprof.Do(t.Context(), pprof.Labels("test", label), func(ctx context.Context) {
			for _, cancelled := range []bool{true, false} {
				j := job{URL: db.URL, Files: fleetFiles(3)}
				handle, err := tldwdb.Open(ctx, j.config())
				if err != nil {
					t.Fatal(err)
				}
				run, cancel := context.WithCancel(ctx)
				if cancelled {
					cancel()
				}
				_, err = handle.Up(run)
				cancel()
				if (err != nil) != cancelled {
					t.Errorf("cancelled: %v, and Up says %v", cancelled, err)
				}
				if err := handle.Close(); err != nil {
					t.Error(err)
				}
			}
			// Some end a moment after Close; one that never does ends the test by its
			// own time-out, with its stack.
			for labelled(t, label) > 1 {
				runtime.Gosched()
			}
		})
	})
}

// labelled counts the goroutines that have the label.
func labelled(t *testing.T, label string) (n int) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	for group := range strings.SplitSeq(profile.String(), "\n\n") {
		// "2 @ 0x44f091 …", the stack, and the labels; the first has a line above.
		if m := groupSize.FindStringSubmatch(group); m != nil && strings.Contains(group, label) {
			size, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			n += size
		}
	}
	return n
}

var groupSize = regexp.MustCompile(`(?m)^(\d+) @`)
