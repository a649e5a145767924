package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// LeastPiece is how small a piece may be that a manifest speaks of, in bytes: who reads
// keeps 32 bytes of each, which would be more than the content itself.
const LeastPiece = 1 << 20

const (
	// pieceSize is how much of a file is digested in one go, in bytes. A processor takes
	// 20 milliseconds for it, so that none waits long for the last.
	pieceSize = 32 << 20

	digestBuffer = 256 << 10 // bytes, of each that digests
	digesters    = 4         // at most: the file is read from the disk's or the system's memory
)

// DigestFile is what is to be known of a file that is stored as it is. A large one is
// digested in pieces, several at a time: a file whose first page is written last, as
// SQLite's are, can be digested only when all of it is there, and everybody waits for that.
// tell, which may be nil, is told how many bytes are done.
func DigestFile(ctx context.Context, f *os.File, tell func(done int64)) (Stored, error) {
	return digestFile(ctx, f, pieceSize, tell)
}

func digestFile(ctx context.Context, f *os.File, piece int64, tell func(done int64)) (Stored, error) {
	info, err := f.Stat()
	if err != nil {
		return Stored{}, err
	}
	size := info.Size()
	pieces := max(1, int((size+piece-1)/piece))
	digests := make([]byte, pieces*sha256.Size)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	var done int64
	digest := func() error {
		hash, buffer := sha256.New(), make([]byte, digestBuffer)
		for k := next.Add(1) - 1; k < int64(pieces); k = next.Add(1) - 1 {
			hash.Reset()
			for from, end := k*piece, min(size, (k+1)*piece); from < end; {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				b := buffer[:min(int64(len(buffer)), end-from)]
				if n, err := f.ReadAt(b, from); n < len(b) {
					if err == io.EOF {
						err = io.ErrUnexpectedEOF // it was longer a moment ago
					}
					return err
				}
				hash.Write(b)
				from += int64(len(b))
				if tell != nil {
					mu.Lock()
					done += int64(len(b))
					tell(done)
					mu.Unlock()
				}
			}
			hash.Sum(digests[:k*sha256.Size])
		}
		return nil
	}
	var all sync.WaitGroup
	for range min(pieces, digesters, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			if err := digest(); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return Stored{}, err
	}
	s := Stored{Size: size, SHA256: hex.EncodeToString(digests), PlainSize: size}
	if pieces > 1 {
		sum := sha256.Sum256(digests)
		s.SHA256, s.PieceSize = hex.EncodeToString(sum[:]), piece
	}
	s.PlainSHA256 = s.SHA256
	return s, nil
}
