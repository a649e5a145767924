package tldwdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file finds backups, restores them beside the database, and says whether what
// was restored is what was backed up.

// latestBackup is the name that stands for the newest one.
const latestBackup = "latest"

// VerifyOptions say how a backup is verified. Of BackupOptions count where backups
// are, what opens them, and Progress.
type VerifyOptions struct {
	BackupOptions

	// ScratchURL names an empty database to restore into, where the account may not
	// create one. What is restored there stays, events of MySQL disabled. SQLite needs
	// none. Default: a database beside the one in question, which is dropped at the end.
	ScratchURL string
}

// VerifyBackup restores a backup into a scratch database and looks whether all of it
// is there: the stored bytes are those of the manifest, the engine's own check finds
// no fault, every table has as many rows as in the database when it was backed up,
// with the same content where the manifest has digests, the schema is the same, and
// the history has the same migrations, which this binary's files agree with. The
// database itself is not touched and not locked.
//
// An empty name, or latest, is the newest backup. The outcome is kept beside the
// backup, and returned. The error is [ErrBackupDamaged] where the backup is not good;
// every other error, such as [ErrNoScratch], [ErrBackupKey] or [ErrChanged] for files of
// this binary that are not those that were applied, means that it could not be found
// out, and nothing is kept.
func (db *DB) VerifyBackup(ctx context.Context, name string, o VerifyOptions) (v BackupVerification, err error) {
	ctx, end := db.watch.start(ctx, db.operation(OperationVerify))
	defer func() { end(err) }()
	p, keys, err := db.planRestore(o.BackupOptions)
	if err != nil {
		return v, err
	}
	b, err := db.findBackup(ctx, p.store, name)
	if err != nil {
		return v, err
	}
	began := time.Now()
	notes, err := db.tryOut(ctx, p, b, keys, o.ScratchURL)
	if err != nil && (ctx.Err() != nil || !errors.Is(err, ErrBackupDamaged)) {
		return v, fmt.Errorf("verifying %s: %w", b.Name, db.roomInDatabase(ended(ctx, err)))
	}
	v = BackupVerification{Backup: b.Name, Time: time.Now().UTC(), OK: err == nil, Duration: time.Since(began).Milliseconds(), Engine: b.Engine, Notes: notes}
	log := db.log.With(slog.String("backup", b.Name), slog.String("store", p.store.String()), slog.Duration("took", time.Since(began).Round(time.Millisecond)))
	if err != nil {
		v.Error = err.Error()
		err = fmt.Errorf("verifying %s: %w", b.Name, err)
		log.LogAttrs(ctx, slog.LevelError, "the backup is not good", slog.String("error", v.Error))
	} else {
		log.LogAttrs(ctx, slog.LevelInfo, "backup verified")
	}
	b.Verified = &v
	db.tellBackup(b)
	return v, errors.Join(err, writeVerification(ctx, p.store, b, v))
}

// planRestore is backupOptions with what it takes to read.
func (db *DB) planRestore(o BackupOptions) (*backupPlan, backupKeys, error) {
	p, err := db.backupOptions(o)
	if err != nil {
		return nil, nil, err
	}
	keys, err := db.identities(p.options)
	return p, keys, err
}

// backupKeys open encrypted backups.
type backupKeys []age.Identity

// findBackup reads the manifest of a backup. Of several databases that share a store
// the newest one of this database is the latest, other than what a restore has
// replaced.
func (db *DB) findBackup(ctx context.Context, store BackupStore, name string) (Backup, error) {
	if name != "" && name != latestBackup {
		return readManifest(ctx, store, name)
	}
	list, err := ListBackups(ctx, store)
	if err != nil {
		return Backup{}, err
	}
	owner, err := db.owner(ctx)
	if err != nil {
		return Backup{}, withHint(fmt.Errorf("which backups are of this database: %w", err), "name one")
	}
	own := owner.of(list)
	good := slices.DeleteFunc(goodBackups(own), func(b Backup) bool { return b.Reason == ReasonRestore }) // that is what somebody wanted to be rid of
	if owner.identity == "" {
		// The database is new, or its history is of before there were identities.
		for _, b := range good {
			if b.Identity != "" && good[0].Identity != "" && b.Identity != good[0].Identity {
				return Backup{}, withHint(fmt.Errorf("%w that is known to be of this database: %s has those of several that are called %s", ErrNoBackup, store, b.Database),
					"name one: %s is the newest of one, %s of another", good[0].Name, b.Name)
			}
		}
	}
	if len(good) > 0 {
		for _, b := range own {
			if b.Name == good[0].Name {
				return good[0], nil
			}
			if b.unknown() { // it may be the one
				return Backup{}, withHint(fmt.Errorf("which backup is the newest: %w", b.Err), "try again, or name one")
			}
		}
	}
	err = fmt.Errorf("%w: none of %s in %s can be restored", ErrNoBackup, db.databaseLabel(), store)
	if foreign := owner.foreign(list); len(foreign) > 0 && len(own) == 0 {
		b := foreign[0]
		return Backup{}, withHint(err, "all %d that are there are of other databases, the newest of %s (%s): to restore one of them all the same, name it, as in %s", len(foreign), b.Database, owner.differs(b), b.Name)
	}
	if len(list) > 0 {
		err = withHint(err, "of %d that are there, none is of this database, complete, and not known to be bad: name one", len(list))
	}
	return Backup{}, err
}

// owner is what a backup is known by as one of this database, in a store that others
// may use too.
type owner struct {
	engine, label, set string
	identity           string // empty: not known
	environment        string // that it was stamped with; empty: not known, or never
	loading            error  // [ErrHalfLoaded]: a backup would be of half of it
	src                *source
}

// owner asks the database for its identity, where it is there.
func (db *DB) owner(ctx context.Context) (owner, error) {
	if path := db.file.knownPath(); path != "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // to ask would make it
			src, err := db.source()
			return db.ownerBy(src, ""), err
		}
	}
	r, err := db.newRun(ctx)
	if err != nil {
		return owner{}, err
	}
	defer r.release(ctx)
	return r.owner(ctx)
}

// owner is that of the database that r is connected to.
func (r *run) owner(ctx context.Context) (owner, error) {
	hist, err := r.store.read(ctx, r.conn)
	switch {
	case dialect.Refused(err): // who may not read the history goes by the rest
		return r.db.ownerBy(r.src, ""), nil
	case err != nil:
		return owner{}, err
	}
	o := r.db.ownerBy(r.src, hist.identity)
	o.environment, o.loading = hist.environment, hist.halfLoaded()
	return o, nil
}

func (db *DB) ownerBy(src *source, identity string) owner {
	return owner{engine: db.dialectName, label: db.databaseLabel(), set: db.cfg.Set, identity: identity, src: src}
}

// of are the backups of the owner. One whose manifest cannot be read may be anybody's.
func (o owner) of(list []Backup) []Backup {
	return slices.DeleteFunc(slices.Clone(list), func(b Backup) bool { return b.Err == nil && o.differs(b) != "" })
}

// foreign are the backups that are others'.
func (o owner) foreign(list []Backup) []Backup {
	return slices.DeleteFunc(slices.Clone(list), func(b Backup) bool { return b.Err != nil || o.differs(b) == "" })
}

// differs says in what a backup is another database's; empty: in nothing. Where one
// side has no identity the migrations tell services apart that call their databases
// the same.
func (o owner) differs(b Backup) string {
	switch {
	case b.Engine != o.engine:
		return "of another engine, " + b.Engine
	case o.label != "" && b.Database != o.label:
		return "of another name"
	case o.identity != "" && b.Identity != "":
		if b.Identity != o.identity {
			return "of the same name, and another database"
		}
		return ""
	}
	ours, shared, same := 0, 0, 0
	for _, m := range b.Migrations {
		if m.Set != o.set || m.Version == 0 {
			continue
		}
		ours++
		if known := o.src.find(ID{Version: m.Version}); known != nil {
			shared++
			if known.id.Name == m.Name && known.checksum() == m.Checksum {
				same++
			}
		}
	}
	if len(b.Migrations) > 0 && ours == 0 || shared > 0 && same == 0 {
		return "with other migrations"
	}
	return ""
}

// goodBackups are those that may be restored: the manifest can be read, and no
// verification has found the backup bad.
func goodBackups(list []Backup) []Backup {
	return slices.DeleteFunc(slices.Clone(list), func(b Backup) bool { return b.Err != nil || b.Verified != nil && !b.Verified.OK })
}

// unknown reports whether the store did not tell what the backup is.
func (b *Backup) unknown() bool {
	return b.Err != nil && !errors.Is(b.Err, ErrBackupDamaged) && !errors.Is(b.Err, ErrBackupNewer)
}

// databaseLabel is what a person calls this database, as far as is known without
// asking it.
func (db *DB) databaseLabel() string {
	if path := db.file.knownPath(); path != "" {
		return databaseLabel(path)
	}
	return databaseLabel(db.url.DatabaseName())
}

// tryOut restores a backup beside the database, looks at it, and throws it away.
func (db *DB) tryOut(ctx context.Context, p *backupPlan, b Backup, keys backupKeys, scratchURL string) (notes []string, err error) {
	s, err := db.restoreBeside(ctx, p, b, keys, scratchURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	return s.examine(ctx, p, b)
}

// restoreBeside restores a backup into a scratch database. Nothing reaches it before
// all stored bytes are known to be those that were written.
func (db *DB) restoreBeside(ctx context.Context, p *backupPlan, b Backup, keys backupKeys, scratchURL string) (_ *scratch, err error) {
	if db.dialectName == dialect.NameSQLite {
		defer func() { err = roomInTemp(err) }()
	}
	if err := db.canRead(b); err != nil {
		return nil, err
	}
	if b.Content == sqliteContent {
		s, err := db.openFilledScratch(ctx, func(path string) error {
			p.meter.enter(phaseLoad)
			return p.extract(ctx, b, keys, path)
		})
		return s, unsound(err)
	}
	s, err := db.openScratch(ctx, scratchURL)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx, p, b, keys); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// fill puts the content of a backup into a scratch database.
func (s *scratch) fill(ctx context.Context, p *backupPlan, b Backup, keys backupKeys) error {
	if b.Content == portableContent {
		return s.fillRows(ctx, p, b, keys)
	}
	return s.loadServer(ctx, p, b, keys)
}

// unmade is the error of migrations that do not make the tables: they are this binary's,
// and not the backup's.
type unmade struct{ error }

func (u unmade) Unwrap() error { return u.error }

// load restores a backup into a scratch database, and tells one that is not good from
// one of which nothing is known.
func (s *scratch) load(ctx context.Context, p *backupPlan, b Backup, keys backupKeys) error {
	err := s.fill(ctx, p, b, keys)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrBackupDamaged) || errors.Is(err, ErrBackupKey) || errors.Is(err, ErrBackupNewer) || errors.Is(err, ErrNoScratch) {
		return err
	}
	if _, refused := errors.AsType[*dump.Refusal](err); refused || ClassOf(err) != ErrorClass(dialect.FaultOther) {
		return err // it may well be good
	}
	if _, ok := errors.AsType[unmade](err); ok || outside(err) {
		return err
	}
	if _, ok := errors.AsType[*portable.MappingError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*portable.ValueError](err); ok && b.Engine != s.dialectName {
		return err // where it was it could be held
	}
	return damaged("all its bytes are there, and it cannot be restored: %w", err)
}

// outside reports whether an error is of the store, of this machine's files, of the
// server, or of a program that somebody has ended.
func outside(err error) bool {
	if _, ok := errors.AsType[unread](err); ok {
		return true
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*dump.Outside](err); ok {
		return true
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	return ok && !exit.Exited()
}

// canRead says whether this engine can take that backup, in that form.
func (db *DB) canRead(b Backup) error {
	if b.Method != BackupPortable && b.Engine != db.dialectName {
		return withHint(fmt.Errorf("%s is of %s in that engine's own form, and this database is of %s", b.Name, b.Engine, db.dialectName),
			"restore it there, and move the content with tldwdb copy; or make a portable backup, which every engine takes")
	}
	return nil
}

// damaged says that a backup is not what its manifest says.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBackupDamaged}, args...)...)
}

// examine compares a restored database with the manifest of its backup.
func (s *scratch) examine(ctx context.Context, p *backupPlan, b Backup) (notes []string, err error) {
	p.meter.enter(phaseVerify)
	notes, err = s.holds(ctx, p, b)
	if err != nil {
		return nil, unsound(err)
	}
	more, err := s.agree(ctx, b)
	return append(notes, more...), err
}

// unsound says that a backup is damaged where SQLite says so of what was restored: all
// its bytes are those that were stored, so the database was.
func unsound(err error) error {
	if err == nil || errors.Is(err, ErrBackupDamaged) || !errors.Is(err, dump.ErrUnsound) && !dialect.Malformed(err) {
		return err
	}
	return damaged("the database was damaged when it was backed up: %w", err)
}

// holds compares what is in a database with the manifest of a backup.
func (db *DB) holds(ctx context.Context, p *backupPlan, b Backup) (notes []string, err error) {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	facts, err := db.dialect.Inspect(ctx, conn.Conn, db.cfg.Table)
	if err != nil {
		return nil, err
	}
	in := contents{}
	if in.tables, err = db.countTables(ctx, p, b, conn.Conn); err != nil {
		return nil, err
	}
	notes = append(notes, p.loaded.notes...)
	if len(b.Skipped) > 0 {
		notes = append(notes, "left out when it was backed up: "+strings.Join(b.Skipped, ", "))
	}
	if err := in.describe(ctx, db, &store{d: db.dialect, table: db.dialect.Qualify(facts.Schema, db.cfg.Table)}, conn.Conn, b.Database, p.asleep); err != nil {
		return nil, err
	}
	if err := in.compare(b); err != nil {
		return nil, err
	}
	if guard, ok := db.dialect.(dialect.ForeignKeyGuard); ok && b.Content != portableContent { // whose load has looked
		// They came with the backup: SQLite enforces foreign keys only where it is asked to.
		violations, err := guard.Violations(ctx, conn.Conn)
		if err != nil {
			return nil, err
		}
		for _, pair := range slices.Sorted(maps.Keys(violations)) {
			notes = append(notes, fmt.Sprintf("%d rows break the foreign key %s, as they did in the database", violations[pair], pair))
		}
	}
	switch {
	case in.schema == b.Schema:
		return notes, nil
	case b.Method == BackupPortable:
		return append(notes, "the schema is that of the migrations, and not the same as where the backup was made: that was another engine, or somebody had changed it by hand"), nil
	}
	// The description changes with the program that makes it, and with the server.
	if b.Writer == writer && b.EngineVersion == facts.Server {
		return nil, damaged("the schema that was restored is not the one that was backed up")
	}
	return append(notes, fmt.Sprintf("the schema could only be compared by the number of its objects: the backup was written by %s on %s", b.Writer, b.EngineVersion)), nil
}

// countTables has the engine check itself, where it can, and counts the rows.
func (db *DB) countTables(ctx context.Context, p *backupPlan, b Backup, conn *sql.Conn) ([]BackupTable, error) {
	switch b.Content {
	case portableContent:
		return p.loaded.tables, nil
	case sqliteContent:
	default:
		return db.tablesNow(ctx, p, b)
	}
	if err := dump.CheckSQLite(ctx, conn); err != nil {
		return nil, err
	}
	tables, err := dump.SQLiteTables(ctx, conn)
	return backupTables(tables), err
}

// agree compares the history that was restored with this binary's files.
func (s *scratch) agree(ctx context.Context, b Backup) (notes []string, err error) {
	src, hist, err := s.readHistory(ctx)
	if err != nil {
		return nil, err
	}
	for _, problem := range compare(src, hist) {
		if errors.Is(problem.Kind, ErrChanged) { // it is the files, of this binary alone, that may be at fault
			return nil, withHint(fmt.Errorf("the files and the history that was restored disagree: %s: %w (%s)", problem.Migration, problem.Kind, problem.Detail),
				"nothing is wrong with the backup: use a binary with the files that were applied")
		}
		notes = append(notes, fmt.Sprintf("%s: %s (%s)", problem.Migration, problem.Kind, problem.Detail))
	}
	if b.Method != BackupPortable || b.Engine != s.dialectName { // another engine may have files of its own
		return notes, nil
	}
	for _, m := range b.Migrations {
		i := slices.IndexFunc(src.migrations, func(mine *migration) bool {
			return m.Version > 0 && mine.id.Version == m.Version && m.Set == s.cfg.Set
		})
		if i >= 0 && m.Checksum != "" && m.Checksum != src.migrations[i].checksum() {
			notes = append(notes, fmt.Sprintf("%s was applied with another text than this binary's file has, which has made the tables", src.migrations[i].id))
		}
	}
	return notes, nil
}

// compare returns an error that names in what a restored database is not what was
// backed up.
func (in *contents) compare(b Backup) error {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	there := map[string]BackupTable{}
	for _, t := range in.tables {
		there[t.Name] = t
	}
	for _, want := range b.Tables {
		got, ok := there[want.Name]
		switch {
		case !ok:
			say("the table %s is missing", want.Name)
		case got.Rows != want.Rows:
			say("the table %s has %d rows, and had %d", want.Name, got.Rows, want.Rows)
		case want.Digest != "" && got.Digest != want.Digest:
			say("the table %s has other rows than it had", want.Name)
		}
		delete(there, want.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		say("the table %s was not there", name)
	}
	for _, kind := range slices.Sorted(maps.Keys(merged(b.Objects, in.objects))) {
		if b.Method == BackupPortable {
			break // the migrations have made them
		}
		if got, want := in.objects[kind], b.Objects[kind]; got != want {
			say("there are %d objects of the kind %s, and there were %d", got, kind, want)
		}
	}
	if !sameMigrations(in.migrations, b) {
		say("the history lists other migrations")
	}
	if len(wrong) == 0 {
		return nil
	}
	const most = 5
	if len(wrong) > most {
		wrong = append(wrong[:most], fmt.Sprintf("and %d more", len(wrong)-most))
	}
	return damaged("%s", strings.Join(wrong, "; "))
}

// sameMigrations reports whether a history is that of a backup. Where the migrations
// have run anew they may be those of another engine, and repeatable ones need all the
// others.
func sameMigrations(list []BackupMigration, b Backup) bool {
	if b.Method != BackupPortable {
		return slices.Equal(list, b.Migrations)
	}
	versions := func(list []BackupMigration) []BackupMigration {
		var kept []BackupMigration
		for _, m := range list {
			if m.Version > 0 {
				kept = append(kept, BackupMigration{Set: m.Set, Version: m.Version, Name: m.Name})
			}
		}
		return kept
	}
	return slices.Equal(versions(list), versions(b.Migrations))
}

func merged(a, b map[string]int) map[string]int {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]int{}
	}
	maps.Copy(all, b)
	return all
}

// openFilledScratch makes a scratch database of a SQLite file that fill writes.
func (db *DB) openFilledScratch(ctx context.Context, fill func(path string) error) (*scratch, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	s := &scratch{src: src}
	if err := db.openScratchFile(ctx, s, db.scratchConfig(), fill); err != nil {
		return nil, err
	}
	return s, nil
}
