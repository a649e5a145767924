// Package filelock is a lock between processes that the operating system gives
// back by itself when its holder dies.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrHeld means that another handle, in this process or another, has the lock.
var ErrHeld = errors.New("the lock is held")

// File is a lock that is held.
type File struct {
	f *os.File
}

// Try takes the lock on path without waiting, and writes into the file who has
// it. The file is made if it is not there, and is never removed: a process that
// has opened a file which another one then removes would lock nothing. It
// returns ErrHeld when somebody else has the lock.
func Try(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lock(f, exclusive); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, ErrHeld) {
			return nil, ErrHeld
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	// A stale or missing description does no harm: the lock itself decides.
	describe(f)
	return &File{f: f}, nil
}

// TryFile takes the lock on a file that is open, without waiting. It lasts until the
// file is closed. It returns ErrHeld when somebody else has it.
func TryFile(f *os.File) error {
	err := lock(f, exclusive)
	if err == nil || errors.Is(err, ErrHeld) {
		return err
	}
	return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
}

// The pause between two polls of Wait is an eighth of the time waited so far: the
// end of a short wait is seen at once, and a long one costs next to nothing.
const (
	pauseFirst = time.Millisecond
	pauseLast  = 250 * time.Millisecond
	pausePart  = 8
)

// Wait returns as soon as nobody has the lock on path, or after limit, or with
// the error of ctx. since is when the caller began to wait: the longer ago that
// was, the longer are the pauses between two polls, up to a quarter of a second.
//
// It polls, because a call that blocks in the system cannot be ended with ctx. It
// asks for the lock in its shared form and gives that back at once, so that any
// number of waiters see the end of the same holder together.
func Wait(ctx context.Context, path string, since time.Time, limit time.Duration) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		pause := min(max(time.Since(since)/pausePart, pauseFirst), pauseLast)
		next := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			next.Stop()
			return context.Cause(ctx)
		case <-end.C:
			next.Stop()
			return nil
		case <-next.C:
		}
		if err := lock(f, shared); err == nil {
			return nil // closing the file gives it back
		} else if !errors.Is(err, ErrHeld) {
			return &os.PathError{Op: "lock", Path: path, Err: err}
		}
	}
}

// mode is the form of a lock.
type mode uint8

const (
	exclusive mode = iota // excludes every other
	shared                // excludes the exclusive one
)

func describe(f *os.File) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	text := fmt.Sprintf("%s:%d:%s since %s\n", filepath.Base(os.Args[0]), os.Getpid(), host, time.Now().UTC().Format("2006-01-02 15:04:05 UTC"))
	if err := f.Truncate(0); err != nil {
		return
	}
	_, _ = f.WriteAt([]byte(text), 0) // only for people: see Try
}

// Unlock gives the lock back.
func (l *File) Unlock() error {
	_ = l.f.Truncate(0) // only for people: see Try
	// Closing the only handle gives the lock back, on every system.
	return l.f.Close()
}

// Holder tells what the holder of the lock wrote about itself. It is empty when
// nobody has written anything, or when the system does not let a locked file be
// read.
func Holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, 512))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
