package tldwdbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Tx begins a transaction that is rolled back when the test is over. It is for a test
// that shares a database with others and does not commit: the statements of MySQL
// and MariaDB that change a schema commit by themselves.
func Tx(tb TB, db *tldwdb.DB) *sqlx.Tx {
	tb.Helper()
	// The test's own context ends before its cleanup, and would roll back in the
	// background while the database is being closed.
	tx, err := db.Pool().BeginTxx(context.WithoutCancel(tb.Context()), nil)
	if err != nil {
		tb.Fatalf("tldwdbtest: beginning a transaction: %v", err)
	}
	tb.Cleanup(func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			tb.Errorf("tldwdbtest: rolling back: %v", err)
		}
	})
	return tx
}

// Clean makes the database what it was when [New] returned it: the schema, the rows
// of the migrations and of Config.Setup, sequences and counters. On a server it is
// made anew, so that no connection of it may be in use: close rows, transactions and
// connections first. It works on databases of New alone.
func Clean(tb TB, db *tldwdb.DB) {
	tb.Helper()
	if err := placeOf(tb, db).restore(tb.Context(), db); err != nil {
		tb.Fatalf("tldwdbtest: cleaning: %v", err)
	}
}

// Load writes the rows of files, in the forms of seeds: YAML, JSON and CSV, with
// references between them (docs/guide/seeds.md). Files of one folder that stand behind
// each other are one transaction, and so is each file of SQL, which runs as it is. Rows
// whose key is there already stay as they are, unless the file says update.
//
// Where the engine needs words of its own, a file of the same name in a folder beside
// it is taken instead: sqlite, postgres or mysql, as with migrations.
func Load(tb TB, db *tldwdb.DB, fsys fs.FS, files ...string) {
	tb.Helper()
	for len(files) > 0 {
		n := together(files)
		if err := load(tb.Context(), db, fsys, files[:n]); err != nil {
			tb.Fatalf("tldwdbtest: loading %s: %v", strings.Join(files[:n], ", "), err)
		}
		files = files[n:]
	}
}

// together is how many of the first files are loaded as one.
func together(files []string) (n int) {
	for n = 1; n < len(files) && path.Ext(files[0]) != ".sql" && path.Ext(files[n]) != ".sql" && path.Dir(files[n]) == path.Dir(files[0]); n++ {
	}
	return n
}

func load(ctx context.Context, db *tldwdb.DB, fsys fs.FS, files []string) error {
	for _, file := range files {
		if !slices.Contains([]string{".sql", ".yaml", ".json", ".csv"}, path.Ext(file)) {
			return fmt.Errorf("%s: a file of rows ends in .sql, .yaml, .json or .csv", file)
		}
	}
	d, err := dialectOf(db)
	if err != nil {
		return err
	}
	for _, file := range files {
		_, err := fs.Stat(fsys, path.Join(path.Dir(file), d.Name(), path.Base(file)))
		if errors.Is(err, fs.ErrNotExist) {
			_, err = fs.Stat(fsys, file)
		}
		if err != nil {
			return err
		}
	}
	if path.Ext(files[0]) == ".sql" {
		return loadSQL(ctx, db, d, fsys, files[0])
	}
	return loadRows(ctx, db, fsys, files)
}

func loadSQL(ctx context.Context, db *tldwdb.DB, d dialect.Dialect, fsys fs.FS, file string) error {
	text, err := fs.ReadFile(fsys, path.Join(path.Dir(file), d.Name(), path.Base(file)))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = fs.ReadFile(fsys, file)
	}
	if err != nil {
		return err
	}
	list, err := sqlscan.Split(string(text), d.ScanOptions())
	if err != nil {
		return err
	}
	return inTransaction(ctx, db, func(conn *sql.Conn) error {
		done, err := d.ExecScript(ctx, conn, list, 0)
		if err != nil && done >= 0 && done < len(list) {
			return fmt.Errorf("line %d: %w", list[done].Line, err)
		}
		return err
	})
}

// dialectOf is the dialect of a database that New or Open has made.
func dialectOf(db *tldwdb.DB) (dialect.Dialect, error) {
	// Of a database that somebody else has opened nobody knows what is around its driver.
	p, ok := places.Load(db)
	native := ok && p.(*place).config.WrapConnector == nil
	return dialect.New(dialectNames[db.Pool().DriverName()], native)
}

// dialectNames are the dialects, by driver.
var dialectNames = map[string]string{"sqlite3": dialect.NameSQLite, "pgx": dialect.NamePostgres, "mysql": dialect.NameMySQL}

// inTransaction calls f with a connection that has a transaction open.
func inTransaction(ctx context.Context, db *tldwdb.DB, f func(*sql.Conn) error) (err error) {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := f(conn.Conn); err != nil {
		behind, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
		defer cancel()
		_, rollbackErr := conn.ExecContext(behind, "ROLLBACK")
		return errors.Join(err, rollbackErr)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}
