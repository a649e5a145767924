// Package tldwdbs3 keeps backups in storage that speaks S3: Amazon's, and MinIO,
// Ceph, Cloudflare R2, Backblaze and the like. Only programs that import it link the
// client, minio-go.
//
//	store, err := tldwdbs3.Open("s3://bucket/prefix?endpoint=https://minio:9000")
//	options := tldwdb.BackupOptions{Store: store}
package tldwdbs3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/archive"
)

// Options say where the storage is and how it is spoken to. Only Bucket is needed.
type Options struct {
	Bucket string
	// Prefix comes before the name of every object, with a slash between them.
	Prefix string
	// Endpoint is the server: "https://minio.example:9000", or "http://…" without TLS.
	// Default: AWS_ENDPOINT_URL_S3, then AWS_ENDPOINT_URL, then Amazon.
	Endpoint string
	// Region. Default: AWS_REGION, then AWS_DEFAULT_REGION; with an Endpoint
	// us-east-1, which most other servers take; on Amazon it is asked for.
	Region string
	// PathStyle puts the bucket into the path of the URL instead of the host's name.
	// Default: where the endpoint is an IP address or not known to do otherwise.
	PathStyle bool

	// AccessKey and SecretKey, with SessionToken where they are temporary. Default: the
	// chain of AWS_ACCESS_KEY_ID and its like, MINIO_ACCESS_KEY and its like,
	// CredentialsFile, and the role of the machine, container or pod.
	AccessKey, SecretKey, SessionToken string
	// CredentialsFile is one as the aws program has it. Default:
	// AWS_SHARED_CREDENTIALS_FILE, then ~/.aws/credentials.
	CredentialsFile string
	// Profile is the part of CredentialsFile. Default: AWS_PROFILE, then "default".
	Profile string

	// Encryption is how the server encrypts what it stores: AES256 or aws:kms.
	// Default: what the bucket says. It does not replace [tldwdb.BackupOptions].Recipients:
	// whoever may read the bucket reads it decrypted.
	Encryption string
	// KMSKey is the key's name for aws:kms. Default: the bucket's.
	KMSKey string
	// StorageClass is the server's name of one, such as STANDARD_IA. Default: the
	// bucket's.
	StorageClass string

	// PartSize in bytes, from 5 MiB to 5 GiB. Two parts are in memory at once, and an
	// object has at most 10,000: the default of 16 MiB is 32 MiB of memory and 156 GiB
	// of stored, compressed backup.
	PartSize int64
	// Tries is how often a request that failed for reasons that pass is made in all,
	// with pauses that grow to a second. Default: 20, which is about 15 seconds.
	Tries int
	// Stall is how long nothing may move on a connection, neither what is sent nor the
	// answer, before it is given up and the request, or the rest of an object that is
	// read, is tried again. What stays silent is an error behind Tries of them, or
	// behind 10 minutes for each part that is sent. Default: 1 minute.
	Stall time.Duration
	// Transport makes the connections, for proxies and certificates of one's own.
	// Default: one with the system's certificates and the environment's proxy.
	Transport http.RoundTripper
}

// What is taken where Options say nothing.
const (
	defaultPartSize = 16 << 20
	defaultTries    = 20
	defaultStall    = time.Minute
	amazon          = "https://s3.amazonaws.com"
)

// The limits of S3.
const (
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
)

// requestTime bounds a request, with its repetitions, that writes a part, so that a
// host that falls silent does not hold a backup for ever. A part of 16 MiB needs 28
// KB/s to be there in time.
const requestTime = 10 * time.Minute

// endTime is how long there is for telling the server that an upload is given up,
// which is done even when the context has ended.
const endTime = 30 * time.Second

// Open is [New] with options from a URL:
//
//	s3://bucket/prefix?endpoint=https://minio:9000&region=eu-central-1
//
// The parameters are endpoint, region, path_style (true), credentials_file, profile,
// encryption, kms_key and storage_class, as in [Options]. Credentials do not belong
// in it: URLs end up in logs and process lists.
func Open(rawURL string) (tldwdb.BackupStore, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("tldwdbs3: not a URL of the form s3://bucket/prefix") // not err, which shows all of it
	}
	if u.User != nil {
		return nil, errors.New("tldwdbs3: credentials do not belong in the URL; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have them, or a credentials file")
	}
	if u.Scheme != "s3" || u.Host == "" {
		return nil, errors.New("tldwdbs3: not a URL of the form s3://bucket/prefix")
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	texts := map[string]*string{
		"endpoint": &o.Endpoint, "region": &o.Region, "credentials_file": &o.CredentialsFile, "profile": &o.Profile,
		"encryption": &o.Encryption, "kms_key": &o.KMSKey, "storage_class": &o.StorageClass,
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("tldwdbs3: the parameters of the URL cannot be read")
	}
	for name, values := range query {
		switch text, known := texts[name]; {
		case len(values) != 1:
			return nil, fmt.Errorf("tldwdbs3: %s is there %d times in the URL", name, len(values))
		case known:
			*text = values[0]
		case name == "path_style" && (values[0] == "true" || values[0] == "false"):
			o.PathStyle = values[0] == "true"
		default:
			return nil, fmt.Errorf("tldwdbs3: the URL has no such parameter, or not with that value: %s", name)
		}
	}
	return New(o)
}

// New is storage that speaks S3. It makes no request. The store is a
// [tldwdb.BackupCleaner] too.
//
// An object is sent in parts while it is written, each with its SHA-256 and MD5, which
// the server compares; it appears when the last one is there, and its size is asked
// for then. What fails for reasons that pass is tried again, and reading goes on where
// it was cut. Uploads of killed processes are invisible, and cost money, until they
// are given up: [tldwdb.PruneBackups] does so after a day. (MinIO does not list them;
// it gives them up itself after a day.)
func New(o Options) (tldwdb.BackupStore, error) {
	o.Endpoint = cmp.Or(o.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), amazon)
	o.Region = cmp.Or(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if o.Region == "" && o.Endpoint != amazon {
		o.Region = "us-east-1"
	}
	o.PartSize, o.Tries, o.Stall = cmp.Or(o.PartSize, defaultPartSize), cmp.Or(o.Tries, defaultTries), cmp.Or(o.Stall, defaultStall)
	endpoint, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || endpoint.User != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "":
		return nil, errors.New("tldwdbs3: the endpoint is not of the form https://host:port, without credentials and path")
	case o.Bucket == "":
		return nil, errors.New("tldwdbs3: no bucket")
	case o.PartSize < minPartSize || o.PartSize > maxPartSize:
		return nil, fmt.Errorf("tldwdbs3: the part size is %d, and may be from %d to %d", o.PartSize, int64(minPartSize), int64(maxPartSize))
	case o.Tries < 1 || o.Stall < 0:
		return nil, errors.New("tldwdbs3: Tries and Stall cannot be negative")
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return nil, errors.New("tldwdbs3: of AccessKey and SecretKey one is missing")
	}
	s := &store{options: o, prefix: strings.Trim(o.Prefix, "/")}
	if s.prefix != "" {
		s.prefix += "/"
	}
	if s.put, err = o.put(); err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	secure := endpoint.Scheme == "https"
	transport := o.Transport
	if transport == nil {
		own, err := minio.DefaultTransport(secure)
		if err != nil {
			return nil, fmt.Errorf("tldwdbs3: %w", err)
		}
		own.ResponseHeaderTimeout = 0 // Stall is
		transport = own
	}
	s.client, err = minio.NewCore(endpoint.Host, &minio.Options{
		Creds: o.credentials(), Secure: secure, Region: o.Region, BucketLookup: lookup, MaxRetries: o.Tries, Transport: impatient{transport, o.Stall},
	})
	if err != nil {
		return nil, fmt.Errorf("tldwdbs3: %w", err)
	}
	return s, nil
}

// put is what every object is created with.
func (o Options) put() (minio.PutObjectOptions, error) {
	put := minio.PutObjectOptions{
		ContentType: "application/octet-stream", StorageClass: o.StorageClass,
		DisableContentSha256: true, // the signature in pieces: the sum of the whole is given instead
	}
	switch o.Encryption {
	case "":
		if o.KMSKey != "" {
			return put, errors.New("tldwdbs3: a KMS key is for the encryption aws:kms")
		}
	case "AES256":
		put.ServerSideEncryption = encrypt.NewSSE()
	case "aws:kms":
		sse, err := encrypt.NewSSEKMS(o.KMSKey, nil)
		if err != nil {
			return put, fmt.Errorf("tldwdbs3: %w", err)
		}
		put.ServerSideEncryption = sse
	default:
		return put, fmt.Errorf("tldwdbs3: no such encryption: %q; there are AES256 and aws:kms", o.Encryption)
	}
	return put, nil
}

// credentials are asked for again when they expire.
func (o Options) credentials() *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.EnvMinio{},
		&credentials.FileAWSCredentials{Filename: o.CredentialsFile, Profile: o.Profile},
		&credentials.IAM{Region: o.Region},
	})
}

type store struct {
	options Options
	client  *minio.Core
	prefix  string
	put     minio.PutObjectOptions
}

func (s *store) String() string {
	return "s3://" + s.options.Bucket + "/" + strings.TrimSuffix(s.prefix, "/")
}

// key is the object's name in the bucket.
func (s *store) key(name string) (string, error) {
	if err := archive.CheckName(name); err != nil {
		return "", err
	}
	return s.prefix + name, nil
}

// failed says what the server or the way to it has said. No word of it is a
// credential: keys are in headers only.
func (s *store) failed(doing, name string, err error) error {
	if err == nil {
		return nil
	}
	answer := minio.ToErrorResponse(err)
	if answer.Code == minio.NoSuchKey {
		err = fs.ErrNotExist
	} else if answer.Code != "" {
		err = fmt.Errorf("%s (%s): %w", answer.Code, http.StatusText(answer.StatusCode), err)
	}
	return fmt.Errorf("%s %s/%s: %w", doing, strings.TrimSuffix(s.String(), "/"), name, err)
}

// Create begins an object. The context is that of the whole upload.
func (s *store) Create(ctx context.Context, name string) (tldwdb.BackupWriter, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &writer{s: s, name: name, key: key}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w, nil
}

// Open reads an object, and goes on where the connection is cut.
func (s *store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, ctx: ctx, name: name, key: key}
	if err := r.connect(); err != nil {
		return nil, err
	}
	return r, nil
}

// List lists the objects directly under the prefix.
func (s *store) List(ctx context.Context) ([]tldwdb.BackupObject, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the goroutine that lists
	var all []tldwdb.BackupObject
	for o := range s.client.Client.ListObjects(ctx, s.options.Bucket, minio.ListObjectsOptions{Prefix: s.prefix}) {
		if o.Err != nil {
			return nil, s.failed("listing", "", o.Err)
		}
		name, ok := strings.CutPrefix(o.Key, s.prefix)
		if ok && archive.CheckName(name) == nil { // what is deeper ends with a slash
			all = append(all, tldwdb.BackupObject{Name: name, Size: o.Size, Modified: o.LastModified})
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b tldwdb.BackupObject) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Delete removes an object. In a bucket with versions the server keeps what was there.
func (s *store) Delete(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	err = s.client.RemoveObject(ctx, s.options.Bucket, key, minio.RemoveObjectOptions{})
	if err = s.failed("deleting", name, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Clean gives up the uploads of backups that began before the given time.
func (s *store) Clean(ctx context.Context, before time.Time, dryRun bool) ([]string, error) {
	var all []string
	for keyMarker, idMarker := "", ""; ; {
		found, err := s.client.ListMultipartUploads(ctx, s.options.Bucket, s.prefix, keyMarker, idMarker, "/", 1000)
		if gone(err) { // how some servers say that there are none
			return all, nil
		}
		if err != nil {
			return all, s.failed("listing the uploads to", "", err)
		}
		for _, u := range found.Uploads {
			name, ok := strings.CutPrefix(u.Key, s.prefix)
			if _, _, ours := archive.BackupOf(name); !ok || !ours || archive.CheckName(name) != nil || !u.Initiated.Before(before) {
				continue
			}
			if !dryRun {
				if err := s.client.AbortMultipartUpload(ctx, s.options.Bucket, u.Key, u.UploadID); err != nil && !gone(err) {
					return all, s.failed("giving up the upload of", name, err)
				}
			}
			all = append(all, name+" (upload)")
		}
		if !found.IsTruncated {
			return all, nil
		}
		keyMarker, idMarker = found.NextKeyMarker, found.NextUploadIDMarker
	}
}

// gone reports whether an upload is not there any more.
func gone(err error) bool { return minio.ToErrorResponse(err).Code == minio.NoSuchUpload }
