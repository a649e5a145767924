package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file takes unsafe migrations apart: what a rule knows to do safely becomes migrations of its own, in the place of the
// statement; what is left stays together around them.

// fix is how a statement, or an action of one, is done safely: pieces that are migrations of their own, in this order.
type fix []piece

// piece is one of them.
type piece struct {
	name  string // of the file
	alone bool   // without a transaction
	up    string // statements, the last one without its semicolon
	down  string // likewise; empty where nobody knows the way back
}

// nothing is the way back of a piece that leaves nothing to take back.
const nothing = "SELECT 1"

// text shows a fix as SQL.
func (f fix) text() string {
	var b strings.Builder
	for i, p := range f {
		if i > 0 {
			b.WriteString("-- in the next migration:\n")
		}
		b.WriteString(p.text(p.up) + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// text is one direction of a piece.
func (p piece) text(statements string) string {
	text := strings.TrimSuffix(strings.TrimSpace(statements), ";") + ";"
	if p.alone {
		return "-- tldwdb: no-transaction\n" + text
	}
	return text
}

// Fixed is how one migration is done safely.
type Fixed struct {
	Path    string // of its way up
	Version int64
	Files   []string // those that the pieces replace
	Pieces  []FixedPiece
	Why     string // why it cannot be taken apart; empty when it can
}

// FixedPiece is one of the migrations that take the place of an unsafe one, in their order.
type FixedPiece struct {
	Name     string
	Up, Down string // whole files; Down is empty when the unsafe migration has none
}

// Fixes takes the migrations apart in which there is something that is known to be done safely. What comes out is judged as well:
// a migration whose pieces are not better than it was is left as it is, and Why says so.
func Fixes(list []Migration, dialect string, cfg tldwdblint.Config) ([]Fixed, error) {
	c, err := newCheck(dialect, cfg)
	if err != nil {
		return nil, err
	}
	byText := map[int][]finding{}
	for _, f := range c.all(list) {
		if len(f.fix) > 0 && f.Direction == "up" && f.Severity.AtLeast(tldwdblint.SeverityWarning) {
			byText[f.text] = append(byText[f.text], f)
		}
	}
	var fixes []Fixed
	for i := range list {
		m := &list[i]
		for _, found := range byText {
			if m.Up == nil || found[0].File != m.Up.Path || found[0].Version != m.Version || found[0].Name != m.Name {
				continue
			}
			fixed := Fixed{Path: m.Up.Path, Version: m.Version, Files: []string{m.Up.Path}}
			if m.Down != nil && m.Down.Path != m.Up.Path {
				fixed.Files = append(fixed.Files, m.Down.Path)
			}
			if m.Repeatable {
				fixed.Why = "a repeatable migration is one file"
			} else {
				c.takeApart(m, found, &fixed)
			}
			if fixed.Why == "" {
				if fixed.Why, err = better(list, i, fixed, dialect, cfg); err != nil {
					return nil, err
				}
			}
			fixes = append(fixes, fixed)
		}
	}
	return fixes, nil
}

// part is a migration while it is put together.
type part struct {
	name       string
	directives []string
	up, down   []string
	kept       bool // statements of the unsafe migration, and not a piece of a fix
}

// takeApart divides a migration.
func (c *check) takeApart(m *Migration, found []finding, fixed *Fixed) {
	list, err := sqlscan.Split(m.Up.SQL, c.options)
	if err != nil {
		fixed.Why = "it cannot be read"
		return
	}
	directives := headDirectives(m.Up.SQL, list)
	var parts []part
	keep := func(text string) {
		if n := len(parts); n == 0 || !parts[n-1].kept {
			parts = append(parts, part{name: m.Name, directives: directives, kept: true})
		}
		last := &parts[len(parts)-1]
		last.up = append(last.up, text)
	}
	replaced := false // by pieces with a way back that is not known
	pieces := func(f fix, comments string) {
		for i, p := range f {
			made := part{name: p.name, up: []string{p.up}}
			if i == 0 {
				made.up[0] = comments + p.up
			}
			if p.alone {
				made.directives = []string{"-- tldwdb: no-transaction"}
			}
			if p.down != "" {
				made.down = []string{p.down}
			} else {
				replaced = true
			}
			parts = append(parts, made)
		}
	}
	before := 0
	for i := range list {
		st := &list[i]
		comments := commentsAbove(m.Up.SQL[before:st.Offset], i == 0)
		before = st.Offset + len(st.Text)
		whole, actions := fixesOf(found, i)
		if whole == nil && len(actions) == 0 {
			if st.CopyIn {
				fixed.Why = "there is COPY with its data in it"
				return
			}
			keep(comments + st.Text)
			continue
		}
		if whole != nil {
			pieces(whole, comments)
			continue
		}
		s := stmt{toks: slices.Collect(sqlscan.Tokens(st.Text, c.options))}
		s.Offset = st.Offset
		classify(&s, st.Text, c.options.Dialect)
		var left []string
		for k := range s.Actions {
			if actions[s.Actions[k].Offset] == nil {
				left = append(left, s.Actions[k].Text)
			}
		}
		if len(left) > 0 {
			keep(comments + alterHead(&s) + strings.Join(left, ", "))
			comments = ""
		}
		for k := range s.Actions {
			if f := actions[s.Actions[k].Offset]; f != nil {
				pieces(f, comments)
				comments = ""
			}
		}
	}
	if m.Down != nil {
		if fixed.Why = c.takeBack(m, parts, replaced); fixed.Why != "" {
			return
		}
	}
	for _, p := range parts {
		made := FixedPiece{Name: fileSafe.ReplaceAllString(p.name, "_"), Up: p.file(p.up)}
		if m.Down != nil {
			down := p.down
			if len(down) == 0 {
				down = []string{nothing}
			}
			made.Down = p.file(down)
		}
		fixed.Pieces = append(fixed.Pieces, made)
	}
}

// fileSafe are the characters that a migration's name does not have.
var fileSafe = lazyregexp.New(`[^\pL\pN_]+`)

// file is one direction of a part as a file.
func (p part) file(statements []string) string {
	var b strings.Builder
	for _, d := range p.directives {
		b.WriteString(d + "\n")
	}
	for _, s := range statements {
		b.WriteString(strings.TrimSuffix(strings.TrimSpace(s), ";") + ";\n")
	}
	return b.String()
}

// headDirectives are the comments for the runner above the first statement, which every part keeps. An assurance is about what the
// file was, and stays with its statement.
func headDirectives(text string, list []sqlscan.Statement) (directives []string) {
	if len(list) == 0 {
		return nil
	}
	for line := range strings.Lines(text[:list[0].Offset]) {
		line = strings.TrimSpace(line)
		if isDirective(line) && !strings.Contains(line, "assured") {
			directives = append(directives, line)
		}
	}
	return directives
}

func isDirective(line string) bool {
	rest, ok := strings.CutPrefix(line, "--")
	return ok && strings.HasPrefix(strings.TrimSpace(rest), "tldwdb:")
}

// commentsAbove are the comments in front of a statement; what ends the statement before it, and that one's line, is left out.
func commentsAbove(gap string, first bool) string {
	if !first {
		_, gap, _ = strings.Cut(gap, "\n")
	}
	var b strings.Builder
	for line := range strings.Lines(gap) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || first && isDirective(trimmed) && !strings.Contains(trimmed, "assured") {
			continue
		}
		b.WriteString(trimmed + "\n")
	}
	return b.String()
}

// fixesOf are the fixes of a statement: of the whole, or by the places of its actions. Where several rules know one, the
// first is taken: rules are in the order of what they weigh, and the others find nothing any more afterwards.
func fixesOf(found []finding, order int) (whole fix, actions map[int]fix) {
	actions = map[int]fix{}
	for _, f := range found {
		switch {
		case f.order != order:
		case !f.part && whole == nil:
			whole = f.fix
		case f.part && actions[f.Offset] == nil:
			actions[f.Offset] = f.fix
		}
	}
	return whole, actions
}

// takeBack divides the way back: what a piece takes back itself is left out of the file that was there; the rest goes to the
// statements that were kept. It says why not, where nobody can know.
func (c *check) takeBack(m *Migration, parts []part, unknown bool) string {
	list, err := sqlscan.Split(m.Down.SQL, c.options)
	if err != nil {
		return "its way back cannot be read"
	}
	var undone []stmt
	for _, p := range parts {
		for _, text := range p.down {
			statements, err := sqlscan.Split(text, c.options)
			if err != nil {
				return "its way back cannot be read"
			}
			for _, st := range statements {
				s := stmt{toks: slices.Collect(sqlscan.Tokens(st.Text, c.options))}
				classify(&s, st.Text, c.options.Dialect)
				undone = append(undone, s)
			}
		}
	}
	var left []string
	for _, st := range list {
		s := stmt{toks: slices.Collect(sqlscan.Tokens(st.Text, c.options))}
		classify(&s, st.Text, c.options.Dialect)
		if text := withoutUndone(&s, st.Text, undone); text != "" {
			left = append(left, text)
		}
	}
	if len(left) == 0 {
		return ""
	}
	kept := -1
	for i := range parts {
		if parts[i].kept {
			if kept >= 0 {
				return "its way back would have to be divided by hand: what is left of it belongs to several parts"
			}
			kept = i
		}
	}
	switch {
	case len(parts) == 1:
		kept = 0
	case kept < 0 || unknown:
		return "its way back would have to be divided by hand"
	}
	parts[kept].down = append(parts[kept].down, left...)
	return ""
}

// withoutUndone is a statement of a way back without what the pieces take back themselves.
func withoutUndone(s *stmt, text string, undone []stmt) string {
	if len(s.Actions) == 0 {
		for i := range undone {
			if u := &undone[i]; u.Kind == s.Kind && len(u.Actions) == 0 && strings.EqualFold(u.Name.Name, s.Name.Name) && u.Kind != "SELECT" {
				return ""
			}
		}
		return text
	}
	var left []string
	for _, a := range s.Actions {
		same := slices.ContainsFunc(undone, func(u stmt) bool {
			return key(u.Table) == key(s.Table) && slices.ContainsFunc(u.Actions, func(b tldwdblint.Action) bool {
				return a.Kind == b.Kind && strings.EqualFold(a.Constraint.Name.Name, b.Constraint.Name.Name) && strings.EqualFold(a.Column.Name, b.Column.Name)
			})
		})
		if !same {
			left = append(left, a.Text)
		}
	}
	if len(left) == 0 {
		return ""
	}
	return alterHead(s) + strings.Join(left, ", ")
}

// better judges the pieces in the place of the migration, and says why they are no better.
func better(list []Migration, i int, fixed Fixed, dialect string, cfg tldwdblint.Config) (string, error) {
	now := slices.Clone(list[:i])
	for k, p := range fixed.Pieces {
		piece := Migration{Version: fixed.Version, Name: p.Name, Up: newText(fmt.Sprintf("%s/%d", fixed.Path, k), p.Up)}
		if p.Down != "" {
			piece.Down = newText(fmt.Sprintf("%s/%d.down", fixed.Path, k), p.Down)
		}
		now = append(now, piece)
	}
	count := func(list []Migration) (n int, first string, err error) {
		findings, err := Check(list, dialect, cfg)
		for _, f := range findings {
			if strings.HasPrefix(f.File, fixed.Path) && f.Direction == "up" && f.Severity.AtLeast(tldwdblint.SeverityWarning) {
				n++
				if first == "" {
					first = f.Rule + ": " + f.Message
				}
			}
		}
		return n, first, err
	}
	before, _, err := count(list[:i+1])
	if err != nil {
		return "", err
	}
	after, first, err := count(now)
	if err == nil && after >= before {
		return "its pieces are no safer (" + first + ")", nil
	}
	return "", err
}

func newText(path, sql string) *Text {
	return &Text{Path: path, SQL: sql, NoTransaction: strings.Contains(sql, "-- tldwdb: no-transaction\n"), Irreversible: strings.Contains(sql, "-- tldwdb: irreversible ")}
}
