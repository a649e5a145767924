package tldwdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dump"
)

// This file makes backups. What is in one is written by a [backupWay]; how it is
// stored, and that it has a name only when all is well, is the same for all.

// Backup makes a backup of the database. The fields of o that are zero are those of
// Config.Backup.
//
// It is made under the migration lock, so that no migration changes the schema
// meanwhile: a process that boots with migrations pending waits for it, as for
// another's migrations, for Config.LockWait. Whoever reads and writes rows does not
// wait, except on SQLite with a rollback journal, where writers do.
//
// The content is one instant of the database. The backup appears under its name when
// it is complete; behind an error there is none. Whether it can be restored, and whether
// the database was sound, is what [DB.VerifyBackup] finds out. Beside what the database
// and the store may say, errors are those of the lock, as of [DB.Up].
func (db *DB) Backup(ctx context.Context, o BackupOptions) (Backup, error) {
	b, _, err := db.backupIf(ctx, o, nil)
	return b, err
}

// backupIf is Backup if it is still due under the lock; nil: it is. Observers are not
// told of what another process has done.
func (db *DB) backupIf(ctx context.Context, o BackupOptions, due func(context.Context, *run) (bool, error)) (b Backup, made bool, err error) {
	outer, end := ctx, func(error) {}
	begin := func() { ctx, end = db.watch.start(outer, db.operation(OperationBackup)) }
	if due == nil {
		begin()
		made = true
	}
	defer func() {
		if err != nil && !made {
			begin() // it is told that it failed
		}
		end(err)
	}()
	p, err := db.planBackup(ctx, o)
	if err != nil {
		return Backup{}, false, err
	}
	p.meter.enter(phaseLock)
	err = db.underMigrationLock(ctx, "backup", func(ctx context.Context, r *run) (err error) {
		if due != nil {
			if made, err = due(ctx, r); err != nil || !made {
				return err
			}
			begin()
		}
		b, err = r.backup(ctx, p)
		return err
	})
	return b, made && err == nil, err
}

// writer is who writes manifests.
const writer = "tldwdb " + Version

// backupPlan is what the options of a call come to.
type backupPlan struct {
	options BackupOptions
	store   BackupStore
	form    archive.Options // how parts are stored
	way     backupWay
	meter   *meter

	owners bool     // what is loaded gets its owners and rights back
	notes  []string // of what that could not do
	asleep dump.Asleep
	loaded loadedRows
}

// backupOptions fills in what the caller left open: from Config.Backup, then with the
// defaults.
func (db *DB) backupOptions(o BackupOptions) (*backupPlan, error) {
	c := db.cfg.Backup
	if o.Store == nil && o.Dir == "" {
		o.Store, o.Dir = c.Store, c.Dir
	}
	if o.Store == nil {
		o.Store = DirStore(o.Dir)
	}
	o.Method = cmp.Or(o.Method, c.Method)
	o.Compression = cmp.Or(o.Compression, c.Compression, archive.Zstd)
	o.Jobs = cmp.Or(o.Jobs, c.Jobs, 1)
	o.ToolDir = cmp.Or(o.ToolDir, c.ToolDir)
	if len(o.Recipients) == 0 && o.RecipientsFile == "" && o.PassphraseFile == "" {
		o.Recipients, o.RecipientsFile, o.PassphraseFile = c.Recipients, c.RecipientsFile, c.PassphraseFile
	}
	if len(o.IdentityFiles) == 0 {
		o.IdentityFiles = c.IdentityFiles
	}
	o.Digests = o.Digests || c.Digests
	if len(o.Skip) == 0 {
		o.Skip = c.Skip
	}
	o.Reason = cmp.Or(o.Reason, c.Reason, ReasonManual)
	if o.Progress == nil {
		o.Progress = c.Progress
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &backupPlan{options: o, store: o.Store, form: archive.Options{Compression: o.Compression}, meter: newMeter(o.Progress)}, nil
}

// encrypts tells whether backups that are made by this plan are encrypted.
func (p *backupPlan) encrypts() bool {
	return len(p.options.Recipients) > 0 || p.options.RecipientsFile != "" || p.options.PassphraseFile != ""
}

// check says what cannot be meant.
func (o BackupOptions) check() error {
	switch {
	case o.Method != "" && o.Method != BackupNative && o.Method != BackupPortable:
		return fmt.Errorf("BackupOptions.Method (TLDWDB_BACKUP_METHOD) is %.40q: accepted are native and portable", o.Method)
	case o.Compression != "" && o.Compression != archive.Zstd && o.Compression != archive.None:
		return fmt.Errorf("BackupOptions.Compression (TLDWDB_BACKUP_COMPRESSION) is %.40q: accepted are zstd and none", o.Compression)
	case o.Jobs < 0:
		return fmt.Errorf("BackupOptions.Jobs (TLDWDB_BACKUP_JOBS) is %d: accepted is a number from 1", o.Jobs)
	case slices.ContainsFunc(o.Skip, func(pattern string) bool { _, err := path.Match(pattern, ""); return err != nil }):
		return fmt.Errorf("BackupOptions.Skip (TLDWDB_BACKUP_SKIP) is %.200q: accepted are names of tables, and patterns as path.Match has them", o.Skip)
	case o.PassphraseFile != "" && (len(o.Recipients) > 0 || o.RecipientsFile != ""):
		return errors.New("BackupOptions.PassphraseFile (TLDWDB_BACKUP_PASSPHRASE_FILE) is set beside recipients: a backup is for the one or for the others")
	}
	return nil
}

// planBackup is backupOptions with what it takes to write. Whatever can be refused is
// refused here, before anything is written.
func (db *DB) planBackup(ctx context.Context, o BackupOptions) (*backupPlan, error) {
	p, err := db.backupOptions(o)
	if err != nil {
		return nil, err
	}
	if p.options.PassphraseFile != "" {
		recipient, _, warnings, err := archive.ReadPassphrase(p.options.PassphraseFile)
		if err != nil {
			return nil, fmt.Errorf("the passphrase of backups: %w", err)
		}
		db.warnKeys(warnings)
		p.form.Recipients = []age.Recipient{recipient}
	} else if p.form.Recipients, err = archive.ParseRecipients(p.options.Recipients, p.options.RecipientsFile); err != nil {
		return nil, fmt.Errorf("the recipients of backups: %w", err)
	}
	p.way, err = db.chooseWay(ctx, p.options)
	return p, err
}

// identities are the keys that open encrypted backups, as far as there are any.
func (db *DB) identities(o BackupOptions) ([]age.Identity, error) {
	identities, warnings, err := archive.ParseIdentities(o.IdentityFiles)
	if err != nil {
		return nil, fmt.Errorf("the identities of backups: %w", err)
	}
	db.warnKeys(warnings)
	if o.PassphraseFile != "" {
		_, identity, warnings, err := archive.ReadPassphrase(o.PassphraseFile)
		if err != nil {
			return nil, fmt.Errorf("the passphrase of backups: %w", err)
		}
		db.warnKeys(warnings)
		identities = append(identities, identity)
	}
	return identities, nil
}

func (db *DB) warnKeys(warnings []string) {
	for _, w := range warnings {
		db.log.Warn("a file with a key of backups is not as it should be", "warning", w)
	}
}

// backup makes a backup under the lock that r has.
func (r *run) backup(ctx context.Context, p *backupPlan) (_ Backup, err error) {
	owner, err := r.owner(ctx)
	if err == nil {
		err = owner.loading
	}
	if err != nil {
		return Backup{}, err
	}
	b := Backup{
		Identity: owner.identity,
		Reason:   p.options.Reason, Method: p.way.method(),
		Engine: r.d.Name(), EngineVersion: r.facts.Server, Database: r.label(), Writer: writer,
		Started: time.Now().UTC(), Compression: p.form.Compression, Recipients: archive.Describe(p.form.Recipients),
	}
	b.Name = archive.NewName(b.Started)
	log := r.log.With(slog.String("backup", b.Name), slog.String("store", p.store.String()), slog.String("reason", b.Reason))
	defer func() {
		if err != nil {
			err = fmt.Errorf("backup of %s: %w", b.Database, r.db.roomInDatabase(err))
			log.LogAttrs(ctx, slog.LevelError, "the backup failed", slog.String("error", err.Error()))
		}
	}()
	if folder, ok := p.store.(dirStore); ok {
		if err := folder.tidy(); err != nil { // the backup needs it not
			log.LogAttrs(ctx, slog.LevelWarn, "what a killed backup has left stays", slog.String("error", err.Error()))
		}
	}
	parts := &partSet{store: p.store, form: p.form, backup: b.Name}
	defer func() {
		if err != nil {
			err = errors.Join(err, parts.abort(ctx))
		}
		if tidyErr := parts.tidy(); tidyErr != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "a temporary file of the backup is left", slog.String("error", tidyErr.Error()))
		}
	}()
	p.meter.enter(phaseDump)
	in, err := p.way.dump(ctx, r, p, parts)
	if err != nil {
		return Backup{}, err
	}
	b.Format, b.Content, b.Tool, b.Position, b.Notes = in.format, in.content, in.tool, in.position, in.notes
	b.Seeds, b.Migrations, b.Tables, b.Skipped, b.Objects, b.Schema = in.seeds, in.migrations, in.tables, in.skipped, in.objects, in.schema
	if b.Parts, err = parts.commit(ctx); err != nil {
		return Backup{}, err
	}
	b.Finished = time.Now().UTC()
	if err := writeManifest(ctx, p.store, &b); err != nil {
		return Backup{}, err
	}
	log.LogAttrs(ctx, slog.LevelInfo, "backup made", slog.Int64("bytes", b.Size()), slog.Int("tables", len(b.Tables)), slog.Duration("took", b.Finished.Sub(b.Started).Round(time.Millisecond)))
	for _, note := range b.Notes {
		log.LogAttrs(ctx, slog.LevelWarn, "the backup has a note", slog.String("note", note))
	}
	r.db.tellBackup(b)
	return b, nil
}

// label is what a person calls the database: what its URL says, for one in memory.
func (r *run) label() string {
	if r.facts.InMemory {
		return ":memory:"
	}
	return databaseLabel(r.facts.Database)
}

// Size is how many bytes are stored of the backup.
func (b Backup) Size() (bytes int64) {
	for _, part := range b.Parts {
		bytes += part.Size
	}
	return bytes
}

// PlainSize is how many bytes its content has, before compression and encryption.
func (b Backup) PlainSize() (bytes int64) {
	for _, part := range b.Parts {
		bytes += part.PlainSize
	}
	return bytes
}

// contents are what is in a database.
type contents struct {
	content, tool, position string
	format                  int // of the manifest; 0: the first
	migrations              []BackupMigration
	seeds                   map[string]string
	tables                  []BackupTable
	skipped                 []string
	objects                 map[string]int
	schema                  string
	notes                   []string // what a person should know, and no error is
}

// describe fills in what the catalogue and the history at the other end of conn say.
// original is the name of the database that this one was restored from, if it was, and
// asleep are the events of that one which do not run here.
func (in *contents) describe(ctx context.Context, db *DB, history *store, conn *sql.Conn, original string, asleep dump.Asleep) (err error) {
	if in.migrations, err = history.readAll(ctx, conn); err != nil {
		return err
	}
	o := db.content()
	o.Database = original
	objects, err := catalog.Read(ctx, history.d, conn, o)
	if err != nil {
		return err
	}
	asleep.Awake(objects)
	in.objects, in.schema = fingerprint(objects)
	return nil
}

// leaseTable is the name of the table beside the history's with the lease, which
// comes and goes with how the lock is taken and is no content of the database.
func (db *DB) leaseTable() string { return db.cfg.Table + "_lease" }

// ownTables are this package's, whose rows are no content of the database.
func (db *DB) ownTables() []string { return []string{db.cfg.Table, db.leaseTable()} }

// content leaves out of a catalogue what is in no backup.
func (db *DB) content() catalog.Options { return catalog.Options{Ignore: []string{db.leaseTable()}} }

// fingerprint counts the objects of a database, and takes one digest of what they
// are. What belongs to the database as such, and not to its content, is left out.
func fingerprint(objects catalog.Catalog) (counts map[string]int, digest string) {
	counts = map[string]int{}
	sum := sha256.New()
	for _, o := range objects {
		if o.Kind == "database" {
			continue
		}
		counts[o.Kind]++
		_, _ = fmt.Fprintf(sum, "%q %q %q %q\n", o.Kind, o.Name, o.Of, o.Text) // a hash takes everything
	}
	return counts, hex.EncodeToString(sum.Sum(nil))
}

// readAll reads which migrations of all sets the history has, in the order of set and
// version.
func (s *store) readAll(ctx context.Context, conn *sql.Conn) (list []BackupMigration, err error) {
	rows, err := conn.QueryContext(ctx, fmt.Sprintf("SELECT set_name, version, name, checksum, state FROM %s WHERE set_name <> %s ORDER BY set_name, version, name",
		s.table, s.d.Literal(metaSet)), s.d.QueryArgs()...)
	if s.d.IsNoTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the history table: %w", err)
	}
	defer func() {
		closeErr := rows.Close()
		if err = errors.Join(err, closeErr); s.d.IsNoTable(err) { // pgx says so with its rows
			list, err = nil, nil
		}
	}()
	for rows.Next() {
		var m BackupMigration
		if err := rows.Scan(&m.Set, &m.Version, &m.Name, &m.Checksum, &m.State); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}
