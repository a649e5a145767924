// Command peers runs the migrations of a folder with another tool, as that tool
// is: for the tests of adoption, and to record what its history looks like.
//
//	peers goose|golang-migrate|dbmate|sql-migrate|tern URL DIR up|down
//
// up applies all that is pending, down takes one back. URL is one that tldwdb
// reads: sqlite:////path, postgres://… or mysql://….
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/amacneil/dbmate/v2/pkg/dbmate"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/mysql"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/postgres"
	_ "github.com/amacneil/dbmate/v2/pkg/driver/sqlite"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratemysql "github.com/golang-migrate/migrate/v4/database/mysql"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite3"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	ternmigrate "github.com/jackc/tern/v2/migrate"
	"github.com/pressly/goose/v3"
	sqlmigrate "github.com/rubenv/sql-migrate"
)

func main() {
	if len(os.Args) != 5 || os.Args[4] != "up" && os.Args[4] != "down" {
		fmt.Fprintln(os.Stderr, "usage: peers goose|golang-migrate|dbmate|sql-migrate|tern URL DIR up|down")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4] == "up"); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// target is a database in the words that the tools and their drivers use.
type target struct {
	dialect string // sqlite3, postgres or mysql
	driver  string
	dsn     string
	url     *url.URL
}

func parse(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, errors.New("the URL cannot be read")
	}
	switch u.Scheme {
	case "sqlite":
		return target{"sqlite3", "sqlite3", strings.TrimPrefix(u.Path, "/"), u}, nil
	case "postgres":
		return target{"postgres", "pgx/v5", text, u}, nil
	case "mysql":
		return target{"mysql", "mysql", fmt.Sprintf("%s@tcp(%s)%s?parseTime=true&multiStatements=true", u.User, u.Host, u.Path), u}, nil
	}
	return target{}, fmt.Errorf("no database of the scheme %q is known", u.Scheme)
}

func run(ctx context.Context, tool, address, dir string, up bool) (err error) {
	t, err := parse(address)
	if err != nil {
		return err
	}
	switch tool {
	case "dbmate":
		return runDbmate(t, dir, up)
	case "tern":
		return runTern(ctx, address, dir, up)
	}
	db, err := sql.Open(t.driver, t.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	switch tool {
	case "goose":
		return runGoose(ctx, t, db, dir, up)
	case "golang-migrate":
		return runGolangMigrate(t, db, dir, up)
	case "sql-migrate":
		return runSQLMigrate(t, db, dir, up)
	}
	return fmt.Errorf("the tool %q is not one of those that are built in", tool)
}

func runGoose(ctx context.Context, t target, db *sql.DB, dir string, up bool) error {
	p, err := goose.NewProvider(goose.Dialect(t.dialect), db, os.DirFS(dir))
	if err != nil {
		return err
	}
	if up {
		_, err = p.Up(ctx)
	} else {
		_, err = p.Down(ctx)
	}
	return err
}

func runGolangMigrate(t target, db *sql.DB, dir string, up bool) (err error) {
	var driver database.Driver
	switch t.dialect {
	case "sqlite3":
		driver, err = migratesqlite.WithInstance(db, &migratesqlite.Config{})
	case "postgres":
		driver, err = migratepgx.WithInstance(db, &migratepgx.Config{})
	case "mysql":
		driver, err = migratemysql.WithInstance(db, &migratemysql.Config{})
	}
	if err != nil {
		return err
	}
	source, err := iofs.New(os.DirFS(dir), ".")
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", source, t.dialect, driver)
	if err != nil {
		return err
	}
	if up {
		err = m.Up()
	} else {
		err = m.Steps(-1)
	}
	if errors.Is(err, migrate.ErrNoChange) {
		err = nil
	}
	sourceErr, databaseErr := m.Close()
	return errors.Join(err, sourceErr, databaseErr)
}

func runDbmate(t target, dir string, up bool) error {
	u := *t.url
	if t.dialect == "sqlite3" {
		u.Path = t.dsn
	}
	db := dbmate.New(&u)
	db.MigrationsDir = []string{dir}
	db.AutoDumpSchema = false
	db.Log = io.Discard
	if up {
		return db.Migrate()
	}
	return db.Rollback()
}

func runSQLMigrate(t target, db *sql.DB, dir string, up bool) error {
	direction, limit := sqlmigrate.Up, 0
	if !up {
		direction, limit = sqlmigrate.Down, 1
	}
	_, err := sqlmigrate.ExecMax(db, t.dialect, sqlmigrate.FileMigrationSource{Dir: dir}, direction, limit)
	return err
}

func runTern(ctx context.Context, address, dir string, up bool) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	m, err := ternmigrate.NewMigrator(ctx, conn, "public.schema_version")
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(os.DirFS(dir)); err != nil {
		return err
	}
	if up {
		return m.Migrate(ctx)
	}
	version, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return err
	}
	return m.MigrateTo(ctx, version-1)
}
