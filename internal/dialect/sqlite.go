package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tldw/tldwdb/internal/filelock"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// sqlite is SQLite through the cgo driver.
type sqlite struct{}

func (*sqlite) Name() string                           { return NameSQLite }
func (*sqlite) ScanOptions() sqlscan.Options           { return sqlscan.Options{Dialect: sqlscan.SQLite} }
func (*sqlite) Concat(parts ...string) string          { return "(" + strings.Join(parts, " || ") + ")" }
func (*sqlite) TransactionalDDL() bool                 { return true }
func (*sqlite) RowsAsTable() bool                      { return true }
func (*sqlite) QueryArgs() []any                       { return nil }
func (*sqlite) Now() string                            { return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" }
func (*sqlite) TimeText(column string) string          { return column }
func (*sqlite) Fingerprint(sqlscan.Statement) string   { return "" }
func (*sqlite) Position(error) (character, line int)   { return 0, 0 }
func (*sqlite) Timeouts(Session) []string              { return nil }
func (*sqlite) Reclaim() []string                      { return nil }
func (*sqlite) Restore(Session) []string               { return nil } // see Snapshot
func (*sqlite) DropTemporary(sqlscan.Statement) string { return "" }  // see Snapshot
func (*sqlite) Rerun(context.Context, *sql.Conn, sqlscan.Statement) (bool, error) {
	return false, nil
}

func (*sqlite) Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Qualify names the main database, so that a temporary or attached table of the
// same name cannot come between.
func (s *sqlite) Qualify(_, table string) string {
	return "main." + s.Identifier(table)
}

func (*sqlite) Identifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (*sqlite) ElapsedMS(column string) string {
	return "(julianday('now') - julianday(" + column + ")) * 86400000.0"
}

func (*sqlite) HistoryDDL(table string) []string {
	return []string{`CREATE TABLE IF NOT EXISTS ` + table + ` (
	set_name text NOT NULL,
	version integer NOT NULL,
	repeatable text NOT NULL,
	name text NOT NULL,
	checksum text NOT NULL,
	state text NOT NULL,
	direction text NOT NULL,
	done integer NOT NULL,
	steps integer NOT NULL,
	intent text,
	started_at text NOT NULL,
	finished_at text,
	duration_ms real,
	actor text NOT NULL,
	run_id text NOT NULL,
	tool_version text NOT NULL,
	error text,
	down_sql text,
	PRIMARY KEY (set_name, version, repeatable)
) WITHOUT ROWID`}
}

// IsNoTable reads the message: SQLite has one code for every fault in a
// statement's text.
func (*sqlite) IsNoTable(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "no such table: ")
}

func (*sqlite) IsDuplicate(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "UNIQUE constraint failed: ")
}

func (*sqlite) IsNullViolation(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOT NULL constraint failed: ")
}

func (*sqlite) IsThere(err error) bool {
	return err != nil && (strings.HasSuffix(err.Error(), " already exists") || strings.HasPrefix(err.Error(), "duplicate column name: ") || strings.HasPrefix(err.Error(), "there is already "))
}

// IsReadOnly covers the lock file too: in a folder that takes no files the
// database's own journal could not be made either.
func (*sqlite) IsReadOnly(err error) bool {
	return sqliteReadOnly(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func (*sqlite) IsLockTimeout(err error) bool { return sqliteBusy(err) }

func (*sqlite) Hint(err error) string {
	if errors.Is(err, errWALReadOnly) {
		return "open it in a folder that takes writes, or put it there after PRAGMA journal_mode = DELETE; where nobody writes to it and no -wal file stands beside it, ?immutable=1 at the end of the URL reads it as it is"
	}
	if strings.Contains(err.Error(), "from within a transaction") {
		return "this statement cannot run in a transaction: put '-- tldwdb: no-transaction' at the head of the file"
	}
	return ""
}

func (*sqlite) Inspect(ctx context.Context, c *sql.Conn, _ string) (Facts, error) {
	var (
		f        Facts
		version  string
		readOnly bool
	)
	if err := QueryRow(ctx, c, "SELECT (SELECT file FROM pragma_database_list WHERE name = 'main'), sqlite_version(), (SELECT query_only FROM pragma_query_only)", nil, &f.Database, &version, &readOnly); err != nil {
		return Facts{}, err
	}
	f.Server = "SQLite " + version
	f.ReadOnly = readOnly
	f.InMemory = f.Database == ""
	return f, nil
}

// Prepare makes SQLite's own wait short: the driver does not end it when the
// context does, so the waiting is done above, in slices.
func (*sqlite) Prepare(ctx context.Context, c *sql.Conn, _ Session) error {
	_, err := c.ExecContext(ctx, "PRAGMA busy_timeout = 250")
	return err
}

func (*sqlite) Begin(Session) []string { return []string{"BEGIN IMMEDIATE"} }

func (*sqlite) ExecScript(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, limit time.Duration) (int, error) {
	return execEach(ctx, c, list, limit)
}

// SessionState is not asked: no statement calls what could change the session.
func (*sqlite) SessionState(context.Context, *sql.Conn) (string, error) { return "", nil }

// MayHide: SQLite has no routines.
func (*sqlite) MayHide(sqlscan.Statement) bool { return false }

// Definitions has nothing to show: no statement of SQLite can be cut short.
func (*sqlite) Definitions(context.Context, *sql.Conn, sqlscan.Statement) ([]string, error) {
	return nil, nil
}

// Forget has nothing to do: a snapshot has everything.
func (*sqlite) Forget([]string) string { return "" }

func (s *sqlite) Class(st sqlscan.Statement) Class {
	h := headOf(st.Text, s.ScanOptions())
	switch st.Verb {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return ClassTransaction
	case "PRAGMA":
		return ClassSession
	case "VACUUM":
		return ClassRepeatable
	case "ATTACH", "DETACH":
		return ClassSession
	case "CREATE":
		if h.is(1, "TEMP") || h.is(1, "TEMPORARY") {
			return ClassTemporary
		}
		return ClassSchema
	case "DROP", "ALTER":
		return ClassSchema
	}
	return ClassData
}

// SuspendForeignKeys must run outside a transaction, where the pragma has an
// effect at all. With enforcement on, DROP TABLE deletes the rows of the table
// first, and takes the rows of its children with it.
func (*sqlite) SuspendForeignKeys(ctx context.Context, c *sql.Conn) (func(context.Context) error, error) {
	var on bool
	if err := QueryRow(ctx, c, "PRAGMA foreign_keys", nil, &on); err != nil {
		return nil, err
	}
	if !on {
		return func(context.Context) error { return nil }, nil
	}
	if _, err := c.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := c.ExecContext(ctx, "PRAGMA foreign_keys = ON")
		return err
	}, nil
}

func (*sqlite) Violations(ctx context.Context, c *sql.Conn) (violations map[string]int, err error) {
	rows, err := c.QueryContext(ctx, "SELECT \"table\" || ' → ' || coalesce(parent, '?'), count(*) FROM pragma_foreign_key_check GROUP BY 1")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	violations = map[string]int{}
	for rows.Next() {
		var pair string
		var count int
		if err := rows.Scan(&pair, &count); err != nil {
			return nil, err
		}
		violations[pair] = count
	}
	return violations, rows.Err()
}

// keptPragmas are the settings of a connection that a file may change.
var keptPragmas = []string{
	"foreign_keys", "recursive_triggers", "legacy_alter_table", "ignore_check_constraints", "writable_schema",
	"trusted_schema", "query_only", "reverse_unordered_selects", "synchronous", "temp_store", "cache_size",
	"busy_timeout", "automatic_index", "cell_size_check", "count_changes", "read_uncommitted", "defer_foreign_keys",
}

func (*sqlite) Snapshot(ctx context.Context, c *sql.Conn) (map[string]string, error) {
	settings := map[string]string{}
	for _, pragma := range keptPragmas {
		var value string
		err := QueryRow(ctx, c, "PRAGMA "+pragma, nil, &value)
		if errors.Is(err, ErrNoRow) { // the library was built without it
			continue
		}
		if err != nil {
			return nil, err
		}
		settings[pragma] = value
	}
	made, err := undoMade(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, statement := range made {
		settings[statement] = ""
	}
	return settings, nil
}

// undoMade lists what this connection alone has, temporary objects and attached
// databases, as the statements that would take it away. Triggers and views go
// before the tables that they are about.
func undoMade(ctx context.Context, c *sql.Conn) (statements []string, err error) {
	return queryTexts(ctx, c, `SELECT 'DROP ' || type || ' IF EXISTS temp."' || replace(name, '"', '""') || '"' FROM sqlite_temp_schema`+
		` WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`+
		` UNION ALL SELECT 'DETACH "' || replace(name, '"', '""') || '"' FROM pragma_database_list WHERE name NOT IN ('main', 'temp')`+
		` ORDER BY 1 DESC`, nil)
}

func (s *sqlite) RestoreSnapshot(ctx context.Context, c *sql.Conn, before map[string]string) error {
	made, err := undoMade(ctx, c)
	if err != nil {
		return err
	}
	for _, statement := range made {
		if _, had := before[statement]; had {
			continue
		}
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	now, err := s.Snapshot(ctx, c)
	if err != nil {
		return err
	}
	for _, pragma := range slices.Sorted(maps.Keys(before)) {
		if now[pragma] == before[pragma] {
			continue
		}
		if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA %s = %s", pragma, before[pragma])); err != nil {
			return err
		}
	}
	// The shell's .dump writes virtual tables straight into the catalogue, where
	// the connection does not see them until it has read that again.
	_, err = c.ExecContext(ctx, "PRAGMA writable_schema = RESET")
	return err
}

// Lock is a file lock beside the database, never on the database file itself:
// closing any handle of that would drop SQLite's own locks.
func (*sqlite) Lock(f Facts, table string) Lock {
	if f.InMemory {
		return &memoryLock{}
	}
	return &sqliteLock{path: filepath.Clean(f.Database) + "-" + table + ".lock"}
}

// Lease is not needed: every process that can open the file can see its lock.
func (*sqlite) Lease(Facts, string, string, time.Duration) (*Lease, error) {
	return nil, errors.New("SQLite has no lease, and needs none: its file lock is enough")
}

type sqliteLock struct {
	path  string
	file  *filelock.File
	since time.Time // when the lock was first found held
}

func (*sqliteLock) Kind() string          { return "file lock" }
func (*sqliteLock) Waits() bool           { return true }
func (*sqliteLock) NeedsConnection() bool { return false }

func (*sqliteLock) Abandon(context.Context, *sql.Conn) error { return nil }

// Try waits until the lock is free and not until it is had: waiters look then, all
// at once, and most of them find nothing left to do.
func (l *sqliteLock) Try(ctx context.Context, _ *sql.Conn, slice time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	file, err := filelock.Try(l.path)
	if err == nil {
		l.file = file
		return true, nil
	}
	if !errors.Is(err, filelock.ErrHeld) {
		return false, err
	}
	if l.since.IsZero() {
		l.since = time.Now()
	}
	if slice <= 0 {
		return false, nil
	}
	return false, filelock.Wait(ctx, l.path, l.since, slice)
}

func (l *sqliteLock) Unlock(context.Context, *sql.Conn) (bool, error) {
	if l.file == nil {
		return false, nil
	}
	err := l.file.Unlock()
	l.file = nil
	return err == nil, err
}

func (l *sqliteLock) Holder(context.Context, *sql.Conn) (string, error) {
	return filelock.Holder(l.path), nil
}

// Excludes opens the lock file once more: on some network file systems a lock
// is granted to everybody.
func (l *sqliteLock) Excludes(context.Context, *sql.Conn) (bool, error) {
	file, err := filelock.Try(l.path)
	if errors.Is(err, filelock.ErrHeld) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, file.Unlock()
}

// memoryLock belongs to a database that only one connection can see: having
// the connection is the lock.
type memoryLock struct{}

func (*memoryLock) Kind() string                                                { return "connection" }
func (*memoryLock) Waits() bool                                                 { return true }
func (*memoryLock) NeedsConnection() bool                                       { return false }
func (*memoryLock) Abandon(context.Context, *sql.Conn) error                    { return nil }
func (*memoryLock) Try(context.Context, *sql.Conn, time.Duration) (bool, error) { return true, nil }
func (*memoryLock) Unlock(context.Context, *sql.Conn) (bool, error)             { return true, nil }
func (*memoryLock) Holder(context.Context, *sql.Conn) (string, error)           { return "", nil }
func (*memoryLock) Excludes(context.Context, *sql.Conn) (bool, error)           { return true, nil }
