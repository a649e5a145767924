package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/tldwdblint"
)

// rule is one rule with all that is written about it.
type rule struct {
	id       string
	on       []on // default: every server
	severity tldwdblint.Severity
	optIn    bool // asked only when Config.Severity names it
	forward  bool // not asked about the way back, where it is the purpose
	title    string
	// breaks says what is locked, what breaks or what is lost: sentences, for the page.
	breaks string
	// instead says how the same is done safely: sentences, for the page. The examples say it in SQL.
	instead string
	// see are pages of the servers' manuals.
	see []string

	// kinds are those of statements that stmt is asked about; all when there is none.
	kinds []string
	// stmt looks at a statement. What it finds it gives to report.
	stmt func(p *pass, s *stmt)
	// file looks at all statements of a text.
	file func(p *pass)
}

// on is a dialect, and which of its servers: from since on, and before until.
type on struct{ dialect, since, until string }

// The rules that the frame itself asks.
const (
	ruleUnreadable = "GN100"
	ruleOneWay     = "GN102"
	ruleAssurance  = "GN106"
)

// all is every rule, by ID.
var all = func() []*rule {
	list := slices.Concat(genericRules, postgresRules, mysqlRules, sqliteRules)
	slices.SortFunc(list, func(a, b *rule) int { return strings.Compare(a.id, b.id) })
	return list
}()

// page is where a rule is described.
func page(id string) string {
	return "https://github.com/tldw/tldwdb/blob/main/docs/lint/" + id + ".md"
}

// ruleset is the rules that are asked in one check.
type ruleset struct {
	kinds    map[string][]*rule
	all      []*rule
	files    []*rule
	custom   []*tldwdblint.Rule
	severity map[string]tldwdblint.Severity // of every rule
	asked    map[string]bool                // by ID in large letters
}

var ruleID = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_-]*$`)

// selectRules finds the rules for a server.
func selectRules(dialect string, target version, cfg tldwdblint.Config) (ruleset, error) {
	set := ruleset{kinds: map[string][]*rule{}, severity: map[string]tldwdblint.Severity{}, asked: map[string]bool{}}
	known := map[string]bool{}
	for _, r := range all {
		known[r.id] = true
		set.severity[r.id] = r.severity
		if r.optIn {
			set.severity[r.id] = tldwdblint.SeverityOff
		}
		if s, ok := cfg.Severity[r.id]; ok {
			set.severity[r.id] = s
		}
		if set.severity[r.id] == tldwdblint.SeverityOff || !r.applies(dialect, target) {
			continue
		}
		set.asked[r.id] = true
		switch {
		case r.file != nil:
			set.files = append(set.files, r)
		case r.stmt == nil:
		case len(r.kinds) == 0:
			set.all = append(set.all, r)
		default:
			for _, k := range r.kinds {
				set.kinds[k] = append(set.kinds[k], r)
			}
		}
	}
	for i := range cfg.Rules {
		r := &cfg.Rules[i]
		switch {
		case !ruleID.MatchString(r.ID) || known[strings.ToUpper(r.ID)]:
			return set, fmt.Errorf("the rule Rules[%d] has the ID %q: it has to be of letters and digits, and its own", i, r.ID)
		case r.Check == nil:
			return set, fmt.Errorf("the rule %s has no function Check", r.ID)
		case r.Severity != "" && !r.Severity.Valid():
			return set, fmt.Errorf("the rule %s has the severity %q: known are off, notice, warning, error", r.ID, r.Severity)
		}
		for _, name := range r.Dialects {
			if _, known := oldest[name]; !known {
				return set, fmt.Errorf("the rule %s is about the dialect %q: known are sqlite, postgres, mysql, mariadb", r.ID, name)
			}
		}
		for _, kind := range r.Kinds {
			if kind != strings.ToUpper(kind) {
				return set, fmt.Errorf("the rule %s is about statements of the kind %q: kinds are in large letters, such as CREATE INDEX", r.ID, kind)
			}
		}
		known[strings.ToUpper(r.ID)], known[r.ID] = true, true
		if len(r.Dialects) > 0 && !slices.Contains(r.Dialects, dialect) || cmp.Or(cfg.Severity[r.ID], r.Severity) == tldwdblint.SeverityOff {
			continue
		}
		set.custom = append(set.custom, r)
		set.asked[strings.ToUpper(r.ID)] = true
	}
	for id, s := range cfg.Severity {
		if !known[id] || !s.Valid() {
			return set, fmt.Errorf("the severity %s=%s is none: the rule has to be one that 'tldwdb lint --rules' lists, and the severity off, notice, warning or error", id, s)
		}
	}
	return set, nil
}

// applies reports whether a rule is about a server of this version or a later one. The oldest is meant: a rule whose reason is gone
// in newer servers is asked as long as an older one has to be served.
func (r *rule) applies(dialect string, target version) bool {
	if len(r.on) == 0 {
		return true
	}
	for _, o := range r.on {
		if o.dialect == dialect && (o.since == "" || target >= mustVersion(o.since)) && (o.until == "" || target < mustVersion(o.until)) {
			return true
		}
	}
	return false
}

// actions calls f for the parts of a statement that are of one of these kinds.
func actions(s *stmt, f func(a *tldwdblint.Action), kinds ...tldwdblint.ActionKind) {
	for i := range s.Actions {
		if slices.Contains(kinds, s.Actions[i].Kind) {
			f(&s.Actions[i])
		}
	}
}

// genericRules are about every engine.
var genericRules = []*rule{
	{
		id: ruleUnreadable, severity: tldwdblint.SeverityError,
		title:   "the file cannot be cut into statements",
		breaks:  "A quote, a comment or a body that does not end hides everything behind it. Up refuses such a file as well, but only when it is pending.",
		instead: "End the construct at the place that the finding names.",
	},
	{
		id: ruleOneWay, severity: tldwdblint.SeverityNotice,
		title: "there is no way back, and no word about it",
		breaks: "Without a down file the migration cannot be taken back, and nobody knows whether that was meant. Down stops at it, " +
			"on the day on which a release has to go back.",
		instead: "Write the down file, or say why there is none: `-- tldwdb: irreversible the values are gone`.",
	},
	{
		id: ruleAssurance, severity: tldwdblint.SeverityWarning,
		title: "an assurance names no rule, gives no reason, or is not needed",
		breaks: "An assurance that hides nothing today hides the next finding of the same rule in that place, and nobody will have thought about that one. " +
			"One that names no rule hides nothing, though its author believes it does.",
		instead: "Take it out, or write it as `-- tldwdb: assured RULE reason`: above the first statement for the whole file, elsewhere directly above the statement that it is about.",
	},
}
