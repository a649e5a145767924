package tldwdb

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Version is the version of this package. It is written into the history table
// beside each migration.
const Version = "0.1.0"

// Result is what a run did. It is valid beside an error too, and then says what
// was done before the error. "Nothing to do" is an empty Applied.
type Result struct {
	Applied  []Applied      `json:"applied"`          // in the order in which they ran
	Before   int64          `json:"before"`           // highest applied version at the start; 0 for none
	After    int64          `json:"after"`            // highest applied version at the end
	Locked   bool           `json:"locked"`           // this process had the migration lock
	Waited   time.Duration  `json:"waited_ns"`        // how long it waited for the lock, or for another process's run
	Holder   string         `json:"holder"`           // who had the lock meanwhile, as far as could be seen
	Warnings []Disagreement `json:"warnings"`         // what files and database disagree about without stopping the run
	Backup   string         `json:"backup,omitempty"` // name of the backup that was made first; see Config.BackupBeforeMigrate

	// Accepted is in what the database differed that [DB.BaselineVerified] was forced to take.
	Accepted []Difference `json:"accepted,omitempty"`
}

// Applied is one migration that a run applied or took back.
type Applied struct {
	Migration  ID            `json:"migration"`
	Direction  Direction     `json:"direction"`
	Duration   time.Duration `json:"duration_ns"` // nanoseconds in JSON
	Statements int           `json:"statements"`  // 0 for a Go migration
}

// Progress is what a run is about to do: a migration as such, or one of its
// statements. PostgreSQL gets the statements of a migration that runs in a
// transaction all at once: there a statement is told when the server comes to it,
// and behind a pooler only the migration as such.
type Progress struct {
	Migration  ID        `json:"migration"`
	Direction  Direction `json:"direction"`
	Step       int       `json:"step"`       // which migration of this run, from 1
	Steps      int       `json:"steps"`      // migrations in this run
	File       string    `json:"file"`       // path inside Config.Migrations; empty for a Go migration
	Statement  int       `json:"statement"`  // which statement, from 1; 0 for the migration as such
	Statements int       `json:"statements"` // statements in the migration; 0 for a Go migration
	SQL        string    `json:"sql"`        // the statement; empty for the migration as such
	Line       int       `json:"line"`       // of its first byte in the file
	Scratch    bool      `json:"scratch"`    // it runs on the scratch database of [DB.BaselineVerified]
}

// Up applies every pending migration. One process at a time does so: the
// others wait until it is done, at most Config.LockWait. With nothing pending
// it costs one SELECT.
//
// Errors: *[LoadError] for faulty files, *[HistoryError] when files and
// database disagree, *[MigrationError] when a migration fails, [ErrLockTimeout],
// [ErrAmbiguous] or [ErrHalfApplied] after a crash that cannot be resumed,
// [ErrLockLost] or [ErrLockUnproved] when the lock does not keep others out,
// [ErrReadOnly], [PoolTimeoutError].
func (db *DB) Up(ctx context.Context) (*Result, error) {
	return db.migrate(ctx, Request{Goal: GoalUp}, "")
}

// Down takes the newest n applied migrations back, one if n is 0. It refuses
// with [ErrProtected] on a database stamped as production, unless
// Config.Confirm names the database, and with [ErrIrreversible] before
// anything is touched when a migration has no way back.
func (db *DB) Down(ctx context.Context, n int) (*Result, error) {
	return db.migrate(ctx, Request{Goal: GoalDown, Steps: n}, "")
}

// Redo takes the newest applied migration back and applies it again. It is
// protected as [DB.Down] is.
func (db *DB) Redo(ctx context.Context) (*Result, error) {
	return db.migrate(ctx, Request{Goal: GoalRedo}, "")
}

// MigrateTo applies or takes back migrations until version is the newest one
// applied. Going down is protected as [DB.Down] is. It returns
// [ErrUnknownVersion] when neither files nor database know the version.
func (db *DB) MigrateTo(ctx context.Context, version int64) (*Result, error) {
	return db.migrate(ctx, Request{Goal: GoalVersion, Version: version}, "")
}

// Migrate does what the request says; [DB.Up] and the others are short forms
// of it.
func (db *DB) Migrate(ctx context.Context, req Request) (*Result, error) {
	return db.migrate(ctx, req, "")
}

// Apply runs a plan that [DB.Plan] made, exactly as it was shown. It returns
// [ErrPlanChanged] when database or files are no longer what the plan was made
// for; the check is made under the lock.
func (db *DB) Apply(ctx context.Context, plan *Plan) (*Result, error) {
	if plan == nil || plan.ID == "" {
		return &Result{}, withHint(fmt.Errorf("%w: it is empty", ErrPlanChanged), "make it with DB.Plan")
	}
	return db.migrate(ctx, plan.Request, plan.ID)
}

// Plan lists what [DB.Migrate] would do for the request, statement by
// statement. It takes no lock and writes nothing.
func (db *DB) Plan(ctx context.Context, req Request) (*Plan, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return nil, err
	}
	steps, warnings, err := r.decide(ctx, hist, req)
	if err != nil {
		return nil, err
	}
	jobs, err := r.prepare(ctx, steps)
	if err != nil {
		return nil, err
	}
	plan := &Plan{ID: planID(steps, hist), Request: req, Warnings: warnings, Steps: make([]PlanStep, len(jobs))}
	for i, j := range jobs {
		plan.Steps[i] = PlanStep{
			Migration: j.id, Direction: j.direction, Reason: j.reason, File: j.file,
			Go: j.code != nil, Transaction: !j.journaled, Statements: make([]Statement, len(j.statements)),
		}
		for k, st := range j.statements {
			plan.Steps[i].Statements[k] = Statement{SQL: jobs[i].shown(st), Line: st.Line}
		}
	}
	return plan, nil
}

// run is one pass through the boot protocol: look, lock, look again, apply.
type run struct {
	db         *DB
	cfg        *Config
	d          dialect.Dialect
	src        *source
	store      store
	log        *slog.Logger
	result     *Result
	conn       *sqlx.Conn // the one connection from lock to unlock
	side       io.Closer  // the pool that conn belongs to, when it is not the application's
	facts      dialect.Facts
	session    dialect.Session
	lock       dialect.Lock
	choice     lockChoice
	leaseGuard func() string     // see lease.Guard
	seen       *history          // the first look, without the lock
	dirty      bool              // conn is not as it came from the pool
	waited     bool              // for the lock: somebody else had it
	heart      *heartbeat        // of a lease that is held
	moved      bool              // the database has another name, and conn was ended with it
	before     map[string]string // the session's settings as they were
	tables     *dialect.Lasting  // those without transactions; nil where all have them
	passedOver bool              // it was told that no snapshot is loaded
	obstacle   *string           // why no snapshot is loaded: what was found last, before the lock or under it
	loading    *job              // of the snapshot, as the look has prepared it: reading it again costs as much as loading it
}

// newRun takes a connection from the application's pool.
func (db *DB) newRun(ctx context.Context) (*run, error) {
	src, err := db.source()
	if err != nil {
		return nil, err
	}
	conn, err := db.Acquire(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	if err := db.checkFile(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r := &run{db: db, cfg: &db.cfg, d: db.dialect, src: src, log: db.log, result: &Result{}, conn: conn}
	r.store = store{d: db.dialect, table: db.dialect.Qualify("", db.cfg.Table), set: db.cfg.Set, actor: db.actor(), run: newRunID(), known: len(src.migrations)}
	return r, nil
}

func (r *run) options() planOptions {
	return planOptions{outOfOrder: r.cfg.OutOfOrder, strict: r.cfg.Strict}
}

// migrate is the boot protocol. wantPlan is the ID of the plan to run, or empty.
//
// It goes through it again, for Config.LockWait, while the server cannot write and
// may be able to later, or nobody has a connection to spare. After a run that has
// begun only where a second one cannot do more than the first was to: another Down
// is one step more.
func (db *DB) migrate(ctx context.Context, req Request, wantPlan string) (*Result, error) {
	defer db.settled()
	ctx, end := db.startRun(ctx, string(cmp.Or(req.Goal, GoalUp)))
	result, err := db.migrateOften(ctx, req, wantPlan)
	end(err)
	return result, err
}

// migrateOften is migrate without those who watch.
func (db *DB) migrateOften(ctx context.Context, req Request, wantPlan string) (*Result, error) {
	wait := db.newWait()
	var before *Result
	waited := false // for the lock, in a session that was ended
	for {
		result, err := db.migrateOnce(ctx, req, wantPlan)
		result.follows(before)
		var message string
		switch {
		case errors.Is(err, ErrReadOnly) && db.cfg.WaitOnReadOnly:
			message = "waiting for a server that takes writes, or for the migrations to arrive"
		case errors.Is(err, errCutOff) && (!result.Locked || !req.destructive() && wantPlan == ""):
			message = "waiting for this node to be in its cluster again"
		case interrupted(err, waited && !result.Locked):
			waited = true
			message = "connecting again to wait for the migration lock"
		case errors.Is(err, errCrowded): // nothing has begun
			message = "waiting for a connection to spare"
			wait.next = waitLast // long enough for another one to get the lock, and what was given back
		}
		if message == "" || !wait.left() {
			return result, err
		}
		if wait.say() {
			db.log.LogAttrs(ctx, slog.LevelInfo, message, slog.String("state", err.Error()))
		}
		if err := wait.pause(ctx); err != nil {
			return result, err
		}
		before = result
	}
}

// follows adds what an earlier attempt of the same run did.
func (r *Result) follows(before *Result) {
	if before == nil {
		return
	}
	r.Applied = append(before.Applied, r.Applied...)
	r.Before = before.Before
	r.Locked = r.Locked || before.Locked
	r.Backup = cmp.Or(r.Backup, before.Backup)
	r.Waited += before.Waited
}

// errCutOff is the kind of an error of a node that has lost its cluster.
var errCutOff = errors.New("this node is cut off from its cluster")

// cutOff names that kind where the server's own words do not.
func (r *run) cutOff(err error) error {
	node, ok := r.d.(dialect.ClusterNode)
	if ok && node.IsCutOff(err) {
		err = fmt.Errorf("%w: %w", errCutOff, err)
	}
	if errors.Is(err, errCutOff) {
		return withHint(err,
			"it takes neither reads nor writes until it is in the part of its cluster that has the majority: look at its network and its log, or point the URL at another node; a longer Config.LockWait (TLDWDB_LOCK_WAIT) waits for it")
	}
	return err
}

func (db *DB) migrateOnce(ctx context.Context, req Request, wantPlan string) (*Result, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return &Result{}, err
	}
	err = r.look(ctx, req, wantPlan)
	if err != nil && r.d.IsReadOnly(err) { // not every engine says so before it is written to
		err = r.refusedWrite(ctx, err)
	}
	if !r.result.Locked && dialect.PoolerGaveUp(err) {
		err = r.crowded(ctx, err)
	}
	if errors.Is(err, ErrReadOnly) && db.cfg.WaitOnReadOnly && r.d.Name() != dialect.NameSQLite {
		r.dirty = true // whether it may write, a session may have been told when it began
	}
	r.release(ctx)
	if len(r.result.Applied) > 0 || err != nil {
		db.lookAgain(ctx, err)
	}
	if err == nil && len(r.result.Applied) == 0 {
		r.log.LogAttrs(ctx, slog.LevelInfo, "nothing to migrate", slog.Int64("version", r.result.After), slog.Duration("waited", r.result.Waited.Round(time.Millisecond)))
	}
	return r.result, ended(ctx, r.cutOff(err))
}

// lookAgain lets the observers know what a run has left, as far as the server
// answers. Without an observer nobody asks.
func (db *DB) lookAgain(ctx context.Context, err error) {
	_, failed := errors.AsType[*MigrationError](err)
	if err != nil && !failed || !db.watch.wants(func(o *Observer) bool { return o.Schema != nil }) {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if _, _, err := db.readHistory(ctx); err != nil {
		db.log.LogAttrs(ctx, slog.LevelDebug, "looking at the history after a run", slog.String("error", err.Error()))
	}
}

// refusedWrite tells a database that takes no writes from a file that forbade
// them to itself, with SET TRANSACTION READ ONLY or PRAGMA query_only. It looks
// by a write that changes nothing, in the session as it came: no variable of the
// server says all of it.
func (r *run) refusedWrite(ctx context.Context, cause error) error {
	readOnly := fmt.Errorf("%w: %w", r.readOnly(), cause)
	if !r.dirty { // no file has run
		return readOnly
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	r.rollback(ctx) // a transaction keeps what was set when it began
	var err error
	if keeper, ok := r.d.(dialect.SessionKeeper); ok {
		err = keeper.RestoreSnapshot(ctx, r.conn.Conn, r.before)
	} else {
		_, err = r.d.ExecScript(ctx, r.conn.Conn, plain(r.d.Restore(r.session)), 0)
	}
	const nothing = "UPDATE %s SET name = name WHERE 1 = 0"
	if err == nil {
		_, err = r.conn.ExecContext(ctx, fmt.Sprintf(nothing, r.store.table))
	}
	if err != nil && !r.d.IsReadOnly(err) && !r.d.IsNoTable(err) {
		// The session may be gone: a lease that could not be given back ends with it.
		second, done, secondErr := r.secondConnection(ctx)
		if secondErr != nil {
			return cause // nobody can say
		}
		defer done()
		_, err = second.ExecContext(ctx, fmt.Sprintf(nothing, r.store.table))
	}
	switch {
	case err == nil:
		return hinted(cause, "the database takes writes, so a statement of the migration turned them off (SET TRANSACTION READ ONLY, PRAGMA query_only): take it out")
	case r.d.IsReadOnly(err), r.d.IsNoTable(err): // without the table it was the table that could not be made
		return readOnly
	}
	return cause // nobody can say
}

// ended says that a run failed because its context had ended, where the
// driver's own word is only that the connection is bad.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

func (r *run) readOnly() error {
	return withHint(fmt.Errorf("%w: %s on %s, and migrations are pending", ErrReadOnly, databaseLabel(r.facts.Database), r.facts.Server),
		"point Config.MigrateURL (TLDWDB_MIGRATE_URL) at the primary, connect as somebody who may write, or set Config.WaitOnReadOnly (TLDWDB_WAIT_ON_READ_ONLY) to wait until somebody else has migrated")
}

// look reads the history once. With nothing to do that is all.
func (r *run) look(ctx context.Context, req Request, wantPlan string) error {
	hist, err := r.store.read(ctx, r.conn)
	if dialect.Refused(err) && r.db.migrateURL.Dialect != "" {
		// MySQL does not tell an account with rights on single tables that a table is
		// not there. The account that migrates is told.
		if err := r.migrationConnection(ctx); err != nil {
			return err
		}
		hist, err = r.store.read(ctx, r.conn)
	}
	if err != nil {
		return err
	}
	r.seen = hist
	r.db.tellSchema(r.src, hist)
	r.result.Before, _ = hist.current()
	r.result.After = r.result.Before
	steps, warnings, err := r.decide(ctx, hist, req)
	if err != nil && hist.loading == "" {
		return err
	}
	r.warn(ctx, warnings)
	if len(r.src.migrations) == 0 {
		r.log.LogAttrs(ctx, slog.LevelWarn, "this binary has no migrations")
	}
	if hist.loading == "" && wantPlan != "" && planID(steps, hist) != wantPlan {
		return errPlanChanged()
	}
	if len(steps) == 0 && hist.loading == "" {
		return nil
	}
	// What can be refused is refused before anybody waits for a lock.
	if _, err := r.prepare(ctx, steps); err != nil {
		return err
	}
	if err := r.lint(ctx, steps); err != nil {
		return err
	}
	workLeft := func(hist *history) (bool, error) {
		if hist.loading != "" { // whoever has the lock may be at it: it tells under the lock
			return true, nil
		}
		steps, _, err := r.decide(ctx, hist, req)
		// Only Up is done when somebody else has done it: another Down is one
		// step more, and a plan does not fit any more.
		return len(steps) > 0 || req.destructive() || wantPlan != "", err
	}
	r.db.activity.waits()
	return r.locked(ctx, workLeft, func(ctx context.Context, hist *history) error {
		return r.apply(ctx, req, hist, wantPlan)
	})
}

func errPlanChanged() error {
	return withHint(ErrPlanChanged, "make a new plan, read it, and apply that")
}

func (r *run) warn(ctx context.Context, warnings []Disagreement) {
	r.result.Warnings = warnings
	for _, w := range warnings {
		r.log.LogAttrs(ctx, slog.LevelWarn, w.Kind.Error(), slog.String("migration", w.Migration.String()), slog.String("detail", w.Detail))
	}
}

// locked runs work under the lock, with the history as it is then. When another
// process has meanwhile done the work, so that workLeft says no, it returns
// without work, and as a rule without having had the lock.
func (r *run) locked(ctx context.Context, workLeft func(*history) (bool, error), work func(context.Context, *history) error) (err error) {
	if err := r.connectAndInspect(ctx); err != nil {
		return err
	}
	if r.facts.ReadOnly {
		return r.readOnly()
	}
	r.store.table = r.d.Qualify(r.facts.Schema, r.cfg.Table)
	r.session = dialect.Session{LockTimeout: r.cfg.LockTimeout, StatementTimeout: r.cfg.StatementTimeout, Facts: r.facts}
	if r.seen == nil {
		if r.seen, err = r.store.read(ctx, r.conn); err != nil {
			return err
		}
	}
	if err := r.chooseLock(ctx); err != nil {
		return err
	}
	err = r.underLock(ctx, workLeft, work)
	if errors.Is(err, ErrLockUnproved) && r.cfg.Lock == LockAuto && r.choice.kind == dialect.LockSession && r.d.Name() != dialect.NameSQLite {
		if err := r.useLock(lockChoice{dialect.LockLease, "a second connection could take the " + r.lock.Kind()}); err != nil {
			return err
		}
		return r.underLock(ctx, workLeft, work)
	}
	return err
}

// underLock is locked with the lock that was chosen.
func (r *run) underLock(ctx context.Context, workLeft func(*history) (bool, error), work func(context.Context, *history) error) (err error) {
	got, err := r.acquire(ctx, func(ctx context.Context) (bool, error) {
		hist, err := r.store.read(ctx, r.conn)
		if err != nil {
			return false, err
		}
		r.result.After, _ = hist.current()
		r.db.tellSchema(r.src, hist)
		return workLeft(hist)
	})
	if err != nil && !errors.Is(err, ErrLockTimeout) {
		r.abandon(ctx) // the answer that was lost may have been yes
	}
	if err != nil || !got {
		return err
	}
	r.result.Locked = true
	r.obstacle = nil // who waits for the lock may have waited for another set's migrations
	settled, begun := true, false
	defer func() {
		if !begun {
			err = r.cutShort(ctx, err)
		}
	}()
	defer func() {
		if r.moved { // with the lock's session
			return
		}
		if !settled || err != nil && r.inDoubt() && !errors.Is(err, ErrAmbiguous) { // which the journal remembers
			return // who comes next has to be as careful: the lease runs out
		}
		if unlockErr := r.unlock(ctx); unlockErr != nil {
			if err == nil {
				err = unlockErr
			}
			r.abandon(ctx)
		}
	}()
	if l, ok := r.lock.(lease); ok {
		kept, heart, keepErr := r.keep(ctx, l)
		if keepErr != nil {
			return keepErr
		}
		ctx, r.heart = kept, heart
		defer func() { err = heart.stop(kept, err) }()
		if err := r.grace(ctx, l); err != nil {
			settled = false
			return err
		}
	}
	// Look again, before anything that costs more than a round trip: of a fleet
	// that waited together each one comes by here.
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return err
	}
	r.result.After, _ = hist.current()
	r.db.tellSchema(r.src, hist)
	if left, err := workLeft(hist); err != nil || !left {
		return err
	}
	if _, ok := r.lock.(lease); !ok { // a lease is proved as soon as it is had
		if err := r.prove(ctx); err != nil {
			return err
		}
	}
	r.dirty = true
	if keeper, ok := r.d.(dialect.SessionKeeper); ok {
		if r.before, err = keeper.Snapshot(ctx, r.conn.Conn); err != nil {
			return fmt.Errorf("reading the session's settings: %w", err)
		}
	}
	if err := r.d.Prepare(ctx, r.conn.Conn, r.session); err != nil {
		return fmt.Errorf("preparing the migration connection: %w", err)
	}
	begun = true
	return work(ctx, hist)
}

// abandon ends what this run left on the server when its connection broke or was
// given up: the next process would otherwise wait for the end of the statement,
// and what the caller is told about the migration would not be true yet. Its own
// errors are only logged, because the run has failed already.
func (r *run) abandon(ctx context.Context) {
	if !r.lock.NeedsConnection() {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	second, done, err := r.secondConnection(ctx)
	if err == nil {
		err = r.lock.Abandon(ctx, second)
		done()
	}
	if err != nil {
		r.log.LogAttrs(ctx, slog.LevelWarn, "the session of a broken connection could not be ended; the server ends it by itself", slog.String("error", err.Error()))
	}
}

// guard refuses to take anything back on a production database. Ending a way back
// that was interrupted is not refused: it was allowed when it began.
func (r *run) guard(steps []step, hist *history) error {
	if slices.ContainsFunc(steps, func(s step) bool { return s.reason == reasonRequested }) {
		return r.unprotected(hist)
	}
	return nil
}

// unprotected fails on a production database that the caller did not name.
func (r *run) unprotected(hist *history) error {
	if r.cfg.Confirm != "" && r.cfg.Confirm == databaseLabel(r.facts.Database) {
		return nil
	}
	if hist.environment != string(Production) && r.cfg.Environment != Production {
		return nil
	}
	return withHint(fmt.Errorf("%w: %s is a production database", ErrProtected, databaseLabel(r.facts.Database)),
		"to do it all the same, set Config.Confirm (TLDWDB_CONFIRM) to %q", databaseLabel(r.facts.Database))
}

// databaseLabel is what a person calls a database: its name, or the file's base
// name for SQLite.
func databaseLabel(database string) string {
	if i := strings.LastIndexAny(database, `/\`); i >= 0 {
		return database[i+1:]
	}
	return database
}

// connectAndInspect takes the connection that migrates, and asks what is at its other end.
func (r *run) connectAndInspect(ctx context.Context) error {
	if err := r.migrationConnection(ctx); err != nil {
		return err
	}
	return r.inspect(ctx)
}

// migrationConnection replaces the pooled connection by one to Config.MigrateURL,
// if there is one.
func (r *run) migrationConnection(ctx context.Context) error {
	if r.db.migrateURL.Dialect == "" || r.side != nil {
		return nil
	}
	if err := r.conn.Close(); err != nil {
		return err
	}
	side, err := r.db.openSide(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the migration URL: %w", err)
	}
	r.side, r.facts, r.loading = side, dialect.Facts{}, nil // those of the other connection
	r.conn, err = side.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the migration URL: %w", err)
	}
	return nil
}

// inspect asks once what is at the other end of the connection.
func (r *run) inspect(ctx context.Context) (err error) {
	if r.facts.Server != "" {
		return nil
	}
	if r.facts, err = r.d.Inspect(ctx, r.conn.Conn, r.cfg.Table); err != nil {
		return fmt.Errorf("inspecting the database: %w", err)
	}
	return nil
}

// release gives the connection back. One whose session was changed is closed
// instead, so that nothing a migration set reaches the application; a SQLite
// connection is restored, because an in-memory database would be gone with it.
func (r *run) release(ctx context.Context) {
	if r.conn != nil {
		if r.dirty && r.d.Name() == dialect.NameSQLite {
			ctx, cancel := detached(ctx)
			defer cancel()
			if keeper, ok := r.d.(dialect.SessionKeeper); ok && keeper.RestoreSnapshot(ctx, r.conn.Conn, r.before) == nil {
				r.dirty = false
			}
		}
		if r.dirty && !r.facts.InMemory {
			_ = r.conn.Raw(func(any) error { return driver.ErrBadConn }) // this is how database/sql is told to close it
		}
		_ = r.conn.Close() // sql.ErrConnDone after the line above
	}
	if r.side != nil {
		_ = r.side.Close() // it held nothing else
	}
}

// racesAllowed is how often in a row a run looks again after another process got
// past the migration lock, without finding that it has got anything done.
const racesAllowed = 5

// apply runs what is pending under the lock. Where the lock does not exclude
// everybody, as on some network file systems, the first statement of a
// migration's transaction does: then the run looks again.
func (r *run) apply(ctx context.Context, req Request, hist *history, wantPlan string) error {
	for races := 0; ; races++ {
		err := r.applyOnce(ctx, req, hist, wantPlan)
		if !errors.Is(err, errRaced) || races == racesAllowed {
			return err
		}
		r.log.LogAttrs(ctx, slog.LevelWarn, "the migration lock did not exclude another process, looking again", slog.String("lock", r.lock.Kind()))
		before := hist.done()
		if hist, err = r.store.read(ctx, r.conn); err != nil {
			return err
		}
		if hist.done() != before {
			races = -1 // side by side, both may meet at every migration
		}
	}
}

func (r *run) applyOnce(ctx context.Context, req Request, hist *history, wantPlan string) error {
	steps, warnings, err := r.decide(ctx, hist, req)
	if err != nil {
		return err
	}
	r.result.Warnings = warnings
	if wantPlan != "" && planID(steps, hist) != wantPlan {
		return errPlanChanged()
	}
	if len(steps) == 0 { // another process did it between the look and the lock
		r.result.After, _ = hist.current()
		return nil
	}
	if err := r.guard(steps, hist); err != nil {
		return err
	}
	jobs, err := r.prepare(ctx, steps)
	if err != nil {
		return err
	}
	if err := r.keptByPooler(jobs); err != nil {
		return err
	}
	for i, j := range jobs {
		j.place, j.places = i+1, len(jobs)
	}
	if r.cfg.SingleTransaction {
		if err := r.singleTransactionPossible(jobs); err != nil {
			return err
		}
	}
	if err := r.backupFirst(ctx, hist, jobs); err != nil {
		return err
	}
	if err := r.ensureTable(ctx, hist); err != nil {
		return err
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "migrating", slog.String("database", databaseLabel(r.facts.Database)), slog.String("server", r.facts.Server),
		slog.Int("steps", len(jobs)), slog.Int64("from", r.result.Before), slog.String("lock", r.lock.Kind()), slog.String("why", r.choice.why))
	fresh := !slices.ContainsFunc(hist.rows, func(row row) bool { return row.state.done() })
	if r.cfg.SingleTransaction {
		return r.adviseBaseline(fresh, jobs[0], r.applyTogether(ctx, hist, jobs))
	}
	for _, j := range jobs {
		start := time.Now()
		if err := r.watchedOne(ctx, j); err != nil {
			return r.adviseBaseline(fresh, jobs[0], err)
		}
		r.applied(ctx, hist, j, time.Since(start))
	}
	return nil
}

// watchedOne is applyOne with those who watch.
func (r *run) watchedOne(ctx context.Context, j *job) error {
	r.announce(j, -1)
	ctx, end := r.startStep(ctx, j, -1)
	err := r.applyOne(ctx, j)
	end(err)
	return err
}

// adviseBaseline names the way out to somebody whose history is empty while the
// schema is there: it was made by something else, or the history was lost.
func (r *run) adviseBaseline(fresh bool, first *job, err error) error {
	var failed *MigrationError
	if !fresh || !errors.As(err, &failed) || failed.Migration != first.id || failed.Direction != DirectionUp || !r.d.IsThere(err) {
		return err
	}
	if k := first.firstEffect(); first.journaled && k < len(first.statements) && failed.Line != first.statements[k].Line {
		return err // what is there may be the work of the statements before it
	}
	return hinted(err, "the history says that nothing was applied here, and the schema is there: if it was made by something else, or the history was lost, DB.Baseline takes the migrations up to a version as applied, without running them")
}

// applied notes a migration that has been committed.
func (r *run) applied(ctx context.Context, hist *history, j *job, took time.Duration) {
	r.result.Applied = append(r.result.Applied, Applied{Migration: j.id, Direction: j.direction, Duration: took, Statements: len(j.statements)})
	message := "migration applied"
	if j.snapshot != nil {
		message = "snapshot loaded"
		r.result.After = hist.loaded(j.held)
	} else {
		r.result.After = hist.after(j.id, j.direction)
	}
	if j.direction == DirectionDown {
		message = "migration taken back"
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, message, slog.String("migration", j.id.String()), slog.Duration("took", took.Round(time.Microsecond)), slog.Int("statements", len(j.statements)))
}

// ensureTable makes the history table on the first run, and stamps the
// environment into it. A database that was production once stays so.
func (r *run) ensureTable(ctx context.Context, hist *history) error {
	var list []string
	if hist.format == 0 { // no table, or one whose maker died before it was stamped
		list = append(r.d.HistoryDDL(r.store.table), r.store.setMeta(metaFormat, fmt.Sprint(historyFormat))...)
	}
	if hist.environment == "" || r.cfg.Environment == Production && hist.environment != string(Production) {
		list = append(list, r.store.setMeta(metaEnvironment, string(r.cfg.Environment))...)
	}
	if hist.lock != r.choice {
		list = append(list, r.store.setMeta(metaLock, r.choice.String())...)
	}
	if len(list) == 0 {
		return nil
	}
	err := r.inOneTransaction(ctx, list)
	if r.d.IsDuplicate(err) { // IF NOT EXISTS does not help two that create it at one instant
		return fmt.Errorf("%w: %w", errRaced, err)
	}
	if err != nil {
		return r.advise(fmt.Errorf("creating the history table %s: %w", r.store.table, err))
	}
	return nil
}

// inOneTransaction runs the runner's own statements, as often as it takes to get
// their locks.
func (r *run) inOneTransaction(ctx context.Context, list []string) error {
	return r.retry(ctx, func() error {
		open := plain(r.d.Begin(r.session))
		if r.store.fence != nil {
			if _, err := r.d.ExecScript(ctx, r.conn.Conn, open, 0); err != nil {
				return err
			}
			open = nil
			if err := r.holdsLease(ctx); err != nil {
				r.rollback(ctx)
				return err
			}
		}
		_, err := r.d.ExecScript(ctx, r.conn.Conn, slices.Concat(open, plain(list), plain([]string{"COMMIT"})), 0)
		if err != nil {
			r.rollback(ctx)
		}
		return err
	})
}

// plain makes script statements of the runner's own SQL.
func plain(list []string) []sqlscan.Statement {
	statements := make([]sqlscan.Statement, len(list))
	for i, text := range list {
		statements[i].Text = text
	}
	return statements
}
