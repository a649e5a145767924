package dialect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/tldw/tldwdb/internal/dburl"
)

// Certificates remembers until when the certificates of the newest connection
// with TLS are valid. The zero value is ready; several connectors may share one.
type Certificates struct {
	mu             sync.Mutex
	server, client time.Time
}

// Server is the end of the server's certificate, or of the one of its authorities
// that ends first. It is the zero time when no connection with TLS has been made.
func (c *Certificates) Server() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Client is the end of the certificate with which this process signs in; the zero
// time when it has none.
func (c *Certificates) Client() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client
}

// watch makes every handshake of cfg leave its dates in c. A driver that is handed
// a configuration copies it, and the hook goes along; of MySQL's nothing else
// shows the certificate.
func (c *Certificates) watch(cfg *tls.Config) {
	if c == nil || cfg == nil {
		return
	}
	var client time.Time
	for _, own := range cfg.Certificates {
		if own.Leaf != nil {
			client = own.Leaf.NotAfter
		}
	}
	check := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if check != nil {
			if err := check(state); err != nil {
				return err
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.server, c.client = validUntil(state), client
		return nil
	}
}

// validUntil is when the server stops being trusted: at the end of the chain that
// lasts longest. Where no chain was built, as with tls=skip-verify, the server's
// own certificate counts alone, for what else it sends need not belong to it.
func validUntil(state tls.ConnectionState) time.Time {
	var longest time.Time
	for _, chain := range state.VerifiedChains {
		end := chain[0].NotAfter
		for _, authority := range chain[1:] {
			if authority.NotAfter.Before(end) {
				end = authority.NotAfter
			}
		}
		if end.After(longest) {
			longest = end
		}
	}
	if longest.IsZero() && len(state.PeerCertificates) > 0 {
		return state.PeerCertificates[0].NotAfter
	}
	return longest
}

// connectHint is advice for a connection that was not made.
func connectHint(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is not signed by an authority that this process knows: name the file with the right one in the URL, by sslrootcert (PostgreSQL) or ssl_ca (MySQL)"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is for another name than the URL's: write the name that is in the certificate"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the server's certificate has expired, or is not valid yet by this machine's clock: renew it on the server"
	}
	switch {
	case errors.Is(err, mysql.ErrNoTLS), err != nil && strings.Contains(err.Error(), "server refused TLS connection"):
		return "the URL requires TLS and the server has none: switch it on there; to take TLS out of the URL would send everything in plain text"
	case LoginRefused(err):
		return "the server refuses this user, password or client certificate: compare the secret with the server's; if it has just been changed, the place that it is read from may be behind"
	}
	return ""
}

// postgresTLS is every TLS configuration that pgx may use for a connection: one
// for each host, and for each of the attempts that sslmode=prefer makes.
func postgresTLS(cfg *pgx.ConnConfig) []*tls.Config {
	all := []*tls.Config{cfg.TLSConfig}
	for _, f := range cfg.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	return all
}

// connectionFiles are the files that the driver reads when its settings are made
// and never again: certificates, keys, and PostgreSQL's file of passwords.
func connectionFiles(u dburl.URL) []string {
	var files []string
	switch u.Dialect {
	case dburl.MySQL:
		files = []string{u.Params["ssl_ca"], u.Params["ssl_cert"], u.Params["ssl_key"]}
	case dburl.Postgres:
		home, homeErr := os.UserHomeDir()
		for _, f := range []struct{ parameter, variable, usual string }{
			{"sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt"},
			{"sslcert", "PGSSLCERT", ".postgresql/postgresql.crt"},
			{"sslkey", "PGSSLKEY", ".postgresql/postgresql.key"},
			{"passfile", "PGPASSFILE", ".pgpass"},
		} {
			name := u.Params[f.parameter]
			if name == "" {
				name = os.Getenv(f.variable)
			}
			if name == "" && homeErr == nil {
				name = filepath.Join(home, filepath.FromSlash(f.usual))
			}
			files = append(files, name)
		}
	}
	named := files[:0]
	for _, name := range files {
		if name != "" && name != "system" { // PostgreSQL's word for the system's authorities
			named = append(named, name)
		}
	}
	return named
}

// reloadingConnector makes the driver's connector anew when a file has changed
// that it was made from, as a certificate's does that is renewed every few weeks.
// The files are read for each new connection: what that costs is little beside a
// handshake, and no file system's idea of a time of change has to be trusted.
type reloadingConnector struct {
	driver.Connector // the first one, for its Driver
	build            func() (driver.Connector, error)
	files            []string
	logger           *slog.Logger

	mu      sync.Mutex
	current driver.Connector
	made    []byte // sum of the files that current was made from
	refused []byte // sum of files that nothing could be made from
}

// newReloadingConnector builds the first connector, or fails as build does.
func newReloadingConnector(files []string, logger *slog.Logger, build func() (driver.Connector, error)) (driver.Connector, error) {
	sum := sumOf(files)
	c, err := build()
	if err != nil || len(files) == 0 {
		return c, err
	}
	return &reloadingConnector{Connector: c, build: build, files: files, logger: logger, current: c, made: sum}, nil
}

// Connect opens a connection with what the files say now.
func (c *reloadingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	return c.latest(ctx).Connect(ctx)
}

// latest follows the files. Between two of them that are replaced one after the
// other, a certificate does not fit its key: what worked before is used until they
// fit again.
func (c *reloadingConnector) latest(ctx context.Context) driver.Connector {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sumOf(c.files)
	if bytes.Equal(sum, c.made) {
		return c.current
	}
	next, err := c.build()
	if err != nil {
		if !bytes.Equal(sum, c.refused) {
			c.refused = sum
			c.logger.WarnContext(ctx, "the files for connections have changed and cannot be used; the ones before stay in force", "error", err)
		}
		return c.current
	}
	c.current, c.made, c.refused = next, sum, nil
	c.logger.InfoContext(ctx, "the files for connections have changed: new connections use them")
	return next
}

// sumOf tells one content of files from another. That a file is not there, or may
// not be read, is a content too.
func sumOf(files []string) []byte {
	h := sha256.New()
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // the operator's own setting
		if err != nil {
			_, _ = h.Write([]byte{0})
			continue
		}
		one := sha256.Sum256(text)
		_, _ = h.Write(append([]byte{1}, one[:]...))
	}
	return h.Sum(nil)
}
