package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tldw/tldwdb"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	full := &tldwdb.PoolTimeoutError{Stats: sql.DBStats{MaxOpenConnections: 2, InUse: 2}, Err: context.DeadlineExceeded}
	unanswered := &tldwdb.PoolTimeoutError{Stats: sql.DBStats{MaxOpenConnections: 2, InUse: 1}, Err: context.DeadlineExceeded}
	for _, tc := range []struct {
		err  error
		want tldwdb.ErrorClass
	}{
		{nil, ""},
		{full, "pool_exhausted"},
		{unanswered, "timeout"},
		{fmt.Errorf("wrapped: %w", tldwdb.ErrLockTimeout), "locked"},
		{tldwdb.ErrReadOnly, "read_only"},
		{tldwdb.ErrFileReplaced, "missing_database"},
		{fmt.Errorf("%w: %w", tldwdb.ErrLockLost, context.Canceled), "lock_lost"},
		{tldwdb.ErrAmbiguous, "half_applied"},
		{tldwdb.ErrHalfLoaded, "half_applied"},
		{&tldwdb.HistoryError{Problems: []tldwdb.Disagreement{{Kind: tldwdb.ErrChanged}}}, "history"},
		{tldwdb.ErrPending, "pending"},
		{tldwdb.ErrProtected, "refused"},
		{&tldwdb.LoadError{}, "files"},
		{context.Canceled, "canceled"},
		{errors.New("something"), "other"},
	} {
		if tc.want != "" && !slices.Contains(tldwdb.ErrorClasses(), tc.want) {
			t.Errorf("%s is not in the list", tc.want)
		}
		if got := tldwdb.ClassOf(tc.err); got != tc.want {
			t.Errorf("ClassOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}
