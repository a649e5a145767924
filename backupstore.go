package tldwdb

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/atomicfile"
)

// PLACEHOLDER until the archive branch's file is there.
var (
	ErrBackupDamaged = archive.ErrDamaged
	ErrBackupKey     = archive.ErrKey
)

const manifestFormat = 1

type dirStore struct{ dir string }

func DirStore(dir string) BackupStore { return dirStore{dir} }
func (s dirStore) String() string     { return s.dir }
func (s dirStore) Create(ctx context.Context, name string) (BackupWriter, error) {
	if err := atomicfile.MkdirAll(s.dir); err != nil {
		return nil, err
	}
	return atomicfile.Create(filepath.Join(s.dir, name))
}
func (s dirStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(s.dir, name))
}
func (s dirStore) List(context.Context) (l []BackupObject, err error) {
	es, err := os.ReadDir(s.dir)
	for _, e := range es {
		l = append(l, BackupObject{Name: e.Name()})
	}
	return l, err
}
func (s dirStore) Delete(ctx context.Context, name string) error {
	return os.Remove(filepath.Join(s.dir, name))
}

func put(ctx context.Context, s BackupStore, name string, v any) error {
	w, err := s.Create(ctx, name)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return err
	}
	return w.Commit()
}
func get(ctx context.Context, s BackupStore, name string, v any) error {
	r, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	return json.NewDecoder(r).Decode(v)
}
func writeManifest(ctx context.Context, s BackupStore, b Backup) error {
	return put(ctx, s, b.Name+".json", b)
}
func readManifest(ctx context.Context, s BackupStore, name string) (b Backup, err error) {
	if err = get(ctx, s, name+".json", &b); err != nil {
		return b, err
	}
	var v BackupVerification
	if err := get(ctx, s, name+".verified.json", &v); err == nil {
		b.Verified = &v
	} else if !os.IsNotExist(err) {
		return b, err
	}
	return b, nil
}
func writeVerification(ctx context.Context, s BackupStore, name string, v BackupVerification) error {
	return put(ctx, s, name+".verified.json", v)
}
func ListBackups(ctx context.Context, s BackupStore) (l []Backup, err error) {
	os, err := s.List(ctx)
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	for _, o := range os {
		if n, ok := strings.CutSuffix(o.Name, ".json"); ok && archive.IsName(n) {
			b, err := readManifest(ctx, s, n)
			b.Name, b.Err = n, err
			l = append(l, b)
		}
	}
	slices.Reverse(l)
	return l, nil
}
func isNotExist(err error) bool {
	return err != nil && strings.Contains(err.Error(), fs.ErrNotExist.Error()) || os.IsNotExist(err)
}
