package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/rebuild"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file runs a migration in a transaction, together with its history row.
// What cannot run that way is in journal.go.

// errRaced means that the history already has the row that a migration was
// about to write: some other process ran it in spite of the lock.
var errRaced = errors.New("another process applied this migration meanwhile, in spite of the migration lock")

// Pauses between two tries of a transaction that did not get a table's lock.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 10 * time.Second
)

// retry runs attempt until it gets its locks, fails otherwise, or
// Config.RetryBudget is spent. Each attempt waits Config.LockTimeout at most,
// and so the users' queries that queue up behind it wait no longer than that.
func (r *run) retry(ctx context.Context, attempt func() error) error {
	p := r.patience()
	for {
		err := attempt()
		if err == nil || !r.d.IsLockTimeout(err) || ctx.Err() != nil {
			return err
		}
		if !p.left() {
			return r.noTable(err)
		}
		if err := p.wait(ctx, slog.String("error", err.Error())); err != nil {
			return err
		}
	}
}

// patience is what is left of Config.RetryBudget, and how the tries are spaced.
type patience struct {
	log      *slog.Logger
	deadline time.Time
	pause    time.Duration
	next     time.Duration // the pause that comes next, jittered
}

func (r *run) patience() *patience {
	return &patience{log: r.log, deadline: time.Now().Add(r.cfg.RetryBudget), pause: retryFirst}
}

// left reports whether there is time for another try.
func (p *patience) left() bool {
	p.next = p.pause/2 + rand.N(p.pause)
	return time.Now().Add(p.next).Before(p.deadline)
}

func (p *patience) wait(ctx context.Context, about ...slog.Attr) error {
	p.log.LogAttrs(ctx, slog.LevelInfo, "a table is locked, trying again", append(about, slog.Duration("in", p.next.Round(time.Millisecond)))...)
	p.pause = min(p.pause*2, retryLast)
	return sleep(ctx, p.next)
}

// noTable is the end of trying for a table's lock.
func (r *run) noTable(err error) error {
	return withHint(fmt.Errorf("no lock on the table within the budget of %s: %w", max(r.cfg.RetryBudget, r.cfg.LockTimeout), err),
		"something holds the table, often a long transaction or a dump: end it, or raise Config.RetryBudget (TLDWDB_RETRY_BUDGET) or the file's lock-timeout")
}

// applyOne runs one migration in the way that it needs.
func (r *run) applyOne(ctx context.Context, j *job) (err error) {
	defer func() {
		if restoreErr := r.restoreSession(ctx, j); err == nil {
			err = restoreErr
		}
		if forgetErr := r.forget(ctx, j); err == nil {
			err = forgetErr
		}
	}()
	return r.withoutForeignKeys(ctx, j, func() error {
		if j.journaled {
			return r.checkedAfter(ctx, j, func() error { return r.journal(ctx, j) })
		}
		return r.retry(ctx, func() error { return r.transact(ctx, j) })
	})
}

// checkedAfter reports rows that a file without a transaction has left without
// their parents. They are committed by then: all that can be done is to say so.
func (r *run) checkedAfter(ctx context.Context, j *job, work func() error) error {
	check, err := r.checkForeignKeys(ctx, j)
	if err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return check(ctx)
}

// checkForeignKeys counts what is broken now. The function that it returns
// fails when there is more of it. Both do nothing where foreign keys are on.
func (r *run) checkForeignKeys(ctx context.Context, j *job) (check func(context.Context) error, err error) {
	guard, ok := r.d.(dialect.ForeignKeyGuard)
	if !ok || j.directives.ForeignKeysOn || !r.mayBreakForeignKeys(j) {
		return func(context.Context) error { return nil }, nil
	}
	before, err := guard.Violations(ctx, r.conn.Conn)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	// A key to a column that is not unique makes the check itself fail. Where it
	// did so before the file, the file may be what mends it.
	checkable := err == nil
	return func(ctx context.Context) error {
		after, err := guard.Violations(ctx, r.conn.Conn)
		if err == nil && checkable {
			if broken := newViolations(before, after); broken != "" {
				err = fmt.Errorf("rows would break a foreign key: %s", broken)
			}
		}
		if err == nil || !checkable && ctx.Err() == nil {
			return nil
		}
		return &MigrationError{Migration: j.id, Direction: j.direction, File: j.file, Err: err,
			Hint: "foreign keys are off while a file runs, so that a table can be rebuilt; '-- tldwdb: foreign-keys=on' leaves them on, and their actions with them"}
	}, nil
}

// restoreSession undoes what a file set in the session, so that it does not
// reach the next file. PostgreSQL does that in the migration's own packet.
func (r *run) restoreSession(ctx context.Context, j *job) error {
	keeper, ok := r.d.(dialect.SessionKeeper)
	if !ok || !j.touchesSession() && j.directives.LockTimeout == 0 {
		return nil
	}
	if r.tables != nil {
		r.tables.Forget() // what a file made, and where it went, says nothing of the next
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	// A temporary table may have been made before a USE or after it.
	for _, restore := range []func() error{
		func() error { return r.dropTemporary(ctx, j) },
		func() error { return keeper.RestoreSnapshot(ctx, r.conn.Conn, r.before) },
		func() error { return r.dropTemporary(ctx, j) },
		func() error { return r.d.Prepare(ctx, r.conn.Conn, r.session) },
	} {
		if err := restore(); err != nil {
			return fmt.Errorf("restoring the session after %s: %w", j.id, err)
		}
	}
	return nil
}

// forget takes away the values that a file left in the session and that are not
// among its settings.
func (r *run) forget(ctx context.Context, j *job) error {
	keeper, ok := r.d.(dialect.SessionKeeper)
	if !ok {
		return nil
	}
	var values []string
	for _, st := range j.statements {
		if strings.Contains(st.Text, "@") { // reading a statement to its end costs more than this
			values = append(values, r.d.Values(st).Writes...)
		}
	}
	statement := keeper.Forget(values)
	if statement == "" {
		return nil
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if _, err := r.conn.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("restoring the session after %s: %w", j.id, err)
	}
	return nil
}

func (r *run) dropTemporary(ctx context.Context, j *job) error {
	for i, class := range j.classes {
		if class != dialect.ClassTemporary {
			continue
		}
		if drop := r.d.DropTemporary(j.statements[i]); drop != "" {
			if _, err := r.conn.ExecContext(ctx, drop); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutForeignKeys runs work with SQLite's foreign keys off, and puts them
// back on every path. It has to stand outside the transaction: inside, the
// setting cannot be changed.
func (r *run) withoutForeignKeys(ctx context.Context, j *job, work func() error) (err error) {
	guard, ok := r.d.(dialect.ForeignKeyGuard)
	if !ok || j.directives.ForeignKeysOn {
		return work()
	}
	restore, err := guard.SuspendForeignKeys(ctx, r.conn.Conn)
	if err != nil {
		return fmt.Errorf("turning foreign keys off: %w", err)
	}
	defer func() {
		ctx, cancel := detached(ctx)
		defer cancel()
		if restoreErr := restore(ctx); err == nil && restoreErr != nil {
			err = fmt.Errorf("turning foreign keys on again: %w", restoreErr)
		}
	}()
	return work()
}

// claim are the statements that claim the migration, before the file runs. A
// second process that got past the lock fails here.
func (r *run) claim(j *job) []string {
	if j.snapshot != nil { // of an empty history
		return r.store.insertSnapshot(j.held)
	}
	e := entry{id: j.id, checksum: j.checksum, state: stateApplied, direction: j.direction, steps: len(j.statements), down: j.down}
	switch {
	case j.row == nil:
		return []string{r.store.insert(e)}
	case j.direction == DirectionDown:
		return []string{r.store.take(j.row), r.store.insist(j.id)}
	}
	return []string{r.store.take(j.row), r.store.insist(j.id), r.store.restart(e)}
}

// settle is the statement that closes the migration's account.
func (r *run) settle(j *job) string {
	switch {
	case j.snapshot != nil:
		return r.store.finishSnapshot(j.held[len(j.held)-1])
	case j.direction == DirectionDown:
		return r.store.remove(j.id)
	}
	return r.store.finish(j.id, j.checksum, len(j.statements))
}

func (r *run) sessionFor(j *job) dialect.Session {
	s := r.session
	if j.directives.LockTimeout > 0 {
		s.LockTimeout = j.directives.LockTimeout
	}
	if j.directives.StatementTimeout > 0 {
		s.StatementTimeout = j.directives.StatementTimeout
	}
	if j.code != nil { // it may think between two statements for longer than the servers and a lease allow
		s.Idle = -1
	}
	return s
}

// transact runs a migration and its history row in one transaction. Where the
// engine takes several statements at once, all of it is one packet.
func (r *run) transact(ctx context.Context, j *job) error {
	open := plain(append(r.d.Begin(r.sessionFor(j)), r.claim(j)...))
	closing := plain(slices.Concat(r.d.Reclaim(), []string{r.settle(j), "COMMIT"}, r.d.Restore(r.session)))
	err := r.exec(ctx, j, open, closing)
	if err == nil {
		return nil
	}
	r.rollback(ctx)
	return err
}

// exec runs open, the body of the migration, and closing.
func (r *run) exec(ctx context.Context, j *job, open, closing []sqlscan.Statement) error {
	if _, guarded := r.d.(dialect.ForeignKeyGuard); j.code == nil && !guarded {
		inner, end := ctx, nothing
		if len(j.statements) > 0 {
			inner, end = r.startStep(ctx, j, 0)
		}
		done, err := r.execWhole(inner, j, slices.Concat(open, j.statements, closing), len(open))
		end(err)
		return r.explain(j, done, len(open), err)
	}
	if done, err := r.d.ExecScript(ctx, r.conn.Conn, open, 0); err != nil {
		return r.explain(j, done, len(open), err)
	}
	check, err := r.checkForeignKeys(ctx, j)
	if err != nil {
		return fmt.Errorf("checking foreign keys: %w", err)
	}
	if err := r.body(ctx, j); err != nil {
		return err
	}
	if err := r.stillInTransaction(ctx, j); err != nil {
		return err
	}
	if err := check(ctx); err != nil {
		return err
	}
	_, err = r.d.ExecScript(ctx, r.conn.Conn, closing, 0)
	return r.explain(j, -1, 0, err)
}

// execWhole runs a migration that the server gets at once, opened by so many
// statements of the runner's own. It is told where the server stands if somebody
// wants to know, except behind a pooler: not all of them pass on what that takes.
func (r *run) execWhole(ctx context.Context, j *job, list []sqlscan.Statement, opened int) (int, error) {
	teller, can := r.d.(dialect.Teller)
	if !can || r.cfg.Progress == nil || r.session.Pooled {
		return r.d.ExecScript(ctx, r.conn.Conn, list, r.sessionFor(j).StatementTimeout)
	}
	return teller.ExecTold(ctx, r.conn.Conn, list, func(k int) {
		if k -= opened; k >= 0 && k < len(j.statements) {
			r.announce(j, k)
		}
	})
}

// stillInTransaction catches a Go migration that rolled back by itself: the row
// that was inserted before it is then gone, and the end of its account would be
// written to nothing.
func (r *run) stillInTransaction(ctx context.Context, j *job) error {
	if j.code == nil || j.direction == DirectionDown || j.row != nil {
		return nil
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return j.fail(r.d, -1, err)
	}
	if hist.find(j.id) == nil {
		return j.fail(r.d, -1, withHint(errors.New("the function rolled back the transaction that it ran in"),
			"return an error instead, or set GoMigration.NoTransaction"))
	}
	return nil
}

// body runs the statements of a file, or the function of a Go migration.
func (r *run) body(ctx context.Context, j *job) error {
	if j.code != nil {
		if err := r.callGo(ctx, j.code); err != nil {
			return j.fail(r.d, -1, err)
		}
		return nil
	}
	for k := range j.statements {
		r.announce(j, k)
		inner, end := r.startStep(ctx, j, k)
		err := r.statement(inner, j, k)
		end(err)
		if err != nil {
			return r.explain(j, k, 0, err)
		}
	}
	return nil
}

// statement runs one statement of a file by itself.
func (r *run) statement(ctx context.Context, j *job, k int) error {
	limit := r.sessionFor(j).StatementTimeout
	table := j.rebuilds[j.statements[k].Offset]
	if table == nil {
		_, err := r.d.ExecScript(ctx, r.conn.Conn, j.statements[k:k+1], limit)
		return err
	}
	limited := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err := rebuild.Run(limited, r.conn, table)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("the rebuild ran longer than its limit of %s: %w", limit, err)
	}
	return err
}

// announce tells Config.Progress that statement k of a migration is next; -1 is
// the migration as such.
func (r *run) announce(j *job, k int) {
	if k < 0 {
		r.db.activity.migrates(j)
	}
	if r.cfg.Progress == nil {
		return
	}
	p := Progress{Migration: j.id, Direction: j.direction, Step: j.place, Steps: j.places, Statements: len(j.statements), File: j.file}
	if k >= 0 {
		p.Statement, p.SQL, p.Line = k+1, j.statements[k].Text, j.statements[k].Line
	}
	r.cfg.Progress(p)
}

// explain says which part of a script failed. done is how many of its
// statements were completed; the first opened of them are the runner's own.
func (r *run) explain(j *job, done, opened int, err error) error {
	if err == nil {
		return nil
	}
	if done >= 0 && done < opened {
		if r.d.IsDuplicate(err) || r.d.IsNullViolation(err) {
			return r.overtaken(j.id, err)
		}
		return r.advise(fmt.Errorf("%s: opening the migration's transaction: %w", j.id, err))
	}
	statement := -1
	if done >= 0 {
		statement = done - opened
	}
	return j.fail(r.d, statement, err)
}

// overtaken says that a migration's row is not this run's to write.
func (r *run) overtaken(id ID, err error) error {
	if r.store.fence != nil && r.d.IsNullViolation(err) {
		return r.lapsed()
	}
	return fmt.Errorf("%s: %w", id, errRaced)
}

// lapsed says that the lease is another process's.
func (r *run) lapsed() error {
	return withHint(fmt.Errorf("%w: the lease has passed to another process", ErrLockLost),
		"this process was paused or cut off for longer than the lease lasts; the other one goes on from where it was, and nothing that this one had not committed is left")
}

// advise adds to a fault of the runner's own statements what to do about it.
func (r *run) advise(err error) error {
	if hint := r.d.Hint(err); hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// mayBreakForeignKeys spares the check, which reads whole tables, to files that
// only make new things.
func (r *run) mayBreakForeignKeys(j *job) bool {
	if j.code != nil || len(j.rebuilds) > 0 {
		return true
	}
	return slices.ContainsFunc(j.statements, func(st sqlscan.Statement) bool {
		return st.Verb != "CREATE" || strings.Contains(strings.ToUpper(st.Text), "SELECT")
	})
}

// newViolations lists what is broken now and was not before.
func newViolations(before, after map[string]int) string {
	var list []string
	for pair, count := range after {
		if more := count - before[pair]; more > 0 {
			list = append(list, fmt.Sprintf("%s (%d rows)", pair, more))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// rollback ends a transaction that failed, also when the caller's context has
// ended. Its own error adds nothing: the connection is then closed anyway.
func (r *run) rollback(ctx context.Context) {
	ctx, cancel := detached(ctx)
	defer cancel()
	_, err := r.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil {
		r.log.LogAttrs(ctx, slog.LevelDebug, "rolling back", slog.String("error", err.Error()))
	}
}

// singleTransactionPossible refuses Config.SingleTransaction where it could not
// be kept.
func (r *run) singleTransactionPossible(jobs []*job) error {
	if !r.d.TransactionalDDL() {
		return withHint(errors.New("Config.SingleTransaction: this engine commits at every DDL statement"), "leave it off; the journal resumes what is interrupted")
	}
	for _, j := range jobs {
		if _, ok := r.d.(dialect.ForeignKeyGuard); ok && j.directives.ForeignKeysOn {
			return withHint(fmt.Errorf("Config.SingleTransaction: %s wants foreign keys on, and they can only be set between transactions", j.id), "apply it in a run of its own")
		}
		if j.journaled {
			return withHint(fmt.Errorf("Config.SingleTransaction: %s cannot run in a transaction", j.id), "apply it in a run of its own")
		}
	}
	return nil
}

// applyTogether runs all migrations in one transaction.
func (r *run) applyTogether(ctx context.Context, hist *history, jobs []*job) error {
	foreignKeys := &job{} // off for all of them
	return r.withoutForeignKeys(ctx, foreignKeys, func() error {
		var took []time.Duration
		err := r.retry(ctx, func() error {
			took = nil
			err := r.inOne(ctx, jobs, &took)
			if err != nil {
				r.rollback(ctx)
			}
			return err
		})
		if err != nil {
			return err
		}
		for i, j := range jobs {
			r.applied(ctx, hist, j, took[i])
		}
		return nil
	})
}

func (r *run) inOne(ctx context.Context, jobs []*job, took *[]time.Duration) error {
	for i, j := range jobs {
		start := time.Now()
		r.announce(j, -1)
		inner, end := r.startStep(ctx, j, -1)
		err := r.oneOf(inner, j, i == 0, i == len(jobs)-1)
		end(err)
		if err != nil {
			return err
		}
		*took = append(*took, time.Since(start))
	}
	return nil
}

// oneOf runs a migration inside the transaction of all.
func (r *run) oneOf(ctx context.Context, j *job, first, last bool) error {
	open := r.d.Timeouts(r.sessionFor(j))
	if first {
		open = r.d.Begin(r.sessionFor(j))
	}
	closing := slices.Concat(r.d.Reclaim(), []string{r.settle(j)})
	if last {
		closing = append(closing, "COMMIT")
	}
	closing = append(closing, r.d.Restore(r.session)...)
	if err := r.exec(ctx, j, plain(append(open, r.claim(j)...)), plain(closing)); err != nil {
		return err
	}
	return r.restoreSession(ctx, j)
}
