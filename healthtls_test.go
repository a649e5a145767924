package tldwdb_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// The end of the server's certificate is seen through the connection that is
// there, and warned of in time.
func TestHealthCertificate(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db := testdb.New(t, testdb.Postgres)
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.URL = behindTLS(t, db.URL, 10*24*time.Hour) })
		succeed(t, healthySchema)(d.Up(t.Context()))
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusHealthy, true, tldwdb.CheckCertificate, "")
		if c := h.Check(tldwdb.CheckCertificate); c.Unit != "s" || c.Observed < 9*24*3600 || c.Observed > 10*24*3600 {
			t.Errorf("a certificate of ten days: %+v", c)
		}
	})
	t.Run("mysql", func(t *testing.T) { // one that Oracle's server has made for itself
		t.Parallel()
		db := testdb.New(t, testdb.MySQL)
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.URL += map[bool]string{true: "&", false: "?"}[strings.Contains(cfg.URL, "?")] + "tls=skip-verify"
		})
		succeed(t, healthySchema)(d.Up(t.Context()))
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
		if c := h.Check(tldwdb.CheckCertificate); c == nil || c.Observed < 24*3600 {
			t.Errorf("the server's certificate: %+v", c)
		}
	})
}

// behindTLS is the URL of a PostgreSQL database behind something that speaks TLS,
// with a certificate that ends after left.
func behindTLS(t *testing.T, rawURL string, left time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL cannot be parsed")
	}
	address := u.Host
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { terminateTLS(client, address, settings) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=require"
	return u.String()
}

// terminateTLS serves one connection whose client asks for TLS first.
func terminateTLS(client net.Conn, address string, settings *tls.Config) {
	defer client.Close() //nolint:errcheck // it may be closed
	if _, err := io.ReadFull(client, make([]byte, 8)); err != nil {
		return
	}
	if _, err := client.Write([]byte("S")); err != nil {
		return
	}
	server, err := net.Dial("tcp", address) //nolint:noctx // ends with the client
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it may be closed
	encrypted := tls.Server(client, settings)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{encrypted, server}, {server, encrypted}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // until a side ends
			_ = client.Close()
			_ = server.Close()
		})
	}
	both.Wait()
}
