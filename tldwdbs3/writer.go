package tldwdbs3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/minio/minio-go/v7"
)

// writer collects a part while the one before is on its way. What fits in one part is
// sent as it is when it is committed; the rest is an upload of parts, which the server
// puts together at the end.
type writer struct {
	s      *store
	ctx    context.Context // of the whole upload: io.Writer has none
	cancel context.CancelFunc
	name   string
	key    string

	part   []byte // is being filled
	spare  []byte // is not in use
	upload string // its id; empty: everything is in part still
	parts  []minio.CompletePart
	size   int64

	sent chan sentPart // the part on its way; nil: there is none
	err  error
	done bool
}

type sentPart struct {
	part   minio.ObjectPart
	buffer []byte
	err    error
}

var errDone = errors.New("tldwdbs3: the object is committed or given up")

// Write adds to the object. Behind an error every call returns that error.
func (w *writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if w.done {
			return written, errDone
		}
		if w.err != nil {
			return written, w.err
		}
		n := min(len(p), int(w.s.options.PartSize)-len(w.part))
		if len(w.part)+n > cap(w.part) {
			w.part = append(make([]byte, 0, w.room(n)), w.part...)
		}
		w.part = append(w.part, p[:n]...)
		p, written, w.size = p[n:], written+n, w.size+int64(n)
		if len(w.part) == int(w.s.options.PartSize) {
			w.err = w.send()
		}
	}
	return written, w.err
}

// smallPart is the room for a small object, such as a manifest.
const smallPart = 256 << 10

// room is how much memory the part needs with n more bytes: little, or all of it at
// once, because what is outgrown is garbage.
func (w *writer) room(n int) int64 {
	if need := int64(len(w.part) + n); need <= smallPart {
		return smallPart
	}
	return w.s.options.PartSize
}

// send puts the part that was filled on its way, when the one before has arrived.
func (w *writer) send() error {
	if err := w.arrived(); err != nil {
		return err
	}
	if len(w.parts) == maxParts {
		return fmt.Errorf("sending %s: more than %d parts of %d bytes; a larger PartSize allows more", w.name, maxParts, w.s.options.PartSize)
	}
	if w.upload == "" {
		ctx, cancel := context.WithTimeout(w.ctx, requestTime)
		defer cancel()
		id, err := w.s.client.NewMultipartUpload(ctx, w.s.options.Bucket, w.key, w.s.put)
		if err != nil {
			return w.s.failed("beginning the upload of", w.name, err)
		}
		w.upload = id
	}
	buffer, number := w.part, len(w.parts)+1
	w.part, w.spare = w.spare[:0], nil
	w.sent = make(chan sentPart, 1)
	go func() {
		var part minio.ObjectPart
		err := w.s.send(w.ctx, buffer, func(ctx context.Context, r io.Reader, md5Base64, sha256Hex string) (err error) {
			part, err = w.s.client.PutObjectPart(ctx, w.s.options.Bucket, w.key, w.upload, number, r, int64(len(buffer)),
				minio.PutObjectPartOptions{Md5Base64: md5Base64, Sha256Hex: sha256Hex, DisableContentSha256: true})
			return err
		})
		w.sent <- sentPart{part, buffer, w.s.failed("sending a part of", w.name, err)}
	}()
	return nil
}

// arrived waits for the part on its way.
func (w *writer) arrived() error {
	if w.sent == nil {
		return nil
	}
	sent := <-w.sent
	w.sent, w.spare = nil, sent.buffer
	if sent.err != nil {
		return sent.err
	}
	w.parts = append(w.parts, minio.CompletePart{PartNumber: sent.part.PartNumber, ETag: sent.part.ETag})
	return nil
}

// Commit sends what is left and gives the object its name. If it fails, the upload is
// given up.
func (w *writer) Commit() error {
	if w.done {
		return errDone
	}
	if w.err == nil {
		w.err = w.commit()
	}
	if w.err != nil {
		return errors.Join(w.err, w.Abort())
	}
	w.done = true
	w.cancel()
	return nil
}

func (w *writer) commit() error {
	if w.upload == "" {
		err := w.s.send(w.ctx, w.part, func(ctx context.Context, r io.Reader, md5Base64, sha256Hex string) error {
			_, err := w.s.client.PutObject(ctx, w.s.options.Bucket, w.key, r, w.size, md5Base64, sha256Hex, w.s.put)
			return err
		})
		if err != nil {
			return w.s.failed("sending", w.name, err)
		}
		return w.arrivedWhole()
	}
	if len(w.part) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	if err := w.arrived(); err != nil {
		return err
	}
	// Its time begins here: each of the parts had its own.
	ctx, cancel := context.WithTimeout(w.ctx, requestTime)
	defer cancel()
	_, err := w.s.client.CompleteMultipartUpload(ctx, w.s.options.Bucket, w.key, w.upload, w.parts, minio.PutObjectOptions{})
	// An answer that was lost makes the second try find no upload. Then the object is
	// there, in its full size: no other writer has this name.
	if err != nil && !gone(err) {
		return w.s.failed("finishing", w.name, err)
	}
	return w.arrivedWhole()
}

// arrivedWhole asks for the size of what is under the name now.
func (w *writer) arrivedWhole() error {
	ctx, cancel := context.WithTimeout(w.ctx, requestTime)
	defer cancel()
	info, err := w.s.client.StatObject(ctx, w.s.options.Bucket, w.key, minio.StatObjectOptions{})
	if err = w.s.failed("looking at", w.name, err); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sending %s: it is not there", w.name) // which is no fs.ErrNotExist of the caller's
	}
	if err == nil && info.Size != w.size {
		err = fmt.Errorf("sending %s: the server has %d bytes of %d", w.name, info.Size, w.size)
	}
	return err
}

// Abort gives the upload up, also where the context has ended. Behind Commit, and a
// second time, it does nothing.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel()
	if w.sent != nil {
		<-w.sent // a part that arrives behind the end of its upload would stay
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), endTime)
	defer cancel()
	w.part, w.spare = nil, nil
	if w.upload == "" {
		return nil
	}
	if err := w.s.client.AbortMultipartUpload(ctx, w.s.options.Bucket, w.key, w.upload); err != nil && !gone(err) {
		return w.s.failed("giving up the upload of", w.name, err)
	}
	return nil
}
