// Package testdb gives tests empty databases of every engine that tldwdb supports.
//
// A test asks for a database with [New], or runs once per engine with [ForEach]. The database is
// fresh and its own, so tests run in parallel. At the test's end it is checked for what a careful
// program never leaves behind (damaged indexes, orphaned rows, locks, open transactions, open
// connections), and dropped; after a failed test it is kept and its URL printed.
//
// # Where the servers come from
//
// SQLite needs none. For the others, TLDWDB_TEST_POSTGRES_URL, TLDWDB_TEST_MARIADB_URL and
// TLDWDB_TEST_MYSQL_URL name a server whose account may create databases (in the MySQL family,
// databases named tldw%); some tests need one that may also create accounts and give them
// rights, and are skipped otherwise. Where a variable is not set, testdb starts a throwaway server of its own
// from the programs on the machine (TLDWDB_TEST_MYSQLD names that of Oracle MySQL where it is in no
// usual place), at first use, one per test process; `go run
// ./internal/testdb/with -- go test ./...` starts them once for all processes instead. Only
// servers on a loopback address are accepted: these tests create and drop databases.
//
// Tests that set a server's accounts up need one that may do everything there: the
// throwaway servers have it, and beside a variable above TLDWDB_TEST_POSTGRES_ADMIN_URL and so on
// names it. Without it those tests are skipped, or fail when TLDWDB_TEST_REQUIRE lists
// postgres_admin and so on.
//
// # What happens when an engine is missing
//
// The test is skipped, saying what was looked for and how to get it. It fails instead when the
// engine is required: TLDWDB_TEST_REQUIRE lists such engines (comma-separated); when it is unset
// and CI=true, they are sqlite, postgres and mariadb. A variable that names a server which does
// not answer is always a failure. TLDWDB_TEST_ENGINES limits the tests to the engines it lists.
//
// # Poolers and clusters
//
// Some tests need more than a server, and are skipped without it (see [Extra]):
// TLDWDB_TEST_PGBOUNCER_URL names PgBouncer in transaction mode before the server of
// TLDWDB_TEST_POSTGRES_URL, TLDWDB_TEST_PGBOUNCER_SESSION_URL the same in session mode, and
// TLDWDB_TEST_PGBOUNCER_STATEMENT_URL in statement mode;
// TLDWDB_TEST_GALERA_URL names the nodes of a Galera cluster, and TLDWDB_TEST_GALERA_ADMIN_URL the
// same nodes with an account that may set their variables. Each may be several URLs with commas
// between them.
package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Engine is a kind of database.
type Engine string

// The engines that tldwdb is tested on. MariaDB and MySQL speak one protocol, and differ enough
// in DDL and locks to be tested one by one.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
	MariaDB  Engine = "mariadb"
	MySQL    Engine = "mysql"
)

// Engines returns every engine, in the order in which tests run them.
func Engines() []Engine { return []Engine{SQLite, Postgres, MariaDB, MySQL} }

// Wanted returns the engines that TLDWDB_TEST_ENGINES leaves in, all when it is unset.
func Wanted() []Engine {
	return slices.DeleteFunc(Engines(), func(e Engine) bool { return leftOut(e) != "" })
}

// URLVariable is the environment variable that names the engine's server, empty for SQLite.
func (e Engine) URLVariable() string {
	if e == SQLite {
		return ""
	}
	return "TLDWDB_TEST_" + strings.ToUpper(string(e)) + "_URL"
}

// AdminURLVariable is the environment variable that names an account of the engine's server that
// may do everything there, empty for SQLite.
func (e Engine) AdminURLVariable() string {
	if e == SQLite {
		return ""
	}
	return "TLDWDB_TEST_" + strings.ToUpper(string(e)) + "_ADMIN_URL"
}

// TB is the part of [testing.TB] that testdb needs. It is an interface of our own so that a test
// of testdb can stand in for the test that fails.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// housekeeping bounds what testdb itself does to a server (create, check, drop), so that a stuck
// server ends in an error that names it and not in the test binary's timeout.
const housekeeping = time.Minute

// Database is one empty database for one test.
type Database struct {
	// Engine is the kind of the database.
	Engine Engine
	// URL names the database in the form that tldwdb reads: sqlite:////absolute/path.db,
	// postgres://user:password@127.0.0.1:port/name?sslmode=disable or mysql://….
	URL string

	name   string // of the database on its server; the file's path for SQLite
	server string // URL of the server that holds it; empty for SQLite
	meant  string // why findings at the end are expected; empty when they are not
	pooled bool   // see Through
	others bool   // see Over
}

// ForEach runs f as a parallel subtest per engine, named after it, each with a database of its own.
func ForEach(t *testing.T, f func(t *testing.T, db *Database)) {
	t.Helper()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, New(t, e))
		})
	}
}

// Extra returns what TLDWDB_TEST_<name>_URL names: a server of a kind that testdb neither starts nor
// looks for, such as a pooler, or the nodes of a cluster with commas between them. Without the
// variable the test is skipped, or fails when TLDWDB_TEST_REQUIRE lists the name in lower case.
func Extra(tb TB, name string) []string {
	tb.Helper()
	variable := "TLDWDB_TEST_" + name + "_URL"
	list := os.Getenv(variable)
	if list == "" {
		report := tb.Skipf
		if required(Engine(strings.ToLower(name))) {
			report = tb.Fatalf
		}
		report("testdb: %s is not set: this needs a server that testdb cannot start", variable)
	}
	return strings.Split(list, ",")
}

// NewAt is [New] on a server of the caller's choice, such as one of [Extra].
func NewAt(tb TB, e Engine, server string) *Database {
	tb.Helper()
	if why := leftOut(e); why != "" {
		tb.Skipf("%s", why)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), housekeeping)
	defer cancel()
	return newOn(ctx, tb, e, server)
}

// At opens a pool as [Database.AdminDB] does, on the same database by way of another server: a node
// of the same cluster, or a pooler.
func (db *Database) At(tb TB, server string) *sql.DB {
	tb.Helper()
	return db.Seen(tb, server).AdminDB(tb)
}

// Seen returns the same database by way of another server, such as a node of the same cluster, or a
// standby. It is neither checked nor dropped at the test's end by itself.
func (db *Database) Seen(tb TB, server string) *Database {
	tb.Helper()
	there := *db
	there.server = server
	var err error
	if there.URL, err = withDatabase(server, db.name); err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	return &there
}

// AsAdmin returns the same database by an account that may do everything on its server, as
// [Database.Seen] does. Without such an account the test is skipped, or fails when it is required.
func (db *Database) AsAdmin(tb TB) *Database {
	tb.Helper()
	if s := shared[db.Engine]; s.own != nil && db.server == s.own.URL {
		return db.Seen(tb, s.own.AdminURL)
	}
	variable := db.Engine.AdminURLVariable()
	server := os.Getenv(variable)
	if server == "" {
		report := tb.Skipf
		if required(db.Engine + "_admin") {
			report = tb.Fatalf
		}
		report("testdb: %s is not set: this needs an account that may do everything on the server of %s", variable, db.Engine.URLVariable())
	}
	if err := checkURL(db.Engine, server); err != nil {
		tb.Fatalf("testdb: %s: %v", variable, err)
	}
	return db.Seen(tb, server)
}

// Move says that the database is on another server from now on, such as a standby that was promoted:
// the check at the test's end is made there.
func (db *Database) Move(tb TB, server string) {
	tb.Helper()
	*db = *db.Seen(tb, server)
}

// Through returns the database's URL on a pooler that stands before its server. The check at the
// test's end closes the connections that the pooler keeps, except those that hold a lock or have a
// transaction open.
func (db *Database) Through(tb TB, pooler string) string {
	tb.Helper()
	if err := checkURL(db.Engine, pooler); err != nil {
		tb.Fatalf("testdb: pooler: %v", err)
	}
	through, err := withDatabase(pooler, db.name)
	if err != nil {
		tb.Fatalf("testdb: pooler: %v", err)
	}
	db.pooled = true
	return through
}

// New makes an empty database and drops it at the test's end, after a consistency check whose
// findings fail the test (see [Database.ExpectFindings]). The clean-up of everything that the test
// opens later runs before it. New skips the test, or fails it, when the engine is not to be had;
// the package comment has the rules.
func New(tb TB, e Engine) *Database {
	tb.Helper()
	if e == SQLite {
		if why := leftOut(e); why != "" {
			tb.Skipf("%s", why)
		}
		return newSQLite(tb)
	}
	server := Shared(tb, e)
	ctx, cancel := context.WithTimeout(tb.Context(), housekeeping)
	defer cancel()
	return newOn(ctx, tb, e, server)
}

// Shared returns the URL of the server on which [New] makes databases, by the same rules.
func Shared(tb TB, e Engine) string {
	tb.Helper()
	if why := leftOut(e); why != "" {
		tb.Skipf("%s", why)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), housekeeping)
	defer cancel()
	server, err := serverURL(ctx, e)
	if err != nil {
		missing, ok := errors.AsType[*MissingError](err)
		if ok && !required(e) {
			tb.Skipf("testdb: no %s here: %v", e, missing)
		}
		tb.Fatalf("testdb: %s is required and not to be had: %v", e, err)
	}
	return server
}

// Over is a database on a server that somebody else has made, and drops: package tldwdbtest. It is
// checked at the test's end, before that.
func Over(tb TB, e Engine, server, name string) *Database {
	tb.Helper()
	db := &Database{Engine: e, name: name, server: server, others: true}
	var err error
	if db.URL, err = withDatabase(server, name); err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	tb.Cleanup(func() { db.cleanUp(tb) })
	return db
}

// New makes an empty database on this server, as the function New does on the shared one.
func (s *Server) New(tb TB) *Database {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), housekeeping)
	defer cancel()
	return newOn(ctx, tb, s.Engine, s.URL)
}

func newOn(ctx context.Context, tb TB, e Engine, server string) *Database {
	tb.Helper()
	if err := checkURL(e, server); err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	db := &Database{Engine: e, name: randomName(), server: server}
	var err error
	if db.URL, err = withDatabase(server, db.name); err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	if err := db.create(ctx); err != nil {
		tb.Fatalf("testdb: create %s database %s: %v", e, db.name, err)
	}
	tb.Cleanup(func() { db.cleanUp(tb) })
	return db
}

func newSQLite(tb TB) *Database {
	tb.Helper()
	// Not tb.TempDir: that is deleted after a failed test too, and with it the evidence.
	dir, err := os.MkdirTemp("", "tldwdb-sqlite-")
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	path := filepath.Join(dir, "test.db")
	db := &Database{Engine: SQLite, URL: "sqlite:///" + filepath.ToSlash(path), name: path}
	tb.Cleanup(func() { db.cleanUp(tb) })
	return db
}

// Processlist is the table of the server's sessions, for MySQL and MariaDB.
// MySQL's information_schema has one too, which fails with error 3854 while any
// session runs a statement with an emoji in it.
func (db *Database) Processlist() string {
	if db.Engine == MySQL {
		return "performance_schema.processlist"
	}
	return "information_schema.processlist"
}

// Path returns the file of a SQLite database, and is empty for the other engines.
func (db *Database) Path() string {
	if db.Engine != SQLite {
		return ""
	}
	return db.name
}

// Name returns the database's name on its server; for SQLite the file's path.
func (db *Database) Name() string { return db.name }

// ExpectFindings turns what the check at the test's end finds from a failure into a line in the
// log. For tests that leave a mess on purpose; why says which.
func (db *Database) ExpectFindings(why string) { db.meant = why }

// cleanUp checks the database, then drops it or keeps it as evidence.
func (db *Database) cleanUp(tb TB) {
	tb.Helper()
	// The test's own context has ended by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), housekeeping)
	defer cancel()
	findings, err := db.findings(ctx)
	if err != nil {
		tb.Errorf("testdb: check of %s database %s: %v", db.Engine, db.name, err)
	}
	for _, f := range findings {
		if db.meant != "" {
			tb.Logf("testdb: found, as expected (%s): %s", db.meant, f)
			continue
		}
		tb.Errorf("testdb: left in %s database %s: %s", db.Engine, db.name, f)
	}
	if db.others {
		return
	}
	if tb.Failed() {
		tb.Logf("testdb: kept %s%s", db.URL, lifetime(db.Engine))
		return
	}
	report := tb.Errorf
	if db.meant != "" {
		report = tb.Logf // a lock that is left on purpose may be in the way
	}
	if err := db.drop(ctx); err != nil {
		report("testdb: drop %s database %s: %v", db.Engine, db.name, err)
	}
}

// randomName has the prefix that the MySQL account's rights are limited to.
func randomName() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return "tldw_test_" + hex.EncodeToString(b)
}

// leftOut says why the engine is not to be tested at all, or is empty.
func leftOut(e Engine) string {
	list, ok := os.LookupEnv("TLDWDB_TEST_ENGINES")
	if !ok || slices.Contains(splitList(list), e) {
		return ""
	}
	return fmt.Sprintf("testdb: TLDWDB_TEST_ENGINES=%s leaves out %s", list, e)
}

// required reports whether the absence of the engine is a failure.
func required(e Engine) bool {
	if list, ok := os.LookupEnv("TLDWDB_TEST_REQUIRE"); ok {
		return slices.Contains(splitList(list), e)
	}
	// Debian and its offspring have these three; of Oracle's MySQL they have no package.
	return os.Getenv("CI") == "true" && slices.Contains([]Engine{SQLite, Postgres, MariaDB}, e)
}

func splitList(list string) []Engine {
	var engines []Engine
	for name := range strings.SplitSeq(list, ",") {
		engines = append(engines, Engine(strings.TrimSpace(name)))
	}
	return engines
}
