package tldwdb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/foreign"
)

// This file takes over a database that another migration tool has kept. What the
// tools write is known to internal/foreign; here their versions are set against
// ours.

// AdoptRequest says whose history is adopted. The zero value looks for the
// history of every tool that is known, and takes for ours the versions that have
// the same number.
type AdoptRequest struct {
	// From is the tool: alembic (also for Flask-Migrate), atlas, dbmate, django,
	// flyway, golang-migrate, goose, liquibase, prisma, rails, refinery,
	// sql-migrate, sqlx or tern. It is needed only where the database has the
	// history of more than one. Empty: any.
	From string `json:"from,omitempty"`

	// Table is the tool's table where it has not the name that the tool gives it
	// by itself, as table or schema.table. Empty: the tool's own name for it, in
	// the connection's schemas.
	Table string `json:"table,omitempty"`

	// Versions says which version of ours is reached with one of theirs: ours up
	// to that one are there when theirs is applied, but for those whose own entry
	// is not. It is needed where theirs are no numbers, as Alembic's revisions and
	// Django's "app.name". 0 says that one of theirs is nothing of ours, where none
	// of ours has that number. It may name versions that are not applied. Once an
	// entry gives one of theirs another number than its own, numbers alone mean
	// nothing any more.
	Versions map[string]int64 `json:"versions,omitempty"`

	// DryRun looks and reports. It takes no lock and writes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// Adoption is what [DB.Adopt] found and did. It is valid beside an error too, as
// far as it came.
type Adoption struct {
	Tool      string           `json:"tool"`            // as in AdoptRequest.From
	Table     string           `json:"table"`           // theirs, with its schema where that is not the connection's
	Found     []ForeignVersion `json:"found"`           // what is applied there, in that tool's order
	Mapped    []ID             `json:"mapped"`          // ours that are there already
	Unknown   []string         `json:"unknown"`         // versions of theirs that are none of ours
	Unapplied []ID             `json:"unapplied"`       // ours that are not there: the next Up applies them
	Written   []ID             `json:"written"`         // ours that got a row; with DryRun those that would get one
	Already   bool             `json:"already_adopted"` // it was all taken over before
	DryRun    bool             `json:"dry_run"`
}

// ForeignVersion is one version in the history of another tool.
type ForeignVersion struct {
	Version  string `json:"version"`  // as that tool writes it; "app.name" for Django
	Name     string `json:"name"`     // its description there; empty where the tool keeps none
	Checksum string `json:"checksum"` // the tool's own; empty where it keeps none
	UpTo     bool   `json:"up_to"`    // it stands for everything before it too
}

// Adopt takes over a database that another tool has migrated: it reads that
// tool's history, and takes as applied, without running them, the migrations of
// ours that are in it, as [DB.Baseline] does. Their table is left as it is.
// Repeatable migrations are not adopted: the next Up runs them.
//
// Adopting again changes nothing, and brings nothing back that was taken back
// with [DB.Down] meanwhile. As long as tldwdb itself has applied nothing, it adds
// what the other tool has applied since.
//
// Errors: [ErrNoForeignHistory] when there is none; [ErrForeignState] when the
// tool itself says that it is running, or stopped half-way; [ErrNotMapped] when
// their versions leave a gap in ours, or go beyond them, or when tldwdb has
// applied migrations of its own that do not fit; [ErrUnknownVersion] when
// Versions names one that has no file; and an error that lists them where
// several histories were found. [Hint] says what to do.
func (db *DB) Adopt(ctx context.Context, req AdoptRequest) (*Adoption, error) {
	ctx, end := db.startRun(ctx, "adopt")
	adoption, err := db.adopt(ctx, req)
	end(err)
	return adoption, err
}

func (db *DB) adopt(ctx context.Context, req AdoptRequest) (*Adoption, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return newAdoption(req), err
	}
	adoption, err := r.adopt(ctx, req)
	r.release(ctx)
	return adoption, ended(ctx, err)
}

// newAdoption has empty lists, which are [] in JSON.
func newAdoption(req AdoptRequest) *Adoption {
	return &Adoption{Found: []ForeignVersion{}, Mapped: []ID{}, Unknown: []string{}, Unapplied: []ID{}, Written: []ID{}, DryRun: req.DryRun}
}

// adopt looks, and what can be refused is refused before anybody waits for a
// lock; then it looks again under the lock, and writes.
func (r *run) adopt(ctx context.Context, req AdoptRequest) (*Adoption, error) {
	if req.From != "" && !slices.Contains(foreign.Tools(), req.From) {
		return newAdoption(req), fmt.Errorf("AdoptRequest.From is %q: known are %s", req.From, strings.Join(foreign.Tools(), ", "))
	}
	// The catalogue shows an account only what it has rights on.
	if err := r.migrationConnection(ctx); err != nil {
		return newAdoption(req), err
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return newAdoption(req), err
	}
	adoption, missing, err := r.compareForeign(ctx, req, hist)
	if err != nil || req.DryRun || len(missing) == 0 {
		adoption.Written = idsOf(missing)
		return adoption, err
	}
	err = r.locked(ctx, always, func(ctx context.Context, hist *history) error {
		if adoption, missing, err = r.compareForeign(ctx, req, hist); err != nil || len(missing) == 0 {
			return err
		}
		r.store.actor = shorten(r.store.actor+", adopted from "+adoption.Tool, 240)
		upTo := r.store.setMeta(metaAdopted+r.store.set, fmt.Sprint(missing[len(missing)-1].id.Version))
		rows, err := r.baselineRows(ctx, hist, missing)
		if err != nil {
			return err
		}
		if err := r.writeBaseline(ctx, hist, missing, append(rows, upTo...)); err != nil {
			return err
		}
		adoption.Written = idsOf(missing)
		r.log.LogAttrs(ctx, slog.LevelInfo, "history adopted", slog.String("tool", adoption.Tool), slog.String("table", adoption.Table),
			slog.Int("migrations", len(missing)), slog.Int64("version", r.result.After))
		return nil
	})
	return adoption, err
}

func idsOf(list []*migration) []ID {
	ids := make([]ID, len(list))
	for i, m := range list {
		ids[i] = m.id
	}
	return ids
}

// compareForeign reads the other tool's history and sets it against files and
// ours. It returns the migrations that lack a row.
func (r *run) compareForeign(ctx context.Context, req AdoptRequest, hist *history) (*Adoption, []*migration, error) {
	adoption := newAdoption(req)
	theirs, err := r.readForeign(ctx, req, adoption)
	if err != nil {
		return adoption, nil, err
	}
	mapped, err := adoption.match(r.src, theirs, req.Versions)
	if err != nil {
		return adoption, nil, err
	}
	missing, err := r.lacking(ctx, hist, mapped)
	if err != nil {
		return adoption, nil, err
	}
	// What tldwdb has applied itself since, or adopted before theirs went back.
	adoption.Unapplied = slices.DeleteFunc(adoption.Unapplied, func(id ID) bool {
		row := hist.find(id)
		return row != nil && row.state.done()
	})
	_, some := hist.current()
	adoption.Already = len(missing) == 0 && (len(mapped) > 0 || some)
	return adoption, missing, nil
}

// readForeign finds the one history that is meant and reads it.
func (r *run) readForeign(ctx context.Context, req AdoptRequest, adoption *Adoption) ([]foreign.Version, error) {
	found, err := foreign.Find(ctx, r.d, r.conn, req.From, req.Table, r.cfg.Table)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, noForeignHistory(req)
	case 1:
	default:
		list := make([]string, len(found))
		for i, c := range found {
			list[i] = fmt.Sprintf("%s (%s)", c.Tool, c.Table)
		}
		return nil, withHint(fmt.Errorf("the database has more than one history: %s", strings.Join(list, ", ")),
			"say which one is meant with AdoptRequest.From, or with AdoptRequest.Table where one tool has several")
	}
	adoption.Tool, adoption.Table = found[0].Tool, found[0].Table
	h, err := found[0].Read(ctx, r.d, r.conn)
	if err != nil {
		return nil, err
	}
	for _, v := range h.Applied {
		adoption.Found = append(adoption.Found, ForeignVersion{Version: v.Version, Name: v.Name, Checksum: v.Checksum, UpTo: v.UpTo})
	}
	if h.Fault != nil {
		return nil, withHint(fmt.Errorf("%w: %s (%s): %s", ErrForeignState, adoption.Tool, adoption.Table, h.Fault.Reason), "%s; then adopt", h.Fault.Remedy)
	}
	return h.Applied, nil
}

func noForeignHistory(req AdoptRequest) error {
	what := "no table of a known tool"
	if req.From != "" {
		what = "no table of " + req.From
	}
	if req.Table != "" {
		return withHint(fmt.Errorf("%w: %s called %s", ErrNoForeignHistory, what, req.Table),
			"the table must be there, have the tool's columns, and be readable by this account")
	}
	return withHint(fmt.Errorf("%w: %s", ErrNoForeignHistory, what),
		"a table with another name, or in a schema that the connection does not look into, is named with AdoptRequest.Table; a database that no tool has kept is adopted with DB.Baseline")
}

// mapping leads from their versions to ours.
type mapping struct {
	src   *source
	named map[string]int64 // AdoptRequest.Versions
	// byNumber says that two with one number are the same. It ends with the first
	// entry that gives one of theirs another number.
	byNumber bool
}

func newMapping(src *source, named map[string]int64) *mapping {
	p := &mapping{src: src, named: named, byNumber: true}
	for version, n := range named {
		if number, ok := (foreign.Version{Version: version}).Number(); n != 0 && (!ok || number != n) {
			p.byNumber = false
		}
	}
	return p
}

// entry is what the caller says about one of theirs.
func (p *mapping) entry(v foreign.Version) (n int64, ok bool) {
	if n, ok = p.named[v.Full]; !ok || v.Full == "" {
		n, ok = p.named[v.Version]
	}
	return n, ok
}

// absent lists our versions for which the caller has named one of theirs that is
// not applied.
func (p *mapping) absent(theirs []foreign.Version) map[int64]string {
	there := map[string]bool{}
	for _, v := range theirs {
		there[v.Version], there[v.Full] = true, true
	}
	absent := map[int64]string{}
	for version, n := range p.named {
		if !there[version] {
			absent[n] = version
		}
	}
	for version, n := range p.named {
		if there[version] { // another name for the same version of ours
			delete(absent, n)
		}
	}
	return absent
}

// stranger is one of theirs that is none of ours.
type stranger struct {
	foreign.Version
	at int   // its place in their order
	n  int64 // its number; 0 where numbers mean nothing
}

// match sets their versions against ours. What is applied there is applied here;
// what stands for all before it, by its nature or because the caller says so,
// brings those along that nothing says to be missing.
func (a *Adoption) match(src *source, theirs []foreign.Version, versions map[string]int64) ([]*migration, error) {
	p := newMapping(src, versions)
	var (
		applied            = map[int64]bool{}
		whole, reach int64 = -1, -1 // theirs, and the caller, say that ours up to here are there
		highest      int64 = -1     // of ours that are
		last         int            // the place of the last of theirs that is one of ours
		strangers    []stranger
	)
	for i, v := range theirs {
		n, named := p.entry(v)
		numbered := named
		if !named && p.byNumber {
			n, numbered = v.Number()
		}
		known := numbered && src.find(ID{Version: n}) != nil
		switch {
		case known || !named:
		case n == 0:
			continue
		default:
			return nil, fmt.Errorf("%w: %s is said to be version %d of ours", ErrUnknownVersion, v.Version, n)
		}
		if named {
			reach = max(reach, n)
		}
		if v.UpTo && numbered {
			whole = max(whole, n)
		}
		if !known {
			strangers = append(strangers, stranger{v, i, n})
			a.Unknown = append(a.Unknown, v.Version)
			continue
		}
		applied[n] = true
		highest, last = max(highest, n), i
	}
	absent := p.absent(theirs)
	for _, m := range src.migrations {
		if v := m.id.Version; !m.id.Repeatable && (v <= whole || v <= reach && absent[v] == "") {
			applied[v] = true
			highest = max(highest, v)
		}
	}
	var beyond []string
	for _, s := range strangers {
		switch {
		case s.n != 0 && s.n < highest: // a file of theirs that is in one of ours
		case s.n != 0, s.UpTo, !s.Label && s.at > last: // a head that is no number may be anything
			beyond = append(beyond, s.Version.Version)
		}
	}
	switch {
	case len(beyond) > 0:
		return nil, withHint(fmt.Errorf("%w: %s is applied, and no file of ours has that version", ErrNotMapped, strings.Join(beyond, ", ")),
			"add the files, or say in AdoptRequest.Versions which version of ours is reached with it (0: none)")
	case len(applied) == 0 && len(strangers) > 0:
		return nil, withHint(fmt.Errorf("%w: none of %s is a version of ours", ErrNotMapped, a.Tool),
			"say in AdoptRequest.Versions which version of ours is reached with which of theirs, as %q: 1", theirs[len(theirs)-1].Version)
	}
	var mapped []*migration
	for _, m := range src.migrations {
		switch {
		case m.id.Repeatable:
		case applied[m.id.Version]:
			mapped = append(mapped, m)
			a.Mapped = append(a.Mapped, m.id)
		case m.id.Version < highest:
			return nil, gap(m.id, highest, absent[m.id.Version])
		default:
			a.Unapplied = append(a.Unapplied, m.id)
		}
	}
	return mapped, nil
}

func gap(id ID, highest int64, named string) error {
	who := ""
	if named != "" {
		who = fmt.Sprintf(" (%s)", named)
	}
	return withHint(fmt.Errorf("%w: %s%s is not applied there, and version %d is", ErrNotMapped, id, who, highest),
		"apply it with that tool first; if its effects are there under another version of theirs, say so in AdoptRequest.Versions")
}

// lacking lists those of the migrations that have no row yet. One that was
// adopted before and has none was taken back since, and their table does not
// know. It refuses a database on which tldwdb has gone its own way meanwhile.
func (r *run) lacking(ctx context.Context, hist *history, mapped []*migration) ([]*migration, error) {
	missing := slices.DeleteFunc(slices.Clone(mapped), func(m *migration) bool {
		row := hist.find(m.id)
		return hist.adopted != nil && m.id.Version <= *hist.adopted || row != nil && row.state.done()
	})
	if len(missing) == 0 {
		return nil, nil
	}
	for i := range hist.rows {
		row := &hist.rows[i]
		apart := row.state == stateBaseline || row.id.Repeatable && row.state.done()
		if !apart && !r.failedAtOnce(ctx, row) {
			return nil, withHint(fmt.Errorf("%w: tldwdb has migrated this database itself (%s: %s), and %s is applied by the other tool only", ErrNotMapped, row.id, row.standing(), missing[0].id),
				"DB.Status shows what tldwdb has applied; take that back with DB.Down, or give the migration that the other tool has run a row by DB.Repair or by running it")
		}
	}
	return missing, nil
}
