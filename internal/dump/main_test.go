package dump

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// toolDir is a folder with the programs of an engine that are not in the PATH, such
// as Oracle's on a machine that has MariaDB's.
func toolDir(e testdb.Engine) string {
	return os.Getenv("TLDWDB_TEST_" + strings.ToUpper(string(e)) + "_TOOLS")
}

// target is a database as this package sees it.
func target(t *testing.T, db *testdb.Database) Target {
	t.Helper()
	u, err := dburl.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialect.New(u.Dialect, true)
	if err != nil {
		t.Fatal(err)
	}
	connector, err := dialect.Connector(u, dialect.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return Target{URL: u, DB: pool, Dialect: d, ToolDir: toolDir(db.Engine)}
}

// engine skips the test where the programs are not here.
func engine(t *testing.T, db *testdb.Database, change ...func(*Target)) Engine {
	t.Helper()
	to := target(t, db)
	for _, f := range change {
		f(&to)
	}
	e := New(to)
	if err := e.Check(t.Context()); err != nil {
		t.Skipf("%v", err)
	}
	return e
}

// New is the engine of a server.
func New(t Target) Engine {
	if t.Dialect.Name() == dialect.NamePostgres {
		return Postgres(t)
	}
	return MySQL(t)
}

// forEach runs f on every server.
func forEach(t *testing.T, f func(t *testing.T, db *testdb.Database)) {
	t.Helper()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, testdb.New(t, e))
		})
	}
}

// fill runs files of testdata/foreign and statements.
func fill(t *testing.T, db *testdb.Database, files []string, statements ...string) {
	t.Helper()
	pool := db.AdminDB(t)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "foreign", file))
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, string(text))
	}
	for _, statement := range statements {
		run(t, pool, statement)
	}
}

func run(t *testing.T, pool *sql.DB, text string) {
	t.Helper()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func value(t *testing.T, pool *sql.DB, query string) string {
	t.Helper()
	var v sql.NullString
	if err := pool.QueryRowContext(context.WithoutCancel(t.Context()), query).Scan(&v); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return v.String
}

// rich are the files with something of everything.
func rich(e testdb.Engine) []string {
	switch e {
	case testdb.Postgres:
		return []string{"rich_postgres.sql"}
	case testdb.MariaDB:
		return []string{"rich_mysql.sql", "rich_mariadb.sql"}
	}
	return []string{"rich_mysql.sql", "rich_mysql9.sql"}
}
