package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
)

// This file makes and reads the backups that servers' own programs write.

// toolConnections is how many connections a dump may have beside the programs': its
// snapshot, and those that count rows meanwhile.
const toolConnections = 4

// serverWay has the server's own program write the dump.
type serverWay struct{ jobs int }

func (serverWay) method() BackupMethod { return BackupNative }

// tooled calls f with the engine of a server's database.
func (db *DB) tooled(ctx context.Context, o BackupOptions, m *meter, f func(dump.Engine) error) error {
	return db.targeted(ctx, o, m, func(t dump.Target) error {
		if t.URL.Dialect == dburl.Postgres {
			return f(dump.Postgres(t))
		}
		return f(dump.MySQL(t))
	})
}

// targeted calls f with a server's database, by the road that migrations take.
func (db *DB) targeted(ctx context.Context, o BackupOptions, m *meter, f func(dump.Target) error) (err error) {
	u, login := db.url, db.login
	if db.migrateURL.Dialect != "" {
		u, login = db.migrateURL, db.migrateLogin
	}
	if u.Dialect == "" {
		return withHint(fmt.Errorf("the program that backs up cannot know where the database is: %w", errNoSideConnection), "set Config.URL beside the pool, or make a portable backup")
	}
	side, err := db.newPool(u, dialect.ConnectOptions{Migration: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	limitPool(side, toolConnections, 0, 0)
	t := dump.Target{URL: u, DB: side.DB, Dialect: db.dialect, Log: db.log, ToolDir: o.ToolDir, Lease: db.leaseTable(), Progress: m.table}
	user, _, given, err := login.Ask(ctx)
	if err != nil {
		return err
	}
	if user != "" {
		t.URL.User = user
	}
	if given {
		t.Password = func(ctx context.Context) (string, error) {
			_, password, _, err := login.Ask(ctx)
			return password, err
		}
	}
	err = f(t)
	if refusal, ok := errors.AsType[*dump.Refusal](err); ok {
		err = hinted(err, refusal.Hint)
	}
	return err
}

func (w serverWay) dump(ctx context.Context, r *run, p *backupPlan, parts *partSet) (in contents, err error) {
	if err := r.describe(ctx, &in); err != nil {
		return in, err
	}
	extension := "sql"
	if r.d.Name() == dialect.NamePostgres {
		extension = "dump"
		if w.jobs > 1 {
			extension = "tar"
		}
	}
	options := dump.Options{Jobs: w.jobs, Digests: p.options.Digests}
	var target *part
	// pg_dump goes back in a file to write where the tables are in it.
	if r.d.Name() != dialect.NamePostgres && parts.keepsFiles() {
		target, options.File, err = parts.own(ctx, extension)
	} else {
		target, err = parts.begin(ctx, extension)
	}
	if err != nil {
		return in, err
	}
	err = r.elsewhere(ctx, func(ctx context.Context) error {
		return r.db.tooled(ctx, p.options, p.meter, func(e dump.Engine) error {
			dumped, err := e.Dump(ctx, target, options)
			in.content, in.tool, in.position, in.tables, in.notes = dumped.Content, dumped.Tool, dumped.Position, backupTables(dumped.Tables), dumped.Notes
			return err
		})
	})
	if options.File != nil {
		if err == nil {
			err = options.File.Sync()
		}
		err = parts.room(errors.Join(err, options.File.Close()))
	}
	if err != nil {
		return in, err
	}
	// Others than migrations change schemas too, whatever the lock.
	var after contents
	if err := r.describe(ctx, &after); err != nil {
		return in, err
	}
	if after.schema != in.schema || !slices.Equal(after.migrations, in.migrations) {
		return in, withHint(errors.New("the schema was changed while the database was dumped, and not by a migration"), "try again when nobody else changes it")
	}
	return in, nil
}

// describe says what is in the database that r is connected to.
func (r *run) describe(ctx context.Context, in *contents) error {
	defer r.rollback(ctx) // a session that is prepared on MySQL has a transaction now
	r.rollback(ctx)
	return in.describe(ctx, r.db, &r.store, r.conn.Conn, "", dump.Asleep{})
}

// loadServer has the server's own program read a backup into db, which is empty. Events
// do not run there before wake.
func (db *DB) loadServer(ctx context.Context, p *backupPlan, b Backup, keys backupKeys) error {
	// What the program reads takes effect at once.
	if err := p.checkAll(ctx, b); err != nil {
		return err
	}
	p.meter.enter(phaseLoad)
	content, err := openPart(ctx, p.store, b, b.Parts[0], keys)
	if err != nil {
		return err
	}
	counted := &toldReader{ctx: ctx, r: content, tell: func(done int64) { p.meter.bytes(done, b.PlainSize()) }}
	err = db.tooled(ctx, p.options, nil, func(e dump.Engine) error {
		return e.Load(ctx, counted, b.Content, dump.Options{Jobs: p.options.Jobs, Owners: p.owners, Asleep: &p.asleep, Note: func(text string) { p.notes = append(p.notes, text) }})
	})
	if err == nil { // the program may stop before the end, where the sum is compared
		_, err = io.Copy(io.Discard, counted)
	}
	return errors.Join(err, content.Close())
}

// wake has the events run that loadServer has made.
func (db *DB) wake(ctx context.Context, p *backupPlan) error {
	return db.tooled(ctx, p.options, nil, func(e dump.Engine) error { return e.Wake(ctx, p.asleep) })
}

// tablesNow counts what is there now, as the dump did.
func (db *DB) tablesNow(ctx context.Context, p *backupPlan, b Backup) (list []BackupTable, err error) {
	digests := slices.ContainsFunc(b.Tables, func(t BackupTable) bool { return t.Digest != "" })
	err = db.tooled(ctx, p.options, p.meter, func(e dump.Engine) error {
		tables, err := e.Tables(ctx, digests)
		list = backupTables(tables)
		return err
	})
	return list, err
}
