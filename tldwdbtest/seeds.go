package tldwdbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/seed"
)

// sumOfSeeds hashes what the rows of the seeds depend on: the files, and what they have
// from the environment and from the clock.
func sumOfSeeds(cfg tldwdb.Config, e Engine) (string, error) {
	if cfg.Seeds == nil {
		return "", nil
	}
	h := sha256.New()
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(h, format, args...) } // a hash takes everything
	err := fs.WalkDir(cfg.Seeds, path.Clean(cfg.SeedsDir), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := cfg.Seeds.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only read
		write("%q\n", name)
		size, err := io.Copy(h, f)
		write("\n%d\n", size)
		return err
	})
	if err != nil {
		return "", err
	}
	variables, clock, err := seed.Surroundings(cfg.Seeds, path.Clean(cfg.SeedsDir), e.dialect())
	if err != nil {
		return "", err
	}
	for _, v := range variables {
		write("%q=%q\n", v, os.Getenv(v))
	}
	if clock {
		write("%s\n", time.Now().UTC().Format(time.DateOnly))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// loadRows writes files of rows, all of one folder, as a set of seeds.
func loadRows(ctx context.Context, db *tldwdb.DB, fsys fs.FS, files []string) (err error) {
	var cfg tldwdb.Config
	if p, ok := places.Load(db); ok {
		cfg = p.(*place).config
	}
	cfg.Observers, cfg.GoSeeds = nil, nil
	cfg.Seeds, cfg.SeedsDir = chosen{fsys, path.Dir(files[0]), files}, ""
	rows, err := tldwdb.Attach(ctx, db.Pool(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	_, err = rows.Seed(ctx, chosenSet)
	if fault, ok := errors.AsType[*tldwdb.SeedError](err); ok {
		for i := range fault.Problems {
			fault.Problems[i].File = path.Join(path.Dir(files[0]), strings.TrimPrefix(fault.Problems[i].File, chosenSet+"/"))
		}
	}
	return err
}

// chosenSet is the only folder of a [chosen].
const chosenSet = "fixtures"

// chosen is a folder of seeds with one set, which are some of the files of a folder.
// What these name is beside them, as ever.
type chosen struct {
	fsys   fs.FS
	folder string
	files  []string
}

// Open is part of [fs.FS].
func (c chosen) Open(name string) (fs.File, error) {
	inside, ok := strings.CutPrefix(name, chosenSet+"/")
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return c.fsys.Open(path.Join(c.folder, inside))
}

// ReadDir is part of [fs.ReadDirFS].
func (c chosen) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "." {
		return []fs.DirEntry{folderEntry(chosenSet)}, nil
	}
	list, err := fs.ReadDir(c.fsys, path.Join(c.folder, strings.TrimPrefix(strings.TrimPrefix(name, chosenSet), "/")))
	return slices.DeleteFunc(slices.Clone(list), func(e fs.DirEntry) bool {
		return !slices.ContainsFunc(c.files, func(file string) bool { return path.Base(file) == e.Name() })
	}), err
}

// folderEntry is a folder of that name.
type folderEntry string

func (f folderEntry) Name() string             { return string(f) }
func (folderEntry) IsDir() bool                { return true }
func (folderEntry) Type() fs.FileMode          { return fs.ModeDir }
func (folderEntry) Info() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
