// Package lint judges migrations by rules before they run: what would stop writers or readers while it works, what breaks
// the programs that run meanwhile, what fails, and what is lost without a word.
//
// It has no parser. It stands on the statements and tokens of internal/sqlscan, and on a reader that knows where the words
// are that decide about locks (classify.go). What earlier migrations have made it remembers (schema.go): a change of type
// is judged by the type that is changed, and nothing that is done to a table of the same migration is a danger.
// The rules are tables of text with a function (rules.go and its neighbours); the pages in docs/lint are
// made from them and from the examples in testdata/lint.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// The names of the dialects.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
	mysql    = "mysql"
	mariadb  = "mariadb"
)

// Migration is what is judged: one version, or one repeatable file.
type Migration struct {
	Version    int64
	Name       string
	Repeatable bool
	Go         bool // written in Go: it is no text, but its version is one
	Quiet      bool // it is read for what it has made; nothing is said about it
	OneWay     bool // whether there is a way back is not asked
	Up, Down   *Text
}

// Text is one direction of a migration.
type Text struct {
	Path          string
	SQL           string
	NoTransaction bool
	Irreversible  bool
}

// Check judges migrations, which are in the order in which they run. dialect is sqlite, postgres, mysql or mariadb.
// Findings are in the order of the files, and in each by their places. The error is about cfg.
//
// A text that cannot be cut into statements gives a finding: nobody can say more about it.
func Check(list []Migration, dialect string, cfg tldwdblint.Config) ([]tldwdblint.Finding, error) {
	c, err := newCheck(dialect, cfg)
	if err != nil {
		return nil, err
	}
	found := c.all(list)
	findings := make([]tldwdblint.Finding, len(found))
	for i := range found {
		findings[i] = found[i].Finding
	}
	return findings, nil
}

// all judges migrations, and then what had to wait for the last of them.
func (c *check) all(list []Migration) []finding {
	for i := range list {
		c.migration(&list[i])
	}
	for i := range c.pending {
		if p := &c.pending[i]; p.holds(&c.schema) {
			c.findings = append(c.findings, p.finding)
		}
	}
	slices.SortStableFunc(c.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Rule, b.Rule))
	})
	return c.findings
}

// Valid reports what is wrong with cfg, for any dialect.
func Valid(cfg tldwdblint.Config) error {
	if len(cfg.Target)+len(cfg.Severity)+len(cfg.Rules) == 0 {
		return nil
	}
	_, err := newCheck(postgres, cfg)
	return err
}

// check is one call of Check.
type check struct {
	dialect string
	options sqlscan.Options
	cut     *sqlscan.Splitter
	target  version
	cfg     tldwdblint.Config
	rules   ruleset

	schema schema // what the migrations before have made

	// The migration at hand.
	m    *Migration
	text *Text
	down bool
	// statements are those of the text that were read; for rules about the file they have no tokens any more.
	statements []stmt
	actions    []tldwdblint.Action // likewise, what they do to tables
	born       map[string]bool     // tables made by this text
	dropped    map[string]*index   // indexes dropped by this text, as far as they were known
	transact   bool                // the text runs in a transaction
	assured    []assurance

	pass  pass                  // of the rules, one after the other
	types map[string]columnType // those that were met, by their text

	number   int // of the text, in the order in which they are judged
	findings []finding
	begin    int // index of the first finding of the text
	pending  []pending
}

// finding is a finding, and what is needed to put it into its place.
type finding struct {
	tldwdblint.Finding
	text  int // number of the text
	fix   fix
	order int  // of the statement; -1 for the file
	part  bool // it is about an action
}

// pending is a finding that later migrations may make void.
type pending struct {
	finding
	holds func(*schema) bool
}

// found is what a rule says. Its place is the action's, or the statement's.
type found struct {
	action   *tldwdblint.Action
	message  string
	remedy   string // default: the fix as text
	fix      fix
	severity tldwdblint.Severity // default: the rule's
}

func newCheck(dialect string, cfg tldwdblint.Config) (*check, error) {
	c := &check{dialect: dialect, cfg: cfg, schema: newSchema(), types: map[string]columnType{}, born: map[string]bool{}, dropped: map[string]*index{}}
	c.schema.full = dialect != postgres
	switch dialect {
	case sqlite:
		c.options.Dialect = sqlscan.SQLite
	case postgres:
		c.options.Dialect = sqlscan.Postgres
	case mysql:
		c.options.Dialect = sqlscan.MySQL
	case mariadb:
		c.options.Dialect, c.options.MariaDB = sqlscan.MySQL, true
	default:
		return nil, fmt.Errorf("there are no rules for the dialect %q: known are sqlite, postgres, mysql, mariadb", dialect)
	}
	c.cut = sqlscan.NewSplitter(c.options, enough)
	for name, target := range cfg.Target {
		v, err := parseVersion(target)
		if _, known := oldest[name]; !known || err != nil {
			return nil, fmt.Errorf("the target %s=%s is none: write postgres=14, mysql=8.0.36, mariadb=10.11 or sqlite=3.45", name, target)
		}
		if name == dialect {
			c.target = v
		}
	}
	if c.target == 0 {
		c.target = oldest[dialect]
	}
	var err error
	c.rules, err = selectRules(dialect, c.target, cfg)
	return c, err
}

// oldest is the oldest server of each dialect that this module works with; of SQLite the one that it comes with.
var oldest = map[string]version{
	sqlite: mustVersion("3.53"), postgres: mustVersion("12"), mysql: mustVersion("8.0.22"), mariadb: mustVersion("10.5"),
}

// version is a server's version as a number that can be compared.
type version int

func parseVersion(text string) (version, error) {
	parts := strings.SplitN(text, ".", 3)
	v := 0
	for i := range 3 {
		n := 0
		if i < len(parts) {
			var err error
			if n, err = strconv.Atoi(parts[i]); err != nil || n < 0 || n > 999 {
				return 0, fmt.Errorf("%q is no version", text)
			}
		}
		v = v*1000 + n
	}
	return version(v), nil
}

func mustVersion(text string) version {
	v, err := parseVersion(text)
	if err != nil {
		panic(err) // a literal of this package
	}
	return v
}

// from reports whether every server that the migrations have to run on has at least this version of a dialect. It
// is false for the other dialects.
func (c *check) from(dialect, text string) bool {
	return c.dialect == dialect && c.target >= mustVersion(text)
}

// migration judges both directions of a migration.
func (c *check) migration(m *Migration) {
	c.m = m
	if m.Go {
		return
	}
	if m.Up != nil {
		c.file(m.Up, false)
	}
	if m.Down != nil && (m.Up == nil || m.Down != m.Up) {
		c.file(m.Down, true)
	}
}

// skipped reports whether findings of the migration are not wanted.
func (c *check) skipped() bool {
	return c.m.Quiet || !c.m.Repeatable && c.m.Version <= c.cfg.StartAfter && c.cfg.StartAfter > 0
}

// file judges one text.
func (c *check) file(t *Text, down bool) {
	c.text, c.down = t, down
	c.begin = len(c.findings)
	c.number++
	clear(c.born)
	clear(c.dropped)
	clear(c.statements)
	c.statements, c.actions, c.assured = c.statements[:0], c.actions[:0], c.assured[:0]
	quiet := c.skipped()
	if quiet && down {
		return // nor has it made anything that a later file can see
	}
	list, err := c.cut.Split(t.SQL)
	if err != nil {
		if !quiet {
			c.unreadable(err)
		}
		return
	}
	c.transact = c.options.Dialect != sqlscan.MySQL && !t.NoTransaction
	c.read(list)
	if len(c.statements) == 1 && alone(&c.statements[0]) {
		c.transact = false // the runner sees that as well
	}
	if !quiet && strings.Contains(t.SQL, "tldwdb") {
		c.findAssurances(list)
	}
	for i := range c.statements {
		s := &c.statements[i]
		s.Transaction = c.transact
		s.NewTable = !s.Table.IsZero() && c.isNew(s.Table)
		if !quiet {
			s.scans = c.dialect == postgres && s.Kind == "ALTER TABLE" && (&pass{check: c}).scansTable(s)
			c.statement(s)
		}
		c.remember(s)
	}
	if quiet {
		return
	}
	if severity := c.rules.severity[ruleOneWay]; severity != tldwdblint.SeverityOff && !down && c.m.Down == nil && !c.m.OneWay && !c.m.Repeatable && !t.Irreversible {
		c.place(nil, finding{Finding: tldwdblint.Finding{
			Rule: ruleOneWay, Severity: severity, Message: "there is no down file, and no reason why not", Remedy: "-- tldwdb: irreversible why it cannot be taken back", Page: page(ruleOneWay),
		}})
	}
	c.pass = pass{check: c}
	for _, r := range c.rules.files {
		if !down || !r.forward {
			c.pass.rule = r
			r.file(&c.pass)
		}
	}
	c.settle()
}

// read classifies the statements of a text.
func (c *check) read(list []sqlscan.Statement) {
	direction := "up"
	if c.down {
		direction = "down"
	}
	above := 0 // where what stands above a statement begins
	for i := range list {
		st := &list[i]
		again := c.dialect == sqlite && rebuildsBelow(c.text.SQL[above:st.Offset])
		above = st.Offset + len(st.Text)
		c.statements = append(c.statements, stmt{toks: c.cut.Tokens(i), order: i, again: again})
		s := &c.statements[i]
		s.Line, s.Column, s.Offset, s.Text = st.Line, st.Column, st.Offset, st.Text
		s.Dialect, s.Direction, s.File, s.Version = c.dialect, direction, c.text.Path, c.m.Version
		c.actions = classifyInto(s, st.Text, c.options.Dialect, c.actions)
	}
}

// rebuildsBelow reports whether what stands above a statement has the directive that rebuilds its table.
func rebuildsBelow(above string) bool {
	if !strings.Contains(above, "rebuild") {
		return false
	}
	for line := range strings.Lines(above) {
		if _, text, ok := strings.Cut(line, "tldwdb:"); ok && isDirective(strings.TrimSpace(line)) && strings.HasPrefix(strings.TrimSpace(text), "rebuild ") {
			return true
		}
	}
	return false
}

// enough is how many tokens of a statement are read. Of rows nobody needs more than the table that they go into.
func enough(verb string) int {
	switch verb {
	case "INSERT", "REPLACE", "COPY", "GRANT", "REVOKE", "COMMENT":
		return 64
	}
	return -1 // all
}

// alone reports whether the runner gives a statement a file without a transaction when it is the only one.
func alone(s *stmt) bool {
	switch s.Kind {
	case "VACUUM", "REINDEX", "CLUSTER", "REPACK", "CREATE DATABASE", "DROP DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE", "ALTER SYSTEM":
		return true
	case "CREATE INDEX", "DROP INDEX":
		return s.Concurrently
	case "ALTER TABLE":
		return slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool { return a.Concurrently })
	}
	return false
}

// statement asks the rules about a statement.
func (c *check) statement(s *stmt) {
	p := &c.pass
	p.check, p.s = c, s
	for _, list := range [2][]*rule{c.rules.kinds[s.Kind], c.rules.all} {
		for _, r := range list {
			if !c.down || !r.forward {
				p.rule = r
				r.stmt(p, s)
			}
		}
	}
	for _, r := range c.rules.custom {
		if (!c.down || r.Down) && (len(r.Kinds) == 0 || slices.Contains(r.Kinds, s.Kind)) {
			r.Check(&s.Statement, func(f tldwdblint.Finding) { c.custom(r, s, f) })
		}
	}
}

// pass is one rule at one statement, or at one file.
type pass struct {
	*check
	rule *rule
	s    *stmt
}

// report adds a finding about the statement at hand, or about the part of it.
func (p *pass) report(f found) { p.reportAt(p.s, f) }

// reportAt adds a finding about any statement of the file; with nil about the file.
func (p *pass) reportAt(s *stmt, f found) {
	p.place(s, p.finding(s, f))
}

// later reports what later migrations may make void: holds is asked when all of them are known.
func (p *pass) later(f found, holds func(*schema) bool) {
	made := p.located(p.s, p.finding(p.s, f))
	if !p.assures(made.Finding) {
		p.pending = append(p.pending, pending{made, holds})
	}
}

// finding is what is known of a finding but its place.
func (p *pass) finding(s *stmt, f found) finding {
	severity := p.rules.severity[p.rule.id]
	if f.severity != "" && p.cfg.Severity[p.rule.id] == "" {
		severity = f.severity
	}
	made := finding{fix: f.fix, part: f.action != nil, order: -1}
	made.Rule, made.Severity, made.Message, made.Remedy, made.Page = p.rule.id, severity, f.message, cmp.Or(f.remedy, f.fix.text()), page(p.rule.id)
	if s != nil {
		made.order = s.order
	}
	if f.action != nil {
		made.Offset, made.Length = f.action.Offset, f.action.Length
	}
	return made
}

// custom adds what a program's own rule has found.
func (c *check) custom(r *tldwdblint.Rule, s *stmt, f tldwdblint.Finding) {
	f.Rule = r.ID
	f.Severity = cmp.Or(c.cfg.Severity[r.ID], f.Severity, r.Severity, tldwdblint.SeverityWarning)
	f.Message, f.Page = cmp.Or(f.Message, r.Title), cmp.Or(f.Page, r.Page)
	if end := s.Offset + len(s.Text); f.Length < 0 || f.Offset < s.Offset || f.Offset > end || f.Length > end-f.Offset {
		f.Offset, f.Length = 0, 0 // no part of the statement: it is about the whole
	}
	if f.Severity != tldwdblint.SeverityOff {
		c.place(s, finding{Finding: f})
	}
}

// place adds a finding.
func (c *check) place(s *stmt, f finding) { c.findings = append(c.findings, c.located(s, f)) }

// located fills in where a finding is.
func (c *check) located(s *stmt, f finding) finding {
	f.text = c.number
	f.File, f.Version, f.Name, f.Direction = c.text.Path, c.m.Version, c.m.Name, "up"
	if c.down {
		f.Direction = "down"
	}
	if s == nil {
		if f.Line == 0 {
			f.Line, f.Column = position(c.text.SQL, 1, 1, 0, f.Offset)
		}
		return f
	}
	f.Statement = s.Text
	if f.Length == 0 {
		f.Offset, f.Length = s.Offset, len(s.Text)
	}
	if f.Line == 0 {
		f.Line, f.Column = position(c.text.SQL, s.Line, s.Column, s.Offset, f.Offset)
	}
	return f
}

// position is the line and the column of an offset, from a place before it where they are known.
func position(text string, line, column, from, to int) (int, int) {
	part := text[from:to]
	if n := strings.Count(part, "\n"); n > 0 {
		line, column = line+n, 1
		part = part[strings.LastIndexByte(part, '\n')+1:]
	}
	return line, column + utf8.RuneCountInString(part)
}

// unreadable reports a text that is no SQL.
func (c *check) unreadable(err error) {
	f := finding{Finding: tldwdblint.Finding{Rule: ruleUnreadable, Severity: tldwdblint.SeverityError, Message: "this cannot be read: " + err.Error(), Page: page(ruleUnreadable), Line: 1, Column: 1}}
	if at, ok := err.(*sqlscan.Error); ok { //nolint:errorlint // Split says that it is one, and wraps nothing
		f.Line, f.Column, f.Offset, f.Message = at.Line, at.Column, at.Offset, "this cannot be read: "+at.Msg
	}
	if c.rules.severity[ruleUnreadable] != tldwdblint.SeverityOff {
		c.place(nil, f)
	}
}

// isNew reports whether a table was made by the text at hand, so that nobody can be waiting for it.
func (c *check) isNew(table tldwdblint.Name) bool { return c.born[key(table)] }

// settle takes out what is assured, and reports assurances that assure nothing.
func (c *check) settle() {
	kept := c.findings[:c.begin]
	for _, f := range c.findings[c.begin:] {
		if !c.assures(f.Finding) {
			kept = append(kept, f)
		}
	}
	c.findings = kept
	c.judgeAssurances()
}
