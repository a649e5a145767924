// Package versionfs hides the repeatable ones among migrations, for what looks at each
// version by itself.
package versionfs

import (
	"io/fs"
	"slices"
	"strings"
)

// New is fsys without repeatable migrations in any folder. It is nil for nil: no files.
func New(fsys fs.FS) fs.FS {
	if fsys == nil {
		return nil
	}
	return versions{fsys}
}

type versions struct{ fs.FS }

// ReadDir leaves them out. It is all that migrations are found by.
func (v versions) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(v.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "R__") }), err
}
