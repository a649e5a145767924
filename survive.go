package tldwdb

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"
)

// This file keeps a schedule, and the service with it, alive when what the program
// has given to it panics: in a goroutine that is not the program's nobody else could.

// survivor turns panics into errors, and says in the log where they were.
type survivor struct{ log *slog.Logger }

// caught is deferred.
func (s survivor) caught(what string, err *error) {
	if p := recover(); p != nil {
		s.log.LogAttrs(context.Background(), slog.LevelError, "what was given to the schedule of backups panicked", slog.String("what", what), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		*err = fmt.Errorf("%s panicked: %v", what, p)
	}
}

// surviving wraps what a program has given to a schedule. A folder is our own.
func (db *DB) surviving(store BackupStore, progress func(BackupProgress)) (BackupStore, func(BackupProgress)) {
	s := survivor{db.log}
	if _, own := store.(dirStore); !own {
		inner := store
		store = survivingStore{s, inner}
		if cleaner, ok := inner.(BackupCleaner); ok {
			store = survivingCleaner{survivingStore{s, inner}, cleaner}
		}
	}
	if progress == nil {
		return store, nil
	}
	return store, func(p BackupProgress) {
		var err error // a backup needs nobody to watch it
		defer s.caught("BackupOptions.Progress", &err)
		progress(p)
	}
}

type survivingStore struct {
	survivor
	inner BackupStore
}

const theStore = "the store of backups"

func (s survivingStore) Create(ctx context.Context, name string) (w BackupWriter, err error) {
	defer s.caught(theStore, &err)
	if w, err = s.inner.Create(ctx, name); err != nil {
		return nil, err
	}
	return survivingWriter{s.survivor, w}, nil
}

func (s survivingStore) Open(ctx context.Context, name string) (r io.ReadCloser, err error) {
	defer s.caught(theStore, &err)
	if r, err = s.inner.Open(ctx, name); err != nil {
		return nil, err
	}
	return survivingReader{s.survivor, r}, nil
}

func (s survivingStore) List(ctx context.Context) (list []BackupObject, err error) {
	defer s.caught(theStore, &err)
	return s.inner.List(ctx)
}

func (s survivingStore) Delete(ctx context.Context, name string) (err error) {
	defer s.caught(theStore, &err)
	return s.inner.Delete(ctx, name)
}

func (s survivingStore) String() (text string) {
	var err error
	defer s.caught(theStore, &err)
	return s.inner.String()
}

type survivingCleaner struct {
	survivingStore
	cleaner BackupCleaner
}

func (s survivingCleaner) Clean(ctx context.Context, before time.Time, dryRun bool) (removed []string, err error) {
	defer s.caught(theStore, &err)
	return s.cleaner.Clean(ctx, before, dryRun)
}

type survivingWriter struct {
	survivor
	inner BackupWriter
}

func (w survivingWriter) Write(b []byte) (n int, err error) {
	defer w.caught(theStore, &err)
	return w.inner.Write(b)
}

func (w survivingWriter) Commit() (err error) {
	defer w.caught(theStore, &err)
	return w.inner.Commit()
}

func (w survivingWriter) Abort() (err error) {
	defer w.caught(theStore, &err)
	return w.inner.Abort()
}

type survivingReader struct {
	survivor
	inner io.ReadCloser
}

func (r survivingReader) Read(b []byte) (n int, err error) {
	defer r.caught(theStore, &err)
	return r.inner.Read(b)
}

func (r survivingReader) Close() (err error) {
	defer r.caught(theStore, &err)
	return r.inner.Close()
}
