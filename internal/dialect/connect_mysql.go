package dialect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/tldw/tldwdb/internal/dburl"
)

// mysqlConnector builds a connector of go-sql-driver.
func mysqlConnector(u dburl.URL, o ConnectOptions) (driver.Connector, error) {
	cfg, err := mysqlConfig(u, o)
	if err != nil {
		return nil, err
	}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	// The driver's own timeout covers the dial only: a server that accepts and
	// then says nothing would be waited for without end.
	return &timeoutConnector{Connector: c, timeout: cfg.Timeout}, nil
}

// timeoutConnector bounds a whole attempt to connect.
type timeoutConnector struct {
	driver.Connector
	timeout time.Duration // 0: no limit
}

// Connect opens a connection.
func (c *timeoutConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	return c.Connector.Connect(ctx)
}

// mysqlConfig fills the driver's fields one by one: a DSN as text would need
// quoting that it does not have. Of the settings only those that the user asks
// for by name cost a statement on connect: session variables, a collation, and
// maxAllowedPacket=0.
func mysqlConfig(u dburl.URL, o ConnectOptions) (*mysql.Config, error) {
	cfg := mysql.NewConfig() // UTC, native passwords, liveness check, 64 MiB packets without asking the server
	cfg.User = u.User
	cfg.Passwd, _ = u.Password()
	cfg.DBName = u.Database
	if len(u.Endpoints) > 0 {
		e := u.Endpoints[0]
		if e.Socket != "" {
			cfg.Net, cfg.Addr = "unix", e.Socket
		} else if e.Host != "" || e.Port != 0 {
			port := 3306
			if e.Port != 0 {
				port = e.Port
			}
			host := e.Host
			if host == "" {
				host = "127.0.0.1"
			}
			cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(host, strconv.Itoa(port))
		}
	}
	cfg.ParseTime = true
	cfg.Timeout = o.ConnectTimeout
	cfg.CheckConnLiveness = o.PrePing
	// With the arguments in the text a query is one round trip, not two. The
	// driver refuses it for the character sets in which it would be unsafe.
	cfg.InterpolateParams = true
	cfg.Logger = mysqlLogger{o.Logger}
	for key, value := range u.Params {
		if err := mysqlSetting(cfg, key, value); err != nil {
			return nil, err
		}
	}
	if !strings.Contains(cfg.ConnectionAttributes, "program_name:") {
		name := u.Params["program_name"]
		if name == "" {
			name = applicationName(o)
		}
		attribute := "program_name:" + strings.ReplaceAll(name, ",", "_")
		if cfg.ConnectionAttributes != "" {
			attribute += "," + cfg.ConnectionAttributes
		}
		cfg.ConnectionAttributes = attribute
	}
	if o.Migration {
		// A statement of a migration is sent and recorded by itself, and its
		// times are UTC, whatever suits the application.
		cfg.MultiStatements = false
		cfg.Loc = time.UTC
		cfg.ReadTimeout, cfg.WriteTimeout = 0, 0 // an ALTER TABLE may take hours
	}
	var err error
	if cfg.TLS, err = mysqlTLS(u); err != nil {
		return nil, err
	}
	o.Certificates.watch(cfg.TLS)
	cfg.AllowFallbackToPlaintext = cfg.AllowFallbackToPlaintext || u.Params["tls"] == dburl.TLSPreferred
	cfg.DialFunc = counted((&net.Dialer{}).DialContext)
	err = cfg.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) error {
		if l, ok := loginOf(ctx); ok {
			if l.User != "" {
				c.User = l.User
			}
			if password, given := l.Password.Reveal(); given {
				c.Passwd = password
			}
		}
		return nil
	}))
	return cfg, err
}

// mysqlSetting applies one parameter. Package dburl has checked the key and
// brought the value into the form that is parsed here.
func mysqlSetting(cfg *mysql.Config, key, value string) (err error) {
	on := value == "true"
	switch key {
	case "allowAllFiles":
		cfg.AllowAllFiles = on
	case "allowCleartextPasswords":
		cfg.AllowCleartextPasswords = on
	case "allowFallbackToPlaintext":
		cfg.AllowFallbackToPlaintext = on
	case "allowNativePasswords":
		cfg.AllowNativePasswords = on
	case "allowOldPasswords":
		cfg.AllowOldPasswords = on
	case "checkConnLiveness":
		cfg.CheckConnLiveness = on
	case "clientFoundRows":
		cfg.ClientFoundRows = on
	case "columnsWithAlias":
		cfg.ColumnsWithAlias = on
	case "compress":
		err = cfg.Apply(mysql.EnableCompression(on))
	case "interpolateParams":
		cfg.InterpolateParams = on
	case "multiStatements":
		cfg.MultiStatements = on
	case "parseTime":
		cfg.ParseTime = on
	case "rejectReadOnly":
		cfg.RejectReadOnly = on
	case "collation":
		// The driver silently takes its default for a collation that does not
		// fit into the handshake, unless the character set is named too.
		err = cfg.Apply(mysql.Charset("utf8mb4", value))
	case "connectionAttributes":
		cfg.ConnectionAttributes = value
	case "loc":
		cfg.Loc, err = time.LoadLocation(value)
	case "maxAllowedPacket":
		cfg.MaxAllowedPacket, err = strconv.Atoi(value)
	case "timeTruncate":
		var d time.Duration
		if d, err = time.ParseDuration(value); err == nil {
			err = cfg.Apply(mysql.TimeTruncate(d))
		}
	case "timeout":
		cfg.Timeout, err = time.ParseDuration(value)
	case "readTimeout":
		cfg.ReadTimeout, err = time.ParseDuration(value)
	case "writeTimeout":
		cfg.WriteTimeout, err = time.ParseDuration(value)
	case "tls", "ssl_ca", "ssl_cert", "ssl_key", "program_name":
		// Read where they are used.
	default:
		if cfg.Params == nil {
			cfg.Params = map[string]string{}
		}
		cfg.Params[key] = value
	}
	if err != nil {
		return fmt.Errorf("parameter %s: %w", key, err)
	}
	return nil
}

// mysqlTLS builds the TLS settings by hand: the driver knows a private CA only
// by a name in a global registry.
func mysqlTLS(u dburl.URL) (*tls.Config, error) {
	mode := u.Params["tls"]
	if mode == "" || mode == dburl.TLSOff {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := u.Params["ssl_ca"]; file != "" {
		pem, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
		if err != nil {
			return nil, fmt.Errorf("parameter ssl_ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("parameter ssl_ca: %s holds no certificate in PEM form", file)
		}
	}
	if file := u.Params["ssl_cert"]; file != "" {
		pair, err := tls.LoadX509KeyPair(file, u.Params["ssl_key"])
		if err != nil {
			return nil, fmt.Errorf("parameters ssl_cert and ssl_key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	switch mode {
	case dburl.TLSVerifyIdentity: // the driver sets ServerName from the address
	case dburl.TLSVerifyCA:
		cfg.InsecureSkipVerify = true // replaced by the check below
		cfg.VerifyConnection = verifyChain(cfg.RootCAs)
	default:
		cfg.InsecureSkipVerify = true
	}
	return cfg, nil
}

// verifyChain checks a server's certificate but not the name that it is for.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server sent no certificate")
		}
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		return err
	}
}

// mysqlLogger takes what the driver would print to stderr.
type mysqlLogger struct{ logger *slog.Logger }

// Print implements the driver's Logger.
func (l mysqlLogger) Print(v ...any) {
	l.logger.LogAttrs(context.Background(), slog.LevelDebug, "driver message", slog.String("message", strings.TrimSpace(fmt.Sprint(v...))))
}
