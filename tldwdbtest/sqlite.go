package tldwdbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
	"github.com/tldw/tldwdb/internal/filelock"
)

// SQLite's templates and databases are in one folder of the user's, below the
// system's folder for temporary files, and not in the test's own: what a killed
// process leaves there nobody would ever find again. That folder is also removed
// after a failed test, so that a database would have to be moved out of it first.
//
//	template-KEY.db   a template; its time is when it was last used
//	KEY.lock          held while it is made
//	db-NAME/          a database and what belongs to it
//	db-NAME.lock      held by the process whose database it is
//	kept-NAME/        a database that was kept; its time is when

const (
	templatePart = "template-"
	ownPart      = "program-" // a template of one build of one program
	livePart     = "db-"
	keptPart     = "kept-"
	lockPart     = ".lock"

	// bornAge is how old a lock file without a folder is before it is taken for one
	// that was left: its owner may be about to lock it.
	bornAge = time.Minute
)

// folder is the house of SQLite.
type folder struct {
	path string
	templates
}

var theFolder = sync.OnceValues(func() (*folder, error) {
	path := filepath.Join(os.TempDir(), "tldwdbtest-"+strconv.Itoa(os.Getuid()))
	if err := ownFolder(path); err != nil {
		return nil, err
	}
	f := &folder{path: path}
	f.sweep()
	return f, nil
})

// ownFolder makes the folder, or makes sure that nobody else can write there: the
// system's folder is everybody's, and who put a template there would choose what our
// tests run on.
func ownFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() || !isOwn(info) {
		return fmt.Errorf("%s is not a folder of this user's: remove it, or set TMPDIR to another place", path)
	}
	return os.Chmod(path, 0o700)
}

func (f *folder) template(cfg Config, at target) (*template, error) {
	return f.get(cfg, at.engine, dialect.SQLiteVersion())
}

func (f *folder) file(t *template) string {
	if t.own {
		return filepath.Join(f.path, ownPart+t.key+".db")
	}
	return filepath.Join(f.path, templatePart+t.key+".db")
}

// look also says that the template is in use.
func (f *folder) look(_ context.Context, t *template) (bool, error) {
	now := time.Now()
	err := os.Chtimes(f.file(t), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f *folder) try(_ context.Context, t *template) (func(), bool, error) {
	lock, err := filelock.Try(filepath.Join(f.path, t.key+lockPart))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return func() { _ = lock.Unlock() }, true, nil // it ends with its file
}

func (f *folder) build(ctx context.Context, t *template) (err error) {
	dir, release, err := f.live("template")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	path := filepath.Join(dir, "test.db")
	if err := t.fillIn(ctx, fileURL(path)); err != nil {
		return err
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return errors.New("Config.Setup has left the database open: part of it is in the WAL")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.Rename(path, f.file(t))
}

func (f *folder) drop(_ context.Context, t *template) error {
	err := os.Remove(f.file(t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// live makes a folder whose lock this process holds until release.
func (f *folder) live(what string) (dir string, release func() error, err error) {
	dir = filepath.Join(f.path, livePart+plainName(what)+"-"+strings.ToLower(rand.Text()[:10]))
	// The lock comes first: a folder without one was left behind.
	lock, err := filelock.Try(dir + lockPart)
	if err != nil {
		return "", nil, err
	}
	release = func() error {
		err := errors.Join(os.RemoveAll(dir), os.Remove(dir+lockPart))
		return errors.Join(err, lock.Unlock())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, errors.Join(err, release())
	}
	return dir, release, nil
}

func (f *folder) clone(_ context.Context, t *template, tb TB) (_ *place, err error) {
	dir, release, err := f.live(tb.Name())
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "test.db")
	if err := copyFile(f.file(t), path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errNoTemplate
		}
		return nil, errors.Join(err, release())
	}
	p := &place{config: t.cfg.base(), name: path, release: func() {}}
	p.drop = func(context.Context) error { return release() }
	p.restore = func(ctx context.Context, db *tldwdb.DB) error {
		// What is copied from has to be nobody else's.
		again := filepath.Join(dir, "again.db")
		if err := copyFile(f.file(t), again); err != nil {
			return err
		}
		return errors.Join(replace(ctx, db, again), os.Remove(again))
	}
	if t.cfg.InMemory {
		p.config.URL, p.name = "sqlite://", "the database in memory"
		p.fill = func(ctx context.Context, db *tldwdb.DB) error {
			return errors.Join(replace(ctx, db, path), os.Remove(path))
		}
		return p, nil
	}
	// Nobody needs a test's rows after the machine has lost its power.
	p.config.URL = fileURL(path) + "?_synchronous=OFF"
	p.keep = func(context.Context, string) (show, tool string, err error) {
		kept := filepath.Join(f.path, keptPart+strings.TrimPrefix(filepath.Base(dir), livePart))
		now := time.Now()
		err = errors.Join(os.Rename(dir, kept), os.Chtimes(kept, now, now), release())
		path := filepath.Join(kept, "test.db")
		return fileURL(path), "sqlite3 " + path, err
	}
	return p, nil
}

// replace puts the content of a file in the place of a database's.
func replace(ctx context.Context, db *tldwdb.DB, path string) (err error) {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return dump.ReplaceSQLite(ctx, conn.Conn, path, nil)
}

// copyFile makes a copy that only this user can read. The system does it without
// us seeing the bytes, where it can.
func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// fileURL names a file. A path may have what ends one in a URL.
func fileURL(path string) string {
	return dburl.SQLite + ":///" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(filepath.ToSlash(path))
}

// sweep removes what killed processes have left, and what nobody has used for long.
// What it cannot remove does no harm, and is somebody else's to look at.
func (f *folder) sweep() {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(f.path, name)
		info, err := entry.Info()
		if err != nil {
			continue // it has just been removed
		}
		age := time.Since(info.ModTime())
		switch {
		case strings.HasPrefix(name, keptPart) && age > keptAge:
			_ = os.RemoveAll(path)
		case strings.HasPrefix(name, templatePart) && age > templateAge, strings.HasPrefix(name, ownPart) && age > programAge:
			_ = os.Remove(path)
		case strings.HasSuffix(name, lockPart) && !strings.HasPrefix(name, livePart) && age > templateAge:
			_ = os.Remove(path)
		case strings.HasPrefix(name, livePart):
			dir, isLock := strings.CutSuffix(path, lockPart)
			if isLock {
				if _, err := os.Lstat(dir); err == nil || age < bornAge {
					continue // the folder's turn comes, or its owner is about to make it
				}
			}
			f.collect(dir)
		}
	}
}

// collect removes a database whose process is dead.
func (f *folder) collect(dir string) {
	lock, err := filelock.Try(dir + lockPart)
	if err != nil {
		return // it lives
	}
	_ = os.RemoveAll(dir)
	_ = os.Remove(dir + lockPart)
	_ = lock.Unlock()
}
