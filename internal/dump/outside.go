package dump

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// Outside is an error of a program that came from the server or its machine, and says
// nothing of what was loaded: it may well be good.
type Outside struct{ Err error }

// Error says what is wrong.
func (o *Outside) Error() string { return o.Err.Error() }

// Unwrap returns the cause.
func (o *Outside) Unwrap() error { return o.Err }

// judge marks the error of a program that was loading if it came from outside: because
// that can be read in what it complained of, or because the server does not answer.
func (t Target) judge(ctx context.Context, err error, outside bool) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if !outside {
		ping, cancel := context.WithTimeout(ctx, connectWait)
		defer cancel()
		outside = t.DB.PingContext(ping) != nil
	}
	if outside {
		return &Outside{err}
	}
	return err
}

// mysqlCode is how MySQL's clients begin with what the server, or they themselves, say.
var mysqlCode = lazyregexp.New(`(?m)^ERROR (\d+) \((\w{5})\)[^:]*: (.*)$`)

// mysqlOutside are the kinds of fault that a good dump may meet with.
var mysqlOutside = []dialect.Fault{
	dialect.FaultUnreachable, dialect.FaultTooMany, dialect.FaultAuth, dialect.FaultTLS, dialect.FaultPermission, dialect.FaultTimeout,
	dialect.FaultCanceled, dialect.FaultReadOnly, dialect.FaultLocked, dialect.FaultDiskFull, dialect.FaultStorage,
}

// mysqlLost are the numbers that clients give to a connection that was not had or has
// broken, or for which there was no memory.
var mysqlLost = []uint64{2002, 2003, 2005, 2006, 2008, 2012, 2013, 2026, 2027, 2055}

func outsideMySQL(complaints string) bool {
	m := mysqlCode.FindStringSubmatch(complaints)
	if m == nil {
		return false
	}
	number, err := strconv.ParseUint(m[1], 10, 16)
	if err != nil {
		return false
	}
	return slices.Contains(mysqlLost, number) || slices.Contains(mysqlOutside, dialect.FaultOfMySQL(uint16(number), m[2], m[3]))
}

// postgresOutside are words of libpq, of the server and of the system. Codes are not
// shown by pg_restore.
var postgresOutside = []string{
	"closed the connection unexpectedly", "connection to server", "could not connect to server", "no connection to the server", "connection not open",
	"could not receive data from server", "could not send data to server", "SSL connection has been closed", "SSL SYSCALL error", "password authentication failed",
	"terminating connection", "the database system is", "too many clients", "remaining connection slots", "too many connections",
	"canceling statement due to", "deadlock detected", "in a read-only transaction", "in hot standby mode", "out of memory", "out of shared memory",
	"No space left on device", "Disk quota exceeded", "Input/output error", "Cannot allocate memory", "Too many open files",
}

// outsidePostgres reads the lines that pg_restore begins. What follows them may be of a
// statement or a row.
func outsidePostgres(complaints string) bool {
	for line := range strings.Lines(complaints) {
		said, ok := strings.CutPrefix(line, "pg_restore: ")
		if ok && slices.ContainsFunc(postgresOutside, func(words string) bool { return strings.Contains(said, words) }) {
			return true
		}
	}
	return false
}
