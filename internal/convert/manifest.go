package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ManifestName is the file beside the migrations that says where they came from.
const ManifestName = "imported.json"

const manifestFormat = 1

// Manifest says which file of ours was made from which of theirs.
type Manifest struct {
	Format     int    `json:"format"` // of this file: 1
	Tool       Tool   `json:"tool"`
	Dialect    string `json:"dialect,omitempty"`
	Renumbered bool   `json:"renumbered"` // our versions are not the tool's
	// Versions leads from a version as the tool's history table has it to ours: goose's 20261122101500, Flyway's 1.2.3, the
	// file name of sql-migrate, the revision of Alembic, the folder of Prisma, author::id of Liquibase with its file before it.
	Versions map[string]int64 `json:"versions"`
	Files    []ManifestFile   `json:"files"` // by the name of ours
}

// ManifestFile is one file of ours. Its checksums are of the bytes in the files, as sha256sum prints them.
type ManifestFile struct {
	From        string `json:"from"` // path inside the folder that was read
	FromSHA256  string `json:"from_sha256"`
	FromVersion string `json:"from_version,omitempty"` // empty for a repeatable file
	Direction   string `json:"direction,omitempty"`    // up or down; empty for a repeatable file
	File        string `json:"file"`
	SHA256      string `json:"sha256"`
	Version     int64  `json:"version,omitempty"` // 0 for a repeatable file, or for version 0
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// ReadManifest reads the manifest in a folder of migrations. Without one the error is fs.ErrNotExist.
func ReadManifest(fsys fs.FS, dir string) (*Manifest, error) {
	name := ManifestName
	if dir != "" && dir != "." {
		name = dir + "/" + ManifestName
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%s: format %d is not known here, only %d", name, m.Format, manifestFormat)
	}
	return &m, nil
}

// Write puts the files and their manifest into dir, all of them or none: dir must not exist, or be empty. A crash leaves at
// most a folder beside it whose name begins with ".tldwdb-import-".
func (r *Result) Write(dir string) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty (%s): nothing was written; choose a folder that does not exist yet", dir, entries[0].Name())
	}
	manifest, err := json.MarshalIndent(r.Manifest, "", "  ")
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	beside, err := os.MkdirTemp(parent, ".tldwdb-import-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(beside))
		}
	}()
	for _, f := range r.Files {
		if err := writeFile(filepath.Join(beside, f.Name), f.Text); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(beside, ManifestName), append(manifest, '\n')); err != nil {
		return err
	}
	if err := os.Chmod(beside, 0o755); err != nil { // MkdirTemp makes it for its owner alone
		return err
	}
	if err := syncFolder(beside); err != nil {
		return err
	}
	if there { // not every system renames over a folder; one that got files meanwhile stays
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	if err := os.Rename(beside, dir); err != nil {
		return err
	}
	return syncFolder(parent)
}

func writeFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
