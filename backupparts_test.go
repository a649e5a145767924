package tldwdb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// busyReader finds out whether somebody reads behind the end.
type busyReader struct {
	r     io.Reader
	over  bool
	after int
}

func (b *busyReader) Read(p []byte) (int, error) {
	if b.over {
		b.after++
	}
	return b.r.Read(p)
}

// TestCopyAhead: all comes, in its order, an error of either side ends it, and nobody
// reads when it has returned.
func TestCopyAhead(t *testing.T) {
	t.Parallel()
	content := make([]byte, 2*aheadPieces*aheadSize+1)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // never fails
	errRead, errWrite := errors.New("no more to read"), errors.New("no more room")
	for _, c := range []struct {
		name string
		r    io.Reader
		room int
		want error
	}{
		{"all", bytes.NewReader(content), len(content), nil},
		{"halves", iotest.HalfReader(bytes.NewReader(content)), len(content), nil},
		{"the end with the last bytes", iotest.DataErrReader(bytes.NewReader(content)), len(content), nil},
		{"reading fails", io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errRead)), len(content), errRead},
		{"writing fails", bytes.NewReader(content), aheadSize, errWrite},
	} {
		var got bytes.Buffer
		r := &busyReader{r: c.r}
		err := copyAhead(pieces(func(p []byte) (int, error) {
			if got.Len()+len(p) > c.room {
				return 0, errWrite
			}
			return got.Write(p)
		}), r)
		r.over = true
		if !errors.Is(err, c.want) || !bytes.Equal(got.Bytes(), content[:c.room]) {
			t.Errorf("%s: %d of %d bytes, %v", c.name, got.Len(), c.room, err)
		}
		if r.after > 0 {
			t.Errorf("%s: it reads on", c.name)
		}
	}
}

type pieces func([]byte) (int, error)

func (f pieces) Write(p []byte) (int, error) { return f(p) }
