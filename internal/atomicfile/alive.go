package atomicfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/filelock"
)

// Beside what is temporary lies a file whose lock its maker holds. The system gives
// the lock back when that process ends, however it does: what nobody holds was left.
// Where there is no such file, because another program made the thing or the file
// system knows no locks, its age decides.

// sign is how that file's name ends.
const sign = ".lock"

// alive is the lock that a maker holds.
type alive struct {
	dir  *os.Root
	name string
	f    *os.File
}

// errSwept means that somebody took the sign for one that was left, in the moment
// before it was locked.
var errSwept = errors.New("the sign of life was taken away")

// live makes the sign of life of that name. It is nil where the file system has no
// locks.
func live(dir *os.Root, name string) (*alive, error) {
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	a := &alive{dir, name, f}
	switch err := filelock.TryFile(f); {
	case errors.Is(err, filelock.ErrHeld):
		return nil, errors.Join(errSwept, f.Close())
	case err != nil:
		return nil, a.end()
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, a.end())
	}
	if there, err := dir.Lstat(name); err != nil || !os.SameFile(mine, there) {
		return nil, errors.Join(errSwept, f.Close())
	}
	return a, nil
}

// end takes the sign away. A nil one has none.
func (a *alive) end() error {
	if a == nil {
		return nil
	}
	err := a.f.Close() // first: Windows removes no file that is open
	if gone := a.dir.Remove(a.name); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// tries bounds how often a name is looked for whose sign nobody sweeps away.
const tries = 10

// unused is a name beside another one, with a sign of life.
func unused(dir *os.Root, name string) (temp string, a *alive, err error) {
	for range tries {
		temp = name + mark + strings.ToLower(rand.Text()[:ending])
		if a, err = live(dir, temp+sign); !errors.Is(err, errSwept) {
			break
		}
	}
	return temp, a, err
}

// left says whether the maker of what has that sign of life is gone. Then nobody
// else takes it for gone until done is called. known is false where there is no sign.
func left(dir *os.Root, name string) (gone bool, done func(), known bool) {
	none := func() {}
	if info, err := dir.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return false, none, false
	}
	f, err := dir.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false, none, !errors.Is(err, fs.ErrNotExist) // it may not be ours to open
	}
	if err := filelock.TryFile(f); err != nil {
		_ = f.Close() // nothing was written
		return false, none, errors.Is(err, filelock.ErrHeld)
	}
	return true, func() { _ = f.Close() }, true
}

// Leftovers finds the files in the folder that were never committed and whose writer
// was killed: nobody holds their sign of life, or, where they have none, they were last
// written to before the given time. It removes them unless keep says not to.
func Leftovers(path string, before time.Time, keep bool) (names []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	for _, e := range entries {
		if !e.Type().IsRegular() || !Partial(e.Name()) {
			continue
		}
		name := strings.TrimSuffix(e.Name(), sign)
		if _, err := dir.Lstat(name); name != e.Name() && err == nil {
			continue // it has its own entry
		}
		found, err := leftover(dir, name, before, keep)
		if err != nil {
			return names, err
		}
		if found {
			names = append(names, name)
		}
	}
	return names, nil
}

// leftover does that for one file and its sign.
func leftover(dir *os.Root, name string, before time.Time, keep bool) (found bool, err error) {
	gone, done, known := left(dir, name+sign)
	defer done()
	info, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was committed, or thrown away
		found = false
	case err != nil:
		return false, err
	default:
		found = gone || !known && info.ModTime().Before(before)
	}
	if keep || !gone && !found {
		return found, nil
	}
	if found {
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if gone {
		done()
		if err := dir.Remove(name + sign); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return found, nil
}

// What all temporary folders of this package's users begin with, and the sign of life
// in each.
const (
	tempPrefix = "tldwdb-"
	tempSign   = ".alive" + sign
)

// tempAge is how long a temporary folder without a sign of life may stay as it is
// before it is taken for one that a killed process has left: longer than any use of
// one takes.
const tempAge = 72 * time.Hour

// TempDir makes a folder where temporary files are, which only this user can read, and
// removes those that killed processes have left. remove removes it with what is in it.
func TempDir(prefix string) (path string, remove func() error, err error) {
	sweep(prefix)
	for range tries {
		if path, remove, err = tempDir(prefix); !errors.Is(err, errSwept) {
			break
		}
	}
	return path, remove, err
}

func tempDir(prefix string) (path string, remove func() error, err error) {
	if path, err = os.MkdirTemp("", prefix); err != nil {
		return "", nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(path))
	}
	alive, err := live(dir, tempSign)
	if err != nil {
		return "", nil, errors.Join(err, dir.Close(), os.RemoveAll(path))
	}
	return path, func() error { return errors.Join(alive.end(), dir.Close(), os.RemoveAll(path)) }, nil
}

// sweep removes what was left. Somebody else's stays, and is somebody else's to remove.
func sweep(prefix string) {
	list, _ := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*")) // the pattern is a good one
	for _, path := range list {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		dir, err := os.OpenRoot(path)
		if err != nil {
			continue
		}
		gone, done, known := left(dir, tempSign)
		if gone || !known && strings.HasPrefix(filepath.Base(path), prefix) && time.Since(info.ModTime()) > tempAge {
			done() // before it is removed: Windows removes no file that is open
			_ = dir.Close()
			_ = os.RemoveAll(path)
			continue
		}
		_ = dir.Close() // it was only looked at
	}
}
