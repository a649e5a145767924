package tldwdb

import (
	"context"
	"errors"
	"io"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/seed"
)

// DumpSeedOptions say what [DB.DumpSeed] writes. The zero value is every table as it is.
type DumpSeedOptions struct {
	// Tables are names, or patterns such as cache_*. Default: all tables but this
	// package's own.
	Tables []string

	// Skip lists tables that are left out, likewise.
	Skip []string

	// Masks keep personal data out of the file: table.column=kind, in which the kind is
	// email, name, hash (16 hexadecimal digits), null or fixed:TEXT. The same value gets
	// the same mask, so that rows still fit together; who knows or guesses a value can
	// see that it is the one. NULL stays NULL.
	Masks []string
}

// DumpSeed writes rows of the database as a file of seeds (YAML), read in one snapshot.
// Each table comes behind those that its foreign keys lead to, and what is loaded from
// the file is what was there, on every engine. Computed columns are left out. A table
// without a key that is unique is an error, which names all of them: nobody could say
// whether a row is there.
//
// It is for fixtures: [DB.Backup] is for everything else. The file is read whole when
// it is loaded.
func (db *DB) DumpSeed(ctx context.Context, w io.Writer, o DumpSeedOptions) error {
	masks := make([]seed.Mask, len(o.Masks))
	for i, text := range o.Masks {
		var err error
		if masks[i], err = seed.ParseMask(text); err != nil {
			return err
		}
	}
	r, err := db.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	s := &seeding{db: db}
	err = portable.Snapshot(ctx, r.d, r.conn.Conn, s.rowOptions(r), func(rows *portable.Rows) error {
		return seed.Dump(ctx, rows, w, o.Tables, o.Skip, masks)
	})
	if _, ok := errors.AsType[*seed.KeylessError](err); ok {
		err = withHint(err, "leave it out with DumpSeedOptions.Skip (--skip), or give it a primary key in a migration")
	}
	return ended(ctx, err)
}
