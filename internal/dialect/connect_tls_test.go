package dialect

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePEM writes a certificate, and its key if there is to be one.
func writePEM(t *testing.T, file, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCertificates: the dates of a handshake are known afterwards, on both engines
// and however the certificate is checked.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := certificate(t, "our CA", nil)
	leaf := certificate(t, "db.example", &ca)
	caFile := writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", ca.Certificate[0])
	expired := 0
	for _, raw := range []string{
		"mysql://db.example/db?ssl_ca=" + caFile,
		"mysql://db.example/db?ssl_mode=VERIFY_CA&ssl_ca=" + caFile,
		"mysql://db.example/db?tls=skip-verify",
		"postgres://db.example/db?sslmode=verify-full&sslrootcert=" + caFile,
		"postgres://db.example/db?sslmode=verify-ca&sslrootcert=" + caFile,
		"postgres://db.example/db?sslmode=require",
		"postgres://db.example/db?sslmode=prefer",
		"postgres://db.example/db?sslmode=allow",
	} {
		var seen Certificates
		u := mustParse(t, raw)
		o := ConnectOptions{Certificates: &seen}
		var all []*tls.Config
		if u.Dialect == NameMySQL {
			cfg, err := mysqlConfig(u, o)
			if err != nil {
				t.Fatal(err)
			}
			all = []*tls.Config{cfg.TLS}
		} else {
			cfg, err := postgresConfig(u, o)
			if err != nil {
				t.Fatal(err)
			}
			all = postgresTLS(cfg)
		}
		shook := 0
		for _, cfg := range all {
			if cfg == nil {
				continue // in plain text
			}
			cfg.ServerName = "db.example" // as the drivers do
			if err := handshake(t, cfg.Clone(), leaf); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			shook++
		}
		if shook == 0 || !seen.Server().Equal(leaf.Leaf.NotAfter) || !seen.Client().IsZero() {
			t.Errorf("%s: after %d handshakes, server %v, client %v; want %v", raw, shook, seen.Server(), seen.Client(), leaf.Leaf.NotAfter)
		}
		if all[0] == nil || all[0].InsecureSkipVerify {
			continue // only crypto/tls itself verifies by the clock of its configuration
		}
		all[0].Time = func() time.Time { return leaf.Leaf.NotAfter.Add(time.Hour) }
		err := handshake(t, all[0], leaf)
		if err == nil || !strings.Contains(connectHint(err), "expired") {
			t.Errorf("%s: an expired certificate: %v (hint: %s)", raw, err, connectHint(err))
		}
		expired++
	}
	if expired != 2 {
		t.Errorf("an expired certificate was shown %d times", expired)
	}
}
