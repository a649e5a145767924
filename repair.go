package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file holds the calls that write history without running a migration.
// Each acts on migrations that the caller names.

// FixKind is a way out of a state that the runner does not leave by itself.
type FixKind string

// The fixes of [DB.Repair].
const (
	// FixDone says that the statement at which a run died took effect: the next
	// run goes on behind it.
	FixDone FixKind = "done"
	// FixRetry says that the statement at which a run died had no effect: the
	// next run begins with it.
	FixRetry FixKind = "retry"
	// FixApplied says that all of the migration has taken effect. It does not fit
	// one that was being taken back.
	FixApplied FixKind = "applied"
	// FixForget says that nothing of the migration is there: its row is removed,
	// and its stored down script with it. The next Up runs it from the beginning,
	// also one that was applied: of such a one Repair adds a finding that says what
	// the row was, and a production database has to be named in Config.Confirm.
	FixForget FixKind = "forget"
	// FixChecksum takes the file as it is now for the text that was applied.
	FixChecksum FixKind = "checksum"
)

// Fix is a decision about one migration.
type Fix struct {
	Migration ID      `json:"migration"` // the version, or Name and Repeatable
	Kind      FixKind `json:"kind"`
}

// Finding is what is known about one migration that needs a decision.
type Finding struct {
	Migration ID        `json:"migration"`
	Problem   string    `json:"problem"`   // what is wrong, in a sentence
	Evidence  []string  `json:"evidence"`  // what the history and the server's catalogue say
	Automatic bool      `json:"automatic"` // the next Up deals with it without a decision
	Fixes     []FixKind `json:"fixes"`     // the ways out, the likelier first
}

// Repair shows what needs a decision, and with fixes carries the decisions out.
// Without fixes it takes no lock and writes nothing. The findings are those
// from before the fixes, and one for each applied migration that was forgotten.
//
// A migration that failed on PostgreSQL or SQLite never needs it: it was rolled
// back as a whole. It returns [ErrUnknownVersion] for a fix that names a
// migration without a row, [ErrProtected] where an applied migration of a
// production database would be forgotten, and an error for a fix that does not
// fit.
func (db *DB) Repair(ctx context.Context, fixes ...Fix) (findings []Finding, err error) {
	findings, err = db.findings(ctx)
	if err != nil || len(fixes) == 0 {
		return findings, err
	}
	ctx, end := db.startRun(ctx, "repair")
	defer func() { end(err) }()
	r, err := db.newRun(ctx)
	if err != nil {
		return findings, err
	}
	defer r.release(ctx)
	err = r.locked(ctx, always, func(ctx context.Context, hist *history) error {
		if slices.ContainsFunc(fixes, func(fix Fix) bool { return forgetsApplied(hist, fix) }) {
			if err := r.unprotected(hist); err != nil {
				return err
			}
		}
		for _, fix := range fixes {
			if err := r.fix(ctx, hist, fix); err != nil {
				return err
			}
			if forgetsApplied(hist, fix) {
				findings = append(findings, forgotten(hist.find(fix.Migration)))
			}
		}
		return nil
	})
	return findings, ended(ctx, err)
}

// forgetsApplied reports whether the next Up would run again what is there.
func forgetsApplied(hist *history, fix Fix) bool {
	row := hist.find(fix.Migration)
	return fix.Kind == FixForget && row != nil && row.state.done()
}

// forgotten says what a row was that is gone.
func forgotten(row *row) Finding {
	return Finding{Migration: row.id, Automatic: true, Problem: "it was applied, and is forgotten: the next Up runs it again",
		Evidence: []string{fmt.Sprintf("%s %s by %s, checksum %s", row.state, row.when(), row.actor, row.checksum)}}
}

func always(*history) (bool, error) { return true, nil }

// findings has a connection of its own: see lookWhereItRan.
func (db *DB) findings(ctx context.Context) ([]Finding, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	// The catalogue shows an account only what it has rights on.
	if err := r.migrationConnection(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	hist, err := r.store.readDetails(ctx, r.conn)
	if err != nil {
		return nil, err
	}
	return r.findings(ctx, hist)
}

// findings looks at every row that is not simply applied.
func (r *run) findings(ctx context.Context, hist *history) ([]Finding, error) {
	var list []Finding
	for _, d := range compare(r.src, hist) {
		if errors.Is(d.Kind, ErrChanged) {
			list = append(list, Finding{Migration: d.Migration, Problem: d.Detail, Fixes: []FixKind{FixChecksum}})
		}
	}
	for i := range hist.rows {
		if row := &hist.rows[i]; !row.state.done() {
			f, err := r.unfinished(ctx, row)
			if err != nil {
				return nil, err
			}
			if row.id.Repeatable && row.direction == DirectionUp && r.src.find(row.id) != nil && !f.Automatic {
				f.Automatic = true
				f.Evidence = append(f.Evidence, "it may always run from its beginning, and will")
			}
			list = append(list, f)
		}
	}
	return list, nil
}

// unfinished gathers what is known about a migration that stopped half-way.
func (r *run) unfinished(ctx context.Context, row *row) (Finding, error) {
	f := Finding{Migration: row.id, Automatic: true, Fixes: []FixKind{FixApplied, FixForget}}
	if row.direction == DirectionDown {
		f.Fixes = []FixKind{FixForget}
	}
	f.Problem = fmt.Sprintf("%s stopped after %d of %d statements", row.direction, row.done, row.steps)
	say := func(format string, args ...any) { f.Evidence = append(f.Evidence, fmt.Sprintf(format, args...)) }
	say("started %s by %s", row.started.UTC().Format("2006-01-02 15:04:05 UTC"), row.actor)
	if row.fault != "" {
		say("last error: %s", row.fault)
	}
	in, err := parseIntent(row)
	if err != nil {
		f.Automatic = false
		say("%s", err)
		return f, nil
	}
	if row.isLoading() {
		f.Fixes = []FixKind{FixForget}
	}
	j, err := r.prepareOne(ctx, r.src.interrupted(row))
	if err != nil {
		f.Automatic = false
		say("its text cannot be read: %s", err)
		return f, nil
	}
	if j.code == nil && (row.done > len(j.statements) || prefixHash(j.statements, row.done) != in.Prefix) {
		f.Automatic = false
		say("the first %d statements have been run, and the file has other ones now", row.done)
	}
	g := r.newJournalRun(j)
	if why := g.stranded(min(row.done, len(j.statements))); why != "" {
		f.Automatic = false
		say("%s", why)
	}
	if in.Next == "" {
		return f, nil
	}
	if j.code != nil {
		f.Automatic = j.idempotent
		f.Fixes = []FixKind{FixRetry, FixDone}
		return f, nil
	}
	f.Fixes = []FixKind{FixRetry, FixDone}
	if row.done >= len(j.statements) || textHash(j.statements[row.done]) != in.Next {
		f.Automatic = false
		say("statement %d has another text now than the one that was being run", row.done+1)
		return f, nil
	}
	st := j.statements[row.done]
	say("a run died inside statement %d, %s:%d: %s", row.done+1, j.file, st.Line, shorten(st.Text, 300))
	if err := r.lookWhereItRan(ctx, g, row.done); err != nil {
		return f, err
	}
	if err := r.compareFingerprints(ctx, &f, j, st, in); err != nil {
		return f, err
	}
	definitions, err := r.d.Definitions(ctx, r.conn.Conn, st)
	for _, text := range definitions {
		say("%s", shorten(text, 2000))
	}
	return f, err
}

// compareFingerprints says what the catalogue knows about the statement.
func (r *run) compareFingerprints(ctx context.Context, f *Finding, j *job, st sqlscan.Statement, in intent) error {
	expression := r.d.Fingerprint(st)
	switch {
	case in.Again:
		f.Evidence = append(f.Evidence, "it may run twice without harm")
		return nil
	case in.Fingerprint == "" || expression == "":
		f.Automatic = false
		f.Evidence = append(f.Evidence, "the server cannot tell whether it took effect")
		return nil
	}
	g := r.newJournalRun(j)
	now, err := g.fingerprint(ctx, expression)
	if err != nil {
		return err
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("the fingerprint of its objects was %s before it, and is %s", in.Fingerprint, now))
	if now == dialect.FingerprintInvalid {
		f.Fixes = []FixKind{FixRetry}
		f.Evidence = append(f.Evidence, "it was begun and not finished: what it left is cleaned up before it runs again")
		return nil
	}
	if now == in.Fingerprint {
		f.Evidence = append(f.Evidence, "its objects are as they were before it: it had no effect, or one that running it again leaves as it is")
		return nil
	}
	f.Fixes = []FixKind{FixDone, FixRetry}
	f.Evidence = append(f.Evidence, "its objects are not as they were before it: it took effect")
	return nil
}

// lookWhereItRan sets what the file had set before the statement in doubt, so that
// its names lead to the same objects. The connection is closed afterwards.
func (r *run) lookWhereItRan(ctx context.Context, g *journalRun, done int) error {
	r.dirty = true
	_, again := g.carried(done)
	again = slices.DeleteFunc(again, func(k int) bool { return g.j.statements[k].Verb == "LOCK" })
	return g.replay(ctx, again)
}

// fix carries one decision out.
func (r *run) fix(ctx context.Context, hist *history, fix Fix) error {
	row := hist.find(fix.Migration)
	if row == nil {
		return fmt.Errorf("%w: the history has no row for %s", ErrUnknownVersion, fix.Migration)
	}
	list, err := r.fixStatements(ctx, row, fix)
	if err != nil {
		return err
	}
	if err := r.inOneTransaction(ctx, list); err != nil {
		return fmt.Errorf("repairing %s: %w", row.id, err)
	}
	was := fmt.Sprintf("%s after %d of %d statements", row.state, row.done, row.steps)
	if row.state.done() {
		was = fmt.Sprintf("%s %s by %s", row.state, row.when(), row.actor)
	}
	r.log.LogAttrs(ctx, slog.LevelWarn, "history repaired", slog.String("migration", row.id.String()), slog.String("fix", string(fix.Kind)), slog.String("was", was))
	return nil
}

func (r *run) fixStatements(ctx context.Context, row *row, fix Fix) ([]string, error) {
	m := r.src.find(row.id)
	unfit := func(why string) error { return fmt.Errorf("the fix %q does not fit %s: %s", fix.Kind, row.id, why) }
	switch fix.Kind {
	case FixForget:
		return []string{r.store.remove(row.id)}, nil
	case FixChecksum, FixApplied:
		if row.isLoading() {
			return nil, unfit("a snapshot is being loaded there, and it is not for one migration alone")
		}
		if m == nil {
			return nil, unfit("there is no file for it")
		}
		if fix.Kind == FixApplied && !row.state.done() && row.direction == DirectionDown {
			return nil, unfit("it was being taken back, and a part of it is gone")
		}
		if fix.Kind == FixApplied && row.state.done() {
			return nil, unfit("it is applied; checksum takes the edited file for its text")
		}
		if fix.Kind == FixApplied {
			return []string{r.store.finish(row.id, m.checksum(), row.steps)}, nil
		}
		if !row.state.done() {
			return nil, unfit("it is not applied")
		}
		return []string{r.store.setChecksum(row.id, m.checksum())}, nil
	case FixDone, FixRetry:
		if row.state.done() {
			return nil, unfit("it is applied")
		}
		if in, err := parseIntent(row); err != nil || in.Next == "" {
			return nil, unfit("no statement of it is in doubt")
		}
		return r.moveJournal(ctx, row, fix)
	}
	return nil, fmt.Errorf("unknown fix %q: known are %s", fix.Kind, strings.Join([]string{string(FixDone), string(FixRetry), string(FixApplied), string(FixForget), string(FixChecksum)}, ", "))
}

// moveJournal sets the journal behind the statement in doubt, or in front of it.
func (r *run) moveJournal(ctx context.Context, row *row, fix Fix) ([]string, error) {
	j, err := r.prepareOne(ctx, r.src.interrupted(row))
	if err != nil {
		return nil, err
	}
	done := row.done
	if fix.Kind == FixDone {
		if j.code != nil {
			return []string{r.settle(j)}, nil
		}
		done++
	}
	if done > len(j.statements) {
		return nil, fmt.Errorf("the fix %q does not fit %s: it has %d statements, and %d are done", fix.Kind, row.id, len(j.statements), row.done)
	}
	in := intent{Prefix: prefixHash(j.statements, done)}
	return []string{r.store.progress(row.id, done, r.d.Literal(encode(in)))}, nil
}

// Baseline takes the migrations up to version as applied without running them:
// for a database that was made by something else and has their schema already.
// It refuses a database in which one of them has a row, unless that says that
// its first statement failed, and returns [ErrUnknownVersion] when no file has the
// version. It writes nothing but the history.
func (db *DB) Baseline(ctx context.Context, version int64) (*Result, error) {
	ctx, end := db.startRun(ctx, "baseline")
	result, err := db.baseline(ctx, version, nil)
	end(err)
	return result, err
}

func (db *DB) baseline(ctx context.Context, version int64, verify func(context.Context, *run) ([]Difference, error)) (*Result, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return &Result{}, err
	}
	err = r.baseline(ctx, version, verify)
	r.release(ctx)
	if err == nil {
		db.lookAgain(ctx, nil)
	}
	return r.result, ended(ctx, err)
}

// failedAtOnce reports whether nothing of a migration was done before it failed:
// so it is where the first Up has met with a schema that was there already.
func (r *run) failedAtOnce(ctx context.Context, row *row) bool {
	in, err := parseIntent(row)
	if row.state != stateFailed || row.direction != DirectionUp || err != nil || in.Next != "" {
		return false
	}
	j, err := r.prepareOne(ctx, r.src.interrupted(row))
	return err == nil && row.done <= j.firstEffect() && prefixHash(j.statements, row.done) == in.Prefix
}

// baseline writes the rows under the lock, after verify, which may be nil, has
// found nothing, or differences that are to be accepted.
func (r *run) baseline(ctx context.Context, version int64, verify func(context.Context, *run) ([]Difference, error)) error {
	if r.src.find(ID{Version: version}) == nil {
		return fmt.Errorf("%w: version %d", ErrUnknownVersion, version)
	}
	list := r.src.upTo(version)
	return r.locked(ctx, always, func(ctx context.Context, hist *history) error {
		rows, err := r.baselineRows(ctx, hist, list)
		if err != nil {
			return err
		}
		if verify != nil {
			if r.result.Accepted, err = verify(ctx, r); err != nil {
				return err
			}
		}
		if len(r.result.Accepted) > 0 {
			rows = append(rows, r.store.accept(ID{Version: version}, r.result.Accepted))
		}
		if err := r.writeBaseline(ctx, hist, list, rows); err != nil {
			return err
		}
		r.log.LogAttrs(ctx, slog.LevelInfo, "baseline written", slog.Int64("version", version), slog.Int("accepted", len(r.result.Accepted)))
		return nil
	})
}

// upTo are the migrations that a baseline stands for.
func (s *source) upTo(version int64) []*migration {
	var list []*migration
	for _, m := range s.migrations {
		if !m.id.Repeatable && m.id.Version <= version {
			list = append(list, m)
		}
	}
	return list
}

// baselineRows are the statements that give migrations a row without running them.
func (r *run) baselineRows(ctx context.Context, hist *history, migrations []*migration) ([]string, error) {
	var list []string
	for _, m := range migrations {
		if row := hist.find(m.id); row != nil {
			if !r.failedAtOnce(ctx, row) {
				return nil, withHint(fmt.Errorf("%s has a row already: %s %s", m.id, row.state, row.when()), "a baseline is for a database without history; nothing was written (DB.Repair with FixForget removes a row)")
			}
			list = append(list, r.store.remove(m.id))
		}
		e := entry{id: m.id, checksum: m.checksum(), state: stateBaseline, direction: DirectionUp}
		var err error
		if e.down, err = r.src.storable(m); err != nil {
			return nil, err
		}
		list = append(list, r.store.insert(e))
	}
	return list, nil
}

// writeBaseline writes the rows of migrations in one transaction. It works under
// the lock.
func (r *run) writeBaseline(ctx context.Context, hist *history, migrations []*migration, rows []string) error {
	if err := r.ensureTable(ctx, hist); err != nil {
		return err
	}
	if err := r.inOneTransaction(ctx, rows); err != nil {
		return fmt.Errorf("writing the baseline: %w", err)
	}
	for _, m := range migrations {
		r.result.After = max(r.result.After, m.id.Version)
	}
	return nil
}
