//go:build cgo

package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/testdb"
)

// pragmas reads settings of a connection.
func pragmas(t *testing.T, c *sql.Conn, names ...string) string {
	t.Helper()
	var all []string
	for _, name := range names {
		var value string
		if err := c.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value); err != nil {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	return strings.Join(all, " ")
}

func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	names := []string{"journal_mode", "busy_timeout", "foreign_keys", "synchronous", "query_only"}
	for _, tt := range []struct {
		params string
		o      ConnectOptions
		want   string
	}{
		{"", ConnectOptions{BusyTimeout: 3 * time.Second}, "wal 3000 1 1 0"},
		{"", ConnectOptions{BusyTimeout: 3 * time.Second, ReadOnlyPool: true}, "delete 3000 1 1 1"}, // the mode is the first pool's business
		{"?timeout=7&_fk=off&_sync=FULL&_journal=TRUNCATE", ConnectOptions{BusyTimeout: 3 * time.Second}, "truncate 7000 0 2 0"},
	} {
		u := mustParse(t, "sqlite:///"+filepath.ToSlash(t.TempDir())+"/x.db"+tt.params)
		_, c, err := connect(t, u, tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := pragmas(t, c, names...); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.params, got, tt.want)
		}
	}
}

// TestSQLiteTransactions looks at who has the write lock, not at what the DSN
// says.
func TestSQLiteTransactions(t *testing.T) {
	t.Parallel()
	u := mustParse(t, "sqlite:///"+filepath.ToSlash(t.TempDir())+"/x.db")
	_, writer, err := connect(t, u, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, reader, err := connect(t, u, ConnectOptions{ReadOnlyPool: true})
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := connect(t, u, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reading, err := reader.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.ExecContext(t.Context(), "CREATE TABLE t (id INTEGER)"); err == nil {
		t.Error("the reader wrote")
	}
	writing, err := writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatalf("a reader's transaction has the write lock: %v", err)
	}
	if _, err := other.ExecContext(t.Context(), "CREATE TABLE t (id INTEGER)"); err == nil {
		t.Error("the writer's transaction did not take the write lock when it began")
	}
	if err := errors.Join(writing.Rollback(), reading.Rollback()); err != nil {
		t.Error(err)
	}
}

func TestSQLitePaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "a b.db", "50%.db", "%41.db", "what?.db", "no#1.db", "a&b=c.db", "é.db", "file:x.db", "+.db"} {
		folder := t.TempDir()
		u := dburl.URL{Dialect: dburl.SQLite, Path: filepath.Join(folder, name)}
		if _, _, err := connect(t, u, ConnectOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Errorf("another file was opened: %v", err)
		}
	}
}

func TestSQLiteReadOnly(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.db")
	_, c, err := connect(t, mustParse(t, "sqlite:///"+file+"?_journal=DELETE"), ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "CREATE TABLE t (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	for _, params := range []string{"?mode=ro", "?immutable=1"} {
		_, c, err := connect(t, mustParse(t, "sqlite:///"+file+params), ConnectOptions{})
		if err != nil {
			t.Errorf("%s: %v", params, err)
			continue
		}
		if got := pragmas(t, c, "journal_mode"); got != "delete" {
			t.Errorf("%s: the journal is now %s", params, got)
		}
		if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err == nil {
			t.Errorf("%s: the file was written", params)
		}
	}
	if _, _, err := connect(t, mustParse(t, "sqlite:///"+file+"-absent?mode=ro"), ConnectOptions{}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("an absent file: got %v", err)
	}
	if os.Getuid() == 0 {
		t.Log("running as root, whom file permissions do not stop: the last part is left out")
		return
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, _, err := connect(t, mustParse(t, "sqlite:///"+file), ConnectOptions{}); err != nil {
		t.Errorf("a file without write permission: %v", err)
	}
}

func TestSQLiteOpenErrors(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "no", "x.db"): fmt.Sprintf("SQLite file %s: the folder %s does not exist", filepath.Join(folder, "no", "x.db"), filepath.Join(folder, "no")),
		folder:                              "SQLite file " + folder + ": is a folder",
		filepath.Join(text, "x.db"):         text + " is not a folder",
		text:                                "SQLite file " + text + ": file is not a database",
	} {
		_, _, err := connect(t, dburl.URL{Dialect: dburl.SQLite, Path: path}, ConnectOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if Unreachable(err) {
			t.Errorf("waiting is no cure for %v", err)
		}
	}
}

// TestSQLiteWaitsForWAL holds a lock that makes the switch to WAL fail at once,
// and lets go of it when the opening process has met it.
func TestSQLiteWaitsForWAL(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.db")
	_, holder, err := connect(t, mustParse(t, "sqlite:///"+file+"?_journal=DELETE&_txlock=exclusive"), ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hold := func() *sql.Tx {
		tx, err := holder.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	u := mustParse(t, "sqlite:///"+file)

	tx := hold()
	if _, _, err := connect(t, u, ConnectOptions{BusyTimeout: 20 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "locked") || !strings.Contains(err.Error(), file) {
		t.Errorf("with the lock held to the end: got %v", err)
	}
	connector, err := Connector(u, ConnectOptions{BusyTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	// The context is asked before each attempt: the second time means that the
	// first attempt met the lock.
	ctx := &countingContext{Context: t.Context(), at: 2, do: func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}}
	// Without a busy timeout of its own every attempt of SQLite fails at once.
	connector.(*redactingConnector).Connector.(*sqliteOpener).journal = strings.Replace(
		connector.(*redactingConnector).Connector.(*sqliteOpener).journal, "_busy_timeout=60000", "_busy_timeout=0", 1)
	conn, err := connector.Connect(ctx)
	if err != nil {
		t.Fatalf("after the lock was let go: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if ctx.asked < 2 {
		t.Error("the lock was not met: the test shows nothing")
	}
}

// countingContext runs do when Err is asked for the at-th time.
type countingContext struct {
	context.Context
	asked, at int
	do        func()
}

func (c *countingContext) Err() error {
	if c.asked++; c.asked == c.at {
		c.do()
	}
	return c.Context.Err()
}

func TestSQLiteStopsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	connector, err := Connector(mustParse(t, "sqlite://"), ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connector.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestSQLiteOwnRows: a connection that is in its own way does not wait for
// itself.
func TestSQLiteOwnRows(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t, testdb.SQLite).AdminDB(t)
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), "CREATE TABLE t (id integer); INSERT INTO t VALUES (1), (2)"); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.QueryContext(t.Context(), "SELECT id FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if _, err := conn.ExecContext(t.Context(), "DROP TABLE t"); err == nil || (&sqlite{}).IsLockTimeout(err) {
		t.Errorf("%v is taken for another's lock", err)
	}
}
