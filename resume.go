package tldwdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// This file goes on with a journaled migration: in another process, behind the
// statement at which one died, and in the same process, behind a rollback. Both
// have to find out where the server is, and whether the session is what the
// statements that are left expect.

// takeOver makes a row that is there already this run's: that of a process that
// died, or that of a migration which is applied and to be taken back, or to run
// again. A process that only lost the lock is told so by its next entry.
func (g *journalRun) takeOver(ctx context.Context) error {
	var result sql.Result
	err := g.retry(ctx, func() (err error) {
		if err = g.guarded(ctx); err == nil {
			result, err = g.conn.ExecContext(ctx, g.store.take(g.j.row))
		}
		if err == nil && !g.d.TransactionalDDL() {
			_, err = g.conn.ExecContext(ctx, "COMMIT")
		}
		if err != nil {
			g.rollback(ctx)
		}
		return err
	})
	if err != nil {
		return g.j.fail(g.d, -1, fmt.Errorf("taking the migration's row over from %s: %w", g.j.row.actor, err))
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	// MySQL counts the rows that were changed: it may be ours already.
	err = g.own(ctx, "")
	if errors.Is(err, ErrLockLost) && g.store.fence == nil {
		return fmt.Errorf("%s: %w", g.j.id, errRaced) // its process lives
	}
	return err
}

// resume decides where an interrupted migration goes on. A repeatable one may
// always run from its beginning, and does so where nobody can say more.
func (g *journalRun) resume(ctx context.Context) (int, error) {
	start, err := g.startOf(ctx)
	if g.j.id.Repeatable && g.j.direction == DirectionUp && (errors.Is(err, ErrHalfApplied) || errors.Is(err, ErrAmbiguous)) {
		g.begun, start, err = false, 0, nil
	}
	if err != nil {
		return 0, err
	}
	g.durable = start // the fingerprint has proved what the row does not say yet
	g.log.LogAttrs(ctx, slog.LevelWarn, "resuming an interrupted migration", slog.String("migration", g.j.id.String()),
		slog.Int("done", start), slog.Int("statements", len(g.j.statements)))
	return start, nil
}

// startOf finds out at which statement the last run died, and runs again what
// earlier statements set in the session.
func (g *journalRun) startOf(ctx context.Context) (int, error) {
	g.begun = true
	in, err := parseIntent(g.j.row)
	g.hidden = in.Hidden
	if err != nil {
		return 0, g.halfApplied(err.Error())
	}
	if g.j.code != nil {
		return 0, g.resumeGo(in)
	}
	done := g.j.row.done
	switch {
	case done > len(g.j.statements) || prefixHash(g.j.statements, done) != in.Prefix:
		return 0, g.halfApplied(fmt.Sprintf("its first %d statements have been run, and the file has other ones now: restore them", done))
	case in.Next != "" && (done >= len(g.j.statements) || textHash(g.j.statements[done]) != in.Next):
		return 0, g.halfApplied(fmt.Sprintf("statement %d was being run when the run was interrupted, and it has another text now: restore it", done+1))
	}
	if in.Hidden {
		return 0, g.halfApplied("a routine that was called has changed its session, which ended with the run that was interrupted")
	}
	// The session comes first: where a name leads, to a search_path or after a
	// USE, decides what the catalogue says about it.
	lost, again := g.carried(done)
	if k, is := lost[dialect.SettingsValue]; is {
		return 0, g.halfApplied(g.line(k) + " computes a setting of its session, which ended with the run that was interrupted")
	}
	if err := g.replay(ctx, again); err != nil {
		return 0, err
	}
	start, err := g.interrupted(ctx, in, done)
	if err != nil {
		return 0, err
	}
	if why := g.stranded(start); why != "" {
		return 0, g.halfApplied(why)
	}
	return start, nil
}

// interrupted decides whether the statement that was about to run took effect.
func (g *journalRun) interrupted(ctx context.Context, in intent, done int) (int, error) {
	if in.Again {
		g.again = done
	}
	if in.Next == "" || in.Again {
		return done, nil
	}
	expression := g.d.Fingerprint(g.j.statements[done])
	if in.Fingerprint == "" || in.Taken != fingerprintsTaken || expression == "" {
		return 0, g.ambiguous(done)
	}
	now, err := g.fingerprint(ctx, expression)
	if err != nil {
		return 0, err
	}
	if now != in.Fingerprint && now != dialect.FingerprintInvalid {
		return done + 1, nil
	}
	if g.inDoubt() {
		// Without its fingerprint the statement stays in doubt until somebody decides.
		g.record(ctx, g.store.owned(g.store.progress(g.j.id, done, g.literal(intent{Prefix: in.Prefix, Next: in.Next, Hidden: in.Hidden}))))
		return 0, g.ambiguous(done)
	}
	g.again, g.before = done, in.Fingerprint
	return done, nil // Rerun cleans up before it runs
}

func (g *journalRun) fingerprint(ctx context.Context, expression string) (now string, err error) {
	if err := dialect.QueryRow(ctx, g.conn, "SELECT "+expression, g.d.QueryArgs(), &now); err != nil {
		return "", fmt.Errorf("reading the catalogue: %w", err)
	}
	return now, nil
}

// carried follows what the first done statements left in their session. lost are
// the values that running a statement again does not bring back, with the index
// of the statement that left them; again are the statements that bring back the
// others, as far as what is left of the file needs them.
func (g *journalRun) carried(done int) (lost map[string]int, again []int) {
	lost = map[string]int{}
	values := make([]dialect.Values, done)
	var variables []string // that have been set in a way that can be repeated
	for k, st := range g.j.statements[:done] {
		v := g.d.Values(st)
		values[k] = v
		if g.j.classes[k] == dialect.ClassOpaque {
			for _, name := range variables { // it may have set them to something else
				lost[name] = k
			}
		}
		fixed := v.Fixed && g.j.classes[k] == dialect.ClassSession &&
			!slices.ContainsFunc(v.Reads, func(name string) bool { _, is := lost[name]; return is })
		if fixed {
			again = append(again, k)
		}
		for _, name := range v.Writes {
			if !fixed {
				lost[name] = k
				continue
			}
			delete(lost, name)
			if strings.HasPrefix(name, dialect.AnyVariable) {
				variables = append(variables, name)
			}
		}
		for _, name := range v.Ends {
			delete(lost, name)
		}
	}
	// Backwards: what nobody reads any more may not even be possible any more, such
	// as to lock a table that has been renamed.
	needed := g.read(done)
	var kept []int
	for _, k := range slices.Backward(again) {
		v := values[k]
		if !slices.ContainsFunc(v.Writes, func(name string) bool { return needed[name] }) {
			continue
		}
		kept = append(kept, k)
		for _, name := range v.Writes {
			if name != dialect.SettingsValue { // one setting does not stand for all
				delete(needed, name)
			}
		}
		for _, name := range v.Reads {
			needed[name] = true
		}
	}
	slices.Reverse(kept)
	return lost, kept
}

// read are the values that the statements from start on may read.
func (g *journalRun) read(start int) map[string]bool {
	names := map[string]bool{dialect.SettingsValue: true, dialect.LocksValue: true, dialect.DatabaseValue: true}
	for _, st := range g.j.statements[start:] {
		for _, name := range g.d.Values(st).Reads {
			names[name] = true
		}
	}
	return names
}

// needed finds a statement, from start on, that reads one of the lost values
// before another statement makes it anew.
func (g *journalRun) needed(lost map[string]int, again []int, start int) (reader int, name string, is bool) {
	lost = maps.Clone(lost)
	known := map[string]bool{}
	for _, k := range again {
		for _, name := range g.d.Values(g.j.statements[k]).Writes {
			known[name] = true
		}
	}
	for k := start; k < len(g.j.statements); k++ {
		v := g.d.Values(g.j.statements[k])
		for _, name := range append(v.Reads, dialect.SettingsValue) {
			if _, is := lost[name]; is {
				return k, name, true
			}
			if strings.HasPrefix(name, dialect.AnyVariable) && !known[name] && start > 0 {
				return k, name, true
			}
		}
		for _, name := range v.Writes {
			delete(lost, name)
			known[name] = true
		}
	}
	return 0, "", false
}

// stranded says why the migration cannot go on at start in another session than
// that in which it began; empty when it can.
func (g *journalRun) stranded(start int) string {
	lost, again := g.carried(start)
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if strings.HasPrefix(name, dialect.TemporaryValue) && start < len(g.j.statements) {
			return fmt.Sprintf("%s makes %s, which ended with the run that was interrupted", g.line(lost[name]), name)
		}
	}
	if reader, name, is := g.needed(lost, again, start); is {
		left := "something before it" // a trigger, a routine
		if k, seen := lost[name]; seen {
			left = g.line(k)
		}
		return fmt.Sprintf("%s leaves %s in its session, which ended with the run that was interrupted, and %s uses it: write the value itself there",
			left, name, g.line(reader))
	}
	return ""
}

// line names a statement by its place in the file.
func (g *journalRun) line(k int) string { return fmt.Sprintf("line %d", g.j.statements[k].Line) }

// rewind takes back what went with statement failed, which did not get its lock,
// and returns where to go on. failed is the number of statements when it was the
// end of the account.
func (g *journalRun) rewind(ctx context.Context, failed int, cause error) (int, error) {
	stayed, err := g.undo(ctx, failed, cause)
	if err != nil {
		return 0, err
	}
	if g.d.TransactionalDDL() {
		return failed, nil // what is done is committed, and the session is as the file left it
	}
	start, err := g.where(ctx)
	if err != nil {
		return 0, err
	}
	if stayed && !g.inTemporary(start, failed) { // one made since would be made again
		if !g.inTemporary(0, failed) {
			return 0, g.torn(ctx, failed, cause)
		}
		return 0, g.failed(ctx, failed, withHint(fmt.Errorf("it cannot be tried again, because rows of a temporary table stay when it is rolled back: %w", cause),
			"run the migration again when the table is free, or raise the file's lock-timeout"))
	}
	lost, again, stale := g.overwritten(start, failed)
	if reader, name, is := g.needed(lost, again, start); is {
		return 0, g.failed(ctx, failed, withHint(fmt.Errorf("it cannot be tried again, because %s uses %s, which has changed: %w", g.line(reader), name, cause),
			"run the migration again when the table is free, or raise the file's lock-timeout"))
	}
	// No rollback undoes a USE or a SET: the statements from start on would not
	// mean what they meant at first.
	undone := *g.j
	tried := min(failed+1, len(g.j.statements))
	undone.statements, undone.classes = g.j.statements[start:tried], g.j.classes[start:tried]
	if undone.touchesSession() {
		if err := g.restoreSession(ctx, &undone); err != nil {
			return 0, err
		}
		if err := g.timeouts(ctx, g.sessionFor(g.j)); err != nil {
			return 0, err
		}
		stale = true
	}
	if !stale {
		return start, nil
	}
	return start, g.replay(ctx, again)
}

// overwritten are the values that statements start to failed have left in the
// session, and that are not as they were before start when the statements again
// have run again. stale says that these have to.
func (g *journalRun) overwritten(start, failed int) (lost map[string]int, again []int, stale bool) {
	before, again := g.carried(start)
	lost = map[string]int{}
	for k := start; k <= min(failed, len(g.j.statements)-1); k++ {
		for _, name := range g.d.Values(g.j.statements[k]).Writes {
			lost[name] = k
		}
	}
	for _, k := range again {
		for _, name := range g.d.Values(g.j.statements[k]).Writes {
			if _, is := lost[name]; !is {
				continue
			}
			stale = true
			if _, other := before[name]; !other {
				delete(lost, name)
			}
		}
	}
	delete(lost, dialect.SettingsValue) // the session is restored
	return lost, again, stale
}

// replay runs again what statements set in the session.
func (g *journalRun) replay(ctx context.Context, again []int) error {
	for _, k := range again {
		if err := g.one(ctx, k); err != nil {
			return g.j.fail(g.d, k, err)
		}
	}
	return nil
}

// where reads from the journal which statement is next after a rollback.
func (g *journalRun) where(ctx context.Context) (int, error) {
	hist, err := g.store.read(ctx, g.conn)
	if err != nil {
		return 0, err
	}
	row := hist.find(g.j.id)
	if row == nil || row.state.done() {
		g.begun = false // the entry was rolled back with the statement
		return 0, nil
	}
	return max(row.done, g.durable), nil
}

func parseIntent(r *row) (intent, error) {
	var in intent
	if r.intent == "" {
		return in, errors.New("the journal has no entry for it")
	}
	if err := json.Unmarshal([]byte(r.intent), &in); err != nil {
		return in, fmt.Errorf("the journal's entry cannot be read: %w", err)
	}
	return in, nil
}

func (g *journalRun) halfApplied(detail string) error {
	return &MigrationError{Migration: g.j.id, Direction: g.j.direction, File: g.j.file,
		Err:  fmt.Errorf("%w: %s", ErrHalfApplied, detail),
		Hint: "DB.Repair without a fix shows what is known about it, and the ways out"}
}

func (g *journalRun) ambiguous(k int) error {
	st := g.j.statements[k]
	return &MigrationError{Migration: g.j.id, Direction: g.j.direction, File: g.j.file, Line: st.Line, Column: st.Column, Statement: shorten(st.Text, 300),
		Err: fmt.Errorf("%w: a run died inside statement %d of %d", ErrAmbiguous, k+1, len(g.j.statements)),
		Hint: fmt.Sprintf("look whether it took effect, then call DB.Repair with Fix{Migration: ID{Version: %d}, Kind: FixDone} if it did, or FixRetry if it did not",
			g.j.id.Version)}
}

func (g *journalRun) resumeGo(in intent) error {
	if in.Next == goStep && !g.j.idempotent {
		return &MigrationError{Migration: g.j.id, Direction: g.j.direction,
			Err: fmt.Errorf("%w: a run died inside the Go function, or it returned an error", ErrAmbiguous),
			Hint: fmt.Sprintf("look whether it took effect, then call DB.Repair with Fix{Migration: ID{Version: %d}, Kind: FixDone} if it did, or FixRetry if it did not; set GoMigration.Idempotent where running again is safe",
				g.j.id.Version)}
	}
	return nil
}
