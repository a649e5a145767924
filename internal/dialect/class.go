package dialect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// Fault says in one word what kind of failure an error is. The words are few and
// fixed, so that they can be a label of a metric and an answer to a stranger: none
// of them says which server, table or statement it was.
type Fault string

// The faults. The zero value means no error.
const (
	FaultUnreachable     Fault = "unreachable"          // nobody answers, or the connection broke; a later attempt may do
	FaultTooMany         Fault = "too_many_connections" // the server has given out all that it has, or that this user may have
	FaultPoolExhausted   Fault = "pool_exhausted"       // our own pool had none in time; not told from an error of a server
	FaultAuth            Fault = "auth"                 // the sign-in was refused
	FaultTLS             Fault = "tls"                  // no encryption, or a certificate that is not trusted
	FaultPermission      Fault = "permission"           // signed in, but this account may not do that
	FaultMissingDatabase Fault = "missing_database"     // no such database
	FaultMissingTable    Fault = "missing_table"        // no such table or schema
	FaultTimeout         Fault = "timeout"              // no answer within a limit: of the context, of the connection, of the server
	FaultCanceled        Fault = "canceled"             // somebody gave it up
	FaultReadOnly        Fault = "read_only"            // the server, file or transaction takes no writes
	FaultLocked          Fault = "locked"               // another transaction was in the way: a lock, a deadlock, a serialization failure
	FaultDiskFull        Fault = "disk_full"            // no room for it
	FaultStorage         Fault = "storage"              // the files are damaged or cannot be read
	FaultConstraint      Fault = "constraint"           // a key, a check or NOT NULL refused the row
	FaultData            Fault = "data"                 // a value does not fit its type
	FaultSyntax          Fault = "syntax"               // the statement does not fit the grammar or the schema
	FaultOther           Fault = "other"                // none of these
)

// Faults lists every word that [FaultOf] may answer with, and FaultPoolExhausted.
func Faults() []Fault {
	return []Fault{FaultUnreachable, FaultTooMany, FaultPoolExhausted, FaultAuth, FaultTLS, FaultPermission, FaultMissingDatabase,
		FaultMissingTable, FaultTimeout, FaultCanceled, FaultReadOnly, FaultLocked, FaultDiskFull, FaultStorage, FaultConstraint,
		FaultData, FaultSyntax, FaultOther}
}

// FaultOf says what kind of failure an error of any of the drivers is, however
// deep it is wrapped; it is empty for nil. What the server said goes before what
// the network did, and that before a limit that ended the wait: a connection that
// was refused until the deadline is unreachable and not slow. A context that was
// cancelled goes before all: the rest only followed from it.
func FaultOf(err error) Fault {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.Canceled) {
		return FaultCanceled
	}
	for _, faultOf := range []func(error) Fault{serverFault, clientFault} {
		var found Fault
		walk(err, func(err error) {
			if found == "" {
				found = faultOf(err)
			}
		})
		if found != "" {
			return found
		}
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout() {
		return FaultTimeout
	}
	if Unreachable(err) {
		return FaultUnreachable
	}
	return FaultOther
}

// Refused reports whether a server says that the account lacks a right. MySQL and
// MariaDB say so too of a table that is not there, to an account without a right
// on the whole database.
func Refused(err error) bool {
	refused := false
	walk(err, func(err error) { refused = refused || serverFault(err) == FaultPermission })
	return refused
}

// serverFault reads the code that a server, or SQLite, gave to one error.
func serverFault(err error) Fault {
	//nolint:errorlint // walk visits each error of the tree by itself
	switch e := err.(type) {
	case *mysql.MySQLError:
		return mysqlFault(e)
	case interface{ SQLState() string }: // of pgx and of lib/pq
		return postgresFault(e.SQLState(), err.Error())
	}
	return sqliteFault(err)
}

// postgresFaults are by SQLSTATE, or by the two characters that its class has.
var postgresFaults = map[string]Fault{
	"08":    FaultUnreachable,
	"22":    FaultData,
	"23":    FaultConstraint,
	"28":    FaultAuth,
	"3D":    FaultMissingDatabase,
	"3F":    FaultMissingTable,
	"40":    FaultLocked,
	"42":    FaultSyntax,
	"0A":    FaultSyntax, // feature_not_supported
	"25006": FaultReadOnly,
	"25P03": FaultTimeout, // idle_in_transaction_session_timeout
	"25P04": FaultTimeout, // transaction_timeout
	"40003": FaultUnreachable,
	"40002": FaultConstraint,
	"42501": FaultPermission,
	"42P01": FaultMissingTable,
	"53100": FaultDiskFull,
	"53300": FaultTooMany,
	"55006": FaultLocked, // object_in_use
	"55P03": FaultLocked,
	"57014": FaultTimeout,
	"57P01": FaultUnreachable,
	"57P02": FaultUnreachable,
	"57P03": FaultUnreachable,
	"57P04": FaultMissingDatabase, // database_dropped
	"57P05": FaultTimeout,         // idle_session_timeout
	"58030": FaultStorage,
	"58P01": FaultStorage, // undefined_file
	"XX001": FaultStorage,
	"XX002": FaultStorage,
}

func postgresFault(code, text string) Fault {
	switch {
	case len(code) != 5:
		return ""
	case code == "57014" && strings.Contains(text, "user request"):
		return FaultCanceled
	case code == "08P01" && strings.Contains(text, "no more connections allowed"): // PgBouncer
		return FaultTooMany
	case code == "XX000" && strings.Contains(text, "tuple concurrently "):
		return FaultLocked
	}
	if f, known := postgresFaults[code]; known {
		return f
	}
	if f, known := postgresFaults[code[:2]]; known {
		return f
	}
	return FaultOther
}

// mysqlFaults are the numbers of MySQL, MariaDB and ProxySQL that their SQLSTATE
// says nothing or something else about.
var mysqlFaults = map[Fault][]uint16{
	FaultTooMany:         {1040, 1203, 1226},
	FaultUnreachable:     {1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3032, 4031, 9001},
	FaultAuth:            append([]uint16{1129, 1130, 1251, 1275, 1524}, refusedMySQL...),
	FaultTLS:             {3159},
	FaultPermission:      {1044, 1142, 1143, 1227, 1290, 1370, 1410, 1419},
	FaultMissingDatabase: {1008, 1049},
	FaultMissingTable:    {1051, 1109, 1146},
	FaultTimeout:         {1969, 3024},
	FaultCanceled:        {1317},
	FaultDiskFull:        {1021, 1114},
	FaultStorage:         {1030, 1033, 1034, 1035, 1194, 1195, 1712, 1877},
	FaultConstraint:      {1022, 1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452, 1557, 1586, 1761, 1762, 3819, 4025},
	FaultData:            {1264, 1265, 1292, 1366, 1406, 1411, 1690},
}

// FaultOfMySQL is [FaultOf] for what a client program shows of an error of MySQL or
// MariaDB.
func FaultOfMySQL(number uint16, state, message string) Fault {
	e := &mysql.MySQLError{Number: number, Message: message}
	copy(e.SQLState[:], state)
	return mysqlFault(e)
}

func mysqlFault(e *mysql.MySQLError) Fault {
	var d *mysqlDialect
	switch {
	case d.IsReadOnly(e):
		return FaultReadOnly
	case d.IsLockTimeout(e):
		return FaultLocked
	case d.IsCutOff(e):
		return FaultUnreachable
	case (e.Number == 1026 || e.Number == 1030 || e.Number == 3) && (strings.Contains(e.Message, " 28 ") || strings.Contains(e.Message, "rrcode: 28")):
		return FaultDiskFull // errno 28 of the system: no space left on device
	}
	for fault, numbers := range mysqlFaults {
		if slices.Contains(numbers, e.Number) {
			return fault
		}
	}
	switch string(e.SQLState[:2]) {
	case "08":
		return FaultUnreachable
	case "22":
		return FaultData
	case "23":
		return FaultConstraint
	case "28":
		return FaultAuth
	case "40":
		return FaultLocked
	case "42":
		return FaultSyntax
	}
	return FaultOther
}

// clientFault is of one error that no server has sent. Those that a timeout may
// hide behind are not among them.
func clientFault(err error) Fault {
	//nolint:errorlint // walk visits each error of the tree by itself
	switch e := err.(type) {
	case *tls.CertificateVerificationError, x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, tls.RecordHeaderError, tls.AlertError:
		return FaultTLS
	case *net.DNSError, *notPreferredError:
		return FaultUnreachable
	case *net.OpError:
		if errors.Is(e.Err, fs.ErrPermission) {
			return FaultPermission
		}
		if e.Op == "dial" {
			return FaultUnreachable
		}
	case syscall.Errno:
		switch {
		case e == syscall.ENOSPC:
			return FaultDiskFull
		case e == syscall.EROFS:
			return FaultReadOnly
		case e.Is(fs.ErrPermission):
			return FaultPermission
		case slices.Contains([]syscall.Errno{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ECONNREFUSED}, e):
			return FaultUnreachable
		}
	default:
		switch {
		case e == mysql.ErrNoTLS || e.Error() == "server refused TLS connection": // the latter pgx's
			return FaultTLS
		case e == io.EOF || e == io.ErrUnexpectedEOF || e == driver.ErrBadConn || e == mysql.ErrInvalidConn:
			return FaultUnreachable
		}
	}
	return ""
}
