package tldwdb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// identity is a certificate with its key.
type identity struct {
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
	certPEM   []byte
	secretPEM []byte
}

// issue makes a certificate for the name, which is an account's or, as an address, a
// server's; signed by an authority, or by itself to be one.
func issue(t *testing.T, name string, authority *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: authority == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	issuer, signer := template, key
	if authority != nil {
		issuer, signer = authority.cert, authority.key
		template.NotAfter = template.NotAfter.Add(-time.Minute)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	p := &identity{key: key, certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	p.secretPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return p
}

func writeFile(t *testing.T, file string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tlsURL is the database's URL with the engine's words for verification.
func tlsURL(t *testing.T, tdb *testdb.Database, user *url.Userinfo, host, ca, cert, key string) string {
	t.Helper()
	u, err := url.Parse(tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	if user != nil {
		u.User = user
	}
	if host != "" {
		u.Host = net.JoinHostPort(host, u.Port())
	}
	q := url.Values{}
	words := []string{"sslrootcert", "sslcert", "sslkey"}
	if isMySQL(tdb) {
		words = []string{"ssl_ca", "ssl-cert", "ssl_key"} // both spellings
		q.Set("tls", "verify-full")
	} else {
		q.Set("sslmode", "verify-full")
	}
	for i, file := range []string{ca, cert, key} {
		if file != "" {
			q.Set(words[i], file)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// TestTLS has a server with a certificate, and clients that look at it, and that have
// one.
func TestTLS(t *testing.T) {
	t.Parallel()
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			authority, stranger := issue(t, "our authority", nil), issue(t, "another authority", nil)
			own := issue(t, "127.0.0.1", authority)
			dir := t.TempDir()
			ca := writeFile(t, filepath.Join(dir, "ca.pem"), authority.certPEM)
			wrong := writeFile(t, filepath.Join(dir, "wrong.pem"), stranger.certPEM)
			files := testdb.TLSFiles{Cert: own.certPEM, Key: own.secretPEM, CA: authority.certPEM}
			server := ownServer(t, e, func(ctx context.Context, e testdb.Engine) (*testdb.Server, error) {
				return testdb.StartTLS(ctx, e, files)
			})
			tdb := server.New(t)

			connect := func(rawURL string) (*tldwdb.DB, error) {
				t.Helper()
				db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: rawURL, ReconnectWait: -1, ConnectWait: -1})
				if err == nil {
					t.Cleanup(func() {
						if err := db.Close(); err != nil {
							t.Error(err)
						}
					})
				}
				return db, err
			}
			u, err := url.Parse(tdb.URL)
			if err != nil {
				t.Fatal(err)
			}
			password, _ := u.User.Password()
			for _, tt := range []struct{ host, ca, want, hint string }{
				{"", wrong, "unknown authority", "sslrootcert"},
				{"", "", "unknown authority", "ssl_ca"},
				{"localhost", ca, "localhost", "another name"},
			} {
				_, err := connect(tlsURL(t, tdb, nil, tt.host, tt.ca, "", ""))
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(tldwdb.Hint(err), tt.hint) || strings.Contains(err.Error(), password) {
					t.Errorf("host %q, authority %q: %v (hint: %s)", tt.host, tt.ca, err, tldwdb.Hint(err))
				}
			}
			db, err := connect(tlsURL(t, tdb, nil, "", ca, "", ""))
			if err != nil {
				t.Fatal(err)
			}
			encrypted := pick(tdb, "", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "SHOW STATUS LIKE 'Ssl_version'")
			if got := rowsOf(t, db.Pool().DB, encrypted); got != "true" && !strings.Contains(got, "TLSv1") {
				t.Errorf("the connection is not encrypted: %q", got)
			}
			if until, client := tldwdb.CertificatesUntil(db); !until.Equal(own.cert.NotAfter) || !client.IsZero() {
				t.Errorf("the certificates end %v and %v, want %v and none", until, client, own.cert.NotAfter)
			}
			clientCertificates(t, tdb, server, connect, authority, stranger, ca)
		})
	}
}

// clientCertificates signs in with a certificate in place of a password, whose files
// are replaced one after the other.
func clientCertificates(t *testing.T, tdb *testdb.Database, server *testdb.Server, connect func(string) (*tldwdb.DB, error), authority, stranger *identity, ca string) {
	t.Helper()
	admin, err := testdb.Open(tdb.Engine, server.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := admin.Close(); err != nil {
			t.Error(err)
		}
	}()
	execIn(t, admin, pick(tdb, "", "CREATE ROLE signs_with_cert; CREATE ROLE bearer LOGIN IN ROLE signs_with_cert", "CREATE USER bearer@'127.0.0.1' REQUIRE X509"))
	if isMySQL(tdb) {
		execIn(t, admin, "GRANT ALL ON "+tdb.Name()+".* TO bearer@'127.0.0.1'")
	}
	defer execIn(t, admin, pick(tdb, "", "DROP ROLE bearer", "DROP USER bearer@'127.0.0.1'"))
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	first := issue(t, "bearer", authority)
	writeFile(t, certFile, first.certPEM)
	writeFile(t, keyFile, first.secretPEM)
	if _, err := connect(tlsURL(t, tdb, url.User("bearer"), "", ca, "", "")); err == nil || tldwdb.Hint(err) == "" {
		t.Errorf("without a certificate: %v (hint: %s)", err, tldwdb.Hint(err))
	}
	db, err := connect(tlsURL(t, tdb, url.User("bearer"), "", ca, certFile, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil { // before its role is dropped
			t.Error(err)
		}
	}()
	if _, until := tldwdb.CertificatesUntil(db); !until.Equal(first.cert.NotAfter) {
		t.Errorf("the client's certificate ends %v, want %v", until, first.cert.NotAfter)
	}
	db.Pool().SetMaxIdleConns(0) // each ping connects
	bad, next := issue(t, "bearer", stranger), issue(t, "bearer", authority)
	for _, step := range []struct {
		name, file string
		text       []byte
		works      bool
	}{
		{"a certificate without its key", certFile, bad.certPEM, true},
		{"both, of a stranger", keyFile, bad.secretPEM, false},
		{"a new certificate without its key", certFile, next.certPEM, false},
		{"both, new", keyFile, next.secretPEM, true},
	} {
		writeFile(t, step.file, step.text)
		if err := db.Pool().PingContext(t.Context()); (err == nil) != step.works {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// TestTLSMissing: a server without TLS is not sent a password where the URL asks for
// TLS.
func TestTLSMissing(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.MySQL {
			t.Skip("it makes a certificate for itself")
		}
		if has := rowsOf(t, tdb.AdminDB(t), pick(tdb, "", "SHOW ssl", "SELECT @@have_ssl")); has == "on" || has == "YES" {
			t.Skip("this server has TLS")
		}
		for _, word := range []string{"require", "verify-full"} {
			rawURL, _, _ := strings.Cut(tdb.URL, "?")
			rawURL += "?" + pick(tdb, "", "sslmode=", "tls=") + strings.Replace(word, "require", pick(tdb, "", "require", "required"), 1)
			_, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: rawURL, ConnectWait: -1})
			if err == nil || !strings.Contains(tldwdb.Hint(err), "requires TLS") {
				t.Errorf("%s: %v (hint: %s)", word, err, tldwdb.Hint(err))
			}
		}
	})
}

// What was known of a certificate is forgotten when the server turns TLS off.
func TestHealthCertificateGoes(t *testing.T) {
	t.Parallel()
	authority := issue(t, "our authority", nil)
	own := issue(t, "127.0.0.1", authority)
	for e, words := range map[testdb.Engine]struct{ mode, off string }{
		testdb.Postgres: {"sslmode=prefer", "ALTER SYSTEM SET ssl = off; SELECT pg_reload_conf()"},
		testdb.MySQL:    {"tls=preferred", "SET GLOBAL tls_version = ''; ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR"},
	} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			server := ownServer(t, e, func(ctx context.Context, e testdb.Engine) (*testdb.Server, error) {
				return testdb.StartTLS(ctx, e, testdb.TLSFiles{Cert: own.certPEM, Key: own.secretPEM, CA: authority.certPEM})
			})
			tdb := server.New(t)
			d := open(t, tdb, healthFiles, fresh, func(cfg *tldwdb.Config) {
				address, _, _ := strings.Cut(cfg.URL, "?")
				cfg.URL = address + "?" + words.mode
			})
			succeed(t, healthySchema)(d.Up(t.Context()))
			if c := probe(t, d).Check(tldwdb.CheckCertificate); c == nil || c.Status != tldwdb.CheckPass && c.Status != tldwdb.CheckWarn {
				t.Errorf("with TLS: %+v", c)
			}
			admin := tdb.Seen(t, server.AdminURL).AdminDB(t)
			for statement := range strings.SplitSeq(words.off, "; ") {
				execute(t, admin, statement)
			}
			for probe(t, d).Check(tldwdb.CheckCertificate) != nil {
				if t.Context().Err() != nil {
					t.Fatal("the certificate is still spoken of")
				}
				// The probe's own connection is replaced once a minute: it is not waited for.
				for _, id := range column(t, admin, pick(tdb, "", "SELECT pid FROM pg_stat_activity WHERE usename = 'tldw'", "SELECT id FROM "+tdb.Processlist()+" WHERE user = 'tldw'")) {
					_, _ = admin.ExecContext(t.Context(), pick(tdb, "", "SELECT pg_terminate_backend("+id+")", "KILL "+id)) // it may have gone
				}
			}
		})
	}
}
