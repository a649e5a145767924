package tldwdb

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"slices"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file runs a migration that no transaction can hold: every migration on
// MySQL and MariaDB, which commit at each DDL statement, and files with the
// no-transaction directive elsewhere.
//
// The journal is the migration's row in the history table. It says how many
// statements are done, and which one is next. For a statement that changes rows
// the entry is in the same transaction as the rows. For one that commits by
// itself the entry is written before, with a fingerprint of the objects that
// the statement is about, taken by the server in the same write. The next
// entry is the proof that the statement is done. After a crash the fingerprint
// decides: unchanged, the statement runs; changed, the run goes on behind it;
// and where the server cannot tell, nobody guesses.
//
// What happens after a crash is in resume.go.
//
// On MySQL all of this costs two round trips for a statement: autocommit is
// off, so an entry needs no commit of its own. DDL commits what is open before
// it begins, and that is the entry.

// intent is the JSON in the intent column.
type intent struct {
	// Prefix identifies the statements that are done: the rest of the file may
	// be mended, they may not.
	Prefix string `json:"prefix"`
	// Next identifies the statement that was about to run; empty when the last
	// one finished, or is known to have had no effect.
	Next string `json:"next,omitempty"`
	// Again says that Next may run a second time without harm.
	Again bool `json:"again,omitempty"`
	// Fingerprint is what the catalogue said before Next; empty when that says
	// nothing about it.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Taken is how the fingerprint was taken: fingerprintsTaken of the version that did.
	Taken int `json:"taken,omitempty"`
	// Hidden says that one of the statements that are done has changed the session
	// in a way that its text does not show: a routine did.
	Hidden bool `json:"hidden,omitempty"`
}

// fingerprintsTaken grows when a dialect asks the catalogue something else: then what an
// older version has written down says nothing.
const fingerprintsTaken = 2

// goStep stands for the one step of a Go migration.
const goStep = "go"

// journalRun is the state of one migration that runs statement by statement.
type journalRun struct {
	*run
	j     *job
	begun bool // the row says what this attempt has done
	// durable is how many statements this process knows to be done for good: up
	// to the last one that committed by itself. Their proof, the next entry, may
	// be rolled back with a statement that fails behind them.
	durable int
	hidden  bool // see intent
	// again is the statement that an earlier run had begun and that runs once more,
	// or -1; before is what the catalogue said before it began.
	again  int
	before string
	// lasting is the statement that changes rows and has an intent of its own,
	// because no rollback takes back what it writes; -1 when the last one was none.
	lasting int
	// sum is that of the first upTo statements, on which prefix goes on.
	sum  hash.Hash
	upTo int
}

// prefix is prefixHash of the first n statements. From the beginning each time, a file
// of a thousand statements would be read five hundred times.
func (g *journalRun) prefix(n int) string {
	if g.sum == nil || n < g.upTo {
		g.sum, g.upTo = sha256.New(), 0
	}
	for _, st := range g.j.statements[g.upTo:n] {
		addStatement(g.sum, st)
	}
	g.upTo = n
	return shortSum(g.sum)
}

func (r *run) newJournalRun(j *job) *journalRun {
	return &journalRun{run: r, j: j, again: -1, lasting: -1}
}

// journal runs or resumes a migration statement by statement.
func (r *run) journal(ctx context.Context, j *job) error {
	g := r.newJournalRun(j)
	if engine, ok := r.d.(dialect.LastingRows); ok && r.tables == nil {
		r.tables = engine.Lasting()
	}
	if j.row != nil {
		if err := g.takeOver(ctx); err != nil {
			return err
		}
	}
	start := 0
	if j.reason == reasonInterrupted {
		var err error
		if start, err = g.resume(ctx); err != nil {
			return err
		}
	}
	if j.code != nil {
		return g.runGo(ctx)
	}
	return g.statements(ctx, start)
}

// statements runs the file from statement start on, and closes its account. When
// a statement does not get its lock, or loses a deadlock, what is open is rolled
// back and the journal is asked where that leaves us. In a cluster it may be the
// last commit that loses, against one of another node.
func (g *journalRun) statements(ctx context.Context, start int) error {
	if g.j.directives.LockTimeout > 0 || g.j.directives.StatementTimeout > 0 {
		if err := g.timeouts(ctx, g.sessionFor(g.j)); err != nil {
			return g.j.fail(g.d, -1, err)
		}
	}
	patience := g.patience()
	for {
		failed, err := g.from(ctx, start)
		end := err == nil
		if end {
			err = g.finish(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return g.j.fail(g.d, failed, err)
		}
		if raced := g.raced(ctx, err); raced != nil {
			return raced
		}
		if lost := g.disowned(ctx, err); lost != nil {
			return lost
		}
		var entry entryError
		if failed < len(g.j.classes) && g.j.classes[failed] == dialect.ClassOpaque && !errors.As(err, &entry) {
			return g.doubtful(ctx, failed, err)
		}
		if end && !g.d.IsLockTimeout(err) {
			return g.unclosed(err)
		}
		if !g.d.IsLockTimeout(err) {
			return g.failed(ctx, failed, err)
		}
		if !patience.left() {
			return g.failed(ctx, failed, g.noTable(err))
		}
		if start, err = g.rewind(ctx, failed, err); err != nil {
			return err
		}
		if err := patience.wait(ctx, slog.String("migration", g.j.id.String()), slog.Int("statement", start+1)); err != nil {
			return err
		}
	}
}

// doubtful ends a run whose CALL or the like failed: it may have committed a
// part of what it does, so that it is neither tried again nor said to have had no
// effect. The intent stays, and the next run is [ErrAmbiguous].
func (g *journalRun) doubtful(ctx context.Context, k int, cause error) error {
	st := g.j.statements[k]
	err := &MigrationError{Migration: g.j.id, Direction: g.j.direction, File: g.j.file, Statement: shorten(st.Text, 300), Err: cause,
		Hint: fmt.Sprintf("what it calls may have committed a part of its work: look, then call DB.Repair with Fix{Migration: ID{Version: %d}, Kind: FixRetry} if it may run again, or FixDone if it is to be taken for done", g.j.id.Version)}
	err.Line, err.Column = position(g.d, st, cause)
	g.rollback(ctx)
	g.record(ctx, g.store.owned(g.store.note(g.j.id, cause.Error())))
	return err
}

// record writes what became of a statement. Without it the next run finds out by
// itself, from the intent.
func (g *journalRun) record(ctx context.Context, statement string) {
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := g.guarded(ctx); err != nil {
		return // the next holder finds out by itself
	}
	list := []string{statement}
	if !g.d.TransactionalDDL() {
		list = append(list, "COMMIT")
	}
	if _, err := g.d.ExecScript(ctx, g.conn.Conn, plain(list), 0); err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "recording a failed migration", slog.String("error", err.Error()))
	}
}

// entryError is an error of the journal itself, and not of a statement.
type entryError struct{ error }

func (e entryError) Unwrap() error { return e.error }

// raced reports that the migration's row was there already when it was to be
// made: the row is another process's, and must not be touched.
func (g *journalRun) raced(ctx context.Context, err error) error {
	var entry entryError
	if errors.As(err, &entry) && !g.owns() && (g.d.IsDuplicate(err) || g.d.IsNullViolation(err)) {
		g.rollback(ctx)
		return g.overtaken(g.j.id, err)
	}
	return nil
}

// owns reports whether the migration has a row that this run made or took over.
func (g *journalRun) owns() bool { return g.begun || g.j.row != nil }

// from runs the statements from start to the end. It returns the index of the
// one that failed.
func (g *journalRun) from(ctx context.Context, start int) (int, error) {
	for k := start; k < len(g.j.statements); k++ {
		if err := g.one(ctx, k); err != nil {
			return k, err
		}
	}
	return len(g.j.statements), nil
}

// one writes the entry for statement k and runs it.
func (g *journalRun) one(ctx context.Context, k int) error {
	g.announce(g.j, k)
	ctx, end := g.startStep(ctx, g.j, k)
	err := g.oneStatement(ctx, k)
	end(err)
	return err
}

func (g *journalRun) oneStatement(ctx context.Context, k int) error {
	st, class := g.j.statements[k], g.j.classes[k]
	text := st.Text
	if rewriter, ok := g.d.(dialect.StatementRewriter); ok {
		text = rewriter.Rewrite(st, g.store.table)
	}
	if text != st.Text && g.store.fence != nil {
		// With the lease's table among them the signs of life would wait for the end
		// of the locks, and without it no entry could be written.
		g.log.LogAttrs(ctx, slog.LevelWarn, "LOCK TABLES is left out under a lease", slog.String("migration", g.j.id.String()), slog.Int("statement", k+1))
		return nil
	}
	lasting, err := g.lasts(ctx, k)
	if err != nil {
		return err
	}
	engine, switches := g.d.(dialect.AutocommitSwitch)
	if class == dialect.ClassSession || class == dialect.ClassTemporary {
		if switches && engine.OutsideTransaction(st) {
			// What is open is rows with their entries, and complete.
			if err := g.commit(ctx); err != nil {
				return err
			}
		}
		return g.exec(ctx, text)
	}
	if class == dialect.ClassData && g.d.TransactionalDDL() && g.d.MayHide(st) {
		return g.watched(ctx, k)
	}
	together := class == dialect.ClassData && !lasting || class == dialect.ClassSchema && g.d.TransactionalDDL()
	if together {
		entry := g.entry(k+1, g.literal(intent{Prefix: g.prefix(k + 1), Hidden: g.hidden}))
		if err := g.together(ctx, entry, st); err != nil {
			return err
		}
		g.begun = true
		return nil
	}
	if class == dialect.ClassAlone {
		// Before the entry, whose fingerprint must be that of what is left: the one
		// from before the cleaning would show a change that the statement did not make.
		done, err := g.d.Rerun(ctx, g.conn.Conn, st)
		if done || err != nil && g.doneElsewhere(ctx, k) {
			g.durable = k + 1
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := g.write(ctx, g.entry(k, g.intention(k)), class); err != nil {
		return err
	}
	g.begun = true
	switch {
	case class == dialect.ClassAlone && switches:
		err = g.autocommitted(ctx, engine, text)
	case class == dialect.ClassAlone:
		if err = g.alone(ctx, st); err != nil && g.doneElsewhere(ctx, k) {
			err = nil
		}
	case class == dialect.ClassOpaque:
		if err = g.opaque(ctx, text); err == nil {
			// First what it did, then the entry: an entry that fails may take all of
			// the open transaction with it.
			err = g.commit(ctx)
		}
	default:
		err = g.exec(ctx, text)
		if engine, refuses := g.d.(dialect.Repeater); refuses && k == g.again && engine.HasRun(st, err) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	g.durable = k + 1
	if g.unseen(k) {
		return g.seal(ctx, k)
	}
	return nil
}

// lasts reports whether statement k writes rows that no rollback takes back: its
// entry in the transaction would be no proof of anything. Such a statement has an
// intent of its own, and nothing else in its transaction.
func (g *journalRun) lasts(ctx context.Context, k int) (bool, error) {
	g.lasting = -1
	if g.tables == nil {
		return false, nil
	}
	if class := g.j.classes[k]; class != dialect.ClassData {
		g.tables.Note(g.j.statements[k], class)
		return false, nil
	}
	lasts, err := g.tables.Takes(ctx, g.conn.Conn, g.j.statements[k])
	if lasts {
		g.lasting = k
	}
	return lasts, err
}

// unseen reports whether nothing in a catalogue tells later that statement k, which
// commits by itself, ran. Behind the last one the end of the account follows at once,
// but what is opaque leaves something to say of the session.
func (g *journalRun) unseen(k int) bool {
	switch g.j.classes[k] {
	case dialect.ClassOpaque:
		return true
	case dialect.ClassData:
		return k == g.lasting
	case dialect.ClassSchema, dialect.ClassAlone:
		return k < len(g.j.statements)-1 && g.d.Fingerprint(g.j.statements[k]) == ""
	}
	return false
}

// watched runs a statement whose functions may change the session. Its entry says
// that they have, and is mended when they have not.
func (g *journalRun) watched(ctx context.Context, k int) error {
	before, err := g.d.SessionState(ctx, g.conn.Conn)
	if err != nil {
		return err
	}
	entry := func() string {
		return g.entry(k+1, g.literal(intent{Prefix: g.prefix(k + 1), Hidden: g.hidden}))
	}
	was := g.hidden
	g.hidden = true // until the session has been looked at: who dies in between has not seen it
	if err := g.together(ctx, entry(), g.j.statements[k]); err != nil {
		g.hidden = was
		return err
	}
	g.begun = true
	after, err := g.d.SessionState(ctx, g.conn.Conn)
	if err != nil || was || after != before {
		return err
	}
	g.hidden = false
	return g.enter(ctx, entry())
}

// opaque runs a statement that may do anything, and looks whether that has changed
// the session: nothing else would tell a run that resumes behind it.
func (g *journalRun) opaque(ctx context.Context, text string) error {
	before, err := g.d.SessionState(ctx, g.conn.Conn)
	if err != nil {
		return err
	}
	if err := g.exec(ctx, text); err != nil {
		return err
	}
	if engine, ok := g.d.(dialect.AutocommitSwitch); ok { // a routine may have switched it on
		if _, err := g.conn.ExecContext(ctx, engine.Autocommit(false)); err != nil {
			return err
		}
	}
	after, err := g.d.SessionState(ctx, g.conn.Conn)
	g.hidden = g.hidden || after != before
	return err
}

// seal writes that statement k, which is unseen, is done for good. The proof does not wait for the next entry: that
// may be a while, and may be rolled back.
func (g *journalRun) seal(ctx context.Context, k int) error {
	if err := g.enter(ctx, g.entry(k+1, g.literal(intent{Prefix: g.prefix(k + 1), Hidden: g.hidden}))); err != nil {
		return err
	}
	return g.commit(ctx)
}

// commit ends what is open, where autocommit is off.
func (g *journalRun) commit(ctx context.Context) error {
	if g.d.TransactionalDDL() {
		return nil
	}
	_, err := g.conn.ExecContext(ctx, "COMMIT")
	return err
}

// exec runs one statement of the file.
func (g *journalRun) exec(ctx context.Context, text string) error {
	_, err := g.d.ExecScript(ctx, g.conn.Conn, plain([]string{text}), g.sessionFor(g.j).StatementTimeout)
	return err
}

// together runs a statement in one transaction with its entry.
func (g *journalRun) together(ctx context.Context, entry string, st sqlscan.Statement) error {
	if !g.d.TransactionalDDL() { // autocommit is off: both are in one already
		if err := g.enter(ctx, entry); err != nil {
			return err
		}
		return g.exec(ctx, st.Text)
	}
	session := g.sessionFor(g.j)
	session.Kept = true // statements sets the limits, once
	list := append(plain(append(g.d.Begin(session), entry)), st)
	own := len(list) - 1
	done, err := g.d.ExecScript(ctx, g.conn.Conn, append(list, plain([]string{"COMMIT"})...), session.StatementTimeout)
	if err != nil && done < own {
		return entryError{err}
	}
	return err
}

// enter writes an entry, to a row that is still this run's.
func (g *journalRun) enter(ctx context.Context, entry string) error {
	if err := g.guarded(ctx); err != nil {
		return entryError{err}
	}
	result, err := g.conn.ExecContext(ctx, entry)
	if err != nil {
		return entryError{err}
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	// MySQL counts the rows that were changed, and a second try writes what is
	// there already. FOR UPDATE reads the row as it is now, and not as it was
	// when the transaction began.
	suffix := " FOR UPDATE"
	if g.d.TransactionalDDL() {
		suffix = ""
	}
	return g.own(ctx, suffix)
}

// own checks that the row, and the lease where the lock is one, are this run's.
func (g *journalRun) own(ctx context.Context, suffix string) error {
	var (
		actor, owner string
		lapsed       bool
	)
	err := dialect.QueryRow(ctx, g.conn, "SELECT actor, run_id, "+g.store.fenced("1")+" IS NULL FROM "+g.store.table+" WHERE "+g.store.where(g.j.id)+suffix,
		g.d.QueryArgs(), &actor, &owner, &lapsed)
	if err != nil && !errors.Is(err, dialect.ErrNoRow) {
		return entryError{err}
	}
	switch {
	case lapsed:
		return entryError{g.lapsed()}
	case owner == g.store.run:
		return nil
	case owner == "":
		actor = "another run, which ended it"
	}
	return entryError{withHint(fmt.Errorf("%w: %s was taken over by %s", ErrLockLost, g.j.id, actor),
		"a migration gave the lock away (DISCARD ALL, pg_advisory_unlock_all, RELEASE_ALL_LOCKS), or a pooler switched the server connection; look what the statement that ran meanwhile has done")}
}

// disowned tells an entry that failed because the row is another run's now
// from one that failed for a reason of its own.
func (g *journalRun) disowned(ctx context.Context, err error) error {
	var entry entryError
	if !g.owns() || !errors.As(err, &entry) || g.d.IsLockTimeout(err) {
		return nil
	}
	g.rollback(ctx)
	if errors.Is(err, ErrLockLost) {
		return err
	}
	if lost := g.own(ctx, ""); errors.Is(lost, ErrLockLost) {
		return lost
	}
	return nil
}

// write makes an entry durable before a statement that commits by itself.
func (g *journalRun) write(ctx context.Context, entry string, class dialect.Class) error {
	if err := g.enter(ctx, entry); err != nil {
		return err
	}
	if g.d.TransactionalDDL() || class == dialect.ClassSchema {
		return nil // autocommit is on, or the statement commits what is open before it begins
	}
	// Of those that may run twice some do not commit (CACHE INDEX, RESET PERSIST), and
	// rows from before one of them would be open still when it is taken for durable.
	return g.commit(ctx)
}

// alone runs a statement that the engine does not allow in a transaction, such
// as CREATE INDEX CONCURRENTLY. It waits for every older transaction, and so
// has no lock timeout.
func (g *journalRun) alone(ctx context.Context, st sqlscan.Statement) (err error) {
	patient := g.sessionFor(g.j)
	patient.LockTimeout = 0
	if err := g.timeouts(ctx, patient); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() == nil {
			if restoreErr := g.timeouts(ctx, g.sessionFor(g.j)); err == nil {
				err = restoreErr
			}
		}
	}()
	if err = g.exec(ctx, st.Text); err != nil && ctx.Err() == nil {
		done, cleanErr := g.d.Rerun(ctx, g.conn.Conn, st)
		if cleanErr != nil {
			g.log.LogAttrs(ctx, slog.LevelWarn, "cleaning up after a failed statement", slog.String("error", cleanErr.Error()))
		}
		if done {
			err = nil
		}
	}
	return err
}

// doneElsewhere reports whether a statement that is run once more has got to its
// end without us: behind a pooler nobody sees that the server is still at it, for
// the run that began it.
func (g *journalRun) doneElsewhere(ctx context.Context, k int) bool {
	if k != g.again || ctx.Err() != nil {
		return false
	}
	now, err := g.fingerprint(ctx, g.d.Fingerprint(g.j.statements[k]))
	return err == nil && now != g.before && now != dialect.FingerprintInvalid
}

// autocommitted runs a statement that the engine does not take with autocommit
// off, as the journal has it.
func (g *journalRun) autocommitted(ctx context.Context, engine dialect.AutocommitSwitch, text string) (err error) {
	if _, err := g.conn.ExecContext(ctx, engine.Autocommit(true)); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := detached(ctx)
		defer cancel()
		if _, offErr := g.conn.ExecContext(ctx, engine.Autocommit(false)); err == nil {
			err = offErr
		}
	}()
	return g.exec(ctx, text)
}

func (g *journalRun) timeouts(ctx context.Context, s dialect.Session) error {
	for _, text := range g.d.Timeouts(s) {
		if _, err := g.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// entry is the statement that writes where the migration stands: its first one
// makes the row.
func (g *journalRun) entry(done int, intent string) string {
	if g.begun {
		return g.store.owned(g.store.progress(g.j.id, done, intent))
	}
	e := entry{id: g.j.id, checksum: g.j.checksum, state: stateRunning, direction: g.j.direction, done: done, steps: len(g.j.statements), intent: intent, down: g.j.down}
	if g.j.direction == DirectionDown && g.j.row != nil {
		e.checksum = g.j.row.checksum // the row stays that of the migration up
	}
	if g.j.row != nil {
		return g.store.owned(g.store.restart(e))
	}
	return g.store.insert(e)
}

// intention is the expression for what statement k, about to run, will change.
func (g *journalRun) intention(k int) string {
	st := g.j.statements[k]
	in := intent{Prefix: g.prefix(k), Next: textHash(st), Again: g.j.classes[k] == dialect.ClassRepeatable, Hidden: g.hidden}
	expression := g.d.Fingerprint(st)
	if expression == "" || in.Again {
		return g.literal(in)
	}
	// The server puts its own value into the JSON: one write, and nothing can
	// happen between reading the catalogue and writing it down.
	const mark = "\x01"
	in.Fingerprint, in.Taken = mark, fingerprintsTaken
	text := encode(in)
	at := slices.Index([]byte(text), '\\') // mark is written as \u0001
	return g.d.Concat(g.d.Literal(text[:at]), expression, g.d.Literal(text[at+len(`\u0001`):]))
}

func (g *journalRun) literal(in intent) string { return g.d.Literal(encode(in)) }

func encode(in intent) string {
	text, err := json.Marshal(in)
	if err != nil {
		panic("tldwdb: an intent is not JSON: " + err.Error()) // strings and a boolean: cannot happen
	}
	return string(text)
}

// finish closes the migration's account and commits what is open.
func (g *journalRun) finish(ctx context.Context) error {
	var list []string
	settle := g.settle(g.j)
	switch {
	case g.owns():
		settle = g.store.owned(settle)
	case g.j.direction == DirectionUp: // a file that only sets session variables, or nothing at all
		list = append(list, g.entry(len(g.j.statements), "NULL"))
	}
	if g.d.TransactionalDDL() {
		if g.owns() {
			list = append(list, g.store.insist(g.j.id))
		}
		list = append(list, settle)
	} else {
		_, err := g.d.ExecScript(ctx, g.conn.Conn, plain(list), 0)
		if err == nil {
			err = g.enter(ctx, settle)
		}
		if err != nil {
			return entryError{err}
		}
		list = nil
	}
	if g.j.snapshot != nil {
		list = append(list, g.store.insertSnapshot(g.j.held[:len(g.j.held)-1])...)
	} else if g.j.reason == reasonInterrupted && g.j.direction == DirectionUp { // the file may have been mended since the row was made
		list = append(list, g.store.setDown(g.j.id, g.j.down))
	}
	if g.d.TransactionalDDL() {
		list = append(list, g.d.Restore(g.session)...)
	} else {
		list = append(list, "COMMIT")
	}
	if _, err := g.d.ExecScript(ctx, g.conn.Conn, plain(list), 0); err != nil {
		return entryError{err}
	}
	return nil
}

// unclosed is the error of an account that could not be closed.
func (g *journalRun) unclosed(err error) error {
	return g.j.fail(g.d, -1, fmt.Errorf("writing the end of the migration: %w", err))
}

// failed records a statement that the server refused. The statement has had no
// effect, and the next run begins with it: certain but for MariaDB's DROP of
// several objects, which drops the others before it refuses one.
func (g *journalRun) failed(ctx context.Context, k int, cause error) error {
	err := g.j.fail(g.d, k, cause)
	ctx, cancel := detached(ctx)
	defer cancel()
	stayed, readErr := g.undo(ctx, k, cause)
	if stayed && !g.inTemporary(0, k) { // such a table goes with the session
		return g.torn(ctx, k, cause)
	}
	if readErr != nil {
		return err
	}
	done, readErr := g.where(ctx)
	if readErr != nil || !g.begun {
		return err // the connection is gone, or there is no row: nothing to record
	}
	if k == g.again && g.session.Pooled && g.j.classes[k] == dialect.ClassAlone { // it may yet be done by the run that began it
		g.record(ctx, g.store.owned(g.store.note(g.j.id, cause.Error())))
		return err
	}
	g.record(ctx, g.store.owned(g.store.fail(g.j.id, done, g.literal(intent{Prefix: prefixHash(g.j.statements, done), Hidden: g.hidden}), cause.Error())))
	return err
}

// undo rolls back what is open behind statement k, which failed. stayed says that
// rows stayed all the same.
func (g *journalRun) undo(ctx context.Context, k int, cause error) (stayed bool, err error) {
	g.rollback(ctx)
	if g.tables == nil {
		return false, nil
	}
	if k == g.lasting && g.tables.Hidden(cause) {
		return true, nil
	}
	return g.tables.Stayed(ctx, g.conn.Conn)
}

// inTemporary reports whether rows that stayed are to be taken for those of a temporary
// table that one of the statements from start to k has made.
func (g *journalRun) inTemporary(start, k int) bool {
	return k != g.lasting && slices.Contains(g.j.classes[start:max(start, min(k, len(g.j.classes)))], dialect.ClassTemporary)
}

// torn ends a run of which a part is rolled back, and another part is in a table
// without transactions. Where the statement that wrote there could be told from its
// text it has an intent, and that stays. Otherwise, behind a function that writes there, the doubt
// is about the first statement that was rolled back.
func (g *journalRun) torn(ctx context.Context, k int, cause error) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	done, err := g.where(ctx)
	if err == nil && done < len(g.j.statements) {
		g.record(ctx, g.entry(done, g.literal(intent{Prefix: prefixHash(g.j.statements, done), Next: textHash(g.j.statements[done]), Hidden: g.hidden})))
		g.begun = true
		g.record(ctx, g.store.owned(g.store.note(g.j.id, cause.Error())))
	}
	return g.j.fail(g.d, k, withHint(fmt.Errorf("a part of its rows is in a table without transactions, and stays: %w", cause),
		"look, take out what stayed, and call DB.Repair with Fix{Migration: ID{Version: %d}, Kind: FixRetry}; or complete it by hand and call it with FixDone", g.j.id.Version))
}

// runGo runs a Go migration as one step. Its rows are in one transaction with
// the end of its account; what it does to the schema is not.
func (g *journalRun) runGo(ctx context.Context) error {
	if s := g.sessionFor(g.j); s.Idle < 0 {
		if err := g.timeouts(ctx, s); err != nil {
			return g.j.fail(g.d, -1, err)
		}
	}
	in := g.literal(intent{Next: goStep, Again: g.j.idempotent})
	if err := g.write(ctx, g.entry(0, in), dialect.ClassOpaque); err != nil {
		if raced := g.raced(ctx, err); raced != nil {
			return raced
		}
		return g.j.fail(g.d, -1, err)
	}
	g.begun = true
	if err := g.callGo(ctx, g.j.code); err != nil {
		ctx, cancel := detached(ctx)
		defer cancel()
		g.rollback(ctx)
		g.record(ctx, g.store.owned(g.store.note(g.j.id, err.Error())))
		return g.j.fail(g.d, -1, err)
	}
	if err := g.finish(ctx); err != nil {
		if lost := g.disowned(ctx, err); lost != nil {
			return lost
		}
		return g.unclosed(err)
	}
	return nil
}
