// Package dialect holds everything that differs between the database engines:
// SQL text, driver imports, and what the engines' errors mean. It answers
// questions and runs single statements; what happens in which order is decided
// above, once for all of them.
package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// The names of the dialects, as they stand in folder names and log lines.
// MySQL serves MariaDB too.
const (
	NameSQLite   = "sqlite"
	NamePostgres = "postgres"
	NameMySQL    = "mysql"
)

// Dialect is one engine's part of the work. A value belongs to one pool.
type Dialect interface {
	// Name is one of the Name constants.
	Name() string
	// ScanOptions are the rules by which migration files are split. They are
	// exact once Inspect has seen the server.
	ScanOptions() sqlscan.Options

	// Literal writes a string as an SQL literal that means the same in every
	// session mode that a migration file might have set.
	Literal(s string) string
	// Qualify quotes a table name, with the schema or database that it is in.
	// An empty schema is left out.
	Qualify(schema, table string) string
	// Identifier quotes a name that stands alone, such as a column's.
	Identifier(name string) string
	// Now is the server's clock, as an expression.
	Now() string
	// ElapsedMS is the time since a column's value, in milliseconds.
	ElapsedMS(column string) string
	// TimeText renders a column as RFC 3339 text in UTC.
	TimeText(column string) string
	// HistoryDDL creates the history table, if it is not there.
	HistoryDDL(table string) []string
	// TablesNamed is a query for the columns of every table with one of these
	// names, whatever their case: rows of schema (empty where the name alone leads
	// there), table and column, a table's columns together and in order. A name
	// "schema.table" is also looked for in that schema.
	TablesNamed(names []string) string
	// IsNoTable reports whether an error means that a table does not exist.
	IsNoTable(err error) bool
	// IsDuplicate reports whether an error means that a row or table is there
	// already.
	IsDuplicate(err error) bool
	// IsThere reports whether an error means that what a statement was to make is
	// there: a table, a column, an index, a routine, a schema.
	IsThere(err error) bool

	// IsNullViolation reports whether an error means that a column was to become
	// NULL that may not: so the history's own statements fail that are not this
	// run's to make any more.
	IsNullViolation(err error) bool

	// QueryArgs are arguments that make the driver send a query without
	// parameters in one round trip.
	QueryArgs() []any

	// Condition tells what an operator wants to know beside that, of a server that
	// has been inspected.
	Condition(ctx context.Context, c *sql.Conn, f Facts) (Condition, error)

	HealthQueries

	// Inspect tells what is at the other end of a connection. table is the
	// unqualified name of the history table.
	Inspect(ctx context.Context, c *sql.Conn, table string) (Facts, error)
	// Prepare sets up a connection for migrating.
	Prepare(ctx context.Context, c *sql.Conn, s Session) error
	// Lock is the migration lock for the database that f describes.
	Lock(f Facts, table string) Lock
	// Lease is the lease of that database. table is the unqualified name of the
	// history table, beside which the lease has one of its own, with _lease at its
	// end. owner is what other processes are told about the holder. A lease that is
	// not renewed with Beat ends after term. It returns an error where the engine
	// has no need of a lease, as SQLite.
	Lease(f Facts, table, owner string, term time.Duration) (*Lease, error)

	// TransactionalDDL reports whether DDL can be rolled back. Where it cannot,
	// every file runs through the journal, and DDL commits what is open.
	TransactionalDDL() bool
	// RowsAsTable reports whether WITH list (a, b) AS (VALUES (1, 2), (3, 4)) is a
	// table: many rows can then be written without what they have in common.
	RowsAsTable() bool
	// Begin are the statements that open a migration's transaction.
	Begin(s Session) []string
	// Timeouts are the statements that set a session's limits, outside a
	// transaction. Zero durations mean no limit.
	Timeouts(s Session) []string
	// Reclaim are statements that take back the identity that the connection
	// came with, so that the history can be written after a file that became
	// another role.
	Reclaim() []string
	// Restore are statements that undo what a file may have set in the session.
	// They work inside a transaction too.
	Restore(s Session) []string
	// DropTemporary is the statement that takes away what a statement of
	// ClassTemporary made, or empty where Restore or a SessionKeeper does that.
	DropTemporary(st sqlscan.Statement) string
	// ExecScript runs statements in order and stops at the first error. It
	// returns how many were completed, or -1 with an error where that cannot be
	// said: several were sent at once, and the connection broke or was given up.
	// limit bounds each statement where the server does not do that by itself; 0
	// means no limit.
	ExecScript(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, limit time.Duration) (done int, err error)

	// Class says how a statement has to be treated.
	Class(st sqlscan.Statement) Class
	// SessionState stands for everything that a routine can have changed in a
	// session without saying so.
	SessionState(ctx context.Context, c *sql.Conn) (string, error)
	// MayHide reports whether a statement of ClassData may call something that
	// changes the session. It is asked where DDL is transactional.
	MayHide(st sqlscan.Statement) bool
	// Values says what a statement reads from its session and leaves in it.
	Values(st sqlscan.Statement) Values
	// Fingerprint is an expression whose value changes when the statement takes
	// effect, or an empty string when the server cannot tell. The session in
	// which it is read decides where unqualified names lead.
	Fingerprint(st sqlscan.Statement) string
	// Definitions says of each object that the statement is about what the server
	// has now, for people to read.
	Definitions(ctx context.Context, c *sql.Conn, st sqlscan.Statement) ([]string, error)
	// Rerun cleans up after a statement that was interrupted or failed, such as
	// an invalid index, before it runs again. done means that it brought the
	// statement to its end: it must not run again.
	Rerun(ctx context.Context, c *sql.Conn, st sqlscan.Statement) (done bool, err error)

	// IsReadOnly reports whether an error means that the server or file takes no
	// writes.
	IsReadOnly(err error) bool
	// IsLockTimeout reports whether an error ended a wait for a lock, or lost a
	// deadlock: the transaction or statement may be tried again.
	IsLockTimeout(err error) bool
	// Position is where in the statement the server saw a fault: character, 1-based, or
	// line, 1-based. Zero means unknown.
	Position(err error) (character, line int)
	// Hint is advice for an error of the server that has a usual remedy, or empty.
	Hint(err error) string
	// Concat joins expressions of text.
	Concat(parts ...string) string

	// Client writes scripts for the engine's own program.
	Client(o ClientOptions) Client

	Auditor
}

// Facts is what Inspect found.
type Facts struct {
	Database string // name of the database; the file of a SQLite database
	Schema   string // where the history table is, or will be
	Server   string // product and version
	Session  int64  // the server's number for this connection; 0 on SQLite
	ReadOnly bool   // the server or file takes no writes
	Version  int    // server_version_num on PostgreSQL; 0 elsewhere
	InMemory bool   // SQLite: the database is gone with its connection
	Cluster  string // one of the Cluster constants; empty for a server that is alone
	Proxied  bool   // something that may share sessions stands before a PostgreSQL server, or it cannot be told
	// IdleLimit is how long the server waits for the next word of this session
	// before it ends it, as the session came; 0 on other engines than MySQL.
	IdleLimit time.Duration
}

// Release is the version of the server in digits, as rules are told it: 15.4 or 10.11.6;
// empty where it is not known.
func (f Facts) Release() string {
	if f.Version > 0 {
		return fmt.Sprintf("%d.%d", f.Version/10000, f.Version%100)
	}
	for word := range strings.FieldsSeq(f.Server) {
		number, _, _ := strings.Cut(word, "-")
		parts := strings.Split(number, ".")
		if len(parts) > 1 && len(parts) < 5 && strings.Trim(number, "0123456789.") == "" {
			return strings.Join(parts[:min(len(parts), 3)], ".")
		}
	}
	return ""
}

// Session is how a migration connection is set up.
type Session struct {
	LockTimeout      time.Duration // longest wait for a lock of a table or row; 0: no limit; negative: the server's own
	StatementTimeout time.Duration // 0: no limit
	// Idle ends a transaction in which the client has done nothing for so long:
	// a holder that was stopped keeps the fence of a [Lease] until then. 0: the
	// server's own setting; negative: no limit, as for a Go migration, which may
	// think between two statements. MySQL has no such limit; there the next holder
	// ends the session.
	Idle time.Duration
	// Kept says that Begin leaves the session's limits as a file has set them.
	Kept bool
	// Pooled says that the server's connection is others' too between two
	// transactions: no setting of ours may stay on it.
	Pooled bool
	Facts  Facts
}

// Lock is the migration lock of one database. It belongs to one connection.
type Lock interface {
	// Try waits at most about slice for the lock. It must not wait longer: a
	// long wait inside a lock call deadlocks with CREATE INDEX CONCURRENTLY.
	//
	// With the lock the session has what makes the server end it soon after its
	// host has fallen silent; without it the session is as it was.
	Try(ctx context.Context, c *sql.Conn, slice time.Duration) (bool, error)
	// Unlock gives the lock back and reads the answer: false means that it was
	// not held any more. What Try has set in the session goes with it.
	Unlock(ctx context.Context, c *sql.Conn) (bool, error)
	// Holder describes who has the lock, as far as can be seen; it may be empty.
	Holder(ctx context.Context, c *sql.Conn) (string, error)
	// Excludes proves the lock: while it is held, second must fail to get it.
	// second is nil where the proof needs no connection.
	Excludes(ctx context.Context, second *sql.Conn) (bool, error)
	// NeedsConnection reports whether Excludes and Abandon need a second
	// connection.
	NeedsConnection() bool
	// Abandon ends the session that held the lock, after its connection was lost:
	// the server would go on with its statement, and might even begin the packet
	// that was sent last. It returns when that session has ended. second is nil
	// where no session is left on a server.
	Abandon(ctx context.Context, second *sql.Conn) error
	// Waits reports whether Try waits by itself. Where it does not, the caller
	// pauses between two tries.
	Waits() bool
	// Kind names the mechanism, for the log.
	Kind() string
}

// Class says how a statement has to be treated.
type Class uint8

// The classes of statements.
const (
	// ClassData changes rows only, and can be committed with its journal entry.
	ClassData Class = iota
	// ClassSchema changes the schema. It commits by itself where DDL is not
	// transactional.
	ClassSchema
	// ClassAlone cannot run inside a transaction, on engines whose DDL is
	// transactional otherwise, or not with autocommit off, on the others.
	ClassAlone
	// ClassSession changes the session only: it is run again when a half-applied
	// migration is resumed.
	ClassSession
	// ClassRepeatable may run twice without harm. Most of it commits by itself, and
	// not all.
	ClassRepeatable
	// ClassOpaque may do anything, such as CALL: whether it took effect cannot
	// be seen.
	ClassOpaque
	// ClassTransaction begins or ends a transaction, which is the runner's
	// business.
	ClassTransaction
	// ClassTemporary makes something that ends with the session: a migration
	// cannot be resumed behind it.
	ClassTemporary
)

// FingerprintInvalid is the value of a fingerprint that means: the statement
// began, did not finish, and left something to clean up with Rerun.
const FingerprintInvalid = "invalid"

// ForeignKeyGuard is implemented by an engine whose foreign keys have to be
// off while a table is rebuilt.
type ForeignKeyGuard interface {
	// SuspendForeignKeys turns enforcement off, outside a transaction, and
	// returns the way back.
	SuspendForeignKeys(ctx context.Context, c *sql.Conn) (restore func(context.Context) error, err error)
	// Violations counts the rows that break a foreign key, by child table and
	// parent.
	Violations(ctx context.Context, c *sql.Conn) (map[string]int, error)
}

// ClusterNode is implemented by an engine whose server may be a node that loses
// its cluster, answers all the same, and comes back.
type ClusterNode interface {
	// IsCutOff reports whether an error means that the node has lost its cluster.
	IsCutOff(err error) bool
}

// SessionKeeper is implemented by an engine whose session settings cannot be
// reset as a whole: they are compared and set back one by one.
type SessionKeeper interface {
	Snapshot(ctx context.Context, c *sql.Conn) (map[string]string, error)
	RestoreSnapshot(ctx context.Context, c *sql.Conn, before map[string]string) error
	// Forget is the statement that takes away values that a snapshot does not
	// have, or empty.
	Forget(values []string) string
}

// StatementRewriter is implemented by an engine in which some statements of a
// file would get in the way of the journal.
type StatementRewriter interface {
	// Rewrite returns the text to run instead.
	Rewrite(st sqlscan.Statement, historyTable string) string
}

// StatementRefuser is implemented by an engine in which some statements can run,
// but leave what nobody can clean up safely when they are cut short.
type StatementRefuser interface {
	// Refuse says why the statement is not taken, and what to write instead. It is
	// empty for one that is.
	Refuse(st sqlscan.Statement) string
}

// AutocommitSwitch is implemented by an engine that is worked with autocommit
// off, and in which a SET of a file can switch it, together with other things.
type AutocommitSwitch interface {
	// Autocommit is the statement that turns it on or off.
	Autocommit(on bool) string
	// WithoutAutocommit is the SET without that: empty when it does nothing else,
	// and as it was where the two cannot be told apart. ok says that it leaves
	// autocommit alone.
	WithoutAutocommit(st sqlscan.Statement) (rest string, ok bool)
	// OutsideTransaction reports whether a statement of ClassSession is refused while
	// a transaction is open. With autocommit on, which a file is written for, none is.
	OutsideTransaction(st sqlscan.Statement) bool
}

// Repeater is implemented by an engine that refuses the second run of statements
// which have no more effect then, those of [ClassRepeatable].
type Repeater interface {
	// HasRun reports whether err, of a statement that may have run before, says
	// that there is nothing left to do.
	HasRun(st sqlscan.Statement, err error) bool
}

// LastingRows is implemented by an engine some of whose tables take part in no
// transaction.
type LastingRows interface {
	// Lasting knows these tables, for one connection.
	Lasting() *Lasting
}

// New returns the dialect with the given name. native says that the pool uses
// the driver that this package imports for it, so that the driver's own API can
// be used.
func New(name string, native bool) (Dialect, error) {
	switch name {
	case NameSQLite:
		return &sqlite{}, nil
	case NamePostgres:
		return &postgres{native: native}, nil
	case NameMySQL:
		return &mysqlDialect{}, nil
	}
	return nil, fmt.Errorf("unknown dialect %q", name)
}

// Offline returns a dialect that is asked for texts only, without a server. name
// may also be mariadb: that is NameMySQL, for a server that Inspect would find to
// be MariaDB.
func Offline(name string) (Dialect, error) {
	if name == "mariadb" {
		d := &mysqlDialect{}
		d.mariaDB.Store(true)
		return d, nil
	}
	if d, err := New(name, false); err == nil {
		return d, nil
	}
	return nil, fmt.Errorf("unknown dialect %q: known are sqlite, postgres, mysql and mariadb", name)
}

// ErrNoRow means that a query for one row had no answer.
var ErrNoRow = errors.New("the server gave no answer")

// Teller is a [Dialect] whose ExecScript sends several statements at once, and
// that can do so and yet say which one is running.
type Teller interface {
	// ExecTold is ExecScript, and calls told with the index of each statement that
	// the server comes to. It costs the server a message for each statement, and
	// nobody a round trip.
	ExecTold(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, told func(k int)) (done int, err error)
}

// execEach is ExecScript for drivers that take one statement at a time.
func execEach(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, limit time.Duration) (int, error) {
	for i, st := range list {
		if err := execOne(ctx, c, st.Text, limit); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

func execOne(ctx context.Context, c *sql.Conn, text string, limit time.Duration) error {
	if limit <= 0 {
		_, err := c.ExecContext(ctx, text)
		return err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := c.ExecContext(limited, text)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("the statement ran longer than its limit of %s: %w", limit, err)
	}
	return err
}

// untilGone asks until the answer is false, or ctx ends: often at first, and then
// as what may take hours deserves.
func untilGone(ctx context.Context, c *sql.Conn, query string, args []any) error {
	const longest = 200 * time.Millisecond
	pause := 5 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		var there bool
		if err := QueryRow(ctx, c, query, args, &there); err != nil || !there {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(pause*5/4, longest)
		timer.Reset(pause)
	}
}

// Queryer is a connection, or a transaction on one.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// QueryRow reads a single row, to its end: an error may follow it. It returns
// ErrNoRow when there is none.
func QueryRow(ctx context.Context, c Queryer, query string, args []any, dest ...any) (err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNoRow
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	for rows.Next() { // to the end: an error may follow the row
		continue
	}
	return rows.Err()
}
