package tldwdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
)

// ErrNotEmpty means that a database in which there is something was to be restored or
// copied into, and that nobody has said that this may be replaced.
var ErrNotEmpty = errors.New("the database is not empty")

// RestoreOptions say what is restored, and over what. Of BackupOptions count where
// backups are, what opens them and Progress, and for the backup of what is replaced
// all of them.
type RestoreOptions struct {
	BackupOptions

	// Name is the backup's. Default, and latest: the newest one of this database that
	// no verification has found bad, and that is not of what another restore replaced.
	Name string

	// Over is the name of the database (of SQLite, of its file, without the folder)
	// whose content may be replaced. Default: only an empty database is restored into.
	// A database that is stamped as production has to be named in Config.Confirm too.
	Over string

	// WithoutBackup leaves out the backup of what is replaced.
	WithoutBackup bool

	// Up applies what is pending afterwards.
	Up bool

	// ScratchURL is as in [VerifyOptions].
	ScratchURL string
}

// Restored is what a restore has done.
type Restored struct {
	Backup   Backup        `json:"backup"`           // what is there now
	Replaced *Backup       `json:"replaced"`         // of what was there; nil where that was nothing, or no backup was wanted
	Kept     string        `json:"kept,omitempty"`   // name of the database that was there, where the server keeps it under another one
	Notes    []string      `json:"notes,omitempty"`  // what was noticed, and is no fault
	Duration time.Duration `json:"duration_ns"`      // nanoseconds in JSON
	Result   *Result       `json:"result,omitempty"` // of Up behind it
}

// Restore puts the content of a backup into the database, which has to be empty, or
// be named in RestoreOptions.Over.
//
// The backup is first restored beside the database and looked at, as [DB.VerifyBackup]
// does; what is there is backed up; then the one takes the other's place in one step.
// Others see all of the old content or all of the new one. Whatever ends this process
// before that step, the old content is there.
//
// It is done under the migration lock, which keeps migrations out and not those who
// write rows: what they write between the backup of the old content and the last step
// is in neither. Stop them first. Errors: [ErrNotEmpty], [ErrProtected],
// [ErrNewer] for a backup with migrations that this binary does not know,
// [ErrBackupDamaged], [ErrBackupKey], [ErrNoBackup], [ErrNoScratch].
func (db *DB) Restore(ctx context.Context, o RestoreOptions) (done Restored, err error) {
	began := time.Now()
	ctx, end := db.watch.start(ctx, db.operation(OperationRestore))
	defer func() { end(err) }()
	p, keys, err := db.planRestore(o.BackupOptions)
	if err != nil {
		return done, err
	}
	p.owners = true // others than who restores work with what is restored
	if done.Backup, err = db.findBackup(ctx, p.store, o.Name); err != nil {
		return done, err
	}
	defer func() {
		done.Duration = time.Since(began)
		if err != nil {
			err = fmt.Errorf("restoring %s: %w", done.Backup.Name, db.roomInDatabase(err))
		}
	}()
	if err := db.knows(done.Backup); err != nil {
		return done, err
	}
	if o.Over != "" && !o.WithoutBackup && len(done.Backup.Recipients) > 0 && !p.encrypts() {
		err := errors.New("it is encrypted, and the backup of what it replaces would not be: nobody is named for whom")
		if slices.Equal(done.Backup.Recipients, []string{"passphrase"}) {
			return done, withHint(err, "give the passphrase (--passphrase-file, TLDWDB_BACKUP_PASSPHRASE_FILE); or set WithoutBackup (--no-backup)")
		}
		return done, withHint(err,
			"name them in BackupOptions.Recipients (--recipient, TLDWDB_BACKUP_RECIPIENTS): this one is for %s; or set WithoutBackup (--no-backup)", strings.Join(done.Backup.Recipients, ", "))
	}
	p.meter.enter(phaseLock)
	arrived := false
	err = db.underMigrationLock(ctx, "restore", func(ctx context.Context, r *run) error {
		err := r.restore(ctx, o, p, keys, &done)
		arrived = err == nil
		return err
	})
	done.Notes = append(p.notes, done.Notes...)
	if err != nil && arrived && db.dialectName != dialect.NameSQLite {
		// Until the step at the end the loss of the lock would have ended the restore, and
		// nothing was done under it behind that. A session that is gone has no lock, and a
		// lease runs out.
		done.Notes, err = append(done.Notes, fmt.Sprintf("the backup has taken its place, and then the migration lock was lost: %v", err)), nil
	}
	if err != nil {
		return done, err
	}
	db.log.LogAttrs(ctx, slog.LevelInfo, "backup restored", slog.String("backup", done.Backup.Name), slog.String("store", p.store.String()),
		slog.String("kept", done.Kept), slog.Duration("took", time.Since(began).Round(time.Millisecond)))
	if o.Up {
		done.Result, err = db.Up(ctx)
	}
	return done, err
}

// knows refuses a backup with migrations that are newer than this binary's.
func (db *DB) knows(b Backup) error {
	src, err := db.source()
	if err != nil {
		return err
	}
	head, _ := src.head()
	var newest int64
	for _, m := range b.Migrations {
		if m.Set == db.cfg.Set {
			newest = max(newest, m.Version)
		}
	}
	if newest > head {
		return withHint(fmt.Errorf("%w: %s is at version %d, and this binary knows versions up to %d", ErrNewer, b.Name, newest, head),
			"restore it with the binary that made it, or a newer one")
	}
	return nil
}

// restore is what of Restore is done under the lock.
func (r *run) restore(ctx context.Context, o RestoreOptions, p *backupPlan, keys backupKeys, done *Restored) (err error) {
	if r.facts.ReadOnly {
		return withHint(fmt.Errorf("%w: %s on %s", ErrReadOnly, databaseLabel(r.facts.Database), r.facts.Server), "restore on the primary, as somebody who may write")
	}
	empty, err := r.mayReplace(ctx, o.Over)
	if err != nil {
		return err
	}
	if empty && r.d.Name() != dialect.NameSQLite {
		if done.Backup.Content == portableContent {
			return r.restoreRows(ctx, p, keys, done)
		}
		return r.restoreEmpty(ctx, p, keys, done)
	}
	mine, err := r.owner(ctx)
	if err != nil {
		return err
	}
	// What cannot be is known before hours of restoring: the step at the end, and the
	// backup of what is replaced.
	if r.d.Name() != dialect.NameSQLite {
		if err := r.db.targeted(ctx, p.options, nil, func(t dump.Target) error { return dump.MaySwap(ctx, t) }); err != nil {
			return hinted(err, "nothing was restored")
		}
	}
	var before *backupPlan
	if !empty && !o.WithoutBackup {
		o.Reason = ReasonRestore
		if before, err = r.planBefore(ctx, o.BackupOptions); err != nil {
			return hinted(fmt.Errorf("the backup of what is replaced: %w", err), "nothing was restored; RestoreOptions.WithoutBackup (--no-backup) restores without it")
		}
	}
	var s *scratch
	err = r.elsewhere(ctx, func(ctx context.Context) (err error) {
		s, err = r.db.restoreBeside(ctx, p, done.Backup, keys, o.ScratchURL)
		return err
	})
	if s != nil {
		defer func() { err = errors.Join(err, s.close(ctx)) }()
	}
	if err == nil {
		err = r.elsewhere(ctx, func(ctx context.Context) (err error) {
			done.Notes, err = s.examine(ctx, p, done.Backup)
			return err
		})
	}
	if err != nil {
		return err
	}
	if before != nil {
		replaced, err := r.backup(ctx, before)
		if err != nil {
			return err
		}
		done.Replaced = &replaced
	}
	if err := r.succeed(ctx, s, mine, done.Backup); err != nil {
		return err
	}
	p.meter.enter(phaseSwitch)
	if err := r.replace(ctx, p, s, done); err != nil {
		return err
	}
	if err := r.arrived(ctx, done.Backup); err != nil {
		return hinted(fmt.Errorf("the backup has taken the place of what was there, and a last look failed: %w", err), "look with DB.Status (tldwdb status) before the restore is made again")
	}
	return nil
}

// succeed gives what was restored the identity of the database whose place it takes:
// its backups are those of that one, whatever it was restored from. Its environment too
// where that is production, which a database stays, and where the migrations made the
// tables: they were applied to a scratch database, which is stamped as a test's.
func (r *run) succeed(ctx context.Context, s *scratch, mine owner, b Backup) error {
	next, err := s.newRun(ctx)
	if err != nil {
		return err
	}
	defer next.release(ctx)
	if err := next.identify(ctx, cmp.Or(mine.identity, b.Identity)); err != nil {
		return err
	}
	environment := ""
	switch {
	case mine.environment == string(Production) || r.cfg.Environment == Production:
		environment = string(Production)
	case b.Content == portableContent:
		environment = cmp.Or(mine.environment, string(r.cfg.Environment))
	}
	return next.stamp(ctx, environment)
}

// stamp writes an environment into the history, unless it is there or empty.
func (r *run) stamp(ctx context.Context, environment string) error {
	hist, err := r.store.read(ctx, r.conn)
	if err != nil || hist.format == 0 || environment == "" || hist.environment == environment {
		return err
	}
	return r.inOneTransaction(ctx, r.store.setMeta(metaEnvironment, environment))
}

func (r *run) identify(ctx context.Context, identity string) error {
	hist, err := r.store.read(ctx, r.conn)
	if err != nil || hist.format == 0 || identity == "" || hist.identity == identity {
		return err
	}
	return r.inOneTransaction(ctx, []string{r.store.identify(identity)})
}

// planBefore plans the backup of what a restore replaces, and tries what can be tried
// of it.
func (r *run) planBefore(ctx context.Context, o BackupOptions) (*backupPlan, error) {
	p, err := r.db.planBackup(ctx, o)
	if err != nil {
		return nil, err
	}
	owner, err := r.owner(ctx)
	if err == nil {
		err = owner.loading
	}
	if err != nil {
		return nil, err
	}
	if _, rows := p.way.(portableWay); rows {
		list, err := r.store.readAll(ctx, r.conn.Conn)
		if err == nil {
			err = r.db.canMakeAnew(list)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, tryStore(ctx, p.store, p.form)
}

// tryStore begins a part of a backup, and leaves nothing of it.
func tryStore(ctx context.Context, store BackupStore, form archive.Options) (err error) {
	parts := &partSet{store: store, form: form, backup: archive.NewName(time.Now())}
	defer func() { err = errors.Join(err, parts.abort(ctx)) }()
	part, err := parts.begin(ctx, "test")
	if err != nil {
		return err
	}
	_, err = part.Write([]byte("test"))
	return err
}

// arrived asks the database itself what is there now, by a new connection: those that
// there were may have gone with what was replaced. It asks also where the lock was lost
// meanwhile, or the caller has had enough: the step was made.
func (r *run) arrived(ctx context.Context, b Backup) error {
	// Without the lock a worker that waited for it may have applied what came after the
	// backup. On PostgreSQL it has gone with the old database, and a lease may have run out.
	_, leased := r.lock.(lease)
	locked := !r.moved && !leased
	ctx, cancel := detached(ctx)
	defer cancel()
	conn := r.conn.Conn
	if r.d.Name() != dialect.NameSQLite {
		second, done, err := r.secondConnection(ctx)
		if err != nil {
			return err
		}
		defer done()
		conn = second
	}
	now, err := r.store.readAll(ctx, conn)
	there := sameMigrations
	if !locked {
		there = goneOn
	}
	if err == nil && !there(now, b) {
		err = damaged("the history in the database is not that of the backup, after it was put there")
	}
	return err
}

// goneOn reports whether a history has all migrations of a backup, whatever else.
func goneOn(now []BackupMigration, b Backup) bool {
	return !slices.ContainsFunc(b.Migrations, func(m BackupMigration) bool {
		return m.Version > 0 && !slices.ContainsFunc(now, func(is BackupMigration) bool {
			return is.Set == m.Set && is.Version == m.Version && is.Name == m.Name
		})
	})
}

// restoreEmpty restores into a database of a server in which there is nothing, and
// looks at what is there then.
func (r *run) restoreEmpty(ctx context.Context, p *backupPlan, keys backupKeys, done *Restored) error {
	if err := r.db.canRead(done.Backup); err != nil {
		return err
	}
	r.rollback(ctx) // a transaction would be in the way of the program
	err := r.elsewhere(ctx, func(ctx context.Context) (err error) {
		if err := r.db.loadServer(ctx, p, done.Backup, keys); err != nil {
			return err
		}
		p.meter.enter(phaseVerify)
		if done.Notes, err = r.db.holds(ctx, p, done.Backup); err != nil {
			return err
		}
		return r.db.wake(ctx, p)
	})
	if err == nil && r.cfg.Environment == Production { // whatever it was where the backup was made
		err = r.stamp(ctx, string(Production))
	}
	if err != nil {
		return hinted(err, "the database was empty, and what has come into it is not complete: empty it before the next try")
	}
	return nil
}

// mayReplace refuses to replace what nobody has named, and tells whether there is
// anything.
func (r *run) mayReplace(ctx context.Context, over string) (empty bool, err error) {
	objects, err := catalog.Read(ctx, r.d, r.conn.Conn, r.db.content())
	if err != nil {
		return false, err
	}
	label := r.label()
	switch {
	case objects.Empty():
		return true, nil
	case over == "":
		return false, withHint(fmt.Errorf("%w: %s has %s", ErrNotEmpty, label, someTables(objects)),
			"restore into an empty database; or, to replace what is there, name it: RestoreOptions.Over, or --over %s", label)
	case over != label:
		return false, fmt.Errorf("%w: RestoreOptions.Over names %q, and this is %s", ErrNotEmpty, over, label)
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return false, err
	}
	return false, r.unprotected(hist)
}

// someTables names a few of what there is.
func someTables(objects catalog.Catalog) string {
	var names []string
	for _, o := range objects {
		if o.Of == "" && o.Kind == "table" {
			names = append(names, o.Name)
		}
	}
	const most = 3
	switch {
	case len(names) == 0:
		return fmt.Sprintf("%d objects", len(objects))
	case len(names) > most:
		return fmt.Sprintf("%s and %d more tables", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "the tables " + strings.Join(names, ", ")
}

// replace puts what was restored beside the database in its place.
func (r *run) replace(ctx context.Context, p *backupPlan, s *scratch, done *Restored) error {
	restored := s.url
	if err := s.Close(); err != nil { // of SQLite, so that all of it is in the file
		return err
	}
	if r.d.Name() == dialect.NameSQLite {
		return dump.ReplaceSQLite(ctx, r.conn.Conn, restored.Path, p.meter.bytes)
	}
	r.rollback(ctx) // a transaction would hold up what changes places
	if r.d.Name() == dialect.NamePostgres {
		r.heart.rest()
		if ctx.Err() != nil { // its last sign of life had no answer
			return context.Cause(ctx)
		}
	}
	return r.db.targeted(ctx, p.options, nil, func(t dump.Target) (err error) {
		if done.Kept, err = dump.Swap(ctx, t, restored.Database, p.asleep); err == nil && r.d.Name() == dialect.NamePostgres {
			// Every session of both databases was ended, those of the lock and of the
			// scratch database included, and that database has another name now.
			r.moved, s.moved = true, true
		}
		if err != nil && done.Kept != "" {
			kept := done.Kept
			done.Kept = ""
			return fmt.Errorf("%w; where the server has made the step all the same, what was there is the database %s", err, kept)
		}
		return err
	})
}
