package dialect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb/internal/dburl"
)

func TestFaultOf(t *testing.T) {
	t.Parallel()
	pg := func(code, text string) error { return &pgconn.PgError{Code: code, Message: text} }
	my := func(number uint16, state, text string) error {
		e := &mysql.MySQLError{Number: number, Message: text}
		copy(e.SQLState[:], state)
		return e
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	slow := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for _, tc := range []struct {
		err  error
		want Fault
	}{
		{nil, ""},
		{errors.New("something"), FaultOther},
		{sql.ErrNoRows, FaultOther},

		{context.Canceled, FaultCanceled},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), FaultTimeout},
		{errors.Join(context.Canceled, refused), FaultCanceled},
		{errors.Join(context.DeadlineExceeded, refused), FaultUnreachable},
		{refused, FaultUnreachable},
		{slow, FaultTimeout},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, FaultUnreachable},
		{&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}, FaultPermission},
		{&net.DNSError{Err: "no such host", Name: "db", IsNotFound: true}, FaultUnreachable},
		{&notPreferredError{errors.New("read only connection")}, FaultUnreachable},
		{driver.ErrBadConn, FaultUnreachable},
		{mysql.ErrInvalidConn, FaultUnreachable},
		{io.ErrUnexpectedEOF, FaultUnreachable},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, FaultTLS},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "db"}, FaultTLS},
		{mysql.ErrNoTLS, FaultTLS},
		{os.NewSyscallError("write", syscall.ENOSPC), FaultDiskFull},

		{pg("08006", "server closed"), FaultUnreachable},
		{pg("08P01", "no more connections allowed (max_client_conn)"), FaultTooMany},
		{pg("57P01", "terminating connection"), FaultUnreachable},
		{pg("57P03", "the database system is starting up"), FaultUnreachable},
		{pg("53300", "too many clients"), FaultTooMany},
		{pg("28P01", "password authentication failed"), FaultAuth},
		{pg("28000", "no pg_hba.conf entry"), FaultAuth},
		{pg("3D000", "no such database"), FaultMissingDatabase},
		{pg("42P01", "no such relation"), FaultMissingTable},
		{pg("3F000", "no such schema"), FaultMissingTable},
		{pg("42501", "permission denied"), FaultPermission},
		{pg("25006", "read-only transaction"), FaultReadOnly},
		{pg("57014", "canceling statement due to statement timeout"), FaultTimeout},
		{pg("57014", "canceling statement due to user request"), FaultCanceled},
		{errors.Join(context.DeadlineExceeded, pg("57014", "canceling statement due to statement timeout")), FaultTimeout},
		{pg("55P03", "lock not available"), FaultLocked},
		{pg("40P01", "deadlock"), FaultLocked},
		{pg("40001", "could not serialize"), FaultLocked},
		{pg("XX000", "tuple concurrently updated"), FaultLocked},
		{pg("XX000", "cache lookup failed"), FaultOther},
		{pg("23505", "duplicate key"), FaultConstraint},
		{pg("22P02", "invalid input syntax for type integer"), FaultData},
		{pg("42601", "syntax error"), FaultSyntax},
		{pg("42703", "no such column"), FaultSyntax},
		{pg("53100", "disk full"), FaultDiskFull},
		{pg("58030", "could not read"), FaultStorage},
		{pg("XX001", "data corrupted"), FaultStorage},
		{pg("P0001", "raised"), FaultOther},

		{my(1040, "08004", "Too many connections"), FaultTooMany},
		{my(1226, "42000", "has exceeded the 'max_user_connections' resource"), FaultTooMany},
		{my(1045, "28000", "Access denied"), FaultAuth},
		{my(3955, "HY000", "Access denied, account is blocked"), FaultAuth},
		{my(1044, "42000", "Access denied to database"), FaultPermission},
		{my(1142, "42000", "SELECT command denied"), FaultPermission},
		{my(1049, "42000", "Unknown database"), FaultMissingDatabase},
		{my(1146, "42S02", "Table doesn't exist"), FaultMissingTable},
		{my(1290, "HY000", "The MySQL server is running with the --read-only option"), FaultReadOnly},
		{my(1290, "HY000", "The MySQL server is running with the --secure-file-priv option"), FaultPermission},
		{my(1792, "25006", "Cannot execute statement in a READ ONLY transaction"), FaultReadOnly},
		{my(1205, "HY000", "Lock wait timeout exceeded"), FaultLocked},
		{my(1213, "40001", "Deadlock found"), FaultLocked},
		{my(3024, "HY000", "maximum statement execution time exceeded"), FaultTimeout},
		{my(1969, "70100", "max_statement_time exceeded"), FaultTimeout},
		{my(1317, "70100", "Query execution was interrupted"), FaultCanceled},
		{my(1062, "23000", "Duplicate entry"), FaultConstraint},
		{my(3819, "HY000", "Check constraint is violated"), FaultConstraint},
		{my(1406, "22001", "Data too long"), FaultData},
		{my(1064, "42000", "You have an error in your SQL syntax"), FaultSyntax},
		{my(1054, "42S22", "Unknown column"), FaultSyntax},
		{my(1021, "HY000", "Disk full"), FaultDiskFull},
		{my(1026, "HY000", "Error writing file './x' (Errcode: 28 \"No space left on device\")"), FaultDiskFull},
		{my(1030, "HY000", "Got error 28 \"No space left on device\" from storage engine"), FaultDiskFull},
		{my(1030, "HY000", "Got error 122 from storage engine"), FaultStorage},
		{my(1047, "08S01", "WSREP has not yet prepared node for application use"), FaultUnreachable},
		{my(1047, "08S01", "Unknown command"), FaultUnreachable},
		{my(3159, "HY000", "Connections using insecure transport are prohibited"), FaultTLS},
		{my(3032, "HY000", "The server is currently in offline mode"), FaultUnreachable},
	} {
		if got := FaultOf(tc.err); got != tc.want {
			t.Errorf("FaultOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
		wrapped := &redactedError{text: "***", err: tc.err}
		if tc.err != nil && FaultOf(wrapped) != tc.want {
			t.Errorf("wrapped: FaultOf(%v) = %q, want %q", tc.err, FaultOf(wrapped), tc.want)
		}
		if tc.want != "" && !slices.Contains(Faults(), tc.want) {
			t.Errorf("Faults lacks %q", tc.want)
		}
	}
}

// SQLite's errors cannot be made by hand: their text is not exported.
func TestFaultOfSQLite(t *testing.T) {
	t.Parallel()
	if SQLiteVersion() == "" {
		t.Skip("without cgo there is no SQLite")
	}
	path := filepath.Join(t.TempDir(), "a.db")
	open := func(o ConnectOptions, params map[string]string) *sql.DB {
		connector, err := Connector(dburl.URL{Dialect: dburl.SQLite, Path: path, Params: params}, o)
		if err != nil {
			t.Fatal(err)
		}
		pool := sql.OpenDB(connector)
		pool.SetMaxOpenConns(1)
		t.Cleanup(func() { _ = pool.Close() })
		return pool
	}
	writer, other, reader := open(ConnectOptions{}, nil), open(ConnectOptions{}, nil), open(ConnectOptions{ReadOnlyPool: true}, nil)
	exec := func(pool *sql.DB, statement string) error {
		_, err := pool.ExecContext(t.Context(), statement)
		return err
	}
	if err := exec(writer, "CREATE TABLE t(a INTEGER NOT NULL UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	if err := exec(writer, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	small := open(ConnectOptions{}, map[string]string{})
	check := func(what string, err error, want Fault) {
		t.Helper()
		if got := FaultOf(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%s: %v is %q, want %q", what, err, got, want)
		}
	}
	check("locked", exec(other, "INSERT INTO t VALUES (2)"), FaultLocked)
	check("read-only", exec(reader, "INSERT INTO t VALUES (3)"), FaultReadOnly)
	check("constraint", exec(writer, "INSERT INTO t VALUES (1)"), FaultConstraint)
	check("no table", exec(other, "SELECT * FROM nowhere"), FaultMissingTable)
	check("syntax", exec(other, "SELEC 1"), FaultSyntax)
	check("no column", exec(other, "SELECT b FROM t"), FaultSyntax)
	if err := exec(writer, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := exec(small, "PRAGMA max_page_count = 2"); err != nil {
		t.Fatal(err)
	}
	check("full", exec(small, "CREATE TABLE big AS SELECT zeroblob(100000)"), FaultDiskFull)
	path = filepath.Join(t.TempDir(), "nowhere", "a.db")
	check("no folder", open(ConnectOptions{}, nil).PingContext(t.Context()), FaultMissingDatabase)
	path = filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(path, []byte("this is not a database, and longer than the header that one hundred bytes hold would be if it were one."), 0o600); err != nil {
		t.Fatal(err)
	}
	check("junk", open(ConnectOptions{}, nil).PingContext(t.Context()), FaultStorage)
}

// One list says what a refusal is, to whoever asks for the class or for the answer.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, number := range refusedMySQL {
		if err := fmt.Errorf("open: %w", &mysql.MySQLError{Number: number}); !LoginRefused(err) || FaultOf(err) != FaultAuth || Refused(err) {
			t.Errorf("error %d is %q", number, FaultOf(err))
		}
	}
	for _, err := range []error{&mysql.MySQLError{Number: 1142}, &mysql.MySQLError{Number: 1044}, &pgconn.PgError{Code: "42501"}} {
		if err := fmt.Errorf("look: %w", err); !Refused(err) || LoginRefused(err) {
			t.Errorf("%v is no refusal", err)
		}
	}
	// The system refuses the socket: the account has nothing to do with it.
	if socket := (&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}); Refused(socket) || Refused(nil) {
		t.Error("no server has said that")
	}
}

// What a server that is not there really looks like, through each driver.
func TestFaultOfNobody(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dburl.Postgres, dburl.MySQL} {
		u, err := dburl.Parse(fmt.Sprintf("%s://a:b@127.0.0.1:%d/c", name, port))
		if err != nil {
			t.Fatal(err)
		}
		connector, err := Connector(u, ConnectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = connector.Connect(t.Context())
		if FaultOf(err) != FaultUnreachable {
			t.Errorf("%s: %v is %q", name, err, FaultOf(err))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = connector.Connect(ctx)
		if FaultOf(err) != FaultCanceled {
			t.Errorf("%s: %v is %q", name, err, FaultOf(err))
		}
	}
}
