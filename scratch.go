package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file makes databases that last as long as a comparison.

// ErrNoScratch means that there is no scratch database to run the migrations on:
// the account may not make one, or the one that was named is not empty.
var ErrNoScratch = errors.New("no scratch database is to be had")

const (
	// scratchMark is in the name of every scratch database.
	scratchMark = "_tldwdb_scratch_"
	// scratchAge is how old one has to be before another process takes it for
	// left behind, by the server's clock.
	scratchAge = time.Hour
	// scratchCleanup bounds what is done for a scratch database after the caller's
	// context has ended.
	scratchCleanup = 30 * time.Second
)

// scratch is a database to run migrations on, and what it takes to be rid of it.
type scratch struct {
	*DB
	src    *source // of the database that it stands in for
	remove func(context.Context) error
	others []string // the server's databases: no statement may name them
	own    bool     // made by us, beside the database that it stands in for
	moved  bool     // it has become that database
}

// replay runs the migrations that keep accepts on a scratch database, and describes
// what they make. left names what only repeatable ones make that it does not accept.
func (db *DB) replay(ctx context.Context, keep func(*migration) bool, v Verification) (want catalog.Catalog, left []catalog.Difference, err error) {
	options := db.comparing(v)
	if err := options.Check(); err != nil {
		return nil, nil, fmt.Errorf("Verification.Ignore: %w", err)
	}
	s, err := db.emptyScratch(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if want, err = s.migrated(ctx, s.src.part(keep), options); err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(s.src.migrations, func(m *migration) bool { return m.id.Repeatable && !keep(m) }) {
		return want, nil, nil
	}
	// Repeatable migrations need the newest version below them.
	before, err := s.migrated(ctx, s.src.part(func(m *migration) bool { return !m.id.Repeatable || keep(m) }), options)
	if err != nil {
		return nil, nil, err
	}
	after, err := s.migrated(ctx, s.src, options)
	if err != nil {
		return nil, nil, err
	}
	return want, catalog.Compare(before, after), nil
}

// emptyScratch opens a scratch database that has nothing in it.
func (db *DB) emptyScratch(ctx context.Context, v Verification) (*scratch, error) {
	s, err := db.openScratch(ctx, v.ScratchURL)
	if err != nil || s.own {
		return s, err
	}
	if err := s.vacant(ctx); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// Scratch gives use an empty database of the same engine, on the same server and
// with the same settings of its sessions, with the migrations of this one, none of
// which is applied. The database, and the DB, are gone when Scratch returns. See
// [Verification] for where it is, and what it takes; its other fields have no meaning
// here.
//
// It returns [ErrNoScratch] when there is no such database to be had, when the one
// that was named is not empty, or when a migration names another database of the
// server, which it would change; and otherwise what use returns.
func (db *DB) Scratch(ctx context.Context, v Verification, use func(ctx context.Context, scratch *DB) error) (err error) {
	s, err := db.emptyScratch(ctx, v)
	if err != nil {
		return ended(ctx, err)
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	s.mu.Lock()
	s.loaded = s.src
	s.mu.Unlock()
	if s.own {
		if err := s.confine(ctx); err != nil {
			return ended(ctx, err)
		}
	}
	return use(ctx, s.DB)
}

// upTo accepts versioned migrations up to that version.
func upTo(version int64) func(*migration) bool {
	return func(m *migration) bool { return !m.id.Repeatable && m.id.Version <= version }
}

// part is the source with what keep accepts.
func (s *source) part(keep func(*migration) bool) *source {
	part := &source{fsys: s.fsys, snapshots: s.snapshots}
	for _, m := range s.migrations {
		if keep(m) {
			part.migrations = append(part.migrations, m)
		}
	}
	return part
}

// comparing are the options of a comparison, our own tables left out.
func (db *DB) comparing(v Verification) catalog.Options {
	return catalog.Options{Ignore: append(db.ownTables(), v.Ignore...), AnyColumnOrder: v.AnyColumnOrder}
}

// migrated applies what is pending of src and describes the outcome.
func (s *scratch) migrated(ctx context.Context, src *source, o catalog.Options) (catalog.Catalog, error) {
	s.mu.Lock()
	s.loaded = src
	s.mu.Unlock()
	if s.own {
		if err := s.confine(ctx); err != nil {
			return nil, err
		}
	}
	if len(src.migrations) == 0 {
		return s.read(ctx, o) // Up would say that this binary has none
	}
	if _, err := s.Up(ctx); err != nil {
		return nil, fmt.Errorf("on the scratch database %s: %w", databaseLabel(s.url.DatabaseName()), err)
	}
	return s.read(ctx, o)
}

// confine refuses what would not stay in the scratch database: a table that is
// named together with its database is the real one wherever the statement runs.
// What a routine or a Go migration does cannot be seen.
func (s *scratch) confine(ctx context.Context) error {
	confiner, ok := s.dialect.(dialect.Confiner)
	if !ok {
		return nil
	}
	plan, err := s.Plan(ctx, Request{})
	if err != nil {
		return err
	}
	for _, step := range plan.Steps {
		for _, st := range step.Statements {
			if what := confiner.Beyond(st.SQL, s.others); what != "" {
				return withHint(fmt.Errorf("%w: %s:%d: %s", ErrNoScratch, step.File, st.Line, what),
					"on a scratch database beside the real one this would reach further than that: set Verification.ScratchURL to an empty database of the same name on another server, or use Baseline, which runs nothing")
			}
		}
	}
	return nil
}

// vacant refuses a database that was named and is not empty.
func (s *scratch) vacant(ctx context.Context) error {
	there, err := s.read(ctx, catalog.Options{})
	if err != nil || there.Empty() {
		return err
	}
	return withHint(fmt.Errorf("%w: %s is not empty", ErrNoScratch, s.url), "the migrations would run into what is there: name an empty database")
}

func (s *scratch) read(ctx context.Context, o catalog.Options) (_ catalog.Catalog, err error) {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return catalog.Read(ctx, s.dialect, conn.Conn, o)
}

// close closes the scratch database and removes it, also when ctx has ended.
func (s *scratch) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchCleanup)
	defer cancel()
	return errors.Join(s.Close(), s.remove(ctx))
}

// openScratch opens the database that rawURL names, or makes one.
func (db *DB) openScratch(ctx context.Context, rawURL string) (*scratch, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	s := &scratch{src: src, remove: func(context.Context) error { return nil }}
	cfg := db.scratchConfig()
	switch {
	case rawURL != "":
		err = db.openNamedScratch(ctx, s, cfg, rawURL)
	case db.dialectName == dburl.SQLite:
		err = db.openScratchFile(ctx, s, cfg, nil)
	default:
		err = db.openScratchBeside(ctx, s, cfg)
	}
	if err == nil {
		s.fromFiles = true // a snapshot is to be compared with that, and not with itself
	}
	return s, err
}

// scratchConfig is the configuration of scratch databases.
func (db *DB) scratchConfig() Config {
	cfg := db.cfg
	cfg.Environment, cfg.Confirm, cfg.WaitOnReadOnly = Test, "", false // it is nobody's production
	cfg.OutOfOrder = true                                              // of a database that lacks one in the middle
	cfg.Lint = tldwdblint.Config{Mode: tldwdblint.ModeOff}             // what was applied long ago is pending here
	cfg.Observers, cfg.WrapConnector, cfg.SlowQuery = nil, nil, 0      // they are the database's, and this is another one
	cfg.warnings = nil                                                 // they were logged
	cfg.urlFile, cfg.migrateURLFile = "", ""                           // they name another database
	cfg.Logger = cfg.Logger.With(slog.Bool("scratch", true))
	if tell := cfg.Progress; tell != nil {
		cfg.Progress = func(p Progress) {
			p.Scratch = true
			tell(p)
		}
	}
	return cfg
}

func (db *DB) openNamedScratch(ctx context.Context, s *scratch, cfg Config, rawURL string) error {
	u, err := dburl.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("Verification.ScratchURL: %w", err)
	}
	if u.Dialect != db.dialectName || u.Dialect != dburl.SQLite && u.Database == "" {
		return fmt.Errorf("Verification.ScratchURL: %s is not a database of %s", u, db.dialectName)
	}
	if u.String() == db.url.String() || u.String() == db.migrateURL.String() {
		return fmt.Errorf("%w: Verification.ScratchURL names the database itself", ErrNoScratch)
	}
	if _, has := u.Password(); has {
		cfg.Password, cfg.PasswordFile = nil, ""
	}
	s.DB, err = openURL(ctx, cfg, u, dburl.URL{})
	return err
}

// openScratchFile makes a file, which fill may write first. What it is opened with is
// what the database's URL says about sessions, and not about the file.
func (db *DB) openScratchFile(ctx context.Context, s *scratch, cfg Config, fill func(path string) error) error {
	dir, remove, err := atomicfile.TempDir("tldwdb-scratch-")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoScratch, err)
	}
	s.own = true
	s.remove = func(context.Context) error { return remove() }
	u := dburl.URL{Dialect: dburl.SQLite, Path: filepath.Join(dir, "scratch.db"), Params: maps.Clone(db.url.Params)}
	for _, of := range []string{"mode", "cache", "immutable", "nolock", "psow", "vfs", "_auth", "_auth_user", "_auth_crypt", "_query_only", "_journal_mode", "_locking_mode"} {
		delete(u.Params, of)
	}
	if fill != nil {
		err = fill(u.Path)
	}
	if err == nil {
		s.DB, err = openURL(ctx, cfg, u, dburl.URL{})
	}
	if err != nil {
		return errors.Join(err, s.remove(ctx))
	}
	return nil
}

// openScratchBeside makes a database on the server of the one in question.
func (db *DB) openScratchBeside(ctx context.Context, s *scratch, cfg Config) (err error) {
	server, ok := db.dialect.(dialect.ScratchServer)
	if !ok {
		return fmt.Errorf("%w: %s has none", ErrNoScratch, db.dialectName)
	}
	side, err := db.openSide(ctx)
	if errors.Is(err, errNoSideConnection) {
		return withHint(fmt.Errorf("%w: %w", ErrNoScratch, err), "set Config.URL beside the pool, or Verification.ScratchURL")
	}
	if err != nil {
		return err
	}
	u := db.url
	if db.migrateURL.Dialect != "" {
		u = db.migrateURL
	}
	made := false
	name := ""
	s.remove = func(ctx context.Context) error {
		var dropErr error
		if made && !s.moved {
			if dropErr = server.DropScratch(ctx, side.DB, name); dropErr != nil {
				dropErr = fmt.Errorf("dropping the scratch database %s: %w", name, dropErr)
			}
		}
		return errors.Join(dropErr, side.Close())
	}
	defer func() {
		if err != nil {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchCleanup)
			defer cancel()
			err = errors.Join(err, s.remove(clean))
		}
	}()

	var database string
	if err := dialect.QueryRow(ctx, side, "SELECT "+server.DatabaseName(), db.dialect.QueryArgs(), &database); err != nil {
		return err
	}
	prefix := scratchPrefix(database)
	now, err := db.dropStale(ctx, server, side, prefix)
	if err != nil {
		return err
	}
	if s.others, err = server.Databases(ctx, side.DB); err != nil {
		return err
	}
	settings, schemas, err := server.ScratchSession(ctx, side.DB)
	if err != nil {
		return err
	}
	name = fmt.Sprintf("%s%d_%08x", prefix, now, rand.Uint32())
	made = true // also when the answer is lost
	if err := server.MakeScratch(ctx, side.DB, name); err != nil {
		made = !server.IsNoRight(err)
		err = fmt.Errorf("%w: creating %s: %w", ErrNoScratch, name, err)
		if !made {
			return withHint(err, "let the account make one (%s), or set Verification.ScratchURL to an empty database", server.ScratchGrant(u.User, prefix))
		}
		return err
	}
	u.Database = name
	u.Params = maps.Clone(u.Params)
	if u.Params == nil {
		u.Params = map[string]string{}
	}
	maps.Copy(u.Params, settings)
	s.own = true
	cfg.login = db.migrateLogin
	if s.DB, err = openURL(ctx, cfg, u, dburl.URL{}); err != nil {
		return hinted(fmt.Errorf("%w: %w", ErrNoScratch, err), "a pooler in between does not know databases that were made a moment ago: set Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection, or Verification.ScratchURL")
	}
	if err := s.makeSchemas(ctx, server, schemas); err != nil {
		return errors.Join(fmt.Errorf("preparing the scratch database: %w", err), s.Close())
	}
	return nil
}

// makeSchemas makes the schemas of the search path, but those that the migrations make, as
// far as their statements say so: a block or code may make one as well, and fails then.
func (s *scratch) makeSchemas(ctx context.Context, server dialect.ScratchServer, schemas []string) error {
	if len(schemas) == 0 {
		return nil
	}
	for _, m := range s.src.migrations {
		script := m.up
		if snap := m.squashed; snap != nil && snap.version == m.id.Version {
			script = snap.script
		}
		if script == nil {
			continue
		}
		text, err := s.src.read(script)
		if err != nil {
			return fmt.Errorf("%s: %w", script.file, err)
		}
		statements, err := sqlscan.Split(string(text), s.dialect.ScanOptions())
		if err != nil {
			continue // who runs it tells
		}
		for _, st := range statements {
			made := server.MakesSchema(st.Text, s.url.User)
			schemas = slices.DeleteFunc(schemas, func(name string) bool { return name == made })
		}
	}
	for _, name := range schemas {
		if _, err := s.pool.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+s.dialect.Identifier(name)); err != nil {
			return err
		}
	}
	return nil
}

// scratchPrefix is what the names of the scratch databases of a database begin
// with. It leaves room for a time and a random number in the 63 bytes that a name
// may have. It begins with the database's name because rights are often given by
// such a pattern.
func scratchPrefix(database string) string {
	const room = 63 - len(scratchMark) - len("1234567890_12345678")
	return strings.ToValidUTF8(database[:min(len(database), room)], "") + scratchMark
}

// dropStale drops scratch databases that processes have left which were killed.
// It returns the server's clock, in seconds since 1970.
func (db *DB) dropStale(ctx context.Context, server dialect.ScratchServer, side *sqlx.DB, prefix string) (now int64, err error) {
	names, now, err := server.Scratches(ctx, side.DB, prefix)
	if err != nil {
		return 0, fmt.Errorf("looking for scratch databases that were left: %w", err)
	}
	for _, name := range names {
		if !staleScratch(name, prefix, now) {
			continue
		}
		attributes := []slog.Attr{slog.String("database", name)}
		if err := server.DropScratch(ctx, side.DB, name); err != nil {
			// Nothing depends on it, and another process may be doing the same.
			attributes = append(attributes, slog.String("error", err.Error()))
		}
		db.log.LogAttrs(ctx, slog.LevelWarn, "a scratch database was left by another run and is dropped", attributes...)
	}
	return now, ctx.Err()
}

// staleScratch reports whether name is exactly one that we would have given, long
// enough ago.
func staleScratch(name, prefix string, now int64) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	at, random, cut := strings.Cut(rest, "_")
	made, err := strconv.ParseInt(at, 10, 64)
	_, notHex := strconv.ParseUint(random, 16, 32)
	return ok && cut && err == nil && notHex == nil && len(random) == 8 && now-made > int64(scratchAge/time.Second)
}
