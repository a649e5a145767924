package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
)

// driftAnswer is in what the database differs from what its migrations make.
type driftAnswer struct {
	Differences []tldwdb.Difference `json:"differences"`
	Applied     int                 `json:"applied"` // migrations that it was compared with

	never bool // it was never migrated
}

// errNothingApplied is of a database that was never migrated: as a rule a wrong URL, which would
// be green for ever.
var errNothingApplied = fmt.Errorf("%w: this database was never migrated, and there was nothing to compare; is it the right one?", tldwdb.ErrPending)

func (d driftAnswer) text(p *printer) {
	if len(d.Differences) == 0 {
		if d.never {
			return // the error says it
		}
		p.linef("%s the schema is what the applied migrations make", p.paint(colorGreen, "ok:"))
		return
	}
	p.differences("migrations", "database", d.Differences)
}

// differences shows what differs, with a minus what only want makes, with a plus what
// only got does.
func (p *printer) differences(want, got string, list []tldwdb.Difference) {
	p.linef("%s", p.paint(colorRed, "--- "+want))
	p.linef("%s", p.paint(colorGreen, "+++ "+got))
	for _, difference := range list {
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
	p.linef("%s", plural(len(list), "difference"))
}

func (a *app) driftCommand(root *cobra.Command) {
	var how tldwdb.Verification
	var noCache bool
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
stays. What they have made is kept for the next time in tldwdb in the user's cache
folder, as long as no file and no server changes; --no-cache does without. What is
pending is not compared, nor what a repeatable migration makes that has to run
again. A database that was never migrated is exit code 3 too: there was nothing to
compare, and it may be the wrong one.`,
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
				how.CacheDir = cacheDir(noCache)
				list, err := db.Drift(ctx, how)
				if err != nil {
					return nil, err
				}
				answer := driftAnswer{Differences: list}
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				for _, m := range status.Migrations {
					if m.State != tldwdb.StatePending {
						answer.Applied++
					}
				}
				if answer.Applied == 0 && status.Environment == "" && status.Pending > 0 { // it was never migrated
					answer.never = true
					return answer, errNothingApplied
				}
				return answer, nil
			}, []func(*tldwdb.Config){looking})
			if errors.Is(err, errNothingApplied) {
				return a.answer(cmd, data, err)
			}
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
	f.BoolVar(&noCache, "no-cache", false, "run the migrations also where that was done before")
	ignoreFlag(f, &how.Ignore)
	f.BoolVar(&how.AnyColumnOrder, "any-column-order", false, "columns may stand in another order")
	f.StringVar(&how.ScratchURL, "scratch-url", "", "`URL` of an empty database to run the migrations on")
}

// cacheDir is where it is kept what migrations make; empty for nowhere.
func cacheDir(off bool) string {
	dir, err := os.UserCacheDir()
	if off || err != nil { // a user without a home keeps nothing
		return ""
	}
	return filepath.Join(dir, "tldwdb")
}

// ignoreFlag is --ignore: names of objects that are left out.
func ignoreFlag(f *pflag.FlagSet, list *[]string) {
	f.StringArrayVar(list, "ignore", nil, "leave out objects with names like this `pattern`")
}

// checkIgnored refuses a pattern that cannot be read, before anything is connected to.
func checkIgnored(cmd *cobra.Command) error {
	if cmd.Flags().Lookup("ignore") == nil {
		return nil
	}
	list, err := cmd.Flags().GetStringArray("ignore")
	if err != nil {
		return err
	}
	if err := (catalog.Options{Ignore: list}).Check(); err != nil {
		return usagef("--ignore: %w", err)
	}
	return nil
}
