package tldwdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure that a caller may want to tell apart with [errors.Is].
// The value that is returned says more: see [MigrationError], [LoadError] and
// [HistoryError].
var (
	// ErrPending is returned by [DB.Check] when migrations have not been applied.
	ErrPending = errors.New("migrations are pending")

	// ErrChanged means that the text of an applied migration differs from the
	// text that was applied. It is a kind of [HistoryError].
	ErrChanged = errors.New("an applied migration was changed")

	// ErrOutOfOrder means that a file has a lower version than one that is
	// applied already. It is a kind of [HistoryError]; Config.OutOfOrder
	// applies such files instead.
	ErrOutOfOrder = errors.New("a migration is out of order")

	// ErrNewer means that the database has migrations that this binary does
	// not know. It is a kind of [HistoryError], and an error only under
	// Config.Strict: an old binary beside a newer schema is normal in a rollout.
	ErrNewer = errors.New("the database is newer than this binary")

	// ErrMissing means that an applied migration, older than the newest known
	// one, has no file. It is a kind of [HistoryError], and an error only under
	// Config.Strict.
	ErrMissing = errors.New("an applied migration has no file")

	// ErrHalfApplied means that a migration which cannot run in a transaction
	// stopped half-way and cannot be resumed as the files stand.
	ErrHalfApplied = errors.New("a migration is half applied")

	// ErrHalfLoaded means that rows were being brought into the database, by [Copy] or
	// [DB.Restore], and are not all there: triggers, and on PostgreSQL foreign keys, are
	// missing too. The hint says what ends it.
	ErrHalfLoaded = errors.New("the rows of the database are not all there")

	// ErrAmbiguous means that a run died inside a statement and the server
	// cannot tell whether that statement took effect. [DB.Repair] resolves it.
	ErrAmbiguous = errors.New("it is not known whether a statement took effect")

	// ErrLockTimeout means that another process held the migration lock for
	// longer than Config.LockWait.
	ErrLockTimeout = errors.New("the migration lock was not had in time")

	// ErrLockLost means that the migration lock was gone before the run ended.
	ErrLockLost = errors.New("the migration lock was lost")

	// ErrLockUnproved means that a second connection could take the lock while
	// it was held, or that there is none to try it with although something stands
	// between here and the server: most likely a pooler in transaction mode, which
	// makes session locks worthless.
	ErrLockUnproved = errors.New("the migration lock does not exclude others")

	// ErrPlanChanged is returned by [DB.Apply] when the database or the files
	// are no longer what the plan was made for.
	ErrPlanChanged = errors.New("the plan does not fit any more")

	// ErrProtected means that a destructive call was refused because the
	// database is stamped as production. Config.Confirm allows it.
	ErrProtected = errors.New("the database is protected")

	// ErrIrreversible means that a migration cannot be taken back.
	ErrIrreversible = errors.New("the migration cannot be taken back")

	// ErrUnknownVersion means that a version was named that neither the files
	// nor the database know.
	ErrUnknownVersion = errors.New("no such migration")

	// ErrNoForeignHistory is returned by [DB.Adopt] when the database has no
	// history of another migration tool.
	ErrNoForeignHistory = errors.New("no history of another tool was found")

	// ErrForeignState is returned by [DB.Adopt] when the other tool calls its own
	// history dirty, failed, half applied or locked.
	ErrForeignState = errors.New("the other tool's history is not in a state to be adopted")

	// ErrNotMapped is returned by [DB.Adopt] when it cannot be told which of our
	// migrations the other tool has applied.
	ErrNotMapped = errors.New("the other tool's versions do not fit ours")

	// ErrReadOnly means that migrations are pending on a server or file that
	// takes no writes. A migration that turned writes off for its own session is
	// a plain [MigrationError].
	ErrReadOnly = errors.New("the database is read-only")

	// ErrFileReplaced means that the file of a SQLite database was deleted, or
	// another one put in its place, while the pool had it open. Restart the process.
	ErrFileReplaced = errors.New("the database file was taken away under the open connections")
)

// MigrationError says which migration failed, where in its file, and what can
// be done. Its text is "file:line: cause".
type MigrationError struct {
	Migration ID        // which one
	Direction Direction // whether it was applied or taken back
	File      string    // path inside Config.Migrations; empty for a Go migration
	Line      int       // 1-based line of the fault; 0 when unknown
	Column    int       // 1-based column in characters; 0 when the server did not say
	Statement string    // the statement that failed, shortened; empty when none did
	Hint      string    // what to do about it; may be empty
	Err       error     // the cause, usually the driver's error
}

// Error gives "file:line: cause" or, for a Go migration, its version and name.
func (e *MigrationError) Error() string {
	where := e.File
	switch {
	case where == "":
		where = fmt.Sprintf("%s (Go, %s)", e.Migration, e.Direction)
	case e.Line > 0 && e.Column > 0:
		where = fmt.Sprintf("%s:%d:%d", where, e.Line, e.Column)
	case e.Line > 0:
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *MigrationError) Unwrap() error { return e.Err }

// LoadError lists everything that is wrong with the migration files. It is
// returned before anything in the database is touched.
type LoadError struct {
	Problems []Problem
}

// Problem is one fault in a migration file.
type Problem struct {
	File   string // path inside Config.Migrations
	Line   int    // 1-based; 0 when the fault is the file itself
	Column int    // 1-based, in characters; 0 when the line says enough
	Msg    string
}

// String gives "file:line:column: message" with the parts that are known.
func (p Problem) String() string {
	switch {
	case p.Line > 0 && p.Column > 0:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Msg)
	case p.Line > 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Msg)
	}
	return p.File + ": " + p.Msg
}

// Error gives one line for each problem.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// HistoryError lists every disagreement between the migration files and the
// database. [errors.Is] finds each kind in it.
type HistoryError struct {
	Problems []Disagreement
}

// Disagreement is one point in which files and database differ.
type Disagreement struct {
	Kind      error  // [ErrChanged], [ErrOutOfOrder], [ErrNewer], [ErrMissing] or [ErrSquashed]
	Migration ID     // which one
	Detail    string // what was found, and what to do
}

// disagreementWords are the kinds in JSON.
var disagreementWords = map[string]error{"changed": ErrChanged, "out_of_order": ErrOutOfOrder, "newer": ErrNewer, "missing": ErrMissing, "squashed": ErrSquashed}

// disagreementJSON is a Disagreement in JSON.
type disagreementJSON struct {
	Kind      string `json:"kind"`
	Migration ID     `json:"migration"`
	Detail    string `json:"detail"`
}

// MarshalJSON writes the kind as a word: changed, out_of_order, newer, missing or squashed.
func (d Disagreement) MarshalJSON() ([]byte, error) {
	out := disagreementJSON{Migration: d.Migration, Detail: d.Detail}
	for word, kind := range disagreementWords {
		if errors.Is(d.Kind, kind) {
			out.Kind = word
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes, for a [Plan] that was stored.
func (d *Disagreement) UnmarshalJSON(text []byte) error {
	var in disagreementJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	kind, ok := disagreementWords[in.Kind]
	if !ok {
		return fmt.Errorf("unknown kind of disagreement %q", in.Kind)
	}
	*d = Disagreement{Kind: kind, Migration: in.Migration, Detail: in.Detail}
	return nil
}

// String gives "0003_users: detail".
func (d Disagreement) String() string {
	return d.Migration.String() + ": " + d.Detail
}

// Error gives one line for each disagreement.
func (e *HistoryError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Is reports whether one of the disagreements is of the kind target.
func (e *HistoryError) Is(target error) bool {
	for _, p := range e.Problems {
		if errors.Is(p.Kind, target) {
			return true
		}
	}
	return false
}

// hintError adds advice to an error without changing what it is.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// hinted is err with advice, unless it carries some. Of a MigrationError it
// becomes the hint, where those look who have it in hand.
func hinted(err error, hint string) error {
	if Hint(err) != "" {
		return err
	}
	var migration *MigrationError
	if errors.As(err, &migration) {
		migration.Hint = hint
		return err
	}
	return withHint(err, "%s", hint)
}

// Hint returns the advice that an error of this package carries: what to do
// now, in a sentence. It is empty when there is none.
func Hint(err error) string {
	var migration *MigrationError
	if errors.As(err, &migration) && migration.Hint != "" {
		return migration.Hint
	}
	return adviceIn(err)
}

func adviceIn(err error) string {
	var hinted *hintError
	if errors.As(err, &hinted) {
		return hinted.hint
	}
	return ""
}
