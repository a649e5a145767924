// Package archive is the form in which a part of a backup is stored: the content,
// compressed with zstd, then encrypted with age. There is nothing of our own around
// it, so that `age -d | zstd -d` reads it in ten years. What makes an altered part
// known is in the manifest: size and SHA-256 of the content and of what is stored.
package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"filippo.io/age"
)

// What a part can be compressed with.
const (
	Zstd = "zstd"
	None = "none"
)

var (
	// ErrDamaged means that stored bytes are not those that were written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrKey means that no identity at hand opens an encrypted part.
	ErrKey = errors.New("the backup is encrypted, and no key at hand opens it")
)

// windowMax is the most memory that a frame may ask for. One that asks for more is not
// ours.
const windowMax = 8 << 20

// Options say how a part is stored.
type Options struct {
	Compression string          // Zstd, which empty means too, or None
	Recipients  []age.Recipient // none: it is not encrypted
}

// Stored is what is known of a part that was written.
type Stored struct {
	Size        int64  // of what is stored
	SHA256      string // of what is stored, in hexadecimal digits
	PlainSize   int64  // of the content
	PlainSHA256 string // of the content
	// PieceSize is not 0 where a digest is that of the digests, of 32 bytes each, of
	// pieces of that many bytes. The last piece may be smaller.
	PieceSize int64
}

// Extension is how the name of a part ends: its content's own extension (db, dump,
// sql …), and what has to be undone to get there.
func Extension(content string, o Options) string {
	ext := "." + content
	if o.Compression != None {
		ext += ".zst"
	}
	if len(o.Recipients) > 0 {
		ext += ".age"
	}
	return ext
}

// sum counts and digests what goes through.
type sum struct {
	size   int64
	hash   hash.Hash // of all, or of the piece that is not complete
	piece  int64     // bytes of a piece; 0: all is one
	pieces []byte    // the digests of the pieces that are complete
}

// newSum makes one. piece is [Stored.PieceSize].
func newSum(piece int64) *sum { return &sum{hash: sha256.New(), piece: piece} }

func (s *sum) add(p []byte) {
	for s.piece > 0 {
		left := s.piece - s.size%s.piece // until the piece is complete
		if left > int64(len(p)) {
			break
		}
		s.size += left
		s.hash.Write(p[:left])
		s.pieces = s.hash.Sum(s.pieces)
		s.hash.Reset()
		p = p[left:]
	}
	s.size += int64(len(p))
	s.hash.Write(p)
}

func (s *sum) hex() string {
	if s.piece == 0 {
		return hex.EncodeToString(s.hash.Sum(nil))
	}
	pieces := slices.Clone(s.pieces)
	if s.size%s.piece > 0 {
		pieces = s.hash.Sum(pieces)
	}
	digest := sha256.Sum256(pieces)
	return hex.EncodeToString(digest[:])
}

// check compares with what the manifest says.
func (s *sum) check(what string, size int64, digest string) error {
	if s.size != size {
		return fmt.Errorf("%w: %d bytes %s, and %d in the manifest", ErrDamaged, s.size, what, size)
	}
	if s.hex() != digest {
		return fmt.Errorf("%w: the %d bytes %s have another SHA-256 than the manifest says", ErrDamaged, size, what)
	}
	return nil
}

// Writer stores one part.
type Writer struct {
	out        io.Writer // the first stage
	compressor io.Closer // nil: none
	encryptor  io.Closer // nil: none
	stored     *sum
	plain      *sum // the same as stored where nothing is between them
	err        error
	closed     bool
}

// NewWriter begins a part. What is stored goes to w, which stays open. With
// recipients it writes at once: age's header.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	z := &Writer{stored: newSum(0)}
	z.out = &summed{w, z.stored}
	if len(o.Recipients) > 0 {
		encrypted, err := age.Encrypt(z.out, o.Recipients...)
		if err != nil {
			return nil, fmt.Errorf("encrypting: %w", err)
		}
		z.out, z.encryptor = encrypted, encrypted
	}
	switch o.Compression {
	case None:
	case "", Zstd:
		compressed, err := newFrameWriter(z.out)
		if err != nil {
			return nil, fmt.Errorf("compressing: %w", err)
		}
		z.out, z.compressor = compressed, compressed
	default:
		return nil, fmt.Errorf("no such compression: %q; there are zstd and none", o.Compression)
	}
	if z.plain = z.stored; z.compressor != nil || z.encryptor != nil {
		z.plain = newSum(0)
		z.out = &summed{z.out, z.plain}
	}
	return z, nil
}

// Write adds content. Behind an error every call returns that error.
func (z *Writer) Write(p []byte) (int, error) {
	switch {
	case z.err != nil:
		return 0, z.err
	case z.closed:
		return 0, errClosed
	}
	n, err := z.out.Write(p)
	z.err = err
	return n, err
}

// Close writes what is held back and what marks the end. Without it, and where it
// fails, what was stored is not a part.
func (z *Writer) Close() error {
	if z.closed {
		return z.err
	}
	z.closed = true
	if z.compressor != nil { // behind an error too: it has goroutines
		if err := z.compressor.Close(); z.err == nil {
			z.err = err
		}
	}
	if z.encryptor != nil && z.err == nil { // its last chunk says that all is there
		z.err = z.encryptor.Close()
	}
	return z.err
}

// errClosed is what a Writer says behind Close.
var errClosed = errors.New("archive: the writer is closed")

// Stored says what was written. It is complete behind a Close without an error.
func (z *Writer) Stored() Stored {
	return Stored{Size: z.stored.size, SHA256: z.stored.hex(), PlainSize: z.plain.size, PlainSHA256: z.plain.hex()}
}

// summed adds what is written to a sum.
type summed struct {
	w io.Writer
	s *sum
}

func (w *summed) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.s.add(p[:n])
	return n, err
}
