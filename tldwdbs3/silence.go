package tldwdbs3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// impatient is a transport that gives a connection up on which nothing moves: neither
// is more of the request taken, nor does the answer come or go on. A firewall that has
// forgotten a connection does not say so, and TCP alone would wait for a quarter of an
// hour.
type impatient struct {
	http.RoundTripper
	stall time.Duration
}

// RoundTrip makes one request.
func (t impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{stall: t.stall}
	w.timer = time.AfterFunc(t.stall, func() { cancel(silent(t.stall)) })
	w.why = func(err error) error {
		if why, ok := context.Cause(ctx).(silent); ok && err != nil { //nolint:errorlint // a cause is what cancel was given
			return why
		}
		return err
	}
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = watchedRequest{r.Body, w}
	}
	answer, err := t.RoundTripper.RoundTrip(r)
	w.answered()
	if err != nil {
		err = w.why(err)
		cancel(nil)
		return nil, err
	}
	answer.Body = &watchedAnswer{answer.Body, w, cancel}
	return answer, nil
}

// silent is how long nothing moved. It is none of the context's errors: those would say
// that the caller has had enough, and the client would not try again.
type silent time.Duration

// Error says how long.
func (s silent) Error() string {
	return fmt.Sprintf("the server was silent for %v", time.Duration(s))
}

// watch ends a request whose timer has run out.
type watch struct {
	stall time.Duration
	timer *time.Timer
	why   func(error) error

	mu   sync.Mutex
	over bool // the answer is there: what is read of the request still does not count
}

// moved begins the time anew.
func (w *watch) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.timer.Reset(w.stall)
	}
}

func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// watchedRequest is a body that is sent.
type watchedRequest struct {
	io.ReadCloser
	w *watch
}

// Read is what the connection does when it has room for more.
func (b watchedRequest) Read(p []byte) (int, error) {
	b.w.moved()
	return b.ReadCloser.Read(p)
}

// watchedAnswer is a body that comes. Its reader may take as long as it likes between
// two calls.
type watchedAnswer struct {
	io.ReadCloser
	w      *watch
	cancel context.CancelCauseFunc
}

// Read reads what there is, or waits for it.
func (b *watchedAnswer) Read(p []byte) (int, error) {
	b.w.timer.Reset(b.w.stall)
	n, err := b.ReadCloser.Read(p)
	b.w.timer.Stop()
	if err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself
		err = b.w.why(err)
	}
	return n, err
}

// Close ends the request. What is left of its answer is not read to keep the
// connection: that may be a whole backup.
func (b *watchedAnswer) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
