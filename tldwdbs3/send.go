package tldwdbs3

import (
	"context"
	"crypto/md5" //nolint:gosec // what S3 compares; the SHA-256 is beside it
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// body is what one request sends. It has no Seek, and so the client does not repeat
// the request: where a server answers before it has read everything, net/http goes on
// reading for a while, and a body that is rewound then is sent in shreds.
type body struct {
	mu       sync.Mutex
	rest     []byte
	released bool
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released || len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// release makes sure that the bytes are not read any more: their room is used again.
func (b *body) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest, b.released = nil, true
}

// The pauses between two tries of send.
const (
	pauseFirst = 100 * time.Millisecond
	pauseLast  = time.Second
)

// send makes a request with a body, again when it failed for a reason that passes,
// with the sums that the server compares: in the signature, and beside it for servers
// that do not look there.
func (s *store) send(ctx context.Context, content []byte, request func(ctx context.Context, r io.Reader, md5Base64, sha256Hex string) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	m, sha := md5.Sum(content), sha256.Sum256(content) //nolint:gosec // see above
	for try, pause := 1, pauseFirst; ; try, pause = try+1, min(2*pause, pauseLast) {
		b := &body{rest: content}
		err := request(ctx, b, base64.StdEncoding.EncodeToString(m[:]), hex.EncodeToString(sha[:]))
		b.release()
		if err == nil || try == s.options.Tries || ctx.Err() != nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// passes reports whether what went wrong can go right at the next try.
func passes(err error) bool {
	answer := minio.ToErrorResponse(err)
	if answer.Code == "" {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return !untrusted
	}
	switch answer.Code {
	case "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeout": // it was altered or cut on its way
		return true
	}
	return answer.StatusCode >= 500 || answer.StatusCode == http.StatusRequestTimeout || answer.StatusCode == http.StatusTooManyRequests
}
