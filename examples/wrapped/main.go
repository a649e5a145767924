// Wrapped is a program of another team, which has a pool, a logger and flags of
// its own, and lends the pool to tldwdb for its migrations. They live beside
// TL;DW's in one database, as a set with a name and versions of its own.
//
//	go run ./examples/wrapped
//	go run ./examples/wrapped -driver pgx -dsn postgres://user:password@127.0.0.1/db
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jmoiron/sqlx"

	// The drivers are this program's choice; tldwdb recognises them.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
)

//go:embed migrations/*.sql
var files embed.FS

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wrapped", flag.ContinueOnError)
	flags.SetOutput(stderr)
	driver := flags.String("driver", "sqlite3", "the pool's `name` of the driver: sqlite3 or pgx")
	dsn := flags.String("dsn", "file:reports?mode=memory&cache=shared", "the pool's data source `name`")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("program", "reports")
	if err := serve(ctx, *driver, *dsn, log, stdout); err != nil {
		log.Error("ended", "error", err.Error(), "hint", tldwdb.Hint(err))
		return 1
	}
	return 0
}

// serve stands for what the program does all day. Only one call in it is about
// migrations.
func serve(ctx context.Context, driver, dsn string, log *slog.Logger, stdout io.Writer) (err error) {
	pool, err := sqlx.Open(driver, dsn)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(4)
	defer func() { err = errors.Join(err, pool.Close()) }()

	if err := migrate(ctx, pool, log); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	if _, err := pool.ExecContext(ctx, "INSERT INTO report (id, title) SELECT count(*) + 1, 'Week' FROM report"); err != nil {
		return err
	}
	var count int
	if err := pool.GetContext(ctx, &count, "SELECT count(*) FROM report WHERE views = 0"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "reports: %d\n", count)
	return err
}

// migrate borrows the pool: its settings stay, and it is not closed. Errors and
// log records go the program's own way, and nothing else is touched: no flags,
// no globals, no output.
func migrate(ctx context.Context, pool *sqlx.DB, log *slog.Logger) (err error) {
	db, err := tldwdb.Attach(ctx, pool, tldwdb.Config{
		Migrations:    files,
		MigrationsDir: "migrations",
		Set:           "reports",
		Application:   "reports",
		Logger:        log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Up(ctx)
	return err
}
