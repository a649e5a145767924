package tldwdb

import (
	"fmt"
	"slices"

	"github.com/tldw/tldwdb/internal/dialect"
)

// File is one migration as its files have it, without a database.
type File struct {
	Migration  ID        `json:"migration"`
	Go         bool      `json:"go"`         // written in Go: it has neither Up nor Down
	Up         *FileText `json:"up"`         // nil for a Go migration
	Down       *FileText `json:"down"`       // nil when there is none
	Reversible bool      `json:"reversible"` // there is a way back
}

// FileText is one direction of a migration.
type FileText struct {
	Path string `json:"path"` // inside Config.Migrations
	// Checksum is the SHA-256 of Text with its line endings normalised, in hex. That
	// of the way up is what the history keeps.
	Checksum   string   `json:"checksum"`
	Directives []string `json:"directives"` // such as "lock-timeout=2s", in the order of the file; "no-transaction" also where another tool's mark says so
	// Text is the file, or the section of it that is this direction, with the line
	// numbers of the file.
	Text string `json:"text"`
}

// Files reads the migrations of cfg for one dialect (sqlite, postgres, mysql, or
// mariadb, which has the files of mysql) in the order in which they run. It needs
// no database. The error is a *[LoadError] with every fault found; whether a text
// can be cut into statements is seen only when it is to run, by [DB.Plan] or
// [Script].
func Files(cfg Config, dialectName string) ([]File, error) {
	src, err := cfg.source(dialectName)
	if err != nil {
		return nil, err
	}
	list := make([]File, 0, len(src.migrations))
	for _, m := range src.migrations {
		if m.squashed != nil {
			continue // of which there is no file
		}
		f := File{Migration: m.id, Go: m.code != nil, Reversible: m.reversible()}
		if f.Up, err = src.fileText(m.up); err != nil {
			return nil, err
		}
		if f.Down, err = src.fileText(m.down); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// source loads the migrations for one dialect, without a database.
func (c Config) source(dialectName string) (*source, error) {
	c, err := c.normalize()
	if err != nil {
		return nil, err
	}
	d, err := dialect.Offline(dialectName)
	if err != nil {
		return nil, err
	}
	return loadSource(c.Migrations, c.MigrationsDir, d.Name(), c.GoMigrations)
}

// fileText reads one direction; nil for none.
func (s *source) fileText(sc *script) (*FileText, error) {
	if sc == nil {
		return nil, nil
	}
	text, err := s.read(sc)
	if err != nil {
		return nil, &LoadError{Problems: []Problem{{File: sc.file, Msg: fmt.Sprintf("cannot be read: %v", unwrapPath(err))}}}
	}
	return &FileText{Path: sc.file, Checksum: sc.checksum, Directives: slices.Clone(sc.directives.Texts), Text: string(text)}, nil
}
