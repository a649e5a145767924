// Package atomicfile writes files that appear whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mark is between a file's name and the random end of what is written beside it.
const (
	mark   = ".partial-"
	ending = 8 // characters
)

// File is a file that gets its name when it is complete.
type File struct {
	dir   *os.Root
	f     *os.File
	temp  string // its name until then
	name  string
	alive *alive

	size   int64 // what is written
	behind *Behind
}

// Create begins a file that is to have the given path. Until Commit it has another
// name in the same folder, which [Partial] knows. What has the path now stays as it
// is until then. The mode is 0600: backups are for their owner alone.
func Create(path string) (*File, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	file := &File{dir: dir, name: filepath.Base(path)}
	if file.temp, file.alive, err = unused(dir, file.name); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if file.f, err = dir.OpenFile(file.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, errors.Join(err, file.alive.end(), dir.Close())
	}
	file.behind = NewBehind(file.f)
	return file, nil
}

// Write adds to the file.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	f.size += int64(n)
	f.behind.Reached(f.size)
	return n, err
}

// Commit makes the file durable and gives it its name, in place of a file that has
// it. If it fails there is no trace of what was written; only where the last step
// fails, which makes the name durable, is the file there.
func (f *File) Commit() error {
	if f.f == nil {
		return fs.ErrClosed
	}
	err := f.f.Sync()
	if err == nil {
		err = f.f.Close()
		f.f = nil
	}
	if err == nil {
		err = f.dir.Rename(f.temp, f.name)
	}
	if err != nil {
		return errors.Join(err, f.remove())
	}
	if err = syncRoot(f.dir); err != nil {
		err = fmt.Errorf("%s: the folder: %w", f.name, err)
	}
	return errors.Join(err, f.alive.end(), f.dir.Close())
}

// Abort throws away what was written. Behind Commit, and a second time, it does
// nothing.
func (f *File) Abort() error {
	if f.f == nil {
		return nil
	}
	return f.remove()
}

// remove closes what is open and removes what has no name yet.
func (f *File) remove() error {
	var errs []error
	if f.f != nil {
		errs = append(errs, f.f.Close())
		f.f = nil
	}
	if err := f.dir.Remove(f.temp); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, f.alive.end(), f.dir.Close())...)
}

// Beside is a name beside a path, for a file that something else writes and that
// [Rename] is to give the path. [Partial] knows it. end says that nobody writes to it
// any more.
func Beside(path string) (temp string, end func() error, err error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	name, alive, err := unused(dir, filepath.Base(path))
	if err != nil {
		return "", nil, errors.Join(err, dir.Close())
	}
	return filepath.Join(filepath.Dir(path), name), func() error { return errors.Join(alive.end(), dir.Close()) }, nil
}

// Rename gives a file that lies [Beside] the path that name, in place of a file that
// has it. The name is durable then, and the content if it was before.
func Rename(temp, path string) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err = dir.Rename(filepath.Base(temp), filepath.Base(path)); err == nil {
		err = syncRoot(dir)
	}
	return errors.Join(err, dir.Close())
}

// Remove removes a file, and makes that durable: what is removed after it goes after
// it. That there is none is no error.
func Remove(path string) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch err = dir.Remove(filepath.Base(path)); {
	case err == nil:
		err = syncRoot(dir)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	return errors.Join(err, dir.Close())
}

// MkdirAll makes the folder, with those above it, for its owner alone, and makes
// the name of what it has made durable.
func MkdirAll(dir string) error {
	var made []string // the lowest first
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range slices.Backward(made) {
		if err := syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// Partial reports whether the file is one that was never committed, or the sign of
// life of who writes one.
func Partial(name string) bool {
	_, end, found := strings.Cut(name, mark)
	return found && len(strings.TrimSuffix(end, sign)) == ending
}

func syncDir(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncRoot(root), root.Close())
}
