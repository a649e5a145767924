// Wrapped is a program of another team, which has a pool, a logger and commands
// of its own. It lends the pool to tldwdb for its migrations, and hangs tldwdb's
// commands into its own tree. The migrations live beside TL;DW's in one database,
// as a set with a name and versions of its own.
//
//	go run ./examples/wrapped
//	go run ./examples/wrapped --driver pgx --dsn postgres://user:password@127.0.0.1/db
//	REPORTS_DATABASE_URL=postgres://user:password@127.0.0.1/db go run ./examples/wrapped db status
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jmoiron/sqlx"
	"github.com/spf13/cobra"

	// The drivers are this program's choice; tldwdb recognises them.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbcli"
)

//go:embed migrations/*.sql
var files embed.FS

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("program", "reports")
	var driver, dsn string
	root := &cobra.Command{
		Use: "reports", Short: "Count the reports", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := serve(cmd.Context(), driver, dsn, log, cmd.OutOrStdout())
			if err != nil {
				log.Error("ended", "error", err.Error(), "hint", tldwdb.Hint(err))
			}
			return err
		},
	}
	root.Flags().StringVar(&driver, "driver", "sqlite3", "the pool's `name` of the driver: sqlite3 or pgx")
	root.Flags().StringVar(&dsn, "dsn", "file:reports?mode=memory&cache=shared", "the pool's data source `name`")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		log.Error("wrong usage", "error", err.Error())
		return errUsage
	})
	root.AddCommand(tldwdbcli.New(tldwdbcli.Options{Config: config(log), LookupEnv: lookup})) // reports db up, reports db status, ...

	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if errors.Is(err, errUsage) {
		return tldwdbcli.ExitUsage
	}
	return tldwdbcli.ExitCode(err)
}

var errUsage = errors.New("wrong usage")

// lookup gives tldwdb's commands this program's own variable for the database,
// and none of the others.
func lookup(name string) (string, bool) {
	if name == "DATABASE_URL" {
		return os.LookupEnv("REPORTS_DATABASE_URL")
	}
	return "", false
}

// config is what the service and the commands have in common.
func config(log *slog.Logger) tldwdb.Config {
	return tldwdb.Config{Migrations: files, MigrationsDir: "migrations", Set: "reports", Application: "reports", Logger: log}
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
	db, err := tldwdb.Attach(ctx, pool, config(log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Up(ctx)
	return err
}
