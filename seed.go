package tldwdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/seed"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// SetCommon is the set of seeds that belongs into every database. The others that
// [DB.Seed] takes by itself have the names of the environments.
const SetCommon = "common"

// GoSeed is a seed written in Go. Run is in the transaction of its set, and must not end
// it; it runs at every [DB.Seed], unless Once is set, and has to look for what is there.
type GoSeed struct {
	Set  string // such as common
	Name string // its place among the files of the set, such as 20_playlists
	Run  func(ctx context.Context, conn Conn) error
	Once bool // it runs once in the life of a database
}

// SeedResult is what [DB.Seed] has done, or what it would do.
type SeedResult struct {
	Sets     []SeededSet   `json:"sets"`        // in the order in which they were written
	Duration time.Duration `json:"duration_ns"` // nanoseconds in JSON
}

// Changes counts the rows that were inserted or updated. What scripts do is not counted.
func (r SeedResult) Changes() (n int64) {
	for _, s := range r.Sets {
		for _, t := range s.Tables {
			n += t.Inserted + t.Updated
		}
	}
	return n
}

// SeededSet is one set of seeds.
type SeededSet struct {
	Name   string        `json:"set"`
	Tables []SeededTable `json:"tables"`           // in the order in which they were written
	Ran    []string      `json:"ran,omitempty"`    // files of SQL and Go seeds
	Passed []string      `json:"passed,omitempty"` // what runs once, and has run
	Edited []string      `json:"edited,omitempty"` // those of Passed whose text is another one now
}

// SeededTable is what became of the rows of one table.
type SeededTable struct {
	Name      string `json:"table"`
	Inserted  int64  `json:"inserted"`
	Updated   int64  `json:"updated"`   // rows that were there and differed, of a table with update
	Unchanged int64  `json:"unchanged"` // rows that were there, edited or not

	// The keys of the first 1,000 rows of each kind, as in username=admin.
	InsertedKeys []string `json:"inserted_keys,omitempty"`
	UpdatedKeys  []string `json:"updated_keys,omitempty"`
}

// ErrSeed is the kind of a [SeedError].
var ErrSeed = errors.New("the seeds cannot be written")

// SeedError lists what is wrong with seeds. Nothing of the set was written.
type SeedError struct {
	Problems []SeedProblem
	Err      error // the database's word, where it is what refused a row
}

// SeedProblem is one fault, with as much of its place as is known.
type SeedProblem struct {
	File   string // path inside Config.Seeds
	Line   int    // 1-based; 0 when the fault is the file itself
	Table  string
	Row    string // the name of the row, its place, or its key
	Column string
	Msg    string
}

// String gives "file:line: table, row, column: message" with the parts that are known.
func (p SeedProblem) String() string { return seed.Problem(p).String() }

// Error gives one line for each problem.
func (e *SeedError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes [errors.Is] find [ErrSeed].
func (e *SeedError) Is(target error) bool { return target == ErrSeed }

// Unwrap returns the cause.
func (e *SeedError) Unwrap() error { return e.Err }

func seedError(problems []seed.Problem) error {
	e := &SeedError{}
	for _, p := range problems {
		e.Problems = append(e.Problems, SeedProblem(p))
	}
	return e
}

// Seed writes sets of seeds: the rows of the files in their folders of Config.Seeds,
// and the Go seeds. Without names it is the set common, and that of the environment,
// as far as they are there. docs/guide/seeds.md has the forms of the files.
//
// Rows that are there already, by their keys, stay as they are, unless the file says
// that they are to be updated; so it can be called at every start. When there is nothing
// to do that is known without a lock. Otherwise each set is one transaction, under the
// migration lock: of many workers one writes, and the others find that all is there.
//
// What is wrong with the files is a *[SeedError], as a rule before anything was written.
// The sets development and test are refused on a production database ([ErrProtected]).
// The result is valid beside an error: it has the sets that were committed. Call [DB.Up]
// first.
func (db *DB) Seed(ctx context.Context, sets ...string) (result SeedResult, err error) {
	began := time.Now()
	ctx, end := db.watch.start(ctx, db.operation(OperationSeed))
	defer func() {
		result.Duration = time.Since(began)
		end(err)
	}()
	result.Sets = []SeededSet{}
	s, err := db.readSeeds(sets)
	if err != nil {
		return result, err
	}
	result, work, err := s.look(ctx, true)
	if err != nil || !work {
		return result, ended(ctx, err)
	}
	result.Sets = []SeededSet{}
	err = db.underMigrationLock(ctx, "seeding", func(ctx context.Context, r *run) error {
		return s.write(ctx, r, &result)
	})
	if err == nil {
		s.told(ctx, result, time.Since(began))
	}
	return result, err
}

// PlanSeed says what [DB.Seed] would do. It takes no lock, writes nothing and runs no
// script. Rows that refer to a row which is not there yet are compared without that.
func (db *DB) PlanSeed(ctx context.Context, sets ...string) (SeedResult, error) {
	s, err := db.readSeeds(sets)
	if err != nil {
		return SeedResult{Sets: []SeededSet{}}, err
	}
	result, _, err := s.look(ctx, false)
	return result, ended(ctx, err)
}

// seeding is one call of Seed.
type seeding struct {
	db      *DB
	sets    []*seed.Set
	passive *seed.Set // common, where it is not written
	code    map[*seed.File]func(context.Context, Conn) error
	scripts map[*seed.File][]sqlscan.Statement
	world   seed.World
}

// readSeeds parses the files of the sets.
func (db *DB) readSeeds(names []string) (*seeding, error) {
	s := &seeding{db: db, code: map[*seed.File]func(context.Context, Conn) error{}, scripts: map[*seed.File][]sqlscan.Statement{}}
	s.world = seed.World{Now: time.Now(), Secret: db.seedSecret}
	var there []string
	if db.cfg.Seeds != nil {
		var err error
		if there, err = seed.Sets(db.cfg.Seeds, db.cfg.SeedsDir); err != nil {
			return nil, withHint(err, "Config.SeedsDir (TLDWDB_SEEDS_DIR) names the folder that has the folders of the sets")
		}
	}
	var problems []seed.Problem
	for i, g := range db.cfg.GoSeeds {
		if g.Set == "" || g.Name == "" || g.Run == nil {
			problems = append(problems, seed.Problem{File: "Config.GoSeeds", Msg: fmt.Sprintf("a seed wants a set, a name and a function: %q of %q", g.Name, g.Set)})
			continue
		}
		if slices.ContainsFunc(db.cfg.GoSeeds[:i], func(o GoSeed) bool { return o.Set == g.Set && o.Name == g.Name }) { // one could not be told from the other in the history
			problems = append(problems, seed.Problem{File: "Config.GoSeeds", Msg: fmt.Sprintf("the name is there twice: %q of %q", g.Name, g.Set)})
		}
		if !slices.Contains(there, g.Set) {
			there = append(there, g.Set)
		}
	}
	if len(names) == 0 {
		for _, name := range []string{SetCommon, string(db.cfg.Environment)} {
			if slices.Contains(there, name) {
				names = append(names, name)
			}
		}
	}
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("the set of seeds %q is named twice", name)
		case !slices.Contains(there, name):
			slices.Sort(there)
			return nil, withHint(fmt.Errorf("there is no set of seeds %q", name), "there are: %s", cmp.Or(strings.Join(there, ", "), "none"))
		}
		set, more, err := s.readSet(name)
		if err != nil {
			return nil, err
		}
		s.sets, problems = append(s.sets, set), append(problems, more...)
	}
	if len(names) > 0 && !slices.Contains(names, SetCommon) && slices.Contains(there, SetCommon) {
		set, more, err := s.readSet(SetCommon)
		if err != nil {
			return nil, err
		}
		s.passive, problems = set, append(problems, more...)
	}
	if len(problems) > 0 {
		return nil, seedError(problems)
	}
	return s, nil
}

// readSet parses a set, and puts its Go seeds between the files.
func (s *seeding) readSet(name string) (*seed.Set, []seed.Problem, error) {
	set := &seed.Set{Name: name}
	var problems []seed.Problem
	if s.db.cfg.Seeds != nil {
		var err error
		set, problems, err = seed.Read(s.db.cfg.Seeds, s.db.cfg.SeedsDir, name, s.db.dialectName)
		if errors.Is(err, fs.ErrNotExist) { // it has Go seeds alone
			set, err = &seed.Set{Name: name}, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading the set of seeds %s: %w", name, err)
		}
	}
	for _, g := range s.db.cfg.GoSeeds {
		if g.Set != name || g.Run == nil {
			continue
		}
		f := &seed.File{Path: path.Join(name, g.Name), Script: true, Once: g.Once}
		s.code[f] = g.Run
		set.Files = append(set.Files, f)
	}
	slices.SortStableFunc(set.Files, func(a, b *seed.File) int { return strings.Compare(path.Base(a.Path), path.Base(b.Path)) })
	for _, f := range set.Files {
		if !f.Script || s.code[f] != nil {
			continue
		}
		var fault *seed.Problem
		if s.scripts[f], fault = s.script(f); fault != nil {
			problems = append(problems, *fault)
		}
	}
	return set, problems, nil
}

// script splits a file of SQL. A seed holds rows: what changes the schema would commit
// what stands before it, on MySQL, and what changes the session would reach the next.
func (s *seeding) script(f *seed.File) ([]sqlscan.Statement, *seed.Problem) {
	list, err := sqlscan.Split(f.SQL, s.db.dialect.ScanOptions())
	if fault, ok := errors.AsType[*sqlscan.Error](err); ok {
		return nil, &seed.Problem{File: f.Path, Line: fault.Line, Msg: fault.Msg}
	}
	if err != nil {
		return nil, &seed.Problem{File: f.Path, Msg: err.Error()}
	}
	for _, st := range list {
		if class := s.db.dialect.Class(st); class != dialect.ClassData && class != dialect.ClassOpaque {
			return nil, &seed.Problem{File: f.Path, Line: st.Line, Msg: fmt.Sprintf("a seed holds statements that write rows: %q belongs into a migration", shorten(st.Text, 60))}
		}
	}
	return list, nil
}

// seedSecret is the value of a variable, or the content of the file that the variable
// with _FILE behind its name has.
func (db *DB) seedSecret(name string) (string, error) {
	e := envReader{lookup: db.cfg.lookup}
	if e.lookup == nil {
		e.lookup = os.LookupEnv
	}
	value, _ := e.secret(name)
	return value, errors.Join(e.errs...)
}

// rowOptions leave this package's own tables out.
func (s *seeding) rowOptions(r *run) portable.Options {
	return portable.Options{Skip: s.db.ownTables(), Schema: r.facts.Schema}
}

// allowed refuses what does not belong into a production database.
func (s *seeding) allowed(ctx context.Context, r *run, hist *history) error {
	for _, set := range s.sets {
		if set.Name == string(Development) || set.Name == string(Test) {
			if err := r.inspect(ctx); err != nil {
				return err
			}
			if err := r.unprotected(hist); err != nil {
				return fmt.Errorf("the set of seeds %s: %w", set.Name, err)
			}
		}
	}
	return nil
}

// onceKey is what the history knows a file by that runs once: as short as its column.
func onceKey(set *seed.Set, f *seed.File) string {
	const longest = 100
	key := set.Name + "/" + path.Base(f.Path)
	if len(key) > longest {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return key
}

// passes says which files run once and have run.
func (s *seeding) passes(hist *history) func(*seed.File) bool {
	passed := map[*seed.File]bool{}
	for _, set := range s.sets {
		for _, f := range set.Files {
			_, ran := hist.seeds[onceKey(set, f)]
			passed[f] = f.Once && ran
		}
	}
	return func(f *seed.File) bool { return passed[f] }
}

// begun is what can be said of a set before its rows are looked at.
func (s *seeding) begun(ctx context.Context, set *seed.Set, hist *history, log bool) SeededSet {
	done := SeededSet{Name: set.Name, Tables: []SeededTable{}}
	passes := s.passes(hist)
	for _, f := range set.Files {
		switch {
		case !passes(f):
			if f.Script {
				done.Ran = append(done.Ran, f.Path)
			}
			continue
		case f.Checksum != "" && hist.seeds[onceKey(set, f)] != f.Checksum:
			done.Edited = append(done.Edited, f.Path)
			if log {
				s.db.log.LogAttrs(ctx, slog.LevelWarn, "a seed that runs once was edited behind its run, and is not run again", slog.String("file", f.Path))
			}
		}
		done.Passed = append(done.Passed, f.Path)
	}
	return done
}

func (done *SeededSet) add(changes []seed.Change) {
	for _, c := range changes {
		done.Tables = append(done.Tables, SeededTable{Name: c.Table, Inserted: c.Inserted, Updated: c.Updated, Unchanged: c.Unchanged, InsertedKeys: c.InsertedKeys, UpdatedKeys: c.UpdatedKeys})
	}
}

// look finds out, without a lock, whether there is anything to do, or with all what that
// is. An account that may not look is told so by who has the lock.
func (s *seeding) look(ctx context.Context, stop bool) (result SeedResult, work bool, err error) {
	result.Sets = []SeededSet{}
	r, err := s.db.newRun(ctx)
	if err != nil {
		return result, false, err
	}
	defer r.release(ctx)
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return result, stop && dialect.Refused(err), unless(stop && dialect.Refused(err), err)
	}
	if err := s.allowed(ctx, r, hist); err != nil {
		return result, false, err
	}
	err = portable.Snapshot(ctx, r.d, r.conn.Conn, s.rowOptions(r), func(rows *portable.Rows) error {
		plan, problems, err := seed.Prepare(ctx, rows, s.db.cfg.Seeds, s.world, s.sets, s.passive, s.passes(hist))
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return seedError(problems)
		}
		for _, set := range s.sets {
			done := s.begun(ctx, set, hist, stop)
			changes, err := plan.Apply(ctx, set, seed.Options{Dry: true, Stop: stop})
			if errors.Is(err, seed.ErrWork) {
				work = true
				return nil
			}
			if err != nil {
				return s.fault(err)
			}
			done.add(changes)
			result.Sets = append(result.Sets, done)
		}
		return nil
	})
	if stop && dialect.Refused(err) {
		return result, true, nil
	}
	return result, work, err
}

// unless is err, unless that is fine.
func unless(fine bool, err error) error {
	if fine {
		return nil
	}
	return err
}

// fault makes an error of a row one of this package.
func (s *seeding) fault(err error) error {
	f, ok := errors.AsType[*seed.Fault](err)
	if !ok {
		return err
	}
	out := error(&SeedError{Problems: []SeedProblem{SeedProblem(f.Problem)}, Err: f.Err})
	if f.Err == nil {
		return out
	}
	if hint := s.db.dialect.Hint(f.Err); hint != "" {
		return withHint(out, "%s", hint)
	}
	return out
}

// write writes the sets, each in a transaction of its own.
func (s *seeding) write(ctx context.Context, r *run, result *SeedResult) error {
	if r.facts.ReadOnly {
		return withHint(fmt.Errorf("%w: %s on %s, and there are seeds to write", ErrReadOnly, databaseLabel(r.facts.Database), r.facts.Server),
			"point Config.MigrateURL (TLDWDB_MIGRATE_URL) at the primary, or connect as somebody who may write")
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return err
	}
	if err := s.allowed(ctx, r, hist); err != nil {
		return err
	}
	if s.records(hist) {
		if err := r.ensureTable(ctx, hist); err != nil {
			return err
		}
	}
	rows, err := portable.OpenRows(ctx, r.d, r.conn.Conn, s.rowOptions(r))
	if err != nil {
		return err
	}
	plan, problems, err := seed.Prepare(ctx, rows, s.db.cfg.Seeds, s.world, s.sets, s.passive, s.passes(hist))
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return seedError(problems)
	}
	for _, set := range s.sets {
		done := s.begun(ctx, set, hist, false)
		var changes []seed.Change
		twice := false
		err := r.retry(ctx, func() (err error) {
			changes, err = s.writeSet(ctx, r, rows, plan, set)
			if r.d.IsDuplicate(err) && !twice { // the application may have written it meanwhile
				twice = true
				changes, err = s.writeSet(ctx, r, rows, plan, set)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("the set of seeds %s: %w", set.Name, s.fault(err))
		}
		done.add(changes)
		result.Sets = append(result.Sets, done)
	}
	return nil
}

// records reports whether a file is to be remembered.
func (s *seeding) records(hist *history) bool {
	passes := s.passes(hist)
	return slices.ContainsFunc(s.sets, func(set *seed.Set) bool {
		return slices.ContainsFunc(set.Files, func(f *seed.File) bool { return f.Once && !passes(f) })
	})
}

// writeSet writes one set, or nothing of it.
func (s *seeding) writeSet(ctx context.Context, r *run, rows *portable.Rows, plan *seed.Plan, set *seed.Set) (changes []seed.Change, err error) {
	begin := r.d.Begin(r.session)
	if len(begin) == 0 { // MySQL's sessions have one open at all times
		begin = []string{"START TRANSACTION"}
	}
	run := func(list ...string) error {
		_, err := r.d.ExecScript(ctx, r.conn.Conn, plain(list), 0)
		return err
	}
	if err := run(begin...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.rollback(ctx)
		}
	}()
	if r.store.fence != nil {
		if err := r.holdsLease(ctx); err != nil {
			return nil, err
		}
	}
	if err := run(portable.Settings(r.d)...); err != nil {
		return nil, err
	}
	changes, err = plan.Apply(ctx, set, seed.Options{
		Script: func(ctx context.Context, f *seed.File) error { return s.runScript(ctx, r, f, set) },
		Record: func(ctx context.Context, f *seed.File) error { return s.record(ctx, r, set, f) },
	})
	if err != nil {
		return nil, err
	}
	if err := run("COMMIT"); err != nil {
		return nil, errors.Join(err, rows.Orphans(ctx))
	}
	return changes, nil
}

// record remembers a file in the history table: that is there, its maker was as careful
// as can be, and it is fenced.
func (s *seeding) record(ctx context.Context, r *run, set *seed.Set, f *seed.File) error {
	_, err := r.d.ExecScript(ctx, r.conn.Conn, plain(r.store.setMeta(metaSeed+r.store.set+" "+onceKey(set, f), f.Checksum)), 0)
	return err
}

// runScript runs a file of SQL, or a Go seed.
func (s *seeding) runScript(ctx context.Context, r *run, f *seed.File, set *seed.Set) error {
	if code := s.code[f]; code != nil {
		if err := r.callGo(ctx, code); err != nil {
			return &seed.Fault{Problem: seed.Problem{File: f.Path, Msg: err.Error()}, Err: err}
		}
	} else if list := s.scripts[f]; len(list) > 0 {
		done, err := r.d.ExecScript(ctx, r.conn.Conn, list, 0)
		if err != nil {
			at := seed.Problem{File: f.Path, Msg: err.Error()}
			if done >= 0 && done < len(list) {
				at.Line, _ = position(r.d, list[done], err)
			}
			return &seed.Fault{Problem: at, Err: err}
		}
	}
	if !f.Once {
		return nil
	}
	return s.record(ctx, r, set, f)
}

// told logs what was done.
func (s *seeding) told(ctx context.Context, result SeedResult, took time.Duration) {
	var inserted, updated, unchanged int64
	names := make([]string, len(result.Sets))
	for i, set := range result.Sets {
		names[i] = set.Name
		for _, t := range set.Tables {
			inserted, updated, unchanged = inserted+t.Inserted, updated+t.Updated, unchanged+t.Unchanged
		}
	}
	s.db.log.LogAttrs(ctx, slog.LevelInfo, "seeded", slog.String("sets", strings.Join(names, ", ")), slog.Int64("inserted", inserted), slog.Int64("updated", updated),
		slog.Int64("unchanged", unchanged), slog.Duration("took", took.Round(time.Microsecond)))
}
