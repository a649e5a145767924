package tldwdbcli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lint"
	"github.com/tldw/tldwdb/tldwdblint"
)

// lintAnswer is what the rules found.
type lintAnswer struct {
	Dialect  string               `json:"dialect"`
	Findings []tldwdblint.Finding `json:"findings"`
	Errors   int                  `json:"errors"`   // findings of severity error
	Warnings int                  `json:"warnings"` // of severity warning
	Notices  int                  `json:"notices"`  // of severity notice
	Written  []string             `json:"written"`  // files that --fix has written
	Remove   []string             `json:"remove"`   // files whose work those do now
	Unfixed  []string             `json:"unfixed"`  // files that --fix could not take apart, and why

	texts map[string]string // by file and direction
}

// unsafe reports whether there is a finding that ends the command with code 3.
func (l lintAnswer) unsafe() bool { return l.Errors+l.Warnings > 0 }

var severityColors = map[tldwdblint.Severity]string{tldwdblint.SeverityError: colorRed, tldwdblint.SeverityWarning: colorYellow, tldwdblint.SeverityNotice: colorFaint}

func (l lintAnswer) text(p *printer) {
	p.findings(l.Findings, l.texts)
	for _, file := range l.Written {
		p.linef("%s %s", p.paint(colorGreen, "wrote"), file)
	}
	for _, file := range l.Remove {
		p.linef("%s %s: what it does is in the new files; it must not have been applied anywhere", p.paint(colorYellow, "now remove"), file)
	}
	for _, why := range l.Unfixed {
		p.linef("%s %s", p.paint(colorYellow, "not fixed:"), why)
	}
	if len(l.Findings) == 0 {
		p.linef("%s nothing found for %s", p.paint(colorGreen, "ok:"), l.Dialect)
		return
	}
	p.linef("%s, %s, %s; %s", plural(l.Errors, "error"), plural(l.Warnings, "warning"), plural(l.Notices, "notice"), "'lint --rules RULE' says more about one")
}

// findings shows what the rules found, with the lines of the files; texts are by file and direction.
func (p *printer) findings(list []tldwdblint.Finding, texts map[string]string) {
	for _, f := range list {
		p.linef("%s %s %s", p.paint(colorBold, fmt.Sprintf("%s:%d:%d:", f.File, f.Line, f.Column)), p.paint(severityColors[f.Severity], string(f.Severity)+" "+f.Rule+":"), f.Message)
		if line, begin, length := excerpt(texts[f.File+" "+f.Direction], f); line != "" {
			number := fmt.Sprintf("%4d", f.Line)
			p.linef("%s %s", p.faint(number+" |"), line)
			p.linef("%s %s%s", p.faint("     |"), strings.Repeat(" ", begin), p.paint(severityColors[f.Severity], strings.Repeat("^", length)))
		}
		for line := range strings.Lines(f.Remedy) {
			p.linef("%s %s", p.faint("     ="), strings.TrimRight(line, "\n"))
		}
	}
}

// excerpt is the line that a finding begins in, and which characters of it are meant. Tabs are one blank, so that the
// marks stand below what they mark.
func excerpt(text string, f tldwdblint.Finding) (line string, begin, length int) {
	if f.Length == 0 || f.Offset+f.Length > len(text) {
		return "", 0, 0
	}
	from := strings.LastIndexByte(text[:f.Offset], '\n') + 1
	to := len(text)
	if n := strings.IndexByte(text[f.Offset:], '\n'); n >= 0 {
		to = f.Offset + n
	}
	line = strings.ReplaceAll(strings.TrimRight(text[from:to], "\r"), "\t", " ")
	part, _, _ := strings.Cut(text[f.Offset:f.Offset+f.Length], "\n")
	return line, utf8.RuneCountInString(text[from:f.Offset]), max(1, utf8.RuneCountInString(strings.TrimRight(part, "\r")))
}

// rulesAnswer is what the rules are.
type rulesAnswer struct {
	Rules []lint.About `json:"rules"`
	whole bool
}

func (r rulesAnswer) text(p *printer) {
	if !r.whole {
		t := p.table("rule", "severity", "servers", "what is found")
		for _, a := range r.Rules {
			t.row(a.ID, string(a.Severity), a.Servers, a.Title)
		}
		t.end()
		return
	}
	for i, a := range r.Rules {
		if i > 0 {
			p.line("")
		}
		p.linef("%s %s", p.paint(colorBold, a.ID+":"), a.Title)
		p.linef("%s", p.faint(string(a.Severity)+", "+a.Servers))
		p.line(wrap(a.Breaks))
		p.line("")
		p.line(wrap("Instead: " + a.Instead))
		p.line(p.faint(a.Page))
	}
}

// lintFlags are what 'lint' was asked.
type lintFlags struct {
	dialect          string
	target, severity []string
	startAfter       int64
	sarif, github    bool
	fix, rules       bool
}

func (a *app) lintCommand(root *cobra.Command) {
	var how lintFlags
	cmd := a.add(root, command{
		use: "lint [RULE...] [flags]", group: groupFiles, short: "Find what is unsafe in the migrations, before it runs",
		long: `
Reads the migrations and says what would stop writers or readers while it works,
break the programs that run meanwhile, fail, or lose something, and how the same is
done safely. It asks no database. It ends with exit code 3 when there is an error or
a warning.

The rules are those of the engine of the database, or of --dialect: sqlite, postgres,
mysql or mariadb. --target is the
oldest server that the migrations have to run on. What does not matter in one place
is told there, in a comment: -- tldwdb: assured RULE the reason

--fix writes, beside the newest migration, new ones that do the same safely. It
changes no file that is there, and says which one to remove.

--rules lists the rules, or says more about some.`,
		example: `
tldwdb lint --dialect postgres --target postgres=14
tldwdb lint --start-after 41 --severity PG318=warning,PG102=off
tldwdb lint --sarif > lint.sarif
tldwdb lint --rules PG101`,
		args: cobra.ArbitraryArgs,
		run: func(cmd *cobra.Command, args []string) error {
			if how.rules {
				return a.listRules(cmd, args)
			}
			if len(args) > 0 {
				return usagef("to see a rule write --rules %s", args[0])
			}
			return a.lint(cmd, how)
		},
	})
	f := cmd.Flags()
	f.StringVar(&how.dialect, "dialect", "", "the `engine` whose rules are asked")
	f.StringSliceVar(&how.target, "target", nil, "the oldest `server` to run on, such as postgres=14")
	f.StringSliceVar(&how.severity, "severity", nil, "the `weight` of rules, such as PG101=off")
	f.Int64Var(&how.startAfter, "start-after", 0, "leave out the versions up to this `version`")
	f.BoolVar(&how.sarif, "sarif", false, "print SARIF 2.1.0, for code scanning")
	f.BoolVar(&how.github, "github", false, "print annotations for GitHub Actions")
	f.BoolVar(&how.fix, "fix", false, "write safe migrations beside the newest one")
	f.BoolVar(&how.rules, "rules", false, "list the rules, or say more about those named")
}

func (a *app) listRules(cmd *cobra.Command, ids []string) error {
	all := lint.Rules()
	if len(ids) == 0 {
		return a.answer(cmd, rulesAnswer{Rules: all}, nil)
	}
	var named []lint.About
	for _, id := range ids {
		i := slices.IndexFunc(all, func(r lint.About) bool { return strings.EqualFold(r.ID, id) })
		if i < 0 {
			return usagef("there is no rule %s: 'lint --rules' lists them", id)
		}
		named = append(named, all[i])
	}
	return a.answer(cmd, rulesAnswer{Rules: named, whole: true}, nil)
}

// lint judges the migrations and prints what was found in the form that was asked for.
func (a *app) lint(cmd *cobra.Command, how lintFlags) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	if how.dialect == "" {
		u, err := s.url()
		if err != nil {
			return err
		}
		how.dialect = u.Dialect
	}
	if err := checkDialect(how.dialect); err != nil {
		return err
	}
	if how.sarif && how.github || a.flags.json && (how.sarif || how.github) {
		return usagef("--sarif, --github and --json are forms of one answer: choose one")
	}
	cfg := s.config
	if cfg.Lint, err = how.config(cfg.Lint); err != nil {
		return err
	}
	findings, err := tldwdb.Lint(cfg, how.dialect)
	if err != nil {
		return err
	}
	files, err := tldwdb.Files(cfg, how.dialect)
	if err != nil {
		return err
	}
	answer := lintAnswer{Dialect: how.dialect, Findings: findings, texts: map[string]string{}}
	for _, f := range findings {
		switch f.Severity {
		case tldwdblint.SeverityError:
			answer.Errors++
		case tldwdblint.SeverityWarning:
			answer.Warnings++
		default:
			answer.Notices++
		}
	}
	for _, f := range files {
		for direction, text := range map[string]*tldwdb.FileText{"up": f.Up, "down": f.Down} {
			if text != nil {
				answer.texts[text.Path+" "+direction] = text.Text
			}
		}
	}
	var bad error
	if answer.unsafe() {
		bad = errUnhealthy
	}
	if how.fix {
		if err := answer.fix(s, cfg, how.dialect, files); err != nil {
			return err
		}
	}
	switch {
	case how.sarif:
		return a.printed(cmd, sarif(answer, fromHere(s.dir)), bad)
	case how.github:
		return a.printed(cmd, annotations(answer, fromHere(s.dir)), bad)
	}
	return a.answer(cmd, answer, bad)
}

// config is the rules' configuration with what the flags say.
func (how lintFlags) config(cfg tldwdblint.Config) (tldwdblint.Config, error) {
	if how.startAfter != 0 {
		cfg.StartAfter = how.startAfter
	}
	cfg.Target, cfg.Severity = maps.Clone(cfg.Target), maps.Clone(cfg.Severity)
	for _, pair := range how.target {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return cfg, usagef("--target is %q: accepted is a server and its version, such as postgres=14", pair)
		}
		if cfg.Target == nil {
			cfg.Target = map[string]string{}
		}
		cfg.Target[name] = value
	}
	for _, pair := range how.severity {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return cfg, usagef("--severity is %q: accepted is a rule and its weight, such as PG101=off", pair)
		}
		if cfg.Severity == nil {
			cfg.Severity = map[string]tldwdblint.Severity{}
		}
		cfg.Severity[name] = tldwdblint.Severity(value)
	}
	if err := lint.Valid(cfg); err != nil {
		return cfg, &usageError{err}
	}
	return cfg, nil
}

// printed writes an answer that is neither text for people nor JSON of ours.
func (a *app) printed(cmd *cobra.Command, document string, err error) error {
	p := a.printer(cmd.OutOrStdout())
	p.line(strings.TrimRight(document, "\n"))
	if p.err != nil {
		return a.unwritten(cmd, err, p.err)
	}
	if err != nil {
		return &toldError{err}
	}
	return nil
}

// fix writes what can be done safely beside what is not.
func (l *lintAnswer) fix(s *settings, cfg tldwdb.Config, dialect string, files []tldwdb.File) error {
	if s.dir == "" {
		return usagef("which folder? --fix writes files: name it with --dir, %s, or 'dir' in %s", variableDir, defaultFile)
	}
	numbers, err := numberedFiles(s.dir)
	if err != nil {
		return err
	}
	n := numberingOf(numbers)
	list := lintable(files)
	snap, err := squashedInto(s.dir, dialect, list)
	if err != nil {
		return err
	}
	fixes, err := lint.Fixes(append(snap, list...), dialect, cfg.Lint)
	if err != nil {
		return err
	}
	for _, f := range fixes {
		switch {
		case f.Why != "":
			l.Unfixed = append(l.Unfixed, f.Path+": "+f.Why)
			continue
		case f.Version != n.last:
			l.Unfixed = append(l.Unfixed, f.Path+": it is not the newest migration, and a later one might need what it made; 'renumber' moves it behind them")
			continue
		}
		texts := map[string]string{}
		for i, piece := range f.Pieces {
			stem := path.Join(path.Dir(f.Path), n.format(n.last+int64(i)+1)+"_"+piece.Name)
			texts[stem+".up.sql"] = piece.Up
			if piece.Down != "" {
				texts[stem+".down.sql"] = piece.Down
			}
		}
		written, err := writeNew(s.dir, texts)
		if err != nil {
			return err
		}
		for _, file := range written {
			l.Written = append(l.Written, filepath.ToSlash(file))
		}
		for _, file := range f.Files {
			l.Remove = append(l.Remove, filepath.ToSlash(filepath.Join(s.dir, filepath.FromSlash(file))))
		}
	}
	return nil
}

// lintable is migrations as the rules see them.
func lintable(files []tldwdb.File) []lint.Migration {
	list := make([]lint.Migration, len(files))
	for i, f := range files {
		list[i] = lint.Migration{
			Version: f.Migration.Version, Name: f.Migration.Name, Repeatable: f.Migration.Repeatable, Go: f.Go, Up: lintText(f.Up), Down: lintText(f.Down),
		}
	}
	return list
}

// squashedInto is the snapshot that stands for files that are gone, of which [tldwdb.Files] knows nothing: what it makes is there when
// the others run. There is none where all files are there.
func squashedInto(dir, dialect string, files []lint.Migration) ([]lint.Migration, error) {
	snapshots, err := snapshotFiles(dir)
	if err != nil {
		return nil, err
	}
	var newest *snapshotFile
	for i := range snapshots {
		snap := &snapshots[i]
		instead := !slices.ContainsFunc(files, func(m lint.Migration) bool { return m.Version == snap.version && !m.Repeatable })
		if instead && dialectOf(snap.engine) == dialectOf(dialect) && (newest == nil || snap.version > newest.version || snap.version == newest.version && snap.engine == dialect) {
			newest = snap
		}
	}
	if newest == nil {
		return nil, nil
	}
	text, err := os.ReadFile(newest.path)
	if err != nil {
		return nil, err
	}
	return []lint.Migration{{Version: newest.version, Name: "snapshot", Quiet: true, Up: &lint.Text{Path: filepath.Base(newest.path), SQL: string(text)}}}, nil
}

// fromHere is the path of a folder as other tools want it: from the working directory on where it is below that, with slashes.
func fromHere(dir string) string {
	if here, err := os.Getwd(); err == nil && filepath.IsAbs(dir) {
		dir = below(here, dir)
	}
	return filepath.ToSlash(dir)
}

// below is dir as seen from a folder above it, and dir itself where that is not above. Either may be named by way of a link.
func below(above, dir string) string {
	for _, real := range []func(string) (string, error){func(path string) (string, error) { return path, nil }, filepath.EvalSymlinks} {
		from, err := real(above)
		if err != nil {
			return dir
		}
		to, err := real(dir)
		if err != nil {
			return dir
		}
		if path, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(path) {
			return path
		}
	}
	return dir
}

// uri is a file's path as SARIF has it: relative ones stay so.
func uri(file string) string {
	u := url.URL{Path: file}
	if filepath.IsAbs(filepath.FromSlash(file)) {
		u.Scheme, u.Path = "file", "/"+strings.TrimPrefix(file, "/") // Windows has a drive in front
	}
	return u.String()
}

func lintText(f *tldwdb.FileText) *lint.Text {
	if f == nil {
		return nil
	}
	return &lint.Text{
		Path: f.Path, SQL: f.Text, NoTransaction: slices.Contains(f.Directives, "no-transaction"),
		Irreversible: slices.ContainsFunc(f.Directives, func(d string) bool { return strings.HasPrefix(d, "irreversible") }),
	}
}

// annotations are the findings as GitHub Actions reads them from a step's output. folder stands in front of the
// files' names, so that they are those of the repository when the command runs at its root.
func annotations(l lintAnswer, folder string) string {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, f := range l.Findings {
		message := f.Message
		if f.Remedy != "" {
			message += "\n\n" + f.Remedy
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", f.Severity, property.Replace(path.Join(folder, f.File)), f.Line, f.Column, property.Replace(f.Rule), data.Replace(message))
	}
	return b.String()
}

// The parts of SARIF 2.1.0 that are used.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string          `json:"id"`
		Short   sarifMessage    `json:"shortDescription"`
		Full    *sarifMessage   `json:"fullDescription,omitempty"`
		Help    *sarifMessage   `json:"help,omitempty"`
		HelpURI string          `json:"helpUri,omitempty"`
		Default sarifRuleConfig `json:"defaultConfiguration"`
	}
	sarifRuleConfig struct {
		Level string `json:"level"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int           `json:"startLine"`
		StartColumn int           `json:"startColumn"`
		EndLine     int           `json:"endLine,omitempty"`
		EndColumn   int           `json:"endColumn,omitempty"`
		Snippet     *sarifMessage `json:"snippet,omitempty"`
	}
)

// sarifLevel is a severity in SARIF's words.
func sarifLevel(s tldwdblint.Severity) string {
	switch s {
	case tldwdblint.SeverityError, tldwdblint.SeverityWarning:
		return string(s)
	case tldwdblint.SeverityOff:
		return "none"
	case tldwdblint.SeverityNotice:
	}
	return "note"
}

// sarif is the findings in the form that code scanning reads.
func sarif(l lintAnswer, folder string) string {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "tldwdb", Version: tldwdb.Version, Rules: []sarifRule{}}}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	known := lint.Rules()
	index := map[string]int{}
	for _, f := range l.Findings {
		if _, ok := index[f.Rule]; !ok {
			index[f.Rule] = len(run.Tool.Driver.Rules)
			rule := sarifRule{ID: f.Rule, Short: sarifMessage{f.Rule}, Default: sarifRuleConfig{sarifLevel(f.Severity)}}
			if i := slices.IndexFunc(known, func(r lint.About) bool { return r.ID == f.Rule }); i >= 0 {
				r := known[i]
				rule.Short, rule.Full, rule.Help, rule.HelpURI = sarifMessage{r.Title}, &sarifMessage{r.Breaks}, &sarifMessage{r.Instead}, r.Page
			} else if strings.HasPrefix(f.Page, "https://") {
				rule.HelpURI = f.Page
			}
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		region := sarifRegion{StartLine: f.Line, StartColumn: f.Column}
		text := l.texts[f.File+" "+f.Direction]
		if f.Length > 0 && f.Offset+f.Length <= len(text) {
			part := text[f.Offset : f.Offset+f.Length]
			region.Snippet = &sarifMessage{part}
			region.EndLine, region.EndColumn = f.Line, f.Column+utf8.RuneCountInString(part)
			if n := strings.Count(part, "\n"); n > 0 {
				region.EndLine, region.EndColumn = f.Line+n, 1+utf8.RuneCountInString(part[strings.LastIndexByte(part, '\n')+1:])
			}
		}
		message := f.Message
		if f.Remedy != "" {
			message += "\n\n" + f.Remedy
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: sarifLevel(f.Severity), Message: sarifMessage{message},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{uri(path.Join(folder, f.File))}, region}}},
		})
	}
	text, err := json.MarshalIndent(sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	}, "", "  ")
	if err != nil {
		return err.Error() // plain structs of text and numbers
	}
	return string(text)
}
