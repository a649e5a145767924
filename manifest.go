package tldwdb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"

	"github.com/tldw/tldwdb/internal/archive"
)

// This file writes and reads what a store has beside the parts of a backup: the
// manifest, and the record of the newest verification. Both are JSON with a SHA-256
// of what they say, in the form that `jq -cj .backup` prints. It finds what a disk or
// a hand has altered; whoever can write to the store and means harm can make a new
// one, and is kept out by the store's rights.

var (
	// ErrBackupDamaged means that a backup is not what was written: a part or its
	// manifest was altered, cut short, swapped or is missing.
	ErrBackupDamaged = archive.ErrDamaged

	// ErrBackupKey means that a backup is encrypted and that no identity or passphrase
	// at hand opens it.
	ErrBackupKey = archive.ErrKey

	// ErrBackupNewer means that a backup was written in a form that this binary does
	// not know yet.
	ErrBackupNewer = errors.New("the backup is of a newer tldwdb")

	// ErrNoBackup means that a store has no backup of a name.
	ErrNoBackup = errors.New("no such backup")
)

// The formats of a manifest. A backup has the oldest that it can have, so that binaries
// which know no newer one read what they can, and say of the rest that it is newer.
const (
	manifestFirst = 1
	// In format 2 parts may be digested in pieces, and the rows of a portable backup have a
	// form that format 1 did not know.
	manifestSecond = 2
	manifestNewest = manifestSecond
)

// How the objects beside the parts end.
const (
	manifestSuffix     = ".json"
	verificationSuffix = ".verified.json"
)

// maxManifest bounds what is read into memory: 100,000 tables take about 10 MB.
const maxManifest = 32 << 20

// verificationRecord is what is written down of a verification.
type verificationRecord struct {
	Name     string `json:"name"`     // of the backup
	Manifest string `json:"manifest"` // its manifest's digest
	BackupVerification
}

// seal wraps what is to be written with its digest.
func seal(kind string, content any) (text []byte, digest string, err error) {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false) // as jq prints it
	if err := encoder.Encode(content); err != nil {
		return nil, "", err
	}
	compact := bytes.TrimRight(plain.Bytes(), "\n")
	digest = hexDigest(compact)
	var all bytes.Buffer
	if err := json.Indent(&all, fmt.Appendf(nil, `{"sha256":%q,%q:%s}`, digest, kind, compact), "", "  "); err != nil {
		return nil, "", err
	}
	all.WriteByte('\n')
	return all.Bytes(), digest, nil
}

// unseal returns what was wrapped. White space between the words does not matter.
func unseal(kind string, text []byte) (content []byte, digest string, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	if json.Unmarshal(all["sha256"], &digest) != nil || all[kind] == nil {
		return nil, "", fmt.Errorf("%w: there is no %s with its SHA-256", ErrBackupDamaged, kind)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, all[kind]); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	if hexDigest(compact.Bytes()) != digest {
		return nil, "", fmt.Errorf("%w: the %s does not have the SHA-256 that it says", ErrBackupDamaged, kind)
	}
	return compact.Bytes(), digest, nil
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// writeObject writes a small object of a store.
func writeObject(ctx context.Context, store BackupStore, name string, content []byte) error {
	w, err := store.Create(ctx, name)
	if err == nil {
		if _, err = w.Write(content); err == nil {
			err = w.Commit()
		}
		if err != nil {
			err = errors.Join(err, w.Abort())
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// readObject reads a small object of a store.
func readObject(ctx context.Context, store BackupStore, name string) (content []byte, err error) {
	r, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content, err = io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(content) > maxManifest {
		err = fmt.Errorf("%w: more than %d MiB", ErrBackupDamaged, maxManifest>>20)
	}
	return content, err
}

// writeManifest makes the parts that are in the store a backup. It comes last.
func writeManifest(ctx context.Context, store BackupStore, b *Backup) error {
	b.Format = max(b.Format, manifestFirst)
	if slices.ContainsFunc(b.Parts, func(p BackupPart) bool { return p.PieceSize > 0 }) {
		b.Format = manifestSecond
	}
	if err := b.check(); err != nil {
		return err
	}
	text, digest, err := seal("backup", b)
	if err != nil {
		return err
	}
	b.digest = digest
	return writeObject(ctx, store, b.Name+manifestSuffix, text)
}

// readManifest reads the manifest of a backup, and the newest verification. It
// looks at no part. The error is of the kind [ErrNoBackup] if there is no manifest.
func readManifest(ctx context.Context, store BackupStore, name string) (Backup, error) {
	b, err := readManifestOnly(ctx, store, name)
	if err == nil {
		b.Verified, err = readVerification(ctx, store, b)
	}
	return b, err
}

func readManifestOnly(ctx context.Context, store BackupStore, name string) (b Backup, err error) {
	if !archive.IsName(name) {
		return Backup{}, fmt.Errorf("%w: %q is not the name of one", ErrNoBackup, name)
	}
	text, err := readObject(ctx, store, name+manifestSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return Backup{}, fmt.Errorf("%w in %s: %s", ErrNoBackup, store, name)
	}
	defer func() {
		if err != nil {
			b, err = Backup{}, fmt.Errorf("the manifest of %s: %w", name, err)
		}
	}()
	if err != nil {
		return Backup{}, err
	}
	content, digest, err := unseal("backup", text)
	if err != nil {
		return Backup{}, err
	}
	// First what every format has, before the rest is taken for what it may not be.
	var form struct {
		Format int    `json:"format"`
		Writer string `json:"writer"`
	}
	if err := json.Unmarshal(content, &form); err != nil {
		return Backup{}, fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	if form.Format > manifestNewest {
		return Backup{}, withHint(fmt.Errorf("%w: it has format %d, and this binary knows up to %d", ErrBackupNewer, form.Format, manifestNewest),
			"it was written by %s: use that or a newer one", cmp.Or(form.Writer, "a newer tldwdb"))
	}
	// Fields that are not known are left out: a later version of the same format says
	// more, and what it says is no less true without.
	if err := json.Unmarshal(content, &b); err != nil {
		return Backup{}, fmt.Errorf("%w: %w", ErrBackupDamaged, err)
	}
	if b.Name != name {
		return Backup{}, fmt.Errorf("%w: it is of %q", ErrBackupDamaged, b.Name)
	}
	b.digest = digest
	return b, b.check()
}

// check finds what no manifest may say, above all names that lead elsewhere.
func (b *Backup) check() error {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBackupDamaged, fmt.Sprintf(format, args...))
	}
	switch {
	case b.Format < manifestFirst || b.Format > manifestNewest:
		return damaged("there is no format %d", b.Format)
	case !archive.IsName(b.Name):
		return damaged("%q is not the name of a backup", b.Name)
	case b.Compression != archive.Zstd && b.Compression != archive.None:
		return damaged("there is no compression %q", b.Compression)
	case len(b.Parts) == 0:
		return damaged("it has no parts")
	}
	seen := map[string]bool{}
	for _, p := range b.Parts {
		of, rest, ok := archive.BackupOf(p.Name)
		if !ok || of != b.Name || archive.CheckName(p.Name) != nil || seen[p.Name] || "."+rest == manifestSuffix || "."+rest == verificationSuffix {
			return damaged("%q is not the name of a part of it", p.Name)
		}
		seen[p.Name] = true
		if p.Size < 0 || p.PlainSize < 0 || p.PieceSize != 0 && p.PieceSize < archive.LeastPiece || !isDigest(p.SHA256) || !isDigest(p.PlainSHA256) {
			return damaged("sizes and SHA-256 of %s are not such", p.Name)
		}
	}
	return nil
}

func isDigest(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == sha256.Size && text == strings.ToLower(text)
}

// stored is what the archive knows of the part.
func (p BackupPart) stored() archive.Stored {
	return archive.Stored{Size: p.Size, SHA256: p.SHA256, PlainSize: p.PlainSize, PlainSHA256: p.PlainSHA256, PieceSize: p.PieceSize}
}

// writeVerification records what a restore on trial has shown, in place of what was
// known before.
func writeVerification(ctx context.Context, store BackupStore, b Backup, v BackupVerification) error {
	text, _, err := seal("verification", verificationRecord{b.Name, b.digest, v})
	if err != nil {
		return err
	}
	return writeObject(ctx, store, b.Name+verificationSuffix, text)
}

// readVerification reads what the newest verification of the backup has shown; nil
// if there was none. A record that cannot be understood is one that failed: what is
// not known is not fine.
func readVerification(ctx context.Context, store BackupStore, b Backup) (*BackupVerification, error) {
	text, err := readObject(ctx, store, b.Name+verificationSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var record verificationRecord
	if err == nil {
		var content []byte
		if content, _, err = unseal("verification", text); err == nil {
			if err = json.Unmarshal(content, &record); err != nil {
				err = fmt.Errorf("%w: %w", ErrBackupDamaged, err)
			}
		}
	}
	switch {
	case errors.Is(err, ErrBackupDamaged):
		return &BackupVerification{Error: "the record of the verification: " + err.Error()}, nil
	case err != nil:
		return nil, fmt.Errorf("the verification of %s: %w", b.Name, err)
	case record.Name != b.Name || record.Manifest != b.digest:
		return nil, nil // it speaks for another backup
	}
	return &record.BackupVerification, nil
}

// checkParts reads every part of a backup and fails, with [ErrBackupDamaged], if one
// is missing or is not what was written. It needs no key. done is told of bytes that
// were read.
func checkParts(ctx context.Context, store BackupStore, b Backup, done func(n int)) error {
	for _, p := range b.Parts {
		if err := checkPart(ctx, store, p, done); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

func checkPart(ctx context.Context, store BackupStore, p BackupPart, done func(n int)) (err error) {
	r, err := openObject(ctx, store, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return archive.Check(readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(b)
		done(n)
		return n, err
	}), p.stored())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// openObject opens what is stored of a part.
func openObject(ctx context.Context, store BackupStore, p BackupPart) (io.ReadCloser, error) {
	r, err := store.Open(ctx, p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it is not there", ErrBackupDamaged)
	}
	if err != nil {
		return nil, unread{err}
	}
	return storedReader{r}, nil
}

// unread is the kind of a store's own errors, which say nothing about a backup.
type unread struct{ error }

func (u unread) Unwrap() error { return u.error }

// storedReader tells them from what is wrong with what was read.
type storedReader struct{ io.ReadCloser }

func (r storedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = unread{err}
	}
	return n, err
}

// openPart reads the content of a part. What is wrong with it is found at its end at
// the latest; see [archive.NewReader].
func openPart(ctx context.Context, store BackupStore, b Backup, p BackupPart, identities []age.Identity) (io.ReadCloser, error) {
	stored, err := openObject(ctx, store, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	plain, err := archive.NewReader(stored, b.Compression, identities, p.stored())
	if err != nil {
		err = errors.Join(err, stored.Close())
		if errors.Is(err, ErrBackupKey) {
			return nil, withHint(fmt.Errorf("%s: %w", p.Name, err), "it is encrypted for %s", strings.Join(b.Recipients, ", "))
		}
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return &partReader{plain, stored, p.Name}, nil
}

// partReader reads content and closes what it comes from.
type partReader struct {
	plain  io.ReadCloser
	stored io.Closer
	name   string
}

func (r *partReader) Read(b []byte) (int, error) {
	n, err := r.plain.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself
		err = fmt.Errorf("%s: %w", r.name, err)
	}
	return n, err
}

func (r *partReader) Close() error { return errors.Join(r.plain.Close(), r.stored.Close()) }

// ListBackups lists the backups in a store, the newest first. One whose manifest
// cannot be read or that lacks a part is in the list too, with its Err set, so that
// it does not hide the others. The error is of the store.
func ListBackups(ctx context.Context, store BackupStore) ([]Backup, error) {
	found, err := lookAt(ctx, store)
	return found.backups, err
}

// IncompleteBackups lists what looks like parts of backups and belongs to none: a
// backup that is being made just now, or whose making or deleting was cut short.
// [PruneBackups] removes them when they are older than a day.
func IncompleteBackups(ctx context.Context, store BackupStore) ([]BackupObject, error) {
	found, err := lookAt(ctx, store)
	return found.loose, err
}

// inventory is what is in a store.
type inventory struct {
	backups []Backup                  // the newest first
	objects map[string][]BackupObject // of each name of a backup, whether it is one or not
	loose   []BackupObject            // of no backup, by name
}

// manifestsAtOnce is how many manifests are read at the same time: a store behind a
// network takes 50 ms for each, and may have a thousand.
const manifestsAtOnce = 8

// lookAt reads all manifests of a store.
func lookAt(ctx context.Context, store BackupStore) (inventory, error) {
	objects, err := store.List(ctx)
	if err != nil {
		return inventory{}, fmt.Errorf("listing %s: %w", store, err)
	}
	found := inventory{objects: map[string][]BackupObject{}}
	for _, o := range objects {
		// Another's objects are none of our business, nor is what they contain.
		if name, rest, ok := archive.BackupOf(o.Name); ok {
			found.objects[name] = append(found.objects[name], o)
			if "."+rest == manifestSuffix {
				found.backups = append(found.backups, Backup{Name: name})
			}
		}
	}
	var readers sync.WaitGroup
	slots := make(chan struct{}, manifestsAtOnce)
	for i := range found.backups {
		slots <- struct{}{}
		readers.Go(func() {
			b := &found.backups[i]
			*b = readEntry(ctx, store, b.Name, found.objects[b.Name])
			<-slots
		})
	}
	readers.Wait()
	if err := ctx.Err(); err != nil {
		return inventory{}, err
	}
	// Deleted since the store was listed.
	found.backups = slices.DeleteFunc(found.backups, func(b Backup) bool { return errors.Is(b.Err, ErrNoBackup) })
	slices.SortFunc(found.backups, func(a, b Backup) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.Name, a.Name))
	})
	is := map[string]bool{}
	for _, b := range found.backups {
		is[b.Name] = true
	}
	for name, objects := range found.objects {
		if !is[name] {
			found.loose = append(found.loose, objects...)
		}
	}
	slices.SortFunc(found.loose, func(a, b BackupObject) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// readEntry reads a manifest for a list, and looks whether the parts are there.
func readEntry(ctx context.Context, store BackupStore, name string, objects []BackupObject) Backup {
	b, err := readManifest(ctx, store, name)
	for _, p := range b.Parts {
		i := slices.IndexFunc(objects, func(o BackupObject) bool { return o.Name == p.Name })
		switch {
		case err != nil:
		case i < 0: // or it was made while the store was listed
			var r io.ReadCloser
			if r, err = openObject(ctx, store, p); err == nil {
				err = r.Close()
			} else {
				err = fmt.Errorf("%s: %w", p.Name, err)
			}
		case objects[i].Size != p.Size:
			err = fmt.Errorf("%w: %s has %d bytes, and %d in the manifest", ErrBackupDamaged, p.Name, objects[i].Size, p.Size)
		}
	}
	if err != nil {
		return Backup{Name: name, Started: archive.TimeOf(name), Err: err}
	}
	return b
}
