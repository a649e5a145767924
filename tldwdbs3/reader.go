package tldwdbs3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

// reader reads an object, over as many connections as it takes.
type reader struct {
	s    *store
	ctx  context.Context // of the whole object: io.Reader has none
	name string
	key  string

	etag  string // of the object, so that another one under its name is not taken for the rest
	at    int64
	size  int64
	tries int // since the last byte
	body  io.ReadCloser
	err   error
}

// connect asks for what is left.
func (r *reader) connect() error {
	var get minio.GetObjectOptions
	if r.at > 0 {
		if err := errors.Join(get.SetRange(r.at, 0), get.SetMatchETag(r.etag)); err != nil {
			return r.s.failed("reading", r.name, err)
		}
	}
	body, info, _, err := r.s.client.GetObject(r.ctx, r.s.options.Bucket, r.key, get)
	if err != nil {
		return r.s.failed("reading", r.name, err)
	}
	if r.at == 0 {
		r.etag, r.size = info.ETag, info.Size
	} else if info.Size != r.size-r.at {
		return errors.Join(fmt.Errorf("reading %s: %d bytes of the rest, and %d are missing", r.name, info.Size, r.size-r.at), body.Close())
	}
	r.body = body
	return nil
}

// Read reads on. A connection that is cut, or silent for too long, is replaced.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.err != nil {
			return 0, r.err
		}
		if r.body == nil {
			if r.err = r.connect(); r.err != nil {
				continue
			}
		}
		n, err := r.body.Read(p)
		r.at += int64(n)
		if n > 0 {
			r.tries = 0
		}
		if err != nil {
			r.disconnect()
			switch {
			case r.at == r.size:
				r.err = io.EOF
			case r.ctx.Err() != nil:
				r.err = r.ctx.Err()
			case r.tries == r.s.options.Tries:
				r.err = r.s.failed("reading", r.name, fmt.Errorf("%d of %d bytes: %w", r.at, r.size, unexpected(err)))
			}
			r.tries++
		}
		if n > 0 {
			return n, nil
		}
		if len(p) == 0 {
			return 0, r.err
		}
	}
}

// unexpected is an end that came too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *reader) disconnect() {
	if r.body != nil {
		_ = r.body.Close() // there is nothing to lose: what was read is read
		r.body = nil
	}
}

// Close ends the connection.
func (r *reader) Close() error {
	r.disconnect()
	if r.err == nil {
		r.err = errClosed
	}
	return nil
}

var errClosed = errors.New("tldwdbs3: the reader is closed")
