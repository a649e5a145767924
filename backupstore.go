package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/atomicfile"
)

// defaultBackupDir is where backups are unless somebody says otherwise.
const defaultBackupDir = "backups"

// BackupCleaner is what a [BackupStore] has beside where a writer that was killed
// leaves something behind that [BackupStore.List] does not show.
type BackupCleaner interface {
	// Clean removes what was left before the given time, and what is known to be left
	// whenever that was, and says what it was. With dryRun it only says it.
	Clean(ctx context.Context, before time.Time, dryRun bool) (removed []string, err error)
}

// DirStore keeps backups in a folder, which is made when the first one is written.
// Folder and files are for their owner alone (modes 0700, 0600). The default of an
// empty name is "backups".
//
// An object is written beside its name, in the same folder, and renamed when it is on
// the disk; what a killed process leaves there goes with the next backup, or with
// [PruneBackups]. Links are neither listed nor followed.
func DirStore(dir string) BackupStore {
	if dir == "" {
		dir = defaultBackupDir
	}
	return dirStore(dir)
}

type dirStore string

func (d dirStore) String() string { return string(d) }

// path is where an object is.
func (d dirStore) path(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := archive.CheckName(name); err != nil {
		return "", err
	}
	if atomicfile.Partial(name) {
		return "", fmt.Errorf("not the name of an object: %q; such a name is for what is not complete", name)
	}
	return filepath.Join(string(d), name), nil
}

func (d dirStore) Create(ctx context.Context, name string) (BackupWriter, error) {
	path, err := d.path(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(string(d)); err != nil {
		return nil, d.room(err)
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return nil, d.room(err)
	}
	return roomyFile{f, d}, nil
}

// partial is a path in the folder, which is there, for what is to become an object.
func (d dirStore) partial(ctx context.Context, name string) (string, func() error, error) {
	path, err := d.path(ctx, name)
	if err == nil {
		err = atomicfile.MkdirAll(string(d))
	}
	if err != nil {
		return "", nil, d.room(err)
	}
	temp, end, err := atomicfile.Beside(path)
	return temp, end, d.room(err)
}

// tidy removes what killed writers have left, as far as that is certain whatever its
// age: they held something that the system gave back.
func (d dirStore) tidy() error {
	_, err := atomicfile.Leftovers(string(d), time.Time{}, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// adopt makes an object of a file that lies where partial said, and is on the disk.
func (d dirStore) adopt(ctx context.Context, path, name string) error {
	to, err := d.path(ctx, name)
	if err != nil {
		return err
	}
	return d.room(atomicfile.Rename(path, to))
}

func (d dirStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, err := d.path(ctx, name); err != nil {
		return nil, err
	}
	// The root keeps to the folder even if somebody puts a link there just now.
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, err
	}
	f, err := openRegular(root, name)
	if closed := root.Close(); err != nil || closed != nil {
		if f != nil {
			closed = errors.Join(closed, f.Close())
		}
		return nil, errors.Join(err, closed)
	}
	return f, nil
}

// openRegular opens a file that is neither a link nor a pipe, which it would wait at.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Join(root.Name(), name))
	}
	return root.Open(name)
}

func (d dirStore) List(ctx context.Context) ([]BackupObject, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []BackupObject
	for _, e := range entries {
		if !e.Type().IsRegular() || archive.CheckName(e.Name()) != nil || atomicfile.Partial(e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was deleted just now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, BackupObject{Name: e.Name(), Size: info.Size(), Modified: info.ModTime()})
	}
	return all, nil
}

func (d dirStore) Delete(ctx context.Context, name string) error {
	path, err := d.path(ctx, name)
	if err != nil {
		return err
	}
	return atomicfile.Remove(path)
}

func (d dirStore) Clean(ctx context.Context, before time.Time, dryRun bool) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	left, err := atomicfile.Leftovers(string(d), before, dryRun)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return left, err
}
