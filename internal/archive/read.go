package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// encrypted is how a part begins that age has encrypted.
const encrypted = "age-encryption.org/"

// NewReader reads the content of a part from r, which stays open. In place of
// [io.EOF] it returns an error of the kind [ErrDamaged] when what was read is not
// what want says; so whoever acts on the content before its end acts on bytes that
// nobody has checked yet, and should call [Check] first. Where the part is
// encrypted, an identity has to open it, or the error is [ErrKey].
//
// Close may be called before the end, and ends what works in the background.
func NewReader(r io.Reader, compression string, identities []age.Identity, want Stored) (io.ReadCloser, error) {
	z := &reader{want: want, stored: newSum(want.PieceSize), plain: newSum(want.PieceSize)}
	z.raw = &limited{r: r, left: want.Size, s: z.stored}
	buffered := bufio.NewReaderSize(z.raw, 64<<10)
	z.in = buffered
	// The content of a part never begins like this: it is a file of SQLite, a dump, or
	// compressed.
	begin, _ := buffered.Peek(len(encrypted)) // a part can be shorter than that
	if z.raw.err != nil {
		return nil, z.raw.err
	}
	if string(begin) == encrypted {
		if len(identities) == 0 {
			return nil, fmt.Errorf("%w: there is no identity and no passphrase", ErrKey)
		}
		plain, err := age.Decrypt(buffered, identities...)
		if _, no := errors.AsType[*age.NoIdentityMatchError](err); no {
			// Neither which identities there are nor why each does not fit: that is
			// one line for each of them.
			return nil, fmt.Errorf("%w: none of %d fits", ErrKey, len(identities))
		}
		if err != nil {
			return nil, z.damage("the encryption", err)
		}
		z.in = plain
	}
	switch compression {
	case None:
	case Zstd:
		decoder, err := zstd.NewReader(z.in, zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, z.damage("the compression", err)
		}
		z.in, z.decoder = decoder, decoder
	default:
		return nil, fmt.Errorf("no such compression: %q; there are zstd and none", compression)
	}
	if z.in == buffered { // nothing is between the stored bytes and the content
		z.plain = z.stored
		if want.PlainSize != want.Size {
			return nil, fmt.Errorf("%w: the manifest has two sizes for what has one", ErrDamaged)
		}
	}
	return z, nil
}

type reader struct {
	raw     *limited
	in      io.Reader // the last stage
	decoder *zstd.Decoder
	stored  *sum
	plain   *sum // the same as stored where nothing is between them
	want    Stored
	err     error
}

// Read reads content.
func (z *reader) Read(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	n, err := z.in.Read(p)
	if z.plain == z.stored {
		return n, z.after(err)
	}
	if over := z.plain.size + int64(n) - z.want.PlainSize; over > 0 {
		z.err = fmt.Errorf("%w: more content than the %d bytes of the manifest", ErrDamaged, z.want.PlainSize)
		return n - int(over), z.err
	}
	z.plain.add(p[:n])
	return n, z.after(err)
}

// after is what a read ends with.
func (z *reader) after(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		z.err = z.end()
	default:
		z.err = z.damage("the content", err)
	}
	return z.err
}

// end compares everything, and is io.EOF if all is well.
func (z *reader) end() error {
	if err := z.Close(); err != nil {
		return err
	}
	if err := z.stored.check("are stored", z.want.Size, z.want.SHA256); err != nil {
		return err
	}
	if err := z.plain.check("of content are there", z.want.PlainSize, z.want.PlainSHA256); err != nil {
		return err
	}
	return io.EOF
}

// damage is what stopped a stage. What the store said about reading comes first: a
// connection that was cut is no damage.
func (z *reader) damage(where string, err error) error {
	if z.raw.err != nil {
		return z.raw.err
	}
	return fmt.Errorf("%w: %s cannot be read: %w", ErrDamaged, where, err)
}

// Close ends what works in the background. It leaves the stored bytes' reader open.
func (z *reader) Close() error {
	if z.err == nil {
		z.err = errReaderClosed
	}
	if z.decoder != nil {
		z.decoder.Close()
		z.decoder = nil
	}
	return nil
}

// errReaderClosed is what a reader says behind Close.
var errReaderClosed = errors.New("archive: the reader is closed")

// limited adds what is read to a sum, remembers why reading failed, and does not
// read on behind the size that a part has.
type limited struct {
	r    io.Reader
	s    *sum
	left int64
	err  error // other than io.EOF
}

func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p)
	l.s.add(p[:n])
	if l.left -= int64(n); l.left < 0 {
		err = fmt.Errorf("%w: more is stored than the manifest says", ErrDamaged)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// Check reads all that is stored and returns an error of the kind [ErrDamaged] if it
// is not what want says. It needs no key.
func Check(r io.Reader, want Stored) error {
	s := newSum(want.PieceSize)
	if _, err := io.Copy(io.Discard, &limited{r: r, left: want.Size, s: s}); err != nil {
		return err
	}
	return s.check("are stored", want.Size, want.SHA256)
}
