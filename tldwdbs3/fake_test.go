package tldwdbs3

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is as much of an S3 server as the store needs, with faults. It compares bodies
// with the sums that come with them, as servers do, and knows one access key; the
// signatures are for a real server to check.
type fake struct {
	*httptest.Server

	mu       sync.Mutex
	objects  map[string]fakeObject
	uploads  map[string]*fakeUpload
	ids      int
	requests map[string]int // of each kind

	// fault may answer in place of the server. n counts the requests of the kind:
	// put, part, begin, complete, abort, get, head, list, uploads or delete.
	fault func(kind string, n int, w http.ResponseWriter, r *http.Request) (answered bool)
}

type fakeObject struct {
	body []byte
	at   time.Time
}

type fakeUpload struct {
	key   string
	parts map[int][]byte
	began time.Time
}

const fakeBucket, fakeKey = "bucket", "testkey"

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, requests: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) options() Options {
	return Options{
		Endpoint: f.URL, Bucket: fakeBucket, Prefix: "some/where", AccessKey: fakeKey, SecretKey: "testsecret",
		PartSize: minPartSize, Tries: 4,
	}
}

func kindOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "begin"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodGet && q.Has("uploads"):
		return "uploads"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused</Message></Error>", code)
}

func answer(w http.ResponseWriter, content any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(content)
}

func etag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	f.mu.Lock()
	f.requests[kind]++
	n, fault := f.requests[kind], f.fault
	f.mu.Unlock()
	if fault != nil && fault(kind, n, w, r) {
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+fakeKey+"/") {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	m, s := md5.Sum(body), sha256.Sum256(body)
	if kind == "put" || kind == "part" {
		if r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(m[:]) || r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(s[:]) {
			refuse(w, http.StatusBadRequest, "BadDigest")
			return
		}
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != fakeBucket {
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.act(kind, key, body, w, r)
}

func (f *fake) act(kind, key string, body []byte, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	upload := f.uploads[q.Get("uploadId")]
	if upload == nil && q.Has("uploadId") {
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch kind {
	case "put":
		f.objects[key] = fakeObject{body, time.Now()}
		w.Header().Set("ETag", etag(body))
	case "begin":
		f.ids++
		id := strconv.Itoa(f.ids)
		f.uploads[id] = &fakeUpload{key, map[int][]byte{}, time.Now()}
		answer(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string   //nolint:revive // S3's word
		}{UploadId: id})
	case "part":
		n, err := strconv.Atoi(q.Get("partNumber"))
		if err != nil {
			refuse(w, http.StatusBadRequest, "InvalidArgument")
			return
		}
		upload.parts[n] = body
		w.Header().Set("ETag", etag(body))
	case "complete":
		var list struct {
			Part []struct {
				PartNumber int
				ETag       string
			}
		}
		if err := xml.Unmarshal(body, &list); err != nil {
			refuse(w, http.StatusBadRequest, "MalformedXML")
			return
		}
		var all []byte
		for i, p := range list.Part {
			part := upload.parts[p.PartNumber]
			if part == nil || strings.Trim(etag(part), `"`) != strings.Trim(p.ETag, `"`) || i < len(list.Part)-1 && len(part) < minPartSize {
				refuse(w, http.StatusBadRequest, "InvalidPart")
				return
			}
			all = append(all, part...)
		}
		f.objects[key] = fakeObject{all, time.Now()}
		delete(f.uploads, q.Get("uploadId"))
		answer(w, struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			Bucket  string
			ETag    string
		}{Bucket: fakeBucket, ETag: etag(all)})
	case "abort":
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case "delete":
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case "get", "head":
		o, ok := f.objects[key]
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(o.body))
		http.ServeContent(w, r, "", o.at, strings.NewReader(string(o.body)))
	case "list":
		type content struct {
			Key          string
			Size         int
			LastModified time.Time
		}
		type prefix struct{ Prefix string }
		result := struct {
			XMLName        xml.Name `xml:"ListBucketResult"`
			Contents       []content
			CommonPrefixes []prefix
		}{}
		for _, key := range slices.Sorted(maps.Keys(f.objects)) {
			rest, ok := strings.CutPrefix(key, q.Get("prefix"))
			if folder, _, deeper := strings.Cut(rest, "/"); ok && deeper {
				result.CommonPrefixes = append(result.CommonPrefixes, prefix{q.Get("prefix") + folder + "/"})
			} else if ok {
				result.Contents = append(result.Contents, content{key, len(f.objects[key].body), f.objects[key].at})
			}
		}
		answer(w, result)
	case "uploads":
		type one struct {
			Key       string
			UploadId  string //nolint:revive // S3's word
			Initiated time.Time
		}
		result := struct {
			XMLName xml.Name `xml:"ListMultipartUploadsResult"`
			Upload  []one
		}{}
		for _, id := range slices.Sorted(maps.Keys(f.uploads)) {
			if u := f.uploads[id]; strings.HasPrefix(u.key, q.Get("prefix")) {
				result.Upload = append(result.Upload, one{u.key, id, u.began})
			}
		}
		answer(w, result)
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// count is how many requests of the kind there were.
func (f *fake) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[kind]
}

// left is what is on the server: objects and uploads.
func (f *fake) left() (objects, uploads int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.objects), len(f.uploads)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}
