package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// TestDigestFile: what is stored with a digest of pieces is read back with it, however it
// is read, and no byte of it can be another one.
func TestDigestFile(t *testing.T) {
	t.Parallel()
	const piece = 1000
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same bytes each time
	for _, size := range []int{0, 1, piece - 1, piece, piece + 1, 7 * piece, 7*piece + 1, 600_000} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var told int64
		stored, err := digestFile(t.Context(), f, piece, func(done int64) { told = done })
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if stored.Size != int64(size) || stored.PlainSize != int64(size) || told != int64(size) {
			t.Errorf("%d: %+v, %d told", size, stored, told)
		}
		if whole := sha256.Sum256(content); size <= piece && (stored.SHA256 != hex.EncodeToString(whole[:]) || stored.PieceSize != 0) {
			t.Errorf("%d: one piece has another digest than its own: %+v", size, stored)
		}
		for name, r := range map[string]io.Reader{"at once": bytes.NewReader(content), "in halves": iotest.HalfReader(bytes.NewReader(content))} {
			if err := Check(r, stored); err != nil {
				t.Errorf("%d, %s: %v", size, name, err)
			}
		}
		z, err := NewReader(bytes.NewReader(content), None, nil, stored)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d: read %d bytes: %v", size, len(got), err)
		}
		for range min(size, 20) {
			at := random.IntN(size)
			content[at] ^= 1
			if err := Check(bytes.NewReader(content), stored); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d: byte %d is another: %v", size, at, err)
			}
			content[at] ^= 1
		}
		if size >= 2*piece { // pieces that have changed places
			content = append(append(bytes.Clone(content[piece:2*piece]), content[:piece]...), content[2*piece:]...)
			if err := Check(bytes.NewReader(content), stored); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d: the first two pieces are swapped: %v", size, err)
			}
		}
	}
}

func TestDigestFileEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := digestFile(ctx, f, 1000, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	shrink := func(int64) { _ = os.Truncate(path, 500) }
	if _, err := digestFile(t.Context(), f, 1000, shrink); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the file became shorter: %v", err)
	}
}
