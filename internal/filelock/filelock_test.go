package filelock_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/filelock"
)

// held takes the lock on a new file.
func held(t *testing.T) (*filelock.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.lock")
	lock, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	return lock, path
}

// TestTry: one handle at a time has the lock, and who asks learns whose it is.
func TestTry(t *testing.T) {
	t.Parallel()
	lock, path := held(t)
	if _, err := filelock.Try(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a second handle: %v", err)
	}
	if filelock.Holder(path) == "" {
		t.Error("the holder is not named")
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if got := filelock.Holder(path); got != "" {
		t.Errorf("a free lock is said to be held by %q", got)
	}
	again, err := filelock.Try(path)
	if err != nil {
		t.Fatalf("a free lock: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Error(err)
	}
}

// TestWait: all waiters see the end of the holder, and none keeps the lock.
func TestWait(t *testing.T) {
	t.Parallel()
	lock, path := held(t)
	const waiters = 5
	var free atomic.Bool
	early := make(chan bool, waiters)
	for range waiters {
		go func() {
			if err := filelock.Wait(t.Context(), path, time.Now(), time.Hour); err != nil {
				t.Error(err)
			}
			early <- !free.Load()
		}()
	}
	// Some polls are certain to have met a held lock by the end of this.
	if err := filelock.Wait(t.Context(), path, time.Now(), 20*time.Millisecond); err != nil {
		t.Errorf("the end of the limit: %v", err)
	}
	free.Store(true)
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	for range waiters {
		if <-early {
			t.Error("a waiter came back while the lock was held")
		}
	}
	again, err := filelock.Try(path)
	if err != nil {
		t.Fatalf("after the waiters: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Error(err)
	}
}

// TestWaitEnds: a wait ends with its context, for the reason that this gives.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	lock, path := held(t)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- filelock.Wait(ctx, path, time.Now(), time.Hour) }()
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	if err := filelock.Wait(t.Context(), filepath.Join(path, "none"), time.Now(), time.Hour); err == nil {
		t.Error("a file that cannot be opened is waited for")
	}
}
