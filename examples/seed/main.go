// Seed is a service that makes sure of its first account when it starts: the admin,
// whose name, address and password hash come from the environment.
//
//	ADMIN_EMAIL=root@example.com ADMIN_PASSWORD_HASH='$argon2id$...' go run ./examples/seed
//
// Without DATABASE_URL and the like it works on a SQLite file tldw.db. In production
// (TLDWDB_ENV=production) the accounts to develop with are left out.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tldw/tldwdb"
)

//go:embed migrations seeds
var files embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.LookupEnv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		if hint := tldwdb.Hint(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

// run migrates, seeds, and tells what was written.
func run(ctx context.Context, lookup func(string) (string, bool), stdout io.Writer) (err error) {
	cfg, err := tldwdb.ConfigFromLookup(lookup)
	if err != nil {
		return err
	}
	cfg.Migrations, cfg.MigrationsDir = files, "migrations"
	cfg.Seeds, cfg.SeedsDir = files, "seeds"
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Up(ctx); err != nil {
		return err
	}
	result, err := db.Seed(ctx)
	if err != nil {
		return err
	}
	for _, set := range result.Sets {
		for _, t := range set.Tables {
			_, err := fmt.Fprintf(stdout, "%s: %s: %d inserted, %d updated, %d as they were\n", set.Name, t.Name, t.Inserted, t.Updated, t.Unchanged)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
