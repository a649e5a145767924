package tldwdbs3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
)

// realOptions are of the server in TLDWDB_TEST_S3_ENDPOINT, with a prefix of the
// test's own. TLDWDB_TEST_S3_BUCKET is a bucket there (default: tldw), and
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are who writes to it.
func realOptions(t *testing.T) Options {
	t.Helper()
	endpoint := os.Getenv("TLDWDB_TEST_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("no S3 server here: TLDWDB_TEST_S3_ENDPOINT names one")
	}
	return Options{
		Endpoint: endpoint, Bucket: cmp.Or(os.Getenv("TLDWDB_TEST_S3_BUCKET"), "tldw"), Prefix: "test-" + strings.ToLower(rand.Text()),
		PathStyle: true, PartSize: minPartSize, Tries: 4,
	}
}

// everywhere runs a test with the server of our own, and with a real one.
func everywhere(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		test(t, newFake(t).options())
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(t, realOptions(t))
	})
}

func open(t *testing.T, o Options) tldwdb.BackupStore {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// content is the same at every call, and no two pieces of it are alike.
func content(size int) []byte {
	b := make([]byte, size)
	_, _ = mathrand.NewChaCha8([32]byte{1}).Read(b) // cannot fail
	return b
}

// write writes an object in odd pieces, and commits it.
func write(ctx context.Context, s tldwdb.BackupStore, name string, body []byte) error {
	w, err := s.Create(ctx, name)
	if err != nil {
		return err
	}
	for len(body) > 0 {
		n := min(len(body), 1_000_003)
		if _, err := w.Write(body[:n]); err != nil {
			return errors.Join(err, w.Abort())
		}
		body = body[n:]
	}
	return w.Commit()
}

func read(ctx context.Context, s tldwdb.BackupStore, name string) ([]byte, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return body, errors.Join(err, r.Close())
}

func listed(t *testing.T, s tldwdb.BackupStore) []string {
	t.Helper()
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range all {
		names = append(names, fmt.Sprintf("%s %d", o.Name, o.Size))
		if age := time.Since(o.Modified); age < -time.Minute || age > time.Hour {
			t.Errorf("%s was modified at %v", o.Name, o.Modified)
		}
	}
	return names
}

func TestStore(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o Options) {
		s := open(t, o)
		if got := listed(t, s); len(got) > 0 {
			t.Error(got)
		}
		var want []string
		for _, size := range []int{0, 1, minPartSize - 1, minPartSize, minPartSize + 1, 3*minPartSize + 7} {
			name := fmt.Sprintf("object-%08d", size)
			body := content(size)
			if err := write(t.Context(), s, name, body); err != nil {
				t.Fatal(err)
			}
			if got, err := read(t.Context(), s, name); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes: %d, %v", size, len(got), err)
			}
			want = append(want, fmt.Sprintf("%s %d", name, size))
		}
		if got := listed(t, s); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		// Neither above nor below: those are other stores.
		below := o
		below.Prefix += "/below"
		if err := write(t.Context(), open(t, below), "object", []byte("x")); err != nil {
			t.Fatal(err)
		}
		beside := o
		beside.Prefix += "-beside"
		if err := write(t.Context(), open(t, beside), "object", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, s); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if err := write(t.Context(), s, "object-00000001", []byte("another")); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context(), s, "object-00000001"); err != nil || string(got) != "another" {
			t.Errorf("%q, %v", got, err)
		}
		for range 2 {
			if err := s.Delete(t.Context(), "object-00000001"); err != nil {
				t.Error(err)
			}
		}
		if _, err := read(t.Context(), s, "object-00000001"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// What is given up, or never committed, is not there; Clean finds what was left.
func TestAbort(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o Options) {
		s := open(t, o)
		const name = "tldw_backup_20261123_104600_aaaa.db"
		for _, size := range []int{10, 2*minPartSize + 10} {
			ctx, cancel := context.WithCancel(t.Context())
			w, err := s.Create(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content(size)); err != nil {
				t.Fatal(err)
			}
			cancel() // which does not keep it from being given up
			for range 2 {
				if err := w.Abort(); err != nil {
					t.Error(err)
				}
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("no error of Write behind Abort")
			}
			if err := w.Commit(); err == nil {
				t.Error("no error of Commit behind Abort")
			}
		}
		clean := func(before time.Time, dryRun bool) []string {
			t.Helper()
			removed, err := s.(tldwdb.BackupCleaner).Clean(t.Context(), before, dryRun)
			if err != nil {
				t.Fatal(err)
			}
			return removed
		}
		later := time.Now().Add(time.Hour)
		if got := clean(later, true); len(got) > 0 {
			t.Errorf("left of what was given up: %v", got)
		}
		for _, name := range []string{name, "somebody.elses"} { // killed
			w, err := s.Create(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content(minPartSize + 1)); err != nil {
				t.Fatal(err)
			}
			if err := w.(*writer).arrived(); err != nil {
				t.Fatal(err)
			}
		}
		if got := listed(t, s); len(got) > 0 {
			t.Error(got)
		}
		if got := clean(time.Now().Add(-time.Hour), false); len(got) > 0 {
			t.Errorf("too young: %v", got)
		}
		want := []string{name + " (upload)"}
		for _, dryRun := range []bool{true, false} {
			if got := clean(later, dryRun); !slices.Equal(got, want) {
				t.Errorf("dry run %v: %v, want %v", dryRun, got, want)
			}
		}
		if got := clean(later, false); len(got) > 0 {
			t.Errorf("still there: %v", got)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := open(t, newFake(t).options())
	for _, name := range []string{"", "..", "../x", "a/b", ".a", "a b"} {
		if _, err := s.Create(t.Context(), name); err == nil {
			t.Errorf("%q can be created", name)
		}
		if _, err := s.Open(t.Context(), name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Delete(t.Context(), name); err == nil {
			t.Errorf("%q can be deleted", name)
		}
	}
}

// The wrong secret is refused by a real server, at once and without being shown.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o Options) {
		o.AccessKey, o.SecretKey, o.SessionToken = "somebody", "very-secret", ""
		s := open(t, o)
		_, listErr := s.List(t.Context())
		_, readErr := read(t.Context(), s, "x")
		for _, err := range []error{listErr, readErr, write(t.Context(), s, "x", []byte("x")), write(t.Context(), s, "x", content(minPartSize+1)), s.Delete(t.Context(), "x")} {
			if err == nil || !strings.Contains(err.Error(), "(Forbidden)") || strings.Contains(err.Error(), o.SecretKey) || errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
}

// What passes is tried again, at every kind of request.
func TestPassingFaults(t *testing.T) {
	t.Parallel()
	body := content(2*minPartSize + 10)
	for what, fault := range map[string]func(w http.ResponseWriter, r *http.Request){
		"503":             func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusServiceUnavailable, "SlowDown") },
		"cut":             func(w http.ResponseWriter, _ *http.Request) { cut(w) },
		"cut in the body": func(w http.ResponseWriter, r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, 1<<20); cut(w) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.fault = func(_ string, n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 1 {
					fault(w, r)
				}
				return n == 1
			}
			s := open(t, f.options())
			for name, body := range map[string][]byte{"small": body[:100], "large": body} {
				if err := write(t.Context(), s, name, body); err != nil {
					t.Fatal(err)
				}
				if got, err := read(t.Context(), s, name); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
			if got := listed(t, s); len(got) != 2 {
				t.Error(got)
			}
			if err := s.Delete(t.Context(), "small"); err != nil {
				t.Error(err)
			}
			for _, kind := range []string{"put", "part", "begin", "complete", "get", "head", "list", "delete"} {
				if f.count(kind) < 2 {
					t.Errorf("%s was not tried again", kind)
				}
			}
		})
	}
}

// What lasts is an error, and leaves nothing behind.
func TestLastingFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"put", "begin", "part", "complete"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.fault = func(k string, _ int, w http.ResponseWriter, _ *http.Request) bool {
				if k == kind {
					refuse(w, http.StatusServiceUnavailable, "SlowDown")
				}
				return k == kind
			}
			s := open(t, f.options())
			size := 3 * minPartSize
			if kind == "put" {
				size = 10
			}
			err := write(t.Context(), s, "x", content(size))
			if err == nil || !strings.Contains(err.Error(), "SlowDown") {
				t.Error(err)
			}
			if objects, uploads := f.left(); objects > 0 || uploads > 0 {
				t.Errorf("%d objects and %d uploads are left", objects, uploads)
			}
		})
	}
}

// A body that is altered on its way is refused by the server, and a server that keeps
// less than it was sent is found out.
func TestAlteredOnTheWay(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, minPartSize + 100} {
		f := newFake(t)
		f.fault = func(kind string, _ int, _ http.ResponseWriter, r *http.Request) bool {
			if kind == "put" || kind == "part" {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				body[len(body)/2] ^= 1
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			return false
		}
		if err := write(t.Context(), open(t, f.options()), "x", content(size)); err == nil || !strings.Contains(err.Error(), "BadDigest") {
			t.Errorf("%d bytes: %v", size, err)
		}
		f.fault = func(kind string, _ int, w http.ResponseWriter, _ *http.Request) bool {
			if kind == "head" {
				w.Header().Set("ETag", `"x"`)
				w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 10:46:00 GMT")
				w.Header().Set("Content-Length", "99")
			}
			return kind == "head"
		}
		if err := write(t.Context(), open(t, f.options()), "x", content(size)); err == nil || !strings.Contains(err.Error(), "99 bytes of") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// The answer to the last request is lost: the second try finds no upload, and the
// object is there.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fault = func(kind string, n int, w http.ResponseWriter, r *http.Request) bool {
		if kind != "complete" || n > 1 {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.act(kind, strings.TrimPrefix(r.URL.Path, "/"+fakeBucket+"/"), body, discard{}, r)
		f.mu.Unlock()
		cut(w)
		return true
	}
	s := open(t, f.options())
	body := content(minPartSize + 1)
	if err := write(t.Context(), s, "x", body); err != nil {
		t.Error(err)
	}
	if got, err := read(t.Context(), s, "x"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// Reading goes on where it was cut, also after a silence, as long as the object is
// the same.
func TestReadingIsCut(t *testing.T) {
	t.Parallel()
	body := content(1 << 20)
	for what, test := range map[string]struct {
		then func(f *fake, w http.ResponseWriter) // after a part of the body
		good bool
	}{
		"cut":    {func(_ *fake, w http.ResponseWriter) { cut(w) }, true},
		"silent": {nil, true},
		"replaced": {func(f *fake, w http.ResponseWriter) {
			f.mu.Lock()
			f.objects["some/where/x"] = fakeObject{make([]byte, 1<<20), time.Now()}
			f.mu.Unlock()
			cut(w)
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			o := f.options()
			if what == "silent" {
				o.Stall = 100 * time.Millisecond
			}
			s := open(t, o)
			if err := write(t.Context(), s, "x", body); err != nil {
				t.Fatal(err)
			}
			f.fault = func(kind string, n int, w http.ResponseWriter, r *http.Request) bool {
				if kind != "get" || n > 3 {
					return false
				}
				from := 0
				if header := r.Header.Get("Range"); header != "" {
					if _, err := fmt.Sscanf(header, "bytes=%d-", &from); err != nil {
						t.Error(err)
					}
				}
				f.mu.Lock()
				now := f.objects["some/where/x"].body
				f.mu.Unlock()
				w.Header().Set("ETag", etag(now))
				if match := r.Header.Get("If-Match"); match != "" && match != etag(now) {
					refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
					return true
				}
				w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 10:46:00 GMT")
				w.Header().Set("Content-Length", fmt.Sprint(len(now)-from))
				if from > 0 {
					w.WriteHeader(http.StatusPartialContent)
				}
				_, _ = w.Write(now[from : from+100_000])
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				if test.then != nil {
					test.then(f, w)
				} else {
					<-r.Context().Done()
				}
				return true
			}
			got, err := read(t.Context(), s, "x")
			if (err == nil) != test.good || test.good && !bytes.Equal(got, body) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// A connection that is cut again and again is an error in the end, and never the end
// of the object.
func TestReadingIsCutForGood(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := open(t, f.options())
	if err := write(t.Context(), s, "x", content(1000)); err != nil {
		t.Fatal(err)
	}
	f.fault = func(kind string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		if kind == "get" {
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 10:46:00 GMT")
			w.Header().Set("Content-Length", "1000")
			_ = http.NewResponseController(w).Flush()
			cut(w)
		}
		return kind == "get"
	}
	if got, err := read(t.Context(), s, "x"); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := open(t, f.options())
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content(minPartSize + 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.Commit(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if objects, uploads := f.left(); objects > 0 || uploads > 0 {
		t.Errorf("%d objects and %d uploads are left", objects, uploads)
	}
	if _, err := s.List(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// 400 MiB go out in less than 64 MiB of memory: two parts of 16.
func TestMemory(t *testing.T) { //nolint:paralleltest // the memory of the whole process is measured
	f := newFake(t)
	f.fault = func(kind string, _ int, w http.ResponseWriter, r *http.Request) bool {
		if kind == "part" { // which it would have to keep
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"x"`)
		}
		return kind == "part"
	}
	o := f.options()
	o.PartSize = 0
	w, err := open(t, o).Create(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	piece := content(1 << 20)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := uint64(0)
	for range 400 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse-min(before.HeapInuse, now.HeapInuse))
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if peak > 56<<20 {
		t.Errorf("%d bytes of memory", peak)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := Options{Bucket: "bucket", Endpoint: "https://minio.example:9000", AccessKey: "a", SecretKey: "b"}
	for what, change := range map[string]func(*Options){
		"no bucket":                func(o *Options) { o.Bucket = "" },
		"half a key":               func(o *Options) { o.SecretKey = "" },
		"an endpoint without host": func(o *Options) { o.Endpoint = "minio" },
		"an endpoint with a path":  func(o *Options) { o.Endpoint += "/bucket" },
		"a key in the endpoint":    func(o *Options) { o.Endpoint = "https://key:hunter2@minio" },
		"small parts":              func(o *Options) { o.PartSize = 1 << 20 },
		"odd encryption":           func(o *Options) { o.Encryption = "rot13" },
		"a key for nothing":        func(o *Options) { o.KMSKey = "k" },
		"no tries":                 func(o *Options) { o.Tries = -1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for prefix, want := range map[string]string{"": "s3://bucket/", "/a/b/": "s3://bucket/a/b"} {
		o := good
		o.Prefix = prefix
		if s := open(t, o); s.String() != want {
			t.Errorf("%v, want %s", s, want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[backup]\naws_access_key_id = "+fakeKey+"\naws_secret_access_key = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var header http.Header
	f.fault = func(kind string, _ int, _ http.ResponseWriter, r *http.Request) bool {
		if kind == "put" {
			header = r.Header.Clone()
		}
		return false
	}
	s, err := Open("s3://bucket/a/b?region=eu-central-1&path_style=true&profile=backup&encryption=aws:kms&kms_key=k1&storage_class=STANDARD_IA&endpoint=" + f.URL + "&credentials_file=" + file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") != "" || os.Getenv("MINIO_ACCESS_KEY") != "" {
		t.Skip("the environment has credentials, and it comes before the file")
	}
	if err := write(t.Context(), s, "x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "k1", "X-Amz-Storage-Class": "STANDARD_IA",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := header.Get("Authorization"); !strings.Contains(got, "/eu-central-1/s3/") {
		t.Error(got)
	}
	for _, url := range []string{"s3:bucket", "https://bucket/x", "s3://key:hunter2@bucket/x", "s3://bucket?secret=hunter2", "s3://bucket?region=a&region=b", "s3://bucket?path_style=yes", "s3://bucket?region=%zz", "s3://hunter2:%zz"} {
		if _, err := Open(url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A store is a store: what works with a folder works here.
func TestList(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o Options) {
		s := open(t, o)
		if err := write(t.Context(), s, "tldw_backup_20261123_104600_aaaa.db", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := write(t.Context(), s, "tldw_backup_20261123_104600_bbbb.json", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		all, err := tldwdb.ListBackups(t.Context(), s)
		if err != nil || len(all) != 1 || !errors.Is(all[0].Err, tldwdb.ErrBackupDamaged) {
			t.Errorf("%+v, %v", all, err)
		}
		loose, err := tldwdb.IncompleteBackups(t.Context(), s)
		if err != nil || len(loose) != 1 {
			t.Errorf("%+v, %v", loose, err)
		}
		if _, err := tldwdb.PruneBackups(t.Context(), s, tldwdb.RetentionPolicy{}, tldwdb.PruneOptions{}); err != nil {
			t.Error(err)
		}
	})
}
