package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/ddl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file makes snapshots, and proves that they are what the migrations make.

// SnapshotRequest says what [DB.Snapshot] and [DB.SchemaSQL] write. The zero value is
// about the newest version.
type SnapshotRequest struct {
	// Version is the one up to which migrations are in it; 0: the highest of the files.
	Version int64

	// ToolDir is the folder with pg_dump, of which PostgreSQL's schema is read. Default:
	// the PATH and the usual folders. Other engines need no program.
	ToolDir string
}

// Snapshot is a text that makes at once what migrations make.
type Snapshot struct {
	Version int64  `json:"version"`
	Engine  string `json:"engine"` // sqlite, postgres, mysql or mariadb: the one that it was made on, and for
	File    string `json:"file"`   // name that it has to have in the folder of the migrations
	Holds   int    `json:"holds"`  // migrations that are in it
	Text    string `json:"-"`      // the file

	// LeftOut are the statements of the files whose effect is not in it: a database
	// that loads it is without. They belong into a repeatable migration, or above
	// the snapshot.
	LeftOut []LeftOut `json:"left_out"`
}

// LeftOut is a statement that no snapshot can carry: of rights, owners, accounts, settings
// of a server or a database.
type LeftOut struct {
	Migration ID     `json:"migration"`
	File      string `json:"file"`  // path inside Config.Migrations
	Line      int    `json:"line"`  // 1-based
	SQL       string `json:"sql"`   // with '***' for every text in quotes: it may be a password
	About     string `json:"about"` // rights, owners, accounts, the server, the database as such, the database's file
}

// String gives "file:line: the statement's first line (what it is about)".
func (l LeftOut) String() string {
	first, _, _ := strings.Cut(l.SQL, "\n")
	return fmt.Sprintf("%s:%d: %s (%s)", l.File, l.Line, shorten(first, 100), l.About)
}

// ErrSnapshotDiffers means that a snapshot does not make what the migrations make: the
// files have changed since it was made, or it has no way to say what one of them does.
var ErrSnapshotDiffers = errors.New("the snapshot is not what the migrations make")

// Snapshot runs the migrations on a scratch database and writes what they have made as
// SQL, for the engine and the version of the server that the database is on. With its
// name in the folder of the migrations an empty database loads it and then has all of
// them applied; one with a history is not touched by it.
//
// Rows that the migrations write are in it, Go migrations are, and repeatable ones are
// not: they run behind it. Rights and what else belongs to the installation are not in
// it either: Snapshot.LeftOut lists the statements. The text is loaded into another scratch database before it
// is returned, and an error that is [ErrSnapshotDiffers] says what came out otherwise.
// The other errors are those of [DB.Drift], and [ErrUnknownVersion]. It writes nothing
// into the database itself.
func (db *DB) Snapshot(ctx context.Context, req SnapshotRequest) (*Snapshot, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	head, _ := src.head()
	s := &Snapshot{Version: req.Version, LeftOut: []LeftOut{}}
	if s.Version == 0 {
		s.Version = head
	}
	last := src.find(ID{Version: s.Version})
	if last == nil {
		return nil, fmt.Errorf("%w: version %d", ErrUnknownVersion, s.Version)
	}
	w := writing{src: src.part(upTo(s.Version)), as: ID{Version: s.Version, Name: snapshotMark}, rows: true, toolDir: req.ToolDir}
	w.file = func(engine string) string { return snapshotFile(digitsOf(last), engine) }
	body, engine, err := db.write(ctx, w)
	if err != nil {
		return nil, err
	}
	holds := make([]held, 0, len(src.migrations))
	for _, m := range src.upTo(s.Version) {
		holds = append(holds, held{m.id, m.checksum()})
		list, err := src.leftOut(m, engine)
		if err != nil {
			return nil, err
		}
		s.LeftOut = append(s.LeftOut, list...)
	}
	s.Engine, s.File, s.Holds, s.Text = engine, w.file(engine), len(holds), snapshotHead(holds, body)+body
	return s, nil
}

// SchemaSQL writes what the migrations make as a schema.sql for people and tools, without
// rows: what [DB.CompareSchema] compares. With a Version it ends there, and without one
// it has in it what repeatable migrations make. Its errors are those of [DB.Snapshot].
func (db *DB) SchemaSQL(ctx context.Context, req SnapshotRequest) (string, error) {
	src, err := db.source()
	if err != nil {
		return "", err
	}
	w := writing{src: src, as: ID{Version: 1, Name: "schema"}, toolDir: req.ToolDir, file: func(string) string { return "schema.sql" }}
	if req.Version != 0 {
		if src.find(ID{Version: req.Version}) == nil {
			return "", fmt.Errorf("%w: version %d", ErrUnknownVersion, req.Version)
		}
		w.src = src.part(upTo(req.Version))
	}
	text, _, err := db.write(ctx, w)
	return text, err
}

// writing is what is to be written.
type writing struct {
	src     *source // with just the migrations that are in it
	as      ID      // what the text is called while it is tried
	rows    bool
	toolDir string
	file    func(engine string) string // its name
}

// write runs the migrations on a scratch database, reads what they have made, and
// proves on a second one that the text makes the same.
func (db *DB) write(ctx context.Context, w writing) (text, engine string, err error) {
	made, err := db.onScratch(ctx, w.src, func(ctx context.Context, scratch *scratch) error {
		text, engine, err = scratch.text(ctx, w)
		return err
	})
	if err != nil {
		return "", "", ended(ctx, err)
	}
	file := w.file(engine)
	loaded, err := db.onScratch(ctx, textSource(w.as, file, text), nil)
	if err != nil {
		return "", "", ended(ctx, err)
	}
	if !w.rows {
		made.rows, loaded.rows = nil, nil
	}
	return text, engine, db.differ(ctx, file, w.src, made, loaded)
}

// leftOut lists the statements of a migration that no snapshot can carry.
func (s *source) leftOut(m *migration, engine string) (list []LeftOut, err error) {
	if m.up == nil {
		return nil, nil
	}
	text, err := s.read(m.up)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.up.file, err)
	}
	rules := sqlscan.Options{Dialect: scanRules[dialectOf(engine)], MariaDB: engine == engineMariaDB}
	statements, err := sqlscan.Split(string(text), rules)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.up.file, err)
	}
	for _, st := range statements {
		if about := ddl.LeftOut(st, rules); about != "" {
			list = append(list, LeftOut{Migration: m.id, File: m.up.file, Line: st.Line, SQL: ddl.Masked(st.Text, rules), About: about})
		}
	}
	return list, nil
}

// dialectOf is the dialect of an engine.
func dialectOf(engine string) string {
	if engine == engineMariaDB {
		return dialect.NameMySQL
	}
	return engine
}

// digitsOf is how the file of a migration writes its version.
func digitsOf(m *migration) string {
	file := ""
	switch {
	case m.up != nil:
		file = m.up.file
	case m.squashed != nil && m.squashed.version == m.id.Version:
		file = m.squashed.script.file
	}
	file = file[strings.LastIndex(file, "/")+1:]
	if f, ok := parseName(file); ok && f.digits != "" {
		return f.digits
	}
	if digits, _, ok := parseSnapshot(file); ok {
		return digits
	}
	return fmt.Sprintf("%04d", m.id.Version)
}

// CheckSnapshots proves that each snapshot among the files that the server takes makes
// what its migrations make, rows included: both are made on scratch databases and
// compared. Where files are gone for which a snapshot stands there is nothing to
// compare it with. It returns the names of those that were compared; an error that is
// [ErrSnapshotDiffers] says what differs.
func (db *DB) CheckSnapshots(ctx context.Context) ([]string, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	engine, err := db.engine(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	var checked []string
	for _, snap := range src.snapshots {
		if snap.engine != engine || slices.ContainsFunc(src.upTo(snap.version), func(m *migration) bool { return m.squashed == snap }) {
			continue
		}
		if snap.stale != "" {
			return checked, withHint(fmt.Errorf("%w: %s: %s", ErrSnapshotDiffers, snap.script.file, snap.stale), "make it again with 'tldwdb snapshot'")
		}
		text, err := src.read(snap.script)
		if err != nil {
			return checked, fmt.Errorf("%s: %w", snap.script.file, err)
		}
		part := src.part(upTo(snap.version))
		made, err := db.onScratch(ctx, part, nil)
		if err != nil {
			return checked, ended(ctx, err)
		}
		_, _, body, _ := cutSnapshot(text)
		loaded, err := db.onScratch(ctx, textSource(snap.id(), snap.script.file, string(body)), nil)
		if err != nil {
			return checked, ended(ctx, err)
		}
		if err := db.differ(ctx, snap.script.file, part, made, loaded); err != nil {
			return checked, err
		}
		checked = append(checked, snap.script.file)
	}
	return checked, nil
}

// CompareSchema holds the text of a schema.sql against what the migrations make, all of
// them, and returns every object in which they differ: Want is what the migrations
// make, Got what the text does. Both run on scratch databases, so that it does not
// matter who wrote the text, or how. The errors are those of [DB.Drift], and those of
// Up for a text that fails. Verification.Force has no meaning here, and ScratchURL
// must be empty.
func (db *DB) CompareSchema(ctx context.Context, text string, v Verification) ([]Difference, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	if v.ScratchURL != "" {
		return nil, errors.New("Verification.ScratchURL: two scratch databases are needed, and one was named")
	}
	got, err := db.madeBy(ctx, textSource(ID{Version: 1, Name: "schema"}, "schema.sql", text), v)
	if err != nil {
		return nil, ended(ctx, err)
	}
	want, err := db.allMade(ctx, src, v)
	if err != nil {
		return nil, ended(ctx, err)
	}
	return differences(catalog.Compare(want, got)), nil
}

// allMade is what all migrations make, whatever the history says.
func (db *DB) allMade(ctx context.Context, src *source, v Verification) (catalog.Catalog, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	is := &present{src: src, hist: &history{}, all: true}
	if err = r.inspect(ctx); err == nil {
		is.server = r.facts.Server
		err = is.set(ctx, r, v)
	}
	r.release(ctx)
	if err != nil {
		return nil, err
	}
	should, err := db.replayed(ctx, is, v)
	if err != nil {
		return nil, err
	}
	return should.want, nil
}

// madeBy runs migrations on a scratch database and describes what they make.
func (db *DB) madeBy(ctx context.Context, src *source, v Verification) (made catalog.Catalog, err error) {
	options := db.comparing(v)
	if err := options.Check(); err != nil {
		return nil, fmt.Errorf("Verification.Ignore: %w", err)
	}
	s, err := db.openScratch(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	return s.migrated(ctx, src, options)
}

// textSource is a text as the one migration of a database.
func textSource(id ID, file, text string) *source {
	return &source{migrations: []*migration{{id: id, up: &script{file: file, stored: text, direction: DirectionUp, checksum: checksum([]byte(text))}}}}
}

// content is what is in a database.
type content struct {
	objects catalog.Catalog
	rows    map[string]string // by table: how many, and a digest
}

// onScratch runs migrations on a scratch database of their own and reads what they
// have made. f, which may be nil, gets the database while it is there.
func (db *DB) onScratch(ctx context.Context, src *source, f func(context.Context, *scratch) error) (made content, err error) {
	s, err := db.openScratch(ctx, "")
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if made.objects, err = s.migrated(ctx, src, db.comparing(Verification{})); err != nil {
		return made, err
	}
	if made.rows, err = s.digests(ctx); err != nil {
		return made, fmt.Errorf("comparing rows: %w", err)
	}
	if f != nil {
		err = f(ctx, s)
	}
	return made, err
}

// engine is whose snapshots the server takes.
func (db *DB) engine(ctx context.Context) (string, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return "", err
	}
	defer r.release(ctx)
	if err := r.inspect(ctx); err != nil {
		return "", err
	}
	return r.engine(), nil
}

// text writes what is in the database.
func (s *scratch) text(ctx context.Context, w writing) (text, engine string, err error) {
	if engine, err = s.engine(ctx); err != nil {
		return "", "", err
	}
	if engine == dialect.NamePostgres {
		err = s.targeted(ctx, BackupOptions{ToolDir: w.toolDir}, &meter{}, func(t dump.Target) error {
			plain, err := dump.Script(ctx, t, s.ownTables(), w.rows)
			if err == nil {
				text, err = ddl.Postgres(plain)
			}
			return err
		})
		return text, engine, err
	}
	conn, err := s.Acquire(ctx)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	o := ddl.Options{Except: s.ownTables(), Rows: w.rows}
	if engine == dialect.NameSQLite {
		text, err = ddl.SQLite(ctx, conn.Conn, o)
	} else {
		text, err = ddl.MySQL(ctx, s.dialect, conn.Conn, o)
	}
	return text, engine, err
}

// digests stand for the rows of each table.
func (s *scratch) digests(ctx context.Context) (list map[string]string, err error) {
	list = map[string]string{}
	if s.dialect.Name() == dialect.NamePostgres {
		err = s.tooled(ctx, BackupOptions{}, &meter{}, func(e dump.Engine) error {
			tables, err := e.Tables(ctx, true)
			for _, t := range tables {
				if !slices.Contains(s.ownTables(), t.Name[strings.LastIndex(t.Name, ".")+1:]) {
					list[t.Name] = fmt.Sprint(t.Rows, " ", t.Digest)
				}
			}
			return err
		})
		return list, err
	}
	conn, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return ddl.Digests(ctx, s.dialect, conn.Conn, ddl.Options{Except: s.ownTables()})
}

// clockStep is more than what a column for times leaves out at most.
const clockStep = 1100 * time.Millisecond

// count is the number of rows in a digest.
func count(digest string) string {
	n, _, _ := strings.Cut(digest, " ")
	return n
}

// differ fails when two databases are not the same. Rows that are another time's each
// time, such as those with the hour of their making, are no difference: where rows
// differ the migrations run once more, to see whether their own rows stay the same.
func (db *DB) differ(ctx context.Context, file string, src *source, made, loaded content) error {
	list := differences(catalog.Compare(made.objects, loaded.objects))
	var tables []string
	for _, name := range slices.Sorted(maps.Keys(made.rows)) {
		if of, found := loaded.rows[name]; found && of != made.rows[name] {
			tables = append(tables, name)
		}
	}
	if len(tables) > 0 && len(list) == 0 {
		// A clock with whole seconds has to show another one.
		if err := sleep(ctx, clockStep); err != nil {
			return ended(ctx, err)
		}
		again, err := db.onScratch(ctx, src, nil)
		if err != nil {
			return ended(ctx, err)
		}
		tables = slices.DeleteFunc(tables, func(name string) bool {
			return again.rows[name] != made.rows[name] && count(loaded.rows[name]) == count(made.rows[name])
		})
	}
	if len(list) == 0 && len(tables) == 0 {
		return nil
	}
	err := fmt.Errorf("%w: %s", ErrSnapshotDiffers, file)
	for _, d := range list {
		err = fmt.Errorf("%w\n%s", err, d)
	}
	if len(tables) > 0 {
		err = fmt.Errorf("%w\nother rows in %s", err, strings.Join(tables, ", "))
	}
	return withHint(err, "make it again with 'tldwdb snapshot'; what that cannot write (rows of virtual tables, for example) stays with the migrations: take a snapshot of the version below")
}
