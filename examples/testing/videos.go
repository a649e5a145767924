// Package videos is a little of a service, to be tested: see videos_test.go.
package videos

import (
	"context"
	"embed"

	"github.com/tldw/tldwdb"
)

// Schema has the migrations, in the folder schema.
//
//go:embed schema
var Schema embed.FS

// Video is one row.
type Video struct {
	YouTubeID string `db:"youtube_id"`
	Title     string `db:"title"`
	Seconds   int    `db:"seconds"`
}

// Add stores a video.
func Add(ctx context.Context, db *tldwdb.DB, v Video) error {
	_, err := db.Pool().NamedExecContext(ctx, "INSERT INTO video (youtube_id, title, seconds) VALUES (:youtube_id, :title, :seconds)", v)
	return err
}

// Longest returns the n longest videos, the longest first.
func Longest(ctx context.Context, db *tldwdb.DB, n int) ([]Video, error) {
	var list []Video
	err := db.Reader().SelectContext(ctx, &list, db.Reader().Rebind("SELECT youtube_id, title, seconds FROM video ORDER BY seconds DESC, youtube_id LIMIT ?"), n)
	return list, err
}
