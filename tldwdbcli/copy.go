package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// copyAnswer is a copy, or what one would do.
type copyAnswer struct {
	*tldwdb.Copied
}

func (c copyAnswer) text(p *printer) {
	for _, note := range c.Notes {
		p.linef("%s %s", p.paint(colorYellow, "note:"), note)
	}
	if c.DryRun {
		c.plan(p)
		return
	}
	if len(c.Tables) == 0 {
		return // the error says why
	}
	t := p.table("TABLE", "ROWS", "DIGEST", "")
	for _, table := range c.Tables {
		how := ""
		if table.Resumed {
			how = "was there"
		}
		t.row(oneLine(table.Name, 60), fmt.Sprint(table.Rows), table.Digest, p.faint(how))
	}
	t.end()
	p.linef("")
	p.linef("%d rows of %s in %s, version %d", c.Rows, plural(len(c.Tables), "table"), took(c.Took), c.Version)
}

// plan shows the columns that go over as another type, and what does not fit.
func (c copyAnswer) plan(p *printer) {
	t := p.table("TABLE", "COLUMN", "FROM", "TO", "COMPARED AS")
	for _, table := range c.Tables {
		for _, column := range table.Columns {
			to := strings.ToLower(column.To)
			if column.Computed {
				to += " (computed)"
			}
			t.row(oneLine(table.Name, 40), oneLine(column.Name, 40), strings.ToLower(column.From), to, column.Kind)
		}
	}
	t.end()
	p.linef("")
	for _, problem := range c.Problems {
		p.linef("%s %s", p.paint(colorRed, "problem:"), problem)
	}
	if len(c.Problems) == 0 {
		p.linef("%s of version %d would be copied", plural(len(c.Tables), "table"), c.Version)
	}
}

func (a *app) copyCommand(root *cobra.Command) {
	var from, to string
	var options tldwdb.CopyOptions
	cmd := a.add(root, command{
		use: "copy --from URL [--to URL] [flags]", group: groupCare, short: "Move a service from one database into another, of any engine",
		long: `
Replaces the content of one database by that of another: SQLite, PostgreSQL, MySQL
and MariaDB in every direction. The target is migrated to the source's version with
the files for its own dialect. Its tables that the source has too must have no rows,
unless --replace throws them away; others stay as they are. All rows are read in one snapshot of the source, written, read again and
compared. The source may be in use meanwhile; the target must not be.

A copy that was cut short goes on when the command is given again. A value that the
target cannot hold ends it, and is named by table, column and key: values are not
changed to fit, but that --round-times rounds times to the digits of a second that a
column keeps. --dry-run shows how each column goes over, and --check looks for such
values; the exit code is 3 when there is a problem. A production target is named by
--yes-on.`,
		example: `
tldwdb copy --from sqlite:///tldw.db --to sqlite:///other.db
tldwdb copy --from sqlite:///tldw.db --to sqlite:///other.db --dry-run --check`,
		run: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usagef("--from is missing: the database to copy from")
			}
			if options.Check && !options.DryRun {
				return usagef("--check is for --dry-run: a copy finds every such value")
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			if to != "" {
				s.config = elsewhere(s.config, to)
			}
			if missing(from) {
				return fmt.Errorf("there is no database to copy from: the file of %s is not there", from)
			}
			source := elsewhere(s.config, from)
			edits := []func(*tldwdb.Config){func(cfg *tldwdb.Config) { source.Logger, options.Progress = cfg.Logger, cfg.Backup.Progress }}
			if options.DryRun {
				edits = append(edits, looking)
			}
			data, err := a.onDB(cmd, s.config, func(ctx context.Context, target *tldwdb.DB) (_ texter, err error) {
				db, err := tldwdb.Open(ctx, source)
				if err != nil {
					return nil, fmt.Errorf("--from: %w", err)
				}
				defer func() { err = errors.Join(err, db.Close()) }()
				copied, err := tldwdb.Copy(ctx, db, target, options)
				return copyAnswer{copied}, err
			}, edits)
			if data == nil {
				return err
			}
			if err == nil && len(data.(copyAnswer).Problems) > 0 {
				err = errUnhealthy
			}
			return a.answer(cmd, data, err)
		},
	})
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`URL` of the database to copy")
	f.StringVar(&to, "to", "", "`URL` to copy into (default: the configured one)")
	f.BoolVar(&options.DryRun, "dry-run", false, "show how it would be copied, and write nothing")
	f.BoolVar(&options.Check, "check", false, "with --dry-run: read every row, for values that do not fit")
	f.BoolVar(&options.Replace, "replace", false, "first empty the target's tables that the source has")
	f.BoolVar(&options.RoundTimes, "round-times", false, "round times to the digits that the columns keep")
	f.StringSliceVar(&options.Skip, "skip", nil, "`tables` not to copy: names, or patterns (cache_*)")
}

// elsewhere is a configuration for another database. What it says about log-ins is for
// the one that was configured.
func elsewhere(cfg tldwdb.Config, url string) tldwdb.Config {
	cfg.URL, cfg.MigrateURL, cfg.MonitorURL = url, "", ""
	cfg.Password, cfg.PasswordFile = nil, ""
	return cfg
}
