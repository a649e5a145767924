package tldwdb

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/foreign"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file makes and reads portable backups: rows as text, for which the migrations
// make the tables.

const (
	portableContent   = "rows"
	portableExtension = "rows"
)

// portableWay writes the rows of all tables in one snapshot.
type portableWay struct{}

func (portableWay) method() BackupMethod { return BackupPortable }

func (portableWay) dump(ctx context.Context, r *run, p *backupPlan, parts *partSet) (in contents, err error) {
	if err := r.describe(ctx, &in); err != nil {
		return in, err
	}
	if err := r.db.canMakeAnew(in.migrations); err != nil {
		return in, err
	}
	// Nothing is seeded meanwhile: that is done under the same lock.
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return in, err
	}
	in.seeds = hist.seeds
	target, err := parts.begin(ctx, portableExtension)
	if err != nil {
		return in, err
	}
	o := portableOptions(r.facts.Schema, p.meter, r.db.ownTables())
	o.Writer, o.Server = writer, r.facts.Server
	for _, m := range in.migrations {
		o.Migrations = append(o.Migrations, portable.Migration{Set: m.Set, Version: m.Version, Name: m.Name, Checksum: m.Checksum, State: string(m.State)})
	}
	err = r.besideLock(ctx, func(ctx context.Context, conn *sql.Conn) error {
		notes, err := r.leaveOthers(ctx, conn, p, &in, &o)
		if err != nil {
			return err
		}
		sum, err := portable.Dump(ctx, r.d, conn, target, o)
		in.content, in.position, in.tables, in.notes = portableContent, sum.Header.Position, portableTables(sum), append(notes, sum.Notes...)
		if sum.Header.Version > 1 {
			in.format = manifestSecond
		}
		return err
	})
	return in, err
}

// leaveOthers leaves out what is to be, and finds the tables and sequences that no
// migration makes: a backup that has them could not be restored. Those of schemas of
// which no migration speaks are another service's, and left out; others are refused,
// because they may be this one's, but by a schedule, which nobody watches. Where
// migrations build their statements, are written in Go, or have no file here, nobody
// knows what they make.
func (r *run) leaveOthers(ctx context.Context, conn *sql.Conn, p *backupPlan, in *contents, o *portable.Options) (notes []string, err error) {
	all, err := portable.Names(ctx, r.d, conn, *o)
	if err != nil {
		return nil, err
	}
	o.Skip = append(o.Skip, p.options.Skip...)
	names, err := portable.Names(ctx, r.d, conn, *o)
	if err != nil {
		return nil, err
	}
	in.skipped = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(names, name) })
	text, known, err := r.migrationText(in.migrations)
	if err != nil || !known {
		return nil, err
	}
	leave := func(name, why string) {
		o.Skip = append(o.Skip, literally.Replace(name))
		in.skipped = append(in.skipped, name)
		notes = append(notes, fmt.Sprintf("%s is left out: %s", name, why))
	}
	says := func(name string) bool {
		return strings.Contains(text, name) || strings.Contains(text, doubled.Replace(name))
	}
	var strange []string
	for _, name := range names {
		schema, table, far := strings.Cut(strings.ToLower(name), ".")
		switch {
		case far && r.d.Name() == dialect.NamePostgres && !says(schema):
			leave(name, "no migration speaks of its schema")
		case slices.Contains(foreign.Tables(), name):
			leave(name, "it is the table of another migration tool")
		case far && says(table), !far && says(schema):
		case p.options.Reason == ReasonScheduled:
			leave(name, "no migration makes it, and a restore could not; a backup in the engine's own form has it")
		default:
			strange = append(strange, name)
		}
	}
	if len(strange) > 0 {
		return nil, withHint(fmt.Errorf("no migration makes %s, and a portable backup holds rows, for which the migrations make the tables", someOf(strange)),
			"make a native backup, which has everything that is in the database; or name what is to be left out in BackupOptions.Skip (--skip, TLDWDB_BACKUP_SKIP); or make it in a migration, or drop it")
	}
	return notes, nil
}

// literally makes a pattern of a name that matches that name alone.
var literally = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// doubled writes a name's quotes as they stand within quotes.
var doubled = strings.NewReplacer(`"`, `""`, "`", "``")

// migrationText is all that the applied migrations say, in lower case. known says that
// they make nothing which is not named there.
func (r *run) migrationText(applied []BackupMigration) (text string, known bool, err error) {
	for _, a := range applied {
		if r.src.find(ID{Version: a.Version, Repeatable: a.Version == 0, Name: a.Name}) == nil {
			return "", false, nil
		}
	}
	var all strings.Builder
	for _, m := range r.src.migrations {
		if m.up == nil {
			return "", false, nil
		}
		script, err := r.src.read(m.up)
		if err != nil {
			return "", false, err
		}
		all.Write(bytes.ToLower(script))
	}
	text = all.String()
	built := triggerCall.ReplaceAllString(text, "")
	return text, !strings.Contains(built, "execute") && !strings.Contains(built, "prepare"), nil
}

// triggerCall is where EXECUTE runs no statement that was built.
var triggerCall = regexp.MustCompile(`execute\s+(function|procedure)`)

// portableOptions say what is moved for a backup, or a copy. This package's own tables
// are not: they belong to the migrations of where they are.
func portableOptions(schema string, m *meter, skip ...[]string) portable.Options {
	return portable.Options{Skip: slices.Concat(skip...), Schema: schema, Progress: m.rows}
}

func portableTables(sum portable.Summary) []BackupTable {
	list := make([]BackupTable, len(sum.Tables))
	for i, t := range sum.Tables {
		list[i] = BackupTable{Name: t.Name, Rows: t.Rows, Digest: t.Digest}
	}
	slices.SortFunc(list, func(a, b BackupTable) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// besideLock runs fn on a connection beside that of the lock, where one can be made.
func (r *run) besideLock(ctx context.Context, fn func(context.Context, *sql.Conn) error) error {
	second, done, err := r.secondConnection(ctx)
	if errors.Is(err, errNoSideConnection) {
		return fn(ctx, r.conn.Conn)
	}
	if err != nil {
		return err
	}
	defer done()
	return r.elsewhere(ctx, func(ctx context.Context) error { return fn(ctx, second) })
}

// canMakeAnew refuses a portable backup of what the migrations alone do not make.
func (db *DB) canMakeAnew(list []BackupMigration) error {
	for _, m := range list {
		switch {
		case m.Set != db.cfg.Set:
			return withHint(fmt.Errorf("the database has migrations of the set %s too, and a portable backup is of one set", m.Set), "make a native backup, which has everything that is in the database")
		case !state(m.State).done():
			return withHint(fmt.Errorf("%w: %d %s is %s", ErrHalfApplied, m.Version, m.Name, m.State), "a portable backup holds rows, for which the migrations make the tables: finish it with DB.Up, or make a native backup")
		}
	}
	if versionOf(list, db.cfg.Set) == 0 {
		return withHint(errors.New("no migration is applied here, and a portable backup holds rows, for which the migrations make the tables"), "make a native backup, or take the database over with DB.Baseline; RestoreOptions.WithoutBackup restores without a backup of what is there")
	}
	return nil
}

// versionOf is the highest version of a set.
func versionOf(list []BackupMigration, set string) (version int64) {
	for _, m := range list {
		if m.Set == set {
			version = max(version, m.Version)
		}
	}
	return version
}

// makeFor migrates a scratch database to the version of a portable backup.
func (s *scratch) makeFor(ctx context.Context, b Backup) error {
	version := versionOf(b.Migrations, s.cfg.Set)
	src := s.src.part(upTo(version))
	if head, _ := s.src.head(); head == version {
		src = s.src // with what is repeatable
	}
	_, err := s.migrated(ctx, src, s.comparing(Verification{}))
	return err
}

// fillRows makes the tables in a scratch database, and puts the rows into them.
func (s *scratch) fillRows(ctx context.Context, p *backupPlan, b Backup, keys backupKeys) (err error) {
	if err := s.makeFor(ctx, b); err != nil {
		return unmade{fmt.Errorf("migrating the scratch database: %w", err)}
	}
	conn, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	err = s.loadPortable(ctx, p, b, keys, conn.Conn)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	r, err := s.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	return r.endLoading(ctx, b.Seeds)
}

// loadedRows is what has come out of a portable backup.
type loadedRows struct {
	tables []BackupTable // with the digests by which they were compared when they were loaded
	notes  []string
}

// loadPortable replaces the rows of a database that has the tables.
func (db *DB) loadPortable(ctx context.Context, p *backupPlan, b Backup, keys backupKeys, conn *sql.Conn) (err error) {
	if err := p.checkAll(ctx, b); err != nil {
		return err
	}
	p.meter.enter(phaseLoad)
	content, err := openPart(ctx, p.store, b, b.Parts[0], keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	rows, err := portable.Open(content)
	if newer, ok := errors.AsType[*portable.NewerFormatError](err); ok {
		return withHint(fmt.Errorf("%w: %w", ErrBackupNewer, newer), "it was written by %s: use that or a newer one", cmp.Or(newer.Writer, b.Writer))
	}
	if err != nil {
		return err
	}
	facts, err := db.dialect.Inspect(ctx, conn, db.cfg.Table)
	if err != nil {
		return err
	}
	sum, err := rows.Load(ctx, db.dialect, conn, portableOptions(facts.Schema, p.meter, db.ownTables()))
	p.loaded = loadedRows{portableTables(sum), sum.Notes}
	if unfit, ok := errors.AsType[*portable.MappingError](err); ok {
		return withHint(fmt.Errorf("the tables that this binary's migrations make do not take the rows: %w", unfit), "use a binary with the migrations that the backup was made with")
	}
	return err
}

// checkAll reads all stored bytes before any of them takes effect.
func (p *backupPlan) checkAll(ctx context.Context, b Backup) error {
	p.meter.enter(phaseCheck)
	all, done := b.Size(), int64(0)
	return checkParts(ctx, p.store, b, func(n int) {
		done += int64(n)
		p.meter.bytes(done, all)
	})
}

// restoreRows restores a portable backup into a database of a server in which there
// is nothing, by migrating it first. It is one run: whoever waits for the lock sees the
// database when the rows are in it, and not between.
func (r *run) restoreRows(ctx context.Context, p *backupPlan, keys backupKeys, done *Restored) error {
	defer r.db.settled()
	hist, err := r.store.read(ctx, r.conn)
	if err == nil {
		err = r.ensureTable(ctx, hist)
	}
	if err == nil { // before there is a table: a process that is killed behind the migrations leaves nothing that looks whole
		err = r.beginLoading(ctx, "restoring "+done.Backup.Name)
	}
	if err == nil {
		err = r.apply(ctx, r.src.requestTo(versionOf(done.Backup.Migrations, r.cfg.Set)), hist, "")
	}
	if err != nil {
		return hinted(fmt.Errorf("migrating the empty database: %w", err), "empty it before the next try")
	}
	r.rollback(ctx) // it would hold up the rows
	err = r.besideLock(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		if err := r.db.loadPortable(ctx, p, done.Backup, keys, conn); err != nil {
			return err
		}
		p.meter.enter(phaseVerify)
		done.Notes, err = r.db.holds(ctx, p, done.Backup)
		return err
	})
	if err == nil {
		err = r.identify(ctx, done.Backup.Identity)
	}
	if err == nil {
		err = r.endLoading(ctx, done.Backup.Seeds)
	}
	if err != nil {
		return hinted(err, "the database was empty, and what has come into it is not complete: empty it before the next try")
	}
	return nil
}

// requestTo makes the tables of a version for rows that come from elsewhere, with what
// is repeatable where nothing newer is known.
func (s *source) requestTo(version int64) Request {
	if head, _ := s.head(); head == version {
		return Request{Goal: GoalUp}
	}
	return Request{Goal: GoalVersion, Version: version}
}
