package tldwdbs3

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a fake without a network, for a clock of the test's own. Each request takes
// its time.
type slow struct {
	*fake
	takes func(kind string) time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(s.takes(kindOf(r))):
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	s.serve(w, r)
	return w.Result(), nil
}

// The parts that are on their way when an object is committed have their own time, and
// take none from the request behind them.
func TestSlowParts(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one": minPartSize / 2, "three": 3*minPartSize - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := content(size)
			synctest.Test(t, func(t *testing.T) {
				f := &fake{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, requests: map[string]int{}}
				takes := func(kind string) time.Duration {
					if kind == "put" || kind == "part" {
						return requestTime - time.Second
					}
					return 2 * time.Second
				}
				s, err := New(Options{
					Endpoint: "http://store.test", Region: "here", Bucket: fakeBucket, AccessKey: fakeKey, SecretKey: "testsecret",
					PathStyle: true, PartSize: minPartSize, Tries: 2, Stall: time.Hour, Transport: slow{f, takes},
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := write(t.Context(), s, "object", body); err != nil {
					t.Fatal(err)
				}
				if got := f.objects["object"].body; !bytes.Equal(got, body) {
					t.Errorf("the server has %d bytes of %d", len(got), len(body))
				}
			})
		})
	}
}
