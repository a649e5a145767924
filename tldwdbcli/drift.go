package tldwdbcli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// driftAnswer is in what the database differs from what its migrations make.
type driftAnswer struct {
	Differences []tldwdb.Difference `json:"differences"`
}

func (d driftAnswer) text(p *printer) {
	if len(d.Differences) == 0 {
		p.linef("%s the schema is what the applied migrations make", p.paint(colorGreen, "ok:"))
		return
	}
	p.linef("%s", p.paint(colorRed, "--- migrations"))
	p.linef("%s", p.paint(colorGreen, "+++ database"))
	for _, difference := range d.Differences {
		for i, line := range strings.Split(difference.String(), "\n") {
			line = strings.TrimSpace(line)
			switch {
			case i == 0:
				p.linef("%s", p.paint(colorBold, "@@ "+line+" @@"))
			case strings.HasPrefix(line, "-"):
				p.linef("%s", p.paint(colorRed, line))
			default:
				p.linef("%s", p.paint(colorGreen, line))
			}
		}
	}
	p.linef("")
	p.linef("%s", plural(len(d.Differences), "difference"))
}

func (a *app) driftCommand(root *cobra.Command) {
	var how tldwdb.Verification
	cmd := a.add(root, command{
		use: "drift [flags]", group: groupLook, short: "Show what was changed past the migrations",
		long: `
Compares the database with what its applied migrations make, object by object:
tables with their columns and constraints, indexes, views, triggers, routines,
types and so on. It ends with exit code 3 when something differs, and says what,
with a minus in front of what only the migrations make, and a plus in front of what
only the database has. It takes no lock and writes nothing into the database.

The migrations run on a scratch database: a temporary file for SQLite; elsewhere a
database beside this one, which is dropped again, and which the account has to be
allowed to make. --scratch-url names an empty one instead, and what is made there
stays. What is pending is not compared, nor what a repeatable migration makes that
has to run again.`,
		example: `
tldwdb drift
tldwdb drift --ignore 'audit_*' --ignore alembic_version
tldwdb drift --json || echo 'somebody was here'`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				list, err := db.Drift(ctx, how)
				if err != nil {
					return nil, err
				}
				return driftAnswer{list}, nil
			}, []func(*tldwdb.Config){looking})
			if err != nil {
				return err
			}
			if len(data.(driftAnswer).Differences) > 0 {
				return a.answer(cmd, data, errUnhealthy)
			}
			return a.answer(cmd, data, nil)
		},
	})
	f := cmd.Flags()
	f.StringArrayVar(&how.Ignore, "ignore", nil, "leave out objects with names like this `pattern`")
	f.BoolVar(&how.AnyColumnOrder, "any-column-order", false, "columns may stand in another order")
	f.StringVar(&how.ScratchURL, "scratch-url", "", "`URL` of an empty database to run the migrations on")
}
