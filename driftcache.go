package tldwdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/catalog"
)

// This file keeps what migrations have made on a scratch database for other processes.

const (
	replayEnding = ".replay.json"
	replayAge    = 30 * 24 * time.Hour // without having been asked for
)

// replayFile is the file of a replay. It is written whole or not at all, and its first line
// is the sum of the rest: one that somebody has changed is made again.
type replayFile struct {
	Want catalog.Catalog      `json:"want"`
	Left []catalog.Difference `json:"left"`
}

// cacheFile is where a replay is kept; empty where it cannot be: a Go migration has no
// checksum, so that nobody knows whether it still makes what it made. The name stands
// for all that the outcome depends on, the server's own settings among it.
func (p *present) cacheFile(v Verification) string {
	if v.CacheDir == "" || v.ScratchURL != "" {
		return ""
	}
	for _, m := range p.src.migrations {
		if m.code != nil {
			return ""
		}
	}
	of := p.identity(v)
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %s %d %q", of, Version, catalog.Revision, p.settings))
	return filepath.Join(v.CacheDir, hex.EncodeToString(sum[:16])+replayEnding)
}

// readReplay returns what a file has kept; nil when there is none, or none to trust.
func readReplay(path string) *replayFile {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	sum, body, _ := bytes.Cut(text, []byte("\n"))
	var k replayFile
	if string(sum) != checksum(body) || json.Unmarshal(body, &k) != nil {
		return nil
	}
	return &k
}

// keepReplay writes the file. That it cannot is no reason to fail: the next one replays.
func (db *DB) keepReplay(ctx context.Context, path string, k replayFile) {
	err := writeReplay(path, k)
	if err != nil {
		db.log.LogAttrs(ctx, slog.LevelDebug, "what the migrations make is not kept for the next time", slog.String("error", err.Error()))
	}
}

func writeReplay(path string, k replayFile) error {
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s\n%s", checksum(body), body); err != nil {
		_ = f.Abort() // the first error says it
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	forgetReplays(dir, time.Now().Add(-replayAge))
	return nil
}

// forgetReplays removes what nobody has asked for since.
func forgetReplays(dir string, since time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // they are in nobody's way
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), replayEnding) && info.ModTime().Before(since) {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // somebody else may have
		}
	}
}
