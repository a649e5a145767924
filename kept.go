package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
)

// This file knows the databases that restores have replaced, which a server keeps.

// KeptDatabase is what a restore has replaced, on a server: the whole database, under
// a name of its own. On SQLite nothing is kept but the backup.
type KeptDatabase struct {
	Name     string    `json:"name"`     // the database's own name, _before_ and when it was replaced
	Replaced time.Time `json:"replaced"` // by the clock of who did it
	Dropped  bool      `json:"dropped"`  // by [DB.DropKept]
}

// DropKeptOptions say which of the databases go that restores have replaced.
type DropKeptOptions struct {
	// OlderThan is how long ago they were replaced at least. Default: all of them go.
	OlderThan time.Duration
	// DryRun drops nothing, and says what would be dropped.
	DryRun bool
}

// KeptDatabases lists the databases that restores of this one have replaced and that
// the server still has, the newest first, as far as the account sees them.
func (db *DB) KeptDatabases(ctx context.Context) ([]KeptDatabase, error) {
	var list []KeptDatabase
	err := db.onServer(ctx, func(t dump.Target) (err error) {
		list, err = keptOn(ctx, t)
		return err
	})
	return list, err
}

// DropKept drops the databases that restores of this one have replaced, and lists all
// there were. On a database stamped as production it has to be named in
// Config.Confirm ([ErrProtected]). What was done is right beside an error too.
func (db *DB) DropKept(ctx context.Context, o DropKeptOptions) ([]KeptDatabase, error) {
	if o.OlderThan < 0 {
		return nil, fmt.Errorf("DropKeptOptions.OlderThan is %v: accepted is a duration from 0", o.OlderThan)
	}
	if err := db.mayDrop(ctx); err != nil {
		return nil, err
	}
	var list []KeptDatabase
	err := db.onServer(ctx, func(t dump.Target) (err error) {
		if list, err = keptOn(ctx, t); err != nil {
			return err
		}
		var errs []error
		for i := range list {
			k := &list[i]
			if time.Since(k.Replaced) < o.OlderThan {
				continue
			}
			if !o.DryRun {
				if err := dump.DropKept(ctx, t, dump.Kept{Name: k.Name, Replaced: k.Replaced}); err != nil {
					errs = append(errs, err)
					continue
				}
				db.log.LogAttrs(ctx, slog.LevelInfo, "a database that a restore had replaced is dropped", slog.String("database", k.Name))
			}
			k.Dropped = true
		}
		return errors.Join(errs...)
	})
	return list, err
}

// mayDrop refuses on a production database that nobody has named.
func (db *DB) mayDrop(ctx context.Context) error {
	r, err := db.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	if err := r.inspect(ctx); err != nil {
		return err
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return err
	}
	return r.unprotected(hist)
}

// onServer calls f with a server's database. SQLite keeps nothing.
func (db *DB) onServer(ctx context.Context, f func(dump.Target) error) error {
	if db.dialectName == dialect.NameSQLite {
		return nil
	}
	return db.targeted(ctx, BackupOptions{}, nil, f)
}

func keptOn(ctx context.Context, t dump.Target) ([]KeptDatabase, error) {
	found, err := dump.KeptOf(ctx, t)
	list := make([]KeptDatabase, len(found))
	for i, k := range found {
		list[i] = KeptDatabase{Name: k.Name, Replaced: k.Replaced}
	}
	slices.SortFunc(list, func(a, b KeptDatabase) int { return b.Replaced.Compare(a.Replaced) })
	return list, err
}
