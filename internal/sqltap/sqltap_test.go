package sqltap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqltap"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// recorder remembers the calls.
type recorder struct {
	mu    sync.Mutex
	calls []sqltap.Call
}

func (r *recorder) done(_ context.Context, c sqltap.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// told is the calls since it was last asked, with their errors.
func (r *recorder) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, c := range r.calls {
		word := c.Operation
		if c.Err != nil {
			word += "!"
		}
		if c.Took < 0 {
			word += " took " + c.Took.String()
		}
		list = append(list, word)
	}
	r.calls = nil
	return strings.Join(list, " ")
}

// tapped is a pool of one connection beside a bare one.
func tapped(t *testing.T, tdb *testdb.Database) (bare, pool *sql.DB, r *recorder) {
	t.Helper()
	u, err := dburl.Parse(tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialect.Connector(u, dialect.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r = &recorder{}
	bare, pool = sql.OpenDB(c), sql.OpenDB(sqltap.Wrap(c, sqltap.Watch{Done: r.done, All: true}))
	for _, db := range []*sql.DB{bare, pool} {
		db.SetMaxOpenConns(1)
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return bare, pool, r
}

// columns describes what a query answers, types included.
func columns(ctx context.Context, db *sql.DB, query string, args ...any) string {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range types {
		length, hasLength := c.Length()
		precision, scale, hasPrecision := c.DecimalSize()
		nullable, hasNullable := c.Nullable()
		fmt.Fprintln(&b, c.Name(), c.DatabaseTypeName(), c.ScanType(), length, hasLength, precision, scale, hasPrecision, nullable, hasNullable)
	}
	values := make([]any, len(types))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err.Error()
		}
		for _, v := range values {
			fmt.Fprintf(&b, "%#v ", *v.(*any))
		}
	}
	fmt.Fprintln(&b, rows.Err(), rows.NextResultSet())
	return b.String()
}

// TestTapChangesNothing: what a program sees through the tap is what the driver
// gives.
func TestTapChangesNothing(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		bare, pool, r := tapped(t, tdb)
		if _, err := bare.ExecContext(ctx, "CREATE TABLE t (id int PRIMARY KEY, name varchar(20) NOT NULL, amount decimal(8,2), at timestamp NULL)"); err != nil {
			t.Fatal(err)
		}
		insert, byID := "INSERT INTO t (id, name, amount) VALUES (?, ?, ?)", "SELECT * FROM t WHERE id = ?"
		if tdb.Engine == testdb.Postgres {
			insert, byID = "INSERT INTO t (id, name, amount) VALUES ($1, $2, $3)", "SELECT * FROM t WHERE id = $1"
		}
		result, err := pool.ExecContext(ctx, insert, 1, "a", 1.5)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); n != 1 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		if r.told() == "" {
			t.Error("an Exec was not told")
		}
		if want, got := columns(ctx, bare, "SELECT * FROM t"), columns(ctx, pool, "SELECT * FROM t"); got != want {
			t.Errorf("without arguments: got\n%s\nwant\n%s", got, want)
		}
		if got := r.told(); got != "query" {
			t.Errorf("told: %s", got)
		}
		for _, arg := range []any{1, int64(1), "1", []byte("1"), sql.NullInt64{Int64: 1, Valid: true}, nil, new(int), struct{}{}} {
			if want, got := columns(ctx, bare, byID, arg), columns(ctx, pool, byID, arg); got != want {
				t.Errorf("argument %#v: got\n%s\nwant\n%s", arg, got, want)
			}
		}
		r.told()

		for name, db := range map[string]*sql.DB{"bare": bare, "tapped": pool} {
			st, err := db.PrepareContext(ctx, byID)
			if err != nil {
				t.Fatal(err)
			}
			var id int
			var text string
			var amount, at any
			if err := st.QueryRowContext(ctx, 1).Scan(&id, &text, &amount, &at); err != nil || id != 1 || text != "a" {
				t.Errorf("%s: prepared: %d %q %v", name, id, text, err)
			}
			if err := st.QueryRowContext(ctx, 2).Scan(&id, &text, &amount, &at); !errors.Is(err, sql.ErrNoRows) {
				t.Errorf("%s: prepared, no row: %v", name, err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := r.told(); got != "prepare query query" {
			t.Errorf("told: %s", got)
		}

		for _, commit := range []bool{true, false} {
			tx, err := pool.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM t"); err != nil {
				t.Fatal(err)
			}
			end, want := tx.Rollback, "begin exec rollback"
			if commit {
				end, want = tx.Commit, "begin exec commit"
			}
			err = end()
			if got := r.told(); err != nil || got != want {
				t.Errorf("told: %s; %v", got, err)
			}
		}
		isolated := func(db *sql.DB) error {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
			if err == nil {
				err = tx.Rollback()
			}
			return err
		}
		if want, got := fmt.Sprint(isolated(bare)), fmt.Sprint(isolated(pool)); got != want {
			t.Errorf("isolation: got %s, want %s", got, want)
		}
		r.told()

		if err := pool.PingContext(ctx); err != nil || r.told() != "ping" {
			t.Errorf("ping: %v", err)
		}
		if _, err := pool.ExecContext(ctx, "SELECT nothing FROM nowhere"); err == nil || !strings.Contains(r.told(), "!") {
			t.Errorf("an error was not told: %v", err)
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := pool.PingContext(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

// TestRawReachesTheDriver: the driver's own connection is what the bare pool has.
// TestRowsBesideRows reads two queries of one connection at a time, which SQLite allows:
// the connection keeps room for the rows of one only.
func TestRowsBesideRows(t *testing.T) {
	t.Parallel()
	_, pool, told := tapped(t, testdb.New(t, testdb.SQLite))
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	told.told()
	read := func(rows *sql.Rows) string {
		t.Helper()
		var value string
		if !rows.Next() {
			t.Fatalf("no row: %v", rows.Err())
		}
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	query := func(text string) *sql.Rows {
		t.Helper()
		rows, err := tx.QueryContext(t.Context(), text) //nolint:sqlclosecheck // closed below, in several orders
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for i, first := range []int{0, 1, 0} {
		pair := []*sql.Rows{query("VALUES ('a1'), ('a2')"), query("VALUES ('b1'), ('b2')")} //nolint:rowserrcheck // read looks
		got := []string{read(pair[0]), read(pair[1])}
		if err := pair[first].Close(); err != nil {
			t.Fatal(err)
		}
		got = append(got, read(pair[1-first]))
		third := query("VALUES ('c1')") // has the room of the first, if that is free
		got = append(got, read(third))
		if err := errors.Join(third.Close(), pair[1-first].Close(), pair[first].Close(), third.Err()); err != nil {
			t.Fatal(err)
		}
		want := []string{"a1", "b1", []string{"b2", "a2"}[first], "c1"}
		if !slices.Equal(got, want) {
			t.Errorf("%d: got %v, want %v", i, got, want)
		}
		if got := told.told(); got != "query query query" {
			t.Errorf("%d: told %q", i, got)
		}
	}
}

func TestRawReachesTheDriver(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		bare, pool, _ := tapped(t, tdb)
		var types [2]string
		for i, db := range []*sql.DB{bare, pool} {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Raw(func(c any) error {
				if w, ok := c.(interface{ Raw() driver.Conn }); ok {
					c = w.Raw()
				}
				types[i] = fmt.Sprintf("%T", c)
				return nil
			}); err != nil {
				t.Error(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		if types[0] != types[1] {
			t.Errorf("got %s, want %s", types[1], types[0])
		}
	})
}

// TestEveryInterfaceIsKnown fails when a version of Go has an optional interface
// that the tap would take away from a driver.
func TestEveryInterfaceIsKnown(t *testing.T) {
	t.Parallel()
	known := []string{
		"Driver", "DriverContext", "Connector", "Conn", "Stmt", "Rows", "Tx", "Result", "Valuer", "ValueConverter", // not optional, or not of a connection
		"Execer", "Queryer", // replaced by those with a context long ago
		"Pinger", "ExecerContext", "QueryerContext", "ConnPrepareContext", "ConnBeginTx", "SessionResetter", "Validator",
		"StmtExecContext", "StmtQueryContext", "NamedValueChecker", "ColumnConverter",
		"RowsNextResultSet", "RowsColumnTypeScanType", "RowsColumnTypeDatabaseTypeName", "RowsColumnTypeLength", "RowsColumnTypeNullable", "RowsColumnTypePrecisionScale",
	}
	files, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/database/sql/driver/*.go")) //nolint:staticcheck // of the toolchain that runs the test
	if err != nil || len(files) == 0 {
		t.Skipf("the source of database/sql/driver is not there: %v", err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			_, isInterface := spec.Type.(*ast.InterfaceType)
			if isInterface && spec.Name.IsExported() && !slices.Contains(known, spec.Name.Name) {
				t.Errorf("driver.%s is new: pass it on", spec.Name.Name)
			}
			return true
		})
	}
}
