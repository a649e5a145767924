package dialect

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"database/sql/driver"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/testdb"
)

// serverURLs are the variables that name real servers.
var serverURLs = []string{"TLDWDB_TEST_POSTGRES_URL", "TLDWDB_TEST_MARIADB_URL", "TLDWDB_TEST_MYSQL_URL"}

// server returns the URL of a real server, or skips the test.
func server(t *testing.T, variable string) dburl.URL {
	t.Helper()
	raw := os.Getenv(variable)
	if raw == "" {
		t.Skipf("%s is not set: no server to test against", variable)
	}
	return mustParse(t, raw)
}

func mustParse(t *testing.T, raw string) dburl.URL {
	t.Helper()
	u, err := dburl.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// connect opens a pool and one connection of it.
func connect(t *testing.T, u dburl.URL, o ConnectOptions) (*sql.DB, *sql.Conn, error) {
	t.Helper()
	connector, err := Connector(u, o)
	if err != nil {
		return nil, nil, err
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := pool.Conn(t.Context())
	return pool, conn, err
}

// asks makes credentials of a callback for the password, as one of Config.Password.
func asks(password func(context.Context) (string, error)) *Credentials {
	return NewCredentials(func(ctx context.Context) (Login, error) {
		text, err := password(ctx)
		return Login{Password: NewSecret(text)}, err
	}, false, 0, slog.New(slog.DiscardHandler))
}

func TestRedact(t *testing.T) {
	t.Parallel()
	cause := errors.New(`failed: p@ss/"word or p%40ss%2F%22word or p@ss/\"word`)
	err := Redact(fmt.Errorf("connect: %w", cause), "", `p@ss/"word`, `p@ss`)
	if got, want := err.Error(), "connect: failed: *** or *** or ***"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the chain is broken")
	}
	if got := Redact(cause, "absent"); got != cause { //nolint:errorlint // the very same
		t.Error("an error with nothing to hide was wrapped")
	}
	if Redact(nil, "x") != nil {
		t.Error("nil became an error")
	}
}

func TestErrorsShowNoPassword(t *testing.T) {
	t.Parallel()
	// Each makes a driver complain, at the settings or at the connection. The
	// port is one where nothing listens.
	for _, raw := range []string{
		"postgres://u:hunter2@127.0.0.1:1/db",
		"postgres://u:hunter2@127.0.0.1:1,[::1]:1/db",
		"postgres://u:hunter2@127.0.0.1:1/db?sslrootcert=/nowhere/ca.pem&sslmode=verify-full",
		"postgres://u:hunter2@127.0.0.1:1/db?service=none",
		"postgres://u:x@127.0.0.1:1/db?statement_cache_capacity=hunter2&sslpassword=hunter2",
		"host=127.0.0.1 port=1 user=u password=hunter2 require_auth=hunter2",
		"mysql://u:hunter2@127.0.0.1:1/db",
		"mysql://u:hunter2@127.0.0.1:1/db?ssl_ca=/nowhere/ca.pem",
		"mysql://u:hunter2@127.0.0.1:1/db?collation=hunter2",
		"u:hunter2@unix(/nowhere/m.sock)/db",
		"sqlite:////nowhere/hunter2x/x.db?_auth_pass=hunter2",
		"file:x.db?_auth_pass=hunter2&_synchronous=hunter2",
	} {
		_, _, err := connect(t, mustParse(t, raw), ConnectOptions{ConnectTimeout: 5 * time.Second})
		if err == nil {
			t.Errorf("no error for case %s", mustParse(t, raw))
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password shows: %v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("something else"), false},
		{refused, true},
		{fmt.Errorf("wrapped: %w", errors.Join(errors.New("other"), refused)), true},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}, true},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}, false},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{io.ErrUnexpectedEOF, true},
		{driver.ErrBadConn, true},
		{mysql.ErrInvalidConn, true},
		{&pgconn.PgError{Code: "57P03"}, true},
		{&pgconn.PgError{Code: "53300"}, true},
		{&pgconn.PgError{Code: "28P01"}, false},
		{&pgconn.PgError{Code: "3D000"}, false},
		{errors.Join(refused, &pgconn.PgError{Code: "28P01"}), false},
		{&mysql.MySQLError{Number: 1040}, true},
		{&mysql.MySQLError{Number: 1045}, false},
		{&mysql.MySQLError{Number: 1049}, false},
		{&notPreferredError{errors.New("read only connection")}, true},
		{Redact(fmt.Errorf("secret: %w", refused), "secret"), true},
	} {
		if got := Unreachable(tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestUnreachableOnRealServers(t *testing.T) {
	t.Parallel()
	for _, variable := range serverURLs {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			good := server(t, variable)
			wrong := func(context.Context) (string, error) { return "wrong", nil }
			if _, _, err := connect(t, good, ConnectOptions{Credentials: asks(wrong)}); err == nil || Unreachable(err) {
				t.Errorf("wrong password: got %v, want an error for which waiting is no cure", err)
			}
			other := good
			other.Database = "tldw_no_such_database"
			if _, _, err := connect(t, other, ConnectOptions{}); err == nil || Unreachable(err) {
				t.Errorf("unknown database: got %v, want an error for which waiting is no cure", err)
			}
			nobody := good
			nobody.Endpoints = []dburl.Endpoint{{Host: "127.0.0.1", Port: 1}}
			if _, _, err := connect(t, nobody, ConnectOptions{}); !Unreachable(err) {
				t.Errorf("nothing listens: got %v, want an unreachable server", err)
			}
		})
	}
}

// TestSilentServer has a server that accepts and says nothing.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, scheme := range []string{"mysql", "postgres"} {
		u := mustParse(t, scheme+"://u:p@"+l.Addr().String()+"/db")
		_, _, err := connect(t, u, ConnectOptions{ConnectTimeout: 20 * time.Millisecond})
		if !errors.Is(err, context.DeadlineExceeded) || !Unreachable(err) {
			t.Errorf("%s: got %v, want a timeout of the attempt", scheme, err)
		}
	}
}

// TestPasswordIsAskedAtEveryConnection rotates the password: the first answer
// is refused, the second one is good.
func TestPasswordIsAskedAtEveryConnection(t *testing.T) {
	t.Parallel()
	for _, variable := range serverURLs {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			u := server(t, variable)
			good, _ := u.Password()
			var mu sync.Mutex
			asked, answer := 0, "stale"
			o := ConnectOptions{Credentials: asks(func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return answer, nil
			})}
			pool, _, err := connect(t, u, o)
			if err == nil {
				t.Fatal("the stale password was taken: the URL's own was used instead of the callback's")
			}
			mu.Lock()
			asked, answer = 0, good
			mu.Unlock()
			for range 3 {
				c, err := pool.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}()
			}
			mu.Lock()
			defer mu.Unlock()
			if asked != 3 {
				t.Errorf("asked %d times for 3 connections", asked)
			}
		})
	}
}

func TestPasswordCallbackFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("vault is sealed")
	for _, raw := range []string{"postgres://u@127.0.0.1:1/db", "mysql://u@127.0.0.1:1/db"} {
		_, _, err := connect(t, mustParse(t, raw), ConnectOptions{Credentials: asks(func(context.Context) (string, error) { return "", cause })})
		if !errors.Is(err, cause) || Unreachable(err) {
			t.Errorf("%s: got %v, want %v, at once", raw, err, cause)
		}
	}
}

func TestServerListsApplication(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct{ param, application, want string }{
			{"", "", applicationName(ConnectOptions{})},
			{"", "billing worker", "billing worker"},
			{"from url", "billing", "from url"},
		} {
			u := server(t, "TLDWDB_TEST_POSTGRES_URL")
			if tt.param != "" {
				u.Params["application_name"] = tt.param
			}
			_, c, err := connect(t, u, ConnectOptions{Application: tt.application})
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := c.QueryRowContext(t.Context(), "SHOW application_name").Scan(&got); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		}
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		cfg, err := mysqlConfig(mustParse(t, "mysql://h/db"), ConnectOptions{Application: "a,b:c"})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := cfg.ConnectionAttributes, "program_name:a_b:c"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestApplicationName(t *testing.T) {
	t.Parallel()
	pid := fmt.Sprintf(":%d", os.Getpid())
	if got := applicationName(ConnectOptions{}); !strings.HasPrefix(got, "tldwdb:") || !strings.HasSuffix(got, pid) || len(got) > 63 {
		t.Errorf("got %q", got)
	}
	if got := applicationName(ConnectOptions{Application: strings.Repeat("é", 70)}); got != strings.Repeat("?", 63) {
		t.Errorf("got %q", got)
	}
}

func TestPostgresNoticeIsLogged(t *testing.T) {
	t.Parallel()
	u := server(t, "TLDWDB_TEST_POSTGRES_URL")
	var log bytes.Buffer
	_, c, err := connect(t, u, ConnectOptions{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "DO $$ BEGIN RAISE NOTICE 'look here'; END $$"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=DEBUG") || !strings.Contains(log.String(), `message="look here"`) {
		t.Errorf("logged: %s", log.String())
	}
}

func TestPostgresConfig(t *testing.T) {
	t.Parallel()
	cfg := func(raw string) *pgx.ConnConfig {
		t.Helper()
		cfg, err := postgresConfig(mustParse(t, raw), ConnectOptions{ConnectTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	c := cfg(`postgres://us%27er:p%27%5C%20w@a:1,[::1]:2,c/d%27%5Cb?sslmode=verify-full&search_path=x,y&connect_timeout=3`)
	if c.User != "us'er" || c.Password != `p'\ w` || c.Database != `d'\b` || c.Host != "a" || c.Port != 1 || len(c.Fallbacks) != 2 || c.Fallbacks[0].Host != "::1" || c.Fallbacks[0].Port != 2 || c.Fallbacks[1].Port != 5432 {
		t.Errorf("the URL did not come through: user %q, database %q, host %q:%d, fallbacks %v", c.User, c.Database, c.Host, c.Port, c.Fallbacks)
	}
	if c.TLSConfig == nil || c.TLSConfig.ServerName != "a" || c.TLSConfig.InsecureSkipVerify {
		t.Error("sslmode=verify-full does not verify")
	}
	if c.RuntimeParams["search_path"] != "x,y" || c.ConnectTimeout != 3*time.Second {
		t.Errorf("parameters: %v, timeout %v", c.RuntimeParams, c.ConnectTimeout)
	}
	// A pooler refuses a start-up packet with a setting that it does not know.
	plain := cfg("postgres://u@h/db?sslmode=disable")
	delete(plain.RuntimeParams, "application_name")
	if len(plain.RuntimeParams) != 0 || plain.ConnectTimeout != time.Minute || plain.TLSConfig != nil {
		t.Errorf("settings that nobody asked for: %v", plain.RuntimeParams)
	}
	if strings.Contains(c.ConnString(), "w") {
		t.Error("the driver was given the password as text")
	}
	if s := cfg("postgres:///db?host=/run/pg&port=7"); s.Host != "/run/pg" || s.Port != 7 || s.TLSConfig != nil {
		t.Errorf("socket: got %s:%d", s.Host, s.Port)
	}
}

func TestMySQLConfig(t *testing.T) {
	t.Parallel()
	ask := ConnectOptions{ConnectTimeout: time.Minute, PrePing: true}
	cfg, err := mysqlConfig(mustParse(t, "mysql+pymysql://us%40er:p%2Fw%3F@[::1]:33/d%2Fb?charset=utf8mb4&read_timeout=30&multiStatements=true&loc=Europe/Berlin"), ask)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.User != "us@er" || cfg.Passwd != "p/w?" || cfg.DBName != "d/b" || cfg.Net != "tcp" || cfg.Addr != "[::1]:33" {
		t.Errorf("the URL did not come through: %q %q %s %s", cfg.User, cfg.DBName, cfg.Net, cfg.Addr)
	}
	if !cfg.ParseTime || !cfg.InterpolateParams || !cfg.MultiStatements || cfg.Loc.String() != "Europe/Berlin" || cfg.ReadTimeout != 30*time.Second ||
		cfg.Timeout != time.Minute || !cfg.CheckConnLiveness || cfg.Collation != "" || len(cfg.Params) != 0 {
		t.Errorf("settings did not come through: %+v", cfg.Params)
	}
	ask.Migration = true
	if cfg, err = mysqlConfig(mustParse(t, "mysql://h/db?multiStatements=true&loc=Europe/Berlin&read_timeout=30"), ask); err != nil {
		t.Fatal(err)
	}
	if cfg.MultiStatements || cfg.Loc != time.UTC || cfg.ReadTimeout != 0 || cfg.Addr != "h:3306" {
		t.Error("a migration's connection has the application's settings")
	}
	if cfg, err = mysqlConfig(mustParse(t, "u@unix(/run/m.sock)/db"), ask); err != nil || cfg.Net != "unix" || cfg.Addr != "/run/m.sock" {
		t.Errorf("socket: got %s %s, %v", cfg.Net, cfg.Addr, err)
	}
	if _, ok := cfg.Logger.(mysqlLogger); !ok {
		t.Error("the driver writes to stderr")
	}
}

// TestMySQLSessionVariables has the settings that cost a statement.
func TestMySQLSessionVariables(t *testing.T) {
	t.Parallel()
	for _, variable := range serverURLs[1:] {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			plain := server(t, variable)
			password, _ := plain.Password()
			u := mustParse(t, plain.String()+"?sql_mode=ANSI_QUOTES&lock_wait_timeout=7&collation=utf8mb4_bin")
			_, c, err := connect(t, u, ConnectOptions{Credentials: asks(func(context.Context) (string, error) { return password, nil })})
			if err != nil {
				t.Fatal(err)
			}
			var mode, wait, collation, charset string
			if err := c.QueryRowContext(t.Context(), "SELECT @@sql_mode, @@lock_wait_timeout, @@collation_connection, @@character_set_client").Scan(&mode, &wait, &collation, &charset); err != nil {
				t.Fatal(err)
			}
			if mode != "ANSI_QUOTES" || wait != "7" || collation != "utf8mb4_bin" || charset != "utf8mb4" {
				t.Errorf("got %s, %s, %s, %s", mode, wait, collation, charset)
			}
		})
	}
}

// certificate makes a key pair, signed by parent or by itself.
func certificate(t *testing.T, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// handshake lets a client with cfg meet a server with a certificate. They talk
// over TCP: in net.Pipe both could wait to write.
func handshake(t *testing.T, cfg *tls.Config, cert tls.Certificate) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c) // until the client has gone, whatever it thought of us
		_ = c.Close()
	}()
	c, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		err = c.Close()
	}
	<-served
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	return err
}

func TestMySQLTLSVerifies(t *testing.T) {
	t.Parallel()
	ca := certificate(t, "our CA", nil)
	stranger := certificate(t, "another CA", nil)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		params string
		cert   tls.Certificate
		want   string // part of the error; "" for success
	}{
		{"ssl_ca=" + caFile, certificate(t, "db.example", &ca), ""},
		{"ssl_ca=" + caFile, certificate(t, "other.example", &ca), "not db.example"},
		{"ssl_ca=" + caFile, certificate(t, "db.example", &stranger), "unknown authority"},
		{"ssl_mode=VERIFY_CA&ssl_ca=" + caFile, certificate(t, "other.example", &ca), ""},
		{"ssl_mode=VERIFY_CA&ssl_ca=" + caFile, certificate(t, "db.example", &stranger), "unknown authority"},
		{"tls=skip-verify", certificate(t, "other.example", &stranger), ""},
		{"tls=true", certificate(t, "db.example", &ca), "unknown authority"},
	} {
		cfg, err := mysqlTLS(mustParse(t, "mysql://db.example/db?"+tt.params))
		if err != nil {
			t.Fatal(err)
		}
		cfg.ServerName = "db.example" // as the driver does
		err = handshake(t, cfg, tt.cert)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with a certificate for %s: got %v, want %q", tt.params, tt.cert.Leaf.Subject.CommonName, err, tt.want)
		}
	}
	if _, err := mysqlTLS(mustParse(t, "mysql://h/db?ssl_ca=/nowhere/ca.pem")); err == nil || !strings.Contains(err.Error(), "ssl_ca") {
		t.Errorf("a missing CA file: got %v", err)
	}
}

func TestNamesTLS(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"sqlite://": true, "postgres://h/db?sslmode=disable": true, "postgres://h/db?sslrootcert=system": true,
		"mysql://h/db": false, "mysql://h/db?ssl_ca=/x": true, "mysql://h/db?tls=false": true,
	} {
		if got := NamesTLS(mustParse(t, raw)); got != want {
			t.Errorf("%s: got %v, want %v", raw, got, want)
		}
	}
}

func TestSQLiteHasWALFault(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"3.46.1": true, "3.51.2": true, "3.51.3": false, "3.52": false, "4.0.0": false, "": false, "trunk": false,
	} {
		if got := SQLiteHasWALFault(version); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	if _, err := Connector(dburl.URL{}, ConnectOptions{}); err == nil {
		t.Error("no error")
	}
}

func TestWalkVisitsTheTree(t *testing.T) {
	t.Parallel()
	a, b := errors.New("a"), errors.New("b")
	var seen []string
	walk(fmt.Errorf("top: %w", errors.Join(a, b)), func(err error) { seen = append(seen, err.Error()) })
	if !slices.Equal(seen, []string{"top: a\nb", "a\nb", "a", "b"}) {
		t.Errorf("visited %q", seen)
	}
}

// TestPostgresPrePing ends a pooled connection on the server. Only a test of
// the connection notices before a statement fails, be it that nothing was heard of
// the server for long or that the farewell is there to be seen.
func TestPostgresPrePing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ ping, aged bool }{{true, true}, {true, false}, {false, true}} {
		ping := tt.ping
		u := server(t, "TLDWDB_TEST_POSTGRES_URL")
		pool, c, err := connect(t, u, ConnectOptions{PrePing: ping})
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if err := c.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		if err := c.Raw(func(raw any) error {
			// As if it had been made an hour ago, or just long enough to be looked at.
			age := time.Hour
			if !tt.aged {
				age = 2 * lookAfter
			}
			raw.(*stdlib.Conn).Conn().PgConn().CustomData()[connectedAt] = time.Now().Add(-age)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, other, err := connect(t, u, ConnectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.ExecContext(t.Context(), "SELECT pg_terminate_backend($1)", pid); err != nil {
			t.Fatal(err)
		}
		for alive := true; alive; {
			if err := other.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid).Scan(&alive); err != nil {
				t.Fatal(err)
			}
		}
		if c, err = pool.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = c.ExecContext(t.Context(), "SELECT 1")
		if ping && err != nil || !ping && err == nil {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

// TestPostgresSeveralHosts has a dead host first, and asks for a server that
// takes writes.
func TestPostgresSeveralHosts(t *testing.T) {
	t.Parallel()
	u := server(t, "TLDWDB_TEST_POSTGRES_URL")
	live := u.Endpoints[0]
	asked := 0
	password, _ := u.Password()
	o := ConnectOptions{Credentials: asks(func(context.Context) (string, error) {
		asked++
		return password, nil
	})}
	u.Endpoints = []dburl.Endpoint{{Host: "127.0.0.1", Port: 1}, live}
	u.Params["target_session_attrs"] = "read-write"
	if _, _, err := connect(t, u, o); err != nil || asked != 1 {
		t.Errorf("got %v; the password was asked %d times, want once", err, asked)
	}
	u.Params["target_session_attrs"] = "standby"
	if _, _, err := connect(t, u, o); !Unreachable(err) {
		t.Errorf("no standby there: got %v, want to be told to wait for one", err)
	}
}

// The application's own queries behind a pooler, as a driver sends them that keeps
// prepared statements: PgBouncer before version 1.21 mixes them up.
func TestPostgresBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, pooler := range testdb.Extra(t, "PGBOUNCER") {
		for _, o := range []ConnectOptions{{}, {Pooled: true}} {
			db := testdb.New(t, testdb.Postgres)
			pool, conn, err := connect(t, mustParse(t, db.Through(t, pooler)), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			pool.SetMaxIdleConns(8)
			exec(t, pool, "CREATE TABLE t (id int PRIMARY KEY, body jsonb, at timestamptz)")
			var wait sync.WaitGroup
			for worker := range 8 {
				wait.Go(func() {
					for i := range 25 {
						id := worker*100 + i
						if _, err := pool.ExecContext(t.Context(), "INSERT INTO t VALUES ($1, $2, $3)", id, `{"a": 1}`, time.Now()); err != nil {
							t.Error(err)
							return
						}
						var a string
						if err := pool.QueryRowContext(t.Context(), "SELECT body->>$1 FROM t WHERE id = $2", "a", id).Scan(&a); err != nil || a != "1" {
							t.Error(a, err)
							return
						}
					}
				})
			}
			wait.Wait()
		}
	}
}

// Who asks for a mode gets it, and a server without a pooler prepares statements.
func TestPostgresQueryModes(t *testing.T) {
	t.Parallel()
	prepared := func(t *testing.T, url string, o ConnectOptions) (n int) {
		t.Helper()
		_, conn, err := connect(t, mustParse(t, url), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }() // the pool is closed too
		for range 2 {
			if err := conn.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_prepared_statements WHERE $1::int = 1", 1).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	db := testdb.New(t, testdb.Postgres)
	if n := prepared(t, db.URL, ConnectOptions{}); n != 1 {
		t.Errorf("a server: %d prepared statements", n)
	}
	if n := prepared(t, db.URL, ConnectOptions{Pooled: true}); n != 0 {
		t.Errorf("a server that is said to be pooled: %d prepared statements", n)
	}
	if n := prepared(t, db.URL+"&default_query_exec_mode=cache_statement", ConnectOptions{Pooled: true}); n != 1 {
		t.Errorf("a mode in the URL: %d prepared statements", n)
	}
}

// TestSilent: the look at a socket sees an end and a farewell, and does not wait for a
// read that is under way: behind a long write pgx leaves a goroutine in one.
func TestSilent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no look at a socket")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing depends on it
	dial := func() (near, far net.Conn) {
		t.Helper()
		if near, err = counted((&net.Dialer{}).DialContext)(t.Context(), "tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if far, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		return near, far
	}
	becomes := func(conn net.Conn, want bool) bool {
		for begun := time.Now(); time.Since(begun) < time.Minute; {
			if silent(conn) == want {
				return true
			}
		}
		return false
	}
	near, far := dial()
	if !silent(near) {
		t.Error("a connection on which nothing was said is not silent")
	}
	looked := make(chan bool, 1)
	read := make(chan struct{}, 2)
	go func() {
		for range 2 {
			_, _ = near.Read(make([]byte, 1)) // the second one ends with the connection
			read <- struct{}{}
		}
	}()
	if _, err := far.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	<-read
	go func() {
		for range 10000 { // in the course of which the second read begins
			silent(near)
		}
		looked <- silent(near)
	}()
	select {
	case quiet := <-looked:
		if !quiet {
			t.Error("not silent during a read")
		}
	case <-time.After(time.Minute):
		t.Error("the look waits for the read")
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	<-read
	if !becomes(near, false) {
		t.Error("the end is not seen")
	}
	other, farewell := dial()
	if _, err := farewell.Write([]byte("E")); err != nil {
		t.Fatal(err)
	}
	if !becomes(other, false) {
		t.Error("a farewell is not seen")
	}
	for _, c := range []net.Conn{near, other, farewell} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
