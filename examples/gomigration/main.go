// Gomigration shows a migration that is written in Go, between two SQL files of
// the same sequence: what SQL cannot compute is computed by the program. It uses
// a database in memory.
//
//	go run ./examples/gomigration
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/tldw/tldwdb"
)

//go:embed migrations
var files embed.FS

// backfill is version 2. It runs on the connection that it is given and on no
// other: that one holds the lock and, on SQLite and PostgreSQL, the transaction
// which also writes the history. MySQL has no such transaction around a DDL
// migration, so a process may die with the work half done: Idempotent says that
// Up may then simply run again, because it looks only for rows that lack an ID.
var backfill = tldwdb.GoMigration{
	Version:    2,
	Name:       "backfill_youtube_id",
	Idempotent: true,
	Up: func(ctx context.Context, conn tldwdb.Conn) error {
		var videos []struct {
			ID  int64  `db:"id"`
			URL string `db:"url"`
		}
		// All rows are read before the first write: one connection cannot do both.
		if err := conn.SelectContext(ctx, &videos, "SELECT id, url FROM video WHERE youtube_id IS NULL ORDER BY id"); err != nil {
			return err
		}
		for _, v := range videos {
			id, err := youtubeID(v.URL)
			if err != nil {
				return fmt.Errorf("video %d: %w", v.ID, err)
			}
			if _, err := conn.ExecContext(ctx, conn.Rebind("UPDATE video SET youtube_id = ? WHERE id = ?"), id, v.ID); err != nil {
				return err
			}
		}
		return nil
	},
	Down: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "UPDATE video SET youtube_id = NULL")
		return err
	},
}

// youtubeID finds the ID in the forms of address that users paste.
func youtubeID(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	id := u.Query().Get("v")
	if id == "" && (u.Host == "youtu.be" || strings.HasPrefix(u.Path, "/shorts/")) {
		id = path.Base(u.Path)
	}
	if len(id) != 11 {
		return "", fmt.Errorf("no video ID in %s", address)
	}
	return id, nil
}

func main() {
	if err := run(context.Background(), "sqlite://", os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "gomigration: error: %v\n", err)
		os.Exit(1)
	}
}

// run makes a database as it was before the backfill, with videos in it, and
// then brings it up to date.
func run(ctx context.Context, databaseURL string, stdout io.Writer) (err error) {
	db, err := tldwdb.Open(ctx, tldwdb.Config{
		URL:           databaseURL,
		Migrations:    files,
		MigrationsDir: "migrations",
		GoMigrations:  []tldwdb.GoMigration{backfill},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	res, err := db.MigrateTo(ctx, 1)
	if err != nil {
		return err
	}
	say(stdout, res)
	if _, err := db.Pool().ExecContext(ctx, `INSERT INTO video (id, url) VALUES
		(1, 'https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=42'),
		(2, 'https://youtu.be/jNQXAC9IVRw'),
		(3, 'https://www.youtube.com/shorts/aqz-KE-bpKQ?feature=share')`); err != nil {
		return err
	}

	if res, err = db.Up(ctx); err != nil {
		return err
	}
	say(stdout, res)
	var ids []string
	if err := db.Reader().SelectContext(ctx, &ids, "SELECT youtube_id FROM video ORDER BY id"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "videos: %s\n", strings.Join(ids, " "))
	return err
}

// say prints what a run did.
func say(w io.Writer, res *tldwdb.Result) {
	for _, a := range res.Applied {
		_, _ = fmt.Fprintf(w, "%s %s\n", a.Direction, a.Migration) // only a report
	}
}
