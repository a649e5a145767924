package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tldw/tldwdb/internal/archive"
)

// partSet are the objects of one backup while they are written. None has a name
// until all of them are complete.
type partSet struct {
	store  BackupStore
	form   archive.Options
	backup string
	list   []*part
}

// part is one object of a backup while it is written.
type part struct {
	name string
	w    BackupWriter
	z    *archive.Writer

	file   string // of a part that was made where the store keeps it
	stored archive.Stored
	named  bool
}

// folderStore is a store in a folder of this machine. A file that was made there
// becomes an object by a new name: nothing is written twice.
type folderStore interface {
	// partial is a path for what is to become an object. The folder is there.
	partial(name string) (path string, err error)
	// adopt gives an object its name; the file at path is on the disk already.
	adopt(path, name string) error
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

// folder returns the store as a folder in which the content can be made as it is to
// be stored: nil where it is compressed or encrypted, or goes elsewhere.
func (s *partSet) folder() folderStore {
	if s.form.Compression != archive.None || len(s.form.Recipients) > 0 {
		return nil
	}
	f, _ := s.store.(folderStore)
	return f
}

// take makes a part of a file that lies where [folderStore.partial] said.
func (s *partSet) take(path, content string) *part {
	p := &part{name: s.backup + archive.Extension(content, s.form), file: path}
	s.list = append(s.list, p)
	return p
}

// Write adds content.
func (p *part) Write(b []byte) (int, error) { return p.z.Write(b) }

// fill reads the content from a file. Of a part that is the file already it takes
// the sum.
func (p *part) fill(ctx context.Context, path string, tell func(done int64)) error {
	f, err := os.Open(path) //nolint:gosec // our own file
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	var to io.Writer = p
	if p.file != "" {
		if p.z, err = archive.NewWriter(io.Discard, archive.Options{Compression: archive.None}); err != nil {
			return err
		}
	}
	_, err = io.Copy(to, &toldReader{ctx: ctx, r: f, tell: tell})
	return err
}

// commit gives all parts their names.
func (s *partSet) commit() ([]BackupPart, error) {
	var list []BackupPart
	for _, p := range s.list {
		if err := p.z.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		p.stored = p.z.Stored()
	}
	for _, p := range s.list {
		var err error
		if p.file != "" {
			err = s.store.(folderStore).adopt(p.file, p.name)
		} else {
			err = p.w.Commit()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		p.named = true
		list = append(list, BackupPart{Name: p.name, Size: p.stored.Size, SHA256: p.stored.SHA256, PlainSize: p.stored.PlainSize, PlainSHA256: p.stored.PlainSHA256})
	}
	return list, nil
}

// abort leaves nothing of a backup that failed.
func (s *partSet) abort(ctx context.Context) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	var errs []error
	for _, p := range s.list {
		if p.z != nil {
			_ = p.z.Close() // what it says was said by a Write, or does not matter any more
		}
		switch {
		case p.named:
			errs = append(errs, s.store.Delete(ctx, p.name))
		case p.w != nil:
			errs = append(errs, p.w.Abort())
		case p.file != "":
			if err := os.Remove(p.file); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
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
