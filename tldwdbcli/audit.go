package tldwdbcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// auditAnswer is an audit, without what weighs too little to be asked for.
type auditAnswer struct {
	*tldwdb.AuditReport
	LeftOut int `json:"left_out"` // findings below --min-severity
}

func (a auditAnswer) text(p *printer) {
	colors := map[tldwdb.Severity]string{tldwdb.SeverityHigh: colorRed, tldwdb.SeverityMedium: colorYellow}
	if len(a.Findings) > 0 {
		t := p.table("SEVERITY", "FINDING", "SUBJECT", "DETAIL")
		for _, f := range a.Findings {
			t.row(p.paint(colors[f.Severity], string(f.Severity)), f.ID, oneLine(f.Subject, 60), oneLine(f.Detail, 400))
		}
		t.end()
		p.linef("")
	}
	for _, f := range a.Findings {
		p.linef("%s %s: %s", p.paint(colorYellow, "remedy:"), f.ID, oneLine(f.Remedy, 400))
	}
	for _, g := range a.NotChecked {
		p.linef("%s %s: %s", p.paint(colorYellow, "not checked:"), g.ID, g.Reason)
	}
	line := p.paint(colorGreen, "no findings")
	if len(a.Findings) > 0 {
		line = plural(len(a.Findings), "finding")
	}
	if a.LeftOut > 0 {
		line += fmt.Sprintf(", and %d of less weight", a.LeftOut)
	}
	p.linef("%s as %s: %s", a.Account, a.As, line)
}

func (a *app) auditCommand(root *cobra.Command) {
	var as, least string
	cmd := a.add(root, command{
		use: "audit [flags]", group: groupLook, short: "List what this account could do beyond its duty",
		long: `
Lists what the connected account could do beyond what it is for, what others may do
in this database, how accounts sign in, and the rights on the files of SQLite; each
with its weight and what to do about it. It ends with exit code 3 when there is
something. It reads the server's catalogue and writes nothing. What this account may
not look at is listed as not checked: an administrator's --url sees all of it.

--as is one of application, migrator, monitor and backup. For the migrator the
account of --migrate-url is looked at, if there is one. The findings are explained in docs/security.md, and the rights that each duty needs are
in docs/roles.`,
		example: `
tldwdb audit --min-severity high
tldwdb audit --as migrator || echo 'look at what it found'`,
		run: func(cmd *cobra.Command, _ []string) error {
			duty := cmp.Or(tldwdb.Duty(as), tldwdb.DutyApplication)
			severity := cmp.Or(tldwdb.Severity(least), tldwdb.SeverityLow)
			switch {
			case !slices.Contains(tldwdb.Duties(), duty):
				return usagef("--as is %q: accepted are %s", as, inOrder(tldwdb.Duties()))
			case !slices.Contains(tldwdb.Severities(), severity):
				return usagef("--min-severity is %q: accepted are %s", least, inOrder(tldwdb.Severities()))
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				report, err := db.Audit(ctx, tldwdb.AuditOptions{As: duty})
				if err != nil {
					return nil, err
				}
				all := len(report.Findings)
				report.Findings = slices.DeleteFunc(report.Findings, func(f tldwdb.AuditFinding) bool { return !f.Severity.AtLeast(severity) })
				return auditAnswer{report, all - len(report.Findings)}, nil
			}, []func(*tldwdb.Config){looking})
			if err != nil {
				return err
			}
			answer := data.(auditAnswer)
			if answer.Account == "" {
				return errors.New("there is no file to look at: the database is not there yet, or is in memory")
			}
			if len(answer.Findings) > 0 {
				return a.answer(cmd, answer, errUnhealthy)
			}
			return a.answer(cmd, answer, nil)
		},
	})
	f := cmd.Flags()
	f.StringVar(&as, "as", "", "`duty` of the account (default: application)")
	f.StringVar(&least, "min-severity", "", "the least `weight`: low (default), medium, high")
}

// inOrder are words in a sentence, as they stand.
func inOrder[S ~string](words []S) string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = string(word)
	}
	return strings.Join(list, ", ")
}
