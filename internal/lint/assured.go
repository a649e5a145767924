package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file reads "-- tldwdb: assured RULE reason". Above the first statement it is about the whole file, below
// about the statement that it stands in or in front of.

// assurance is one such comment.
type assurance struct {
	rule, reason string
	offset       int
	length       int
	from, to     int // the part of the file that it is about
	used         bool
}

// findAssurances reads the comments between and in the statements of the text.
func (c *check) findAssurances(list []sqlscan.Statement) {
	if len(list) == 0 {
		return
	}
	begin := 0
	for i, st := range list {
		end := st.Offset + len(st.Text)
		// Above the first statement: the file. Elsewhere the statement behind the comment, or around it.
		from, to := st.Offset, end
		if i == 0 {
			from, to = 0, len(c.text.SQL)
		}
		c.assurancesIn(begin, st.Offset, from, to)
		c.assurancesIn(st.Offset, end, st.Offset, end)
		begin = end
		if st.CopyIn {
			begin += strings.IndexByte(c.text.SQL[begin:], '\n') + 1 + len(st.Data)
		}
	}
	c.assurancesIn(begin, len(c.text.SQL), len(c.text.SQL), len(c.text.SQL))
}

// assurancesIn reads the comments of a part of the text that begins and ends between tokens.
func (c *check) assurancesIn(begin, end, from, to int) {
	part := c.text.SQL[begin:end]
	if !strings.Contains(part, "tldwdb") {
		return
	}
	rules := c.options
	rules.Comments = true
	for t := range sqlscan.Tokens(part, rules) {
		if t.Kind != sqlscan.Comment {
			continue
		}
		text, ok := strings.CutPrefix(t.Text, "--")
		if !ok {
			continue
		}
		if text, ok = strings.CutPrefix(strings.TrimSpace(text), "tldwdb:"); !ok {
			continue
		}
		if text, ok = strings.CutPrefix(strings.TrimSpace(text), "assured"); !ok {
			continue
		}
		rule, reason, _ := strings.Cut(strings.TrimSpace(text), " ")
		c.assured = append(c.assured, assurance{
			rule: rule, reason: strings.TrimSpace(reason), offset: begin + t.Offset, length: len(t.Text), from: from, to: to,
		})
	}
}

// assures reports whether a finding is one that somebody has taken upon himself.
func (c *check) assures(f tldwdblint.Finding) bool {
	assured := false
	for i := range c.assured {
		a := &c.assured[i]
		if strings.EqualFold(a.rule, f.Rule) && a.reason != "" && f.Offset >= a.from && f.Offset < max(a.to, a.from+1) {
			a.used, assured = true, true
		}
	}
	return assured
}

// judgeAssurances reports what GN106 is about.
func (c *check) judgeAssurances() {
	severity := c.rules.severity[ruleAssurance]
	if severity == tldwdblint.SeverityOff {
		return
	}
	for _, a := range c.assured {
		f := finding{Finding: tldwdblint.Finding{Rule: ruleAssurance, Severity: severity, Offset: a.offset, Length: a.length, Page: page(ruleAssurance)}}
		switch asked, known := c.rules.asked[strings.ToUpper(a.rule)], c.knows(a.rule); {
		case !known:
			f.Severity = tldwdblint.SeverityError
			f.Message = fmt.Sprintf("there is no rule %s: 'tldwdb lint --rules' lists them", a.rule)
		case a.reason == "":
			f.Message = fmt.Sprintf("it is not said why %s does not matter here", a.rule)
			f.Remedy = "-- tldwdb: assured " + a.rule + " why it does not matter"
		case a.used || !asked:
			continue // a rule that is not asked, as one of another dialect, has nothing to say
		default:
			f.Message = fmt.Sprintf("%s has nothing against this: take the assurance out, lest it hides what comes later", a.rule)
		}
		f.Line, f.Column = position(c.text.SQL, 1, 1, 0, a.offset)
		c.place(nil, f)
	}
}

// knows reports whether there is a rule of that name, for any dialect.
func (c *check) knows(id string) bool {
	return slices.ContainsFunc(all, func(r *rule) bool { return strings.EqualFold(r.id, id) }) ||
		slices.ContainsFunc(c.cfg.Rules, func(r tldwdblint.Rule) bool { return strings.EqualFold(r.ID, id) })
}
