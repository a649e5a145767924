package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/atomicfile"
)

// partSet are the objects of one backup while they are written. None has a name
// until all of them are complete.
type partSet struct {
	store  BackupStore
	form   archive.Options
	backup string
	list   []*part
	files  []func() error // remove what lies about
}

// part is one object of a backup while it is written.
type part struct {
	name string
	w    BackupWriter
	z    *archive.Writer // nil where file was digested as a whole

	file   string // of a part that was made where the store keeps it
	stored archive.Stored
	named  bool // or it may have its name: that could not be found out
}

// folderStore is a store in a folder of this machine. What is too large to be made
// anywhere is made there, and may become an object by a new name alone.
type folderStore interface {
	// partial is a path for a file that has no name yet. The folder is there.
	// end is called when it has one, or is gone.
	partial(ctx context.Context, name string) (path string, end func() error, err error)
	// adopt gives such a file, which is on the disk already, the name of an object.
	adopt(ctx context.Context, path, name string) error
}

// begin begins a part whose content has that extension.
func (s *partSet) begin(ctx context.Context, content string) (*part, error) {
	p := &part{name: s.backup + archive.Extension(content, s.form)}
	s.list = append(s.list, p)
	var err error
	if p.w, err = s.store.Create(ctx, p.name); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if p.z, err = archive.NewWriter(p.w, s.form); err != nil {
		return nil, err
	}
	return p, nil
}

// plain reports whether the content is stored as it is.
func (s *partSet) plain() bool {
	return s.form.Compression == archive.None && len(s.form.Recipients) == 0
}

// keepsFiles reports whether a file of the store's folder becomes a part as it is.
func (s *partSet) keepsFiles() bool {
	_, ok := s.store.(folderStore)
	return ok && s.plain()
}

// own begins a part in a file that something else writes; [partSet.keepsFiles] has to be so. What is written to the part is
// what the file has, and goes into its digest alone.
// The caller brings the file to the disk and closes it.
func (s *partSet) own(ctx context.Context, content string) (*part, *os.File, error) {
	path, err := s.file(ctx, content)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // our own file
	if err != nil {
		return nil, nil, err
	}
	p, err := s.beginFile(ctx, path, content)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if p.z, err = archive.NewWriter(io.Discard, s.form); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return p, f, nil
}

// file is a path for a file with the content: in the folder of the store, because that
// has room for it, or where temporary files are.
func (s *partSet) file(ctx context.Context, content string) (string, error) {
	if folder, ok := s.store.(folderStore); ok {
		path, end, err := folder.partial(ctx, s.backup+"."+content)
		if err != nil {
			return "", err
		}
		s.files = append(s.files, func() error { return errors.Join(atomicfile.Remove(path), end()) }) // where it is still there
		return path, nil
	}
	dir, remove, err := atomicfile.TempDir("tldwdb-backup-")
	if err != nil {
		return "", roomInTemp(err)
	}
	s.files = append(s.files, remove)
	return filepath.Join(dir, s.backup+"."+content), nil
}

// beginFile begins the part that is made of a file. Where the file is what is to be
// stored, and where it is to be stored, it is not written a second time.
func (s *partSet) beginFile(ctx context.Context, path, content string) (p *part, err error) {
	if !s.keepsFiles() {
		return s.begin(ctx, content)
	}
	p = &part{name: s.backup + archive.Extension(content, s.form), file: path}
	s.list = append(s.list, p)
	return p, nil
}

// fill reads the file that a part is made of. Its context may end before that of the
// part, which lasts until the object has its name.
func (p *part) fill(ctx context.Context, path string, tell func(done int64)) error {
	f, err := os.Open(path) //nolint:gosec // our own file
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if p.file == "" {
		return copyAhead(p, &toldReader{ctx: ctx, r: f, tell: tell})
	}
	// The disk is at work while the file is digested.
	return together(ctx, func(ctx context.Context) (err error) {
		p.stored, err = archive.DigestFile(ctx, f, tell)
		return err
	}, func(context.Context) error { return f.Sync() })
}

// Write adds content.
func (p *part) Write(b []byte) (int, error) { return p.z.Write(b) }

// commit gives all parts their names.
func (s *partSet) commit(ctx context.Context) ([]BackupPart, error) {
	var list []BackupPart
	for _, p := range s.list {
		if p.z == nil {
			continue // it was digested when it was there
		}
		if err := p.z.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		p.stored = p.z.Stored()
	}
	for _, p := range s.list {
		var err error
		p.named = true // what fails at the last step is there
		if p.file != "" {
			err = s.store.(folderStore).adopt(ctx, p.file, p.name)
		} else {
			err = p.w.Commit()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		list = append(list, BackupPart{Name: p.name, Size: p.stored.Size, SHA256: p.stored.SHA256, PlainSize: p.stored.PlainSize, PlainSHA256: p.stored.PlainSHA256, PieceSize: p.stored.PieceSize})
	}
	return list, nil
}

// tidy removes the files that have become no part.
func (s *partSet) tidy() error {
	var errs []error
	for _, remove := range s.files {
		errs = append(errs, remove())
	}
	return errors.Join(errs...)
}

// abort leaves nothing of a backup that failed. The manifest goes first, which may be
// there although the store did not say so: with it and without parts there would be a
// damaged backup.
func (s *partSet) abort(ctx context.Context) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	var errs []error
	gone := true
	if slices.ContainsFunc(s.list, func(p *part) bool { return p.named }) {
		err := s.store.Delete(ctx, s.backup+manifestSuffix)
		errs, gone = append(errs, err), err == nil
	}
	for _, p := range s.list {
		if p.z != nil {
			_ = p.z.Close() // what it says was said by a Write, or does not matter any more
		}
		if p.w != nil {
			errs = append(errs, p.w.Abort())
		}
		if p.named && gone {
			errs = append(errs, s.store.Delete(ctx, p.name))
		}
	}
	return errors.Join(errs...)
}

// toldReader ends with its context, and tells how much was read.
type toldReader struct {
	ctx  context.Context
	r    io.Reader
	tell func(done int64)
	done int64
}

// Read reads.
func (t *toldReader) Read(b []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	n, err := t.r.Read(b)
	t.done += int64(n)
	if t.tell != nil {
		t.tell(t.done)
	}
	return n, err
}

// aheadPieces and aheadSize are the memory of copyAhead.
const (
	aheadPieces = 4
	aheadSize   = 256 << 10
)

// copyAhead is io.Copy that reads on while what it has read is written.
func copyAhead(w io.Writer, r io.Reader) error {
	type piece struct {
		b   []byte
		err error
	}
	full, free := make(chan piece, aheadPieces), make(chan []byte, aheadPieces)
	for range aheadPieces {
		free <- make([]byte, aheadSize)
	}
	go func() {
		defer close(full)
		for b := range free {
			n, err := r.Read(b)
			if full <- (piece{b[:n], err}); err != nil {
				return
			}
		}
	}()
	defer func() {
		close(free)
		for range full { // behind this nobody reads
		}
	}()
	for p := range full {
		_, err := w.Write(p.b)
		if err == nil {
			err = p.err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		free <- p.b[:cap(p.b)]
	}
	return nil
}

// together runs all at once, and returns when all have ended. The first error ends
// the context of the others.
func together(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var once sync.Once
	var first error
	for _, f := range all {
		group.Go(func() {
			if err := f(ctx); err != nil {
				once.Do(func() {
					first = err
					cancel(err)
				})
			}
		})
	}
	group.Wait()
	return first
}
