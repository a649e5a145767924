package tldwdb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// This file decides what a run has to do. It does no I/O: it compares the
// migrations of the binary with the rows of the history table.

// Goal is what a run shall reach.
type Goal string

// The goals of a [Request].
const (
	GoalUp      Goal = "up"      // apply what is pending
	GoalDown    Goal = "down"    // take back the newest migrations
	GoalRedo    Goal = "redo"    // take back the newest migrations and apply them again
	GoalVersion Goal = "version" // apply or take back until Version is the newest
	GoalBase    Goal = "base"    // take back everything
)

// Request says what a run shall reach. The zero Request means everything that
// is pending.
type Request struct {
	Goal    Goal  `json:"goal"`              // default GoalUp
	Steps   int   `json:"steps,omitempty"`   // GoalUp: at most so many versions (0: all); GoalDown, GoalRedo: how many (0: one)
	Version int64 `json:"version,omitempty"` // GoalVersion: the version to end at
}

// destructive reports whether the request may take migrations back.
func (r Request) destructive() bool { return r.Goal != GoalUp && r.Goal != "" }

// Plan is what a run would do, statement by statement. [DB.Plan] makes one,
// [DB.Apply] runs it.
type Plan struct {
	// ID stands for the steps and for the state of the database that they were
	// made for. Two plans with one ID are the same plan.
	ID       string         `json:"id"`
	Request  Request        `json:"request"`
	Steps    []PlanStep     `json:"steps"`
	Warnings []Disagreement `json:"warnings"` // what files and database disagree about without stopping the run
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// PlanStep is one migration of a plan in one direction.
type PlanStep struct {
	Migration   ID          `json:"migration"`
	Direction   Direction   `json:"direction"`
	Reason      string      `json:"reason"`      // pending, changed, requested, interrupted, or snapshot
	File        string      `json:"file"`        // path inside Config.Migrations; empty for a Go migration and for a stored script
	Go          bool        `json:"go"`          // written in Go: there are no statements to show
	Transaction bool        `json:"transaction"` // commits as a whole, together with its history row
	Statements  []Statement `json:"statements"`
}

// Statement is one SQL statement of a migration file.
type Statement struct {
	SQL  string `json:"sql"`
	Line int    `json:"line"` // 1-based line of its first character in the file
}

// The reasons for a step.
const (
	reasonPending     = "pending"
	reasonChanged     = "changed"     // a repeatable migration with a new text
	reasonRequested   = "requested"   // taken back because the caller asked for it
	reasonInterrupted = "interrupted" // an earlier run stopped half-way
	reasonSnapshot    = "snapshot"    // the database is empty: a snapshot makes at once what many migrations make
)

// step is one migration to run in one direction, before its text is read.
type step struct {
	migration *migration // nil when only the database knows it
	id        ID
	direction Direction
	reason    string
	row       *row      // the history row as it was read, when there is one
	snapshot  *snapshot // to load instead of running its migrations; nil for none
}

// planOptions are the parts of Config that the decision depends on.
type planOptions struct {
	outOfOrder bool
	strict     bool
	engine     string // whose snapshots the server takes
	fromFiles  bool   // no snapshot where the files are there
	occupied   string // what there is in a database without a history, where no snapshot can be loaded for it
}

// decide compares files and database and lists the steps that lead to the
// goal. The disagreements that do not stop the run are returned beside the
// steps; the others make the error, a *HistoryError.
func decide(src *source, hist *history, req Request, opt planOptions) ([]step, []Disagreement, error) {
	if req.Goal == "" {
		req.Goal = GoalUp
	}
	if err := hist.halfLoaded(); err != nil {
		return nil, nil, err
	}
	disagreements := compare(src, hist)
	if !slices.Contains([]Goal{GoalDown, GoalBase}, req.Goal) {
		fatal := slices.ContainsFunc(disagreements, func(d Disagreement) bool { return isFatal(d, opt) })
		if fatal {
			return nil, nil, &HistoryError{Problems: disagreements}
		}
	}

	p := &planner{src: src, hist: hist, applied: map[int64]bool{}}
	for i := range hist.rows {
		r := &hist.rows[i]
		if r.state.done() && !r.id.Repeatable {
			p.applied[r.id.Version] = true
		}
	}
	// A way back that was interrupted is one of those asked for: whoever calls
	// Down again after a crash does not want one more taken back.
	takenBack := p.finishInterrupted(req.Goal)
	if len(hist.rows) == 0 {
		p.begin(req, opt)
	}
	left := max(max(req.Steps, 1)-len(takenBack), 0)

	switch req.Goal {
	case GoalUp:
		p.up(func(int64) bool { return true }, req.Steps)
	case GoalDown:
		p.down(p.newest(left))
	case GoalRedo:
		versions := p.newest(left)
		for _, v := range versions {
			if src.find(ID{Version: v}) == nil {
				return nil, nil, fmt.Errorf("%w: version %d is applied, but this binary has no file to apply it again", ErrUnknownVersion, v)
			}
		}
		p.down(versions)
		versions = append(versions, takenBack...)
		p.up(func(v int64) bool { return slices.Contains(versions, v) }, 0)
	case GoalBase:
		p.down(p.newest(len(p.applied)))
	case GoalVersion:
		if src.find(ID{Version: req.Version}) == nil && !p.applied[req.Version] {
			return nil, nil, withHint(fmt.Errorf("%w: version %d", ErrUnknownVersion, req.Version), "DB.Status lists the versions; a Request with GoalBase takes everything back")
		}
		above := slices.DeleteFunc(p.newest(len(p.applied)), func(v int64) bool { return v <= req.Version })
		p.down(above)
		p.up(func(v int64) bool { return v <= req.Version }, 0)
	default:
		return nil, nil, fmt.Errorf("unknown goal %q: known are up, down, redo, version, base", req.Goal)
	}
	if err := p.runnable(opt); err != nil {
		return nil, nil, err
	}
	return p.steps, disagreements, nil
}

func isFatal(d Disagreement, opt planOptions) bool {
	switch {
	case errors.Is(d.Kind, ErrChanged), errors.Is(d.Kind, ErrSquashed):
		return true
	case errors.Is(d.Kind, ErrOutOfOrder):
		return !opt.outOfOrder
	}
	return opt.strict
}

// compare lists every point in which files and database differ, apart from
// what is plainly pending.
func compare(src *source, hist *history) []Disagreement {
	var list []Disagreement
	add := func(kind error, id ID, format string, args ...any) {
		list = append(list, Disagreement{Kind: kind, Migration: id, Detail: fmt.Sprintf(format, args...)})
	}
	head, known := src.head()
	highest, found := int64(0), false
	loading := slices.ContainsFunc(hist.rows, func(r row) bool { return r.isLoading() })
	for _, r := range hist.rows {
		if r.id.Repeatable {
			continue // one whose file is gone needs nothing, one that changed is pending
		}
		if r.state.done() {
			highest, found = r.id.Version, true
		}
		m := src.find(r.id)
		switch {
		case m == nil && (!known || r.id.Version > head):
			add(ErrNewer, r.id, "%s, and newer than this binary", r.standing())
		case m == nil:
			add(ErrMissing, r.id, "%s, but there is no file for it", r.standing())
		case !r.state.done() || r.checksum == "" || m.checksum() == "" || r.checksum == m.checksum():
		case m.squashed != nil:
			add(ErrChanged, r.id, "applied %s with another text than the one that %s stands for: make the snapshot of the files that were applied", r.when(), m.squashed.script.file)
		default:
			add(ErrChanged, r.id, "%s was changed after it was applied %s: restore the text that was applied and put the change into a new migration", m.up.file, r.when())
		}
	}
	for _, m := range src.migrations {
		if m.squashed != nil && len(hist.rows) > 0 && hist.find(m.id) == nil && !loading {
			add(ErrSquashed, m.id, "not applied, and %s stands for its file: first apply it with the last release that has the file", m.squashed.script.file)
			continue
		}
		if found && !m.id.Repeatable && m.id.Version < highest && hist.find(m.id) == nil {
			add(ErrOutOfOrder, m.id, "pending, but version %d is applied already: give it a higher version, or allow it with Config.OutOfOrder", highest)
		}
	}
	return list
}

// planner builds the list of steps and keeps track of which versions would be
// applied after them.
type planner struct {
	src     *source
	hist    *history
	applied map[int64]bool
	steps   []step
}

// finishInterrupted ends first what an earlier run began, in its direction:
// only then is the schema one of those that the files describe. It returns the
// versions whose way back it ends.
func (p *planner) finishInterrupted(goal Goal) (takenBack []int64) {
	for i := range p.hist.rows {
		r := &p.hist.rows[i]
		if r.state.done() || goal == GoalUp && p.newer(r) {
			continue
		}
		s := p.src.interrupted(r)
		p.steps = append(p.steps, s)
		switch {
		case s.snapshot != nil:
			p.holds(s.snapshot)
		case r.id.Repeatable:
		case r.direction == DirectionUp:
			p.applied[r.id.Version] = true
		default:
			takenBack = append(takenBack, r.id.Version)
		}
	}
	return takenBack
}

// interrupted is the step that ends what a row says was begun.
func (s *source) interrupted(r *row) step {
	next := step{id: r.id, direction: r.direction, reason: reasonInterrupted, row: r.clone()}
	if r.isLoading() {
		next.snapshot = s.loading(r)
	} else {
		next.migration = s.find(r.id)
	}
	return next
}

// begin takes a snapshot for the first part of an empty database's migrations, where
// there is one that does not go further than the request.
func (p *planner) begin(req Request, opt planOptions) {
	fits := func(int64) bool { return true }
	if opt.occupied != "" {
		return
	}
	switch req.Goal {
	case GoalUp:
		opt.fromFiles = opt.fromFiles || req.Steps > 0
	case GoalVersion:
		fits = func(v int64) bool { return v <= req.Version }
	default:
		return
	}
	if snap := p.src.snapshotFor(opt.engine, fits, opt.fromFiles); snap != nil {
		p.steps = append(p.steps, step{snapshot: snap, id: snap.id(), direction: DirectionUp, reason: reasonSnapshot})
		p.holds(snap)
	}
}

func (p *planner) holds(snap *snapshot) {
	for _, h := range snap.holds {
		p.applied[h.id.Version] = true
	}
}

// runnable fails when a step needs a file that a snapshot has taken the place of.
func (p *planner) runnable(opt planOptions) error {
	for _, s := range p.steps {
		m := s.migration
		if m == nil || m.squashed == nil || s.direction == DirectionDown && s.row != nil && s.row.hasDown {
			continue
		}
		file := m.squashed.script.file
		switch {
		case s.direction == DirectionDown:
			return withHint(fmt.Errorf("%w: %s: %s stands for its file, and the way back is gone with it", ErrIrreversible, s.id, file), "restore a backup that is older than the migration")
		case opt.occupied != "":
			return withHint(fmt.Errorf("%w: %s, by %s, which only an empty database loads; this one has no history, and %s", ErrSquashed, s.id, file, opt.occupied),
				"if its schema is that of the migrations, DB.Baseline takes them as applied; otherwise begin with an empty database")
		case m.squashed.engine != opt.engine && len(p.hist.rows) == 0 && opt.engine != "":
			return withHint(fmt.Errorf("%w: %s, by %s, which is not for %s", ErrSquashed, s.id, file, opt.engine), "make one for this engine from the files that were there before (git), with 'tldwdb snapshot'")
		}
		return withHint(fmt.Errorf("%w: %s, by %s", ErrSquashed, s.id, file), "what it holds is made whole or not at all, in an empty database: go to version %d or higher, or use the last release that has the file", m.squashed.version)
	}
	return nil
}

// newer reports whether an unfinished row is that of a newer binary, which is at it
// or will go on with it. In a rollout the old one serves meanwhile.
func (p *planner) newer(r *row) bool {
	if r.direction == DirectionDown || p.src.find(r.id) != nil || r.isLoading() {
		return false
	}
	head, known := p.src.head()
	return r.id.Repeatable || !known || r.id.Version > head
}

// up adds the versions that want accepts and that are not applied, at most
// limit of them (0: all), and the repeatable migrations when nothing older
// than they are is left out.
func (p *planner) up(want func(int64) bool, limit int) {
	complete, count := true, 0
	for _, m := range p.src.migrations {
		switch {
		case m.id.Repeatable:
			if complete {
				p.repeatable(m)
			}
		case p.applied[m.id.Version]:
		case !want(m.id.Version) || limit > 0 && count == limit:
			complete = false
		default:
			count++
			p.applied[m.id.Version] = true
			p.steps = append(p.steps, step{migration: m, id: m.id, direction: DirectionUp, reason: reasonPending})
		}
	}
}

func (p *planner) repeatable(m *migration) {
	r := p.hist.find(m.id)
	switch {
	case r == nil:
		p.steps = append(p.steps, step{migration: m, id: m.id, direction: DirectionUp, reason: reasonPending})
	case r.state.done() && r.checksum != m.checksum():
		p.steps = append(p.steps, step{migration: m, id: m.id, direction: DirectionUp, reason: reasonChanged, row: r.clone()})
	}
}

// newest lists the n highest applied versions, highest first.
func (p *planner) newest(n int) []int64 {
	versions := make([]int64, 0, len(p.applied))
	for v := range p.applied {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	slices.Reverse(versions)
	return versions[:min(n, len(versions))]
}

func (p *planner) down(versions []int64) {
	for _, v := range versions {
		id := ID{Version: v}
		m, r := p.src.find(id), p.hist.find(id)
		switch {
		case r != nil:
			id = r.id
		case m != nil:
			id = m.id
		}
		delete(p.applied, v)
		p.steps = append(p.steps, step{migration: m, id: id, direction: DirectionDown, reason: reasonRequested, row: r.clone()})
	}
}

// planID stands for the steps and for the rows that they were decided from.
func planID(steps []step, hist *history) string {
	var text strings.Builder
	for _, s := range steps {
		sum := ""
		if s.snapshot != nil {
			sum = s.snapshot.script.checksum
		}
		if s.migration != nil {
			sum = s.migration.checksum()
			if s.direction == DirectionDown && s.migration.down != nil {
				sum = s.migration.down.checksum
			}
		}
		fmt.Fprintf(&text, "step %s %s %s %s\n", s.id, s.direction, s.reason, sum)
	}
	for _, r := range hist.rows {
		fmt.Fprintf(&text, "row %s %s %s %s %d\n", r.id, r.state, r.direction, r.checksum, r.done)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}
