package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// This file has the commands that only look.

func (a *app) lookCommands(root *cobra.Command) {
	a.statusCommand(root)
	a.historyCommand(root)
	a.planCommand(root)
	a.checkCommand(root)
	a.verifyCommand(root)
	a.doctorCommand(root)
	a.driftCommand(root)
	a.traceCommand(root)
	a.auditCommand(root)
	a.healthCommand(root)
	a.configCommand(root)
	a.schemaCommand(root)
	a.versionCommand(root)
}

type statusAnswer struct {
	*tldwdb.Status
	whose string // the files are, where that is worth saying
}

func (s statusAnswer) text(p *printer) {
	t := p.table("MIGRATION", "STATE", "WHEN", "TOOK", "BY")
	for _, m := range s.Migrations {
		duration := "-"
		if !m.FinishedAt.IsZero() && m.State != tldwdb.StateBaseline && (m.State != tldwdb.StateSnapshot || m.Duration > 0) {
			duration = took(m.Duration)
		}
		t.row(m.Migration.String(), p.state(m), p.ago(m.FinishedAt), duration, m.Actor)
	}
	if len(s.Migrations) > 0 {
		t.end()
		p.linef("")
	}
	for _, m := range s.Migrations {
		switch {
		case m.Error == "" || m.State == tldwdb.StateApplied || m.State == tldwdb.StateSnapshot:
		case m.State == tldwdb.StateBaseline:
			p.linef("%s was taken as applied although the schema differed: %s", m.Migration, m.Error)
		default:
			p.linef("%s stopped after %d of %s: %s", m.Migration, m.Done, plural(m.Statements, "statement"), m.Error)
		}
	}
	for _, problem := range s.Problems {
		p.linef("%s %s", p.paint(colorYellow, "warning:"), problem)
	}
	if s.whose != "" {
		p.linef("%s %s", p.paint(colorYellow, "hint:"), s.whose)
	}
	line := fmt.Sprintf("version %d", s.Current)
	switch {
	case len(s.Migrations) == 0:
		line += ", and there are no migrations"
	case s.Pending > 0:
		line += ", " + p.paint(colorYellow, plural(s.Pending, "migration")+" pending")
	default:
		line += ", " + p.paint(colorGreen, "nothing pending")
	}
	if s.Environment != "" {
		line += p.faint(", " + s.Environment)
	}
	if s.Set != "default" {
		line += p.faint(", set " + s.Set)
	}
	p.linef("%s", line)
	if s.Lock != "" {
		p.linef("%s", p.faint("lock "+s.Lock))
	}
}

func (p *printer) state(m tldwdb.MigrationStatus) string {
	text := string(m.State)
	switch m.State {
	case tldwdb.StateApplied, tldwdb.StateBaseline, tldwdb.StateSnapshot:
		if !m.Reversible {
			text += ", no way back"
		}
		return p.paint(colorGreen, text)
	case tldwdb.StateFailed, tldwdb.StateRunning:
		if m.Statements > 0 {
			text += fmt.Sprintf(" %d/%d", m.Done, m.Statements)
		}
		return p.paint(colorRed, text)
	case tldwdb.StatePending, tldwdb.StateChanged:
		return p.paint(colorYellow, text)
	}
	return text
}

func (a *app) statusCommand(root *cobra.Command) {
	a.add(root, command{
		use: "status [flags]", group: groupLook, short: "Show where the database stands",
		long: `
Shows each migration with its state, when it ran, how long it took and who ran it.
It costs one SELECT, takes no lock and writes nothing. The exit code is 0 also when
something is pending: 'check' has the others.`,
		example: `
tldwdb status
tldwdb status --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				answer := statusAnswer{Status: status}
				if a.builtIn && len(status.Problems) > 0 {
					answer.whose = builtInNote(cmd)
				}
				return answer, nil
			}, looking)
		},
	})
}

// historyAnswer are the migrations that have run, the newest first.
type historyAnswer struct {
	Migrations []tldwdb.MigrationStatus `json:"migrations"`
}

func (h historyAnswer) text(p *printer) {
	if len(h.Migrations) == 0 {
		p.linef("nothing has run")
		return
	}
	for i, m := range h.Migrations {
		if i > 0 {
			p.linef("")
		}
		p.linef("%s  %s", p.paint(colorBold, m.Migration.String()), p.state(m))
		when := m.StartedAt
		if !m.FinishedAt.IsZero() {
			when = m.FinishedAt
		}
		p.linef("  when  %s (%s)", when.Local().Format("2006-01-02 15:04:05 -0700"), p.ago(when))
		word := "error"
		if m.State == tldwdb.StateBaseline { // nothing has run
			word = "differed:"
		} else if m.State != tldwdb.StateSnapshot || m.Duration > 0 { // one row stands for the time of all
			p.linef("  took  %s", took(m.Duration))
		}
		p.linef("  by    %s, tldwdb %s", m.Actor, m.ToolVersion)
		if m.Error != "" {
			p.linef("  %s %s", word, m.Error)
		}
	}
}

func (a *app) historyCommand(root *cobra.Command) {
	var limit int
	cmd := a.add(root, command{
		use: "history [V | A:B] [flags]", group: groupLook, short: "Show what has run, the newest first",
		long: `
Shows what has run on the database, the newest first: when, for how long, and by
whom. A version, or a range of them, narrows it down; either end may be left out.`,
		example: `
tldwdb history
tldwdb history -n 5
tldwdb history 1:2`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			from, to, err := parseRange(first(args))
			if err != nil {
				return err
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				return historyAnswer{ran(status.Migrations, from, to, limit)}, nil
			}, looking)
		},
	})
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "at most so many (0: all)")
}

// ran are those of the list that have run, the newest first.
func ran(list []tldwdb.MigrationStatus, from, to int64, limit int) []tldwdb.MigrationStatus {
	list = slices.DeleteFunc(slices.Clone(list), func(m tldwdb.MigrationStatus) bool {
		v := m.Migration.Version
		return m.StartedAt.IsZero() || v < from || v > to && !m.Migration.Repeatable || m.Migration.Repeatable && from > 0
	})
	slices.SortStableFunc(list, func(x, y tldwdb.MigrationStatus) int { return y.StartedAt.Compare(x.StartedAt) })
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list
}

// planAnswer is a plan, also as the answer of 'up --dry-run'.
type planAnswer struct{ *tldwdb.Plan }

func (planAnswer) answers() string { return "plan" }

func (a planAnswer) text(p *printer) {
	for _, w := range a.Warnings {
		p.linef("%s %s", p.paint(colorYellow, "warning:"), w)
	}
	if a.Empty() {
		p.linef("nothing to do")
		return
	}
	for _, step := range a.Steps {
		where := step.File
		switch {
		case step.Go:
			where = "written in Go"
		case where == "":
			where = "kept in the database"
		}
		how := "in a transaction"
		if !step.Transaction {
			how = "statement by statement"
		}
		p.linef("%s", p.paint(colorBold, fmt.Sprintf("-- %s %s", step.Direction, step.Migration))+p.faint(fmt.Sprintf(" (%s; %s; %s)", step.Reason, where, how)))
		for _, st := range step.Statements {
			p.linef("%s;", st.SQL)
		}
		p.linef("")
	}
	p.linef("%s, plan %s", plural(len(a.Steps), "step"), a.ID)
}

func planOf(ctx context.Context, db *tldwdb.DB, req tldwdb.Request) (texter, error) {
	plan, err := db.Plan(ctx, req)
	if err != nil {
		return nil, err
	}
	return planAnswer{plan}, nil
}

func (a *app) planCommand(root *cobra.Command) {
	var n steps
	cmd := a.add(root, command{
		use: "plan [V | +n | -n | base] [flags]", group: groupLook, short: "Show what would run, statement by statement",
		long: `
Shows the statements that 'up', 'up V', 'up +n', 'down -n', 'goto V' or 'down base'
would run, and the plan's ID: 'up --plan ID' runs exactly that. It takes no lock
and writes nothing. A SQL script that runs without tldwdb is what 'sql' makes.`,
		example: `
tldwdb plan
tldwdb plan +1
tldwdb plan -1
tldwdb plan base`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			req, err := requestOf(args, &n)
			if err != nil {
				return err
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) { return planOf(ctx, db, req) }, looking)
		},
	})
	n.bind(cmd.Flags())
}

// requestOf is what V, +n, base or -n asks for.
func requestOf(args []string, n *steps) (tldwdb.Request, error) {
	count, err := n.count()
	if err != nil {
		return tldwdb.Request{}, err
	}
	to, err := parseTarget(first(args))
	switch {
	case err != nil:
		return tldwdb.Request{}, err
	case to.given && count > 0:
		return tldwdb.Request{}, usagef("%s and -%d say different things: give one of them", args[0], count)
	case count > 0:
		return tldwdb.Request{Goal: tldwdb.GoalDown, Steps: count}, nil
	}
	return to.request, nil
}

// parseRange reads V, A:B, A: and :B.
func parseRange(text string) (from, to int64, err error) {
	const all = int64(^uint64(0) >> 1)
	if text == "" {
		return 0, all, nil
	}
	low, high, isRange := strings.Cut(text, ":")
	to = all
	if low != "" {
		if from, err = parseVersion(low); err != nil {
			return 0, 0, err
		}
	}
	switch {
	case !isRange:
		to = from
	case high != "":
		if to, err = parseVersion(high); err != nil {
			return 0, 0, err
		}
	}
	if from > to {
		return 0, 0, usagef("the range %s is empty", text)
	}
	return from, to, nil
}

// checkAnswer says whether the schema is what the program needs.
type checkAnswer struct {
	Current int64 `json:"current"`
	Head    int64 `json:"head"`
	Pending int   `json:"pending"`
	// Schema is the file that was compared with what the migrations make; empty for none.
	Schema string `json:"schema"`
	// Differences are those of that file.
	Differences []tldwdb.Difference `json:"differences"`
	failed      bool
}

func (c checkAnswer) text(p *printer) {
	if len(c.Differences) > 0 {
		p.differences("migrations", "schema", c.Differences)
		return
	}
	if c.Schema != "" {
		p.linef("%s %s is what the migrations make", p.paint(colorGreen, "ok:"), c.Schema)
	}
	if c.failed { // the error says it
		return
	}
	p.linef("%s the database is at version %d, and nothing is pending", p.paint(colorGreen, "ok:"), c.Current)
}

func (a *app) checkCommand(root *cobra.Command) {
	var schema string
	var how tldwdb.Verification
	var noCache, noSchema bool
	cmd := a.add(root, command{
		use: "check [flags]", group: groupLook, short: "Say by the exit code whether the schema is current",
		long: `
Ends with exit code 0 when the schema is what this program needs, and with 3 when
migrations are pending, or files and database disagree. It takes no lock and writes
nothing.

A schema.sql that is kept beside the folder of --dir (schema.postgres.sql before it,
sqlite and mysql likewise) is compared with what the migrations make, on scratch
databases as 'drift' does, and the differences are shown. What the file makes counts,
not how it is written. --schema names another file.`,
		example: `
tldwdb check
tldwdb snapshot -q --schema schema.sql && tldwdb check --schema schema.sql
tldwdb check --no-schema
tldwdb check -q || echo 'run tldwdb up first'`,
		run: func(cmd *cobra.Command, _ []string) error {
			found := schema == "" && !noSchema
			if found {
				var err error
				if schema, err = a.keptSchema(); err != nil {
					return err
				}
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				err = db.Check(ctx)
				answer := checkAnswer{Current: status.Current, Head: status.Head, Pending: status.Pending, failed: err != nil}
				if schema == "" {
					return answer, err
				}
				text, readErr := schemaText(schema)
				if readErr != nil {
					return nil, readErr
				}
				how.CacheDir = cacheDir(noCache)
				differences, differs := db.CompareSchema(ctx, text, how)
				if differs != nil && found {
					differs = fmt.Errorf("comparing %s, which is kept beside the migrations (--no-schema leaves it out): %w", schema, differs)
				}
				if differs != nil {
					return nil, errors.Join(err, differs)
				}
				answer.Schema, answer.Differences = schema, differences
				if len(answer.Differences) > 0 && err == nil {
					err = errUnhealthy
				}
				return answer, err
			}, looking)
		},
	})
	f := cmd.Flags()
	f.StringVar(&schema, "schema", "", "schema `file` to compare (default: that beside --dir)")
	f.BoolVar(&noSchema, "no-schema", false, "compare no schema file")
	cmd.MarkFlagsMutuallyExclusive("schema", "no-schema")
	ignoreFlag(f, &how.Ignore)
	f.BoolVar(&how.AnyColumnOrder, "any-column-order", false, "columns may stand in another order")
	f.BoolVar(&noCache, "no-cache", false, "run the migrations also where that was done before")
}

// verifyAnswer compares the files with what was applied.
type verifyAnswer struct {
	Compared int                   `json:"compared"` // migrations that are applied and have a file
	Problems []tldwdb.Disagreement `json:"problems"`
}

func (v verifyAnswer) text(p *printer) {
	for _, problem := range v.Problems {
		p.linef("%s %s", p.paint(colorRed, "differs:"), problem)
	}
	if len(v.Problems) == 0 {
		p.linef("%s %s applied, and every file is what was applied", p.paint(colorGreen, "ok:"), plural(v.Compared, "migration"))
	}
}

func (a *app) verifyCommand(root *cobra.Command) {
	a.add(root, command{
		use: "verify [flags]", group: groupLook, short: "Compare the files with what was applied, by checksum",
		long: `
Compares every file with the checksum that the database kept when it was applied,
and ends with exit code 3 when one was edited since, has no file any more, or is
below the newest version without having been applied. What is only pending is no
difference here.`,
		example: `
tldwdb verify`,
		run: func(cmd *cobra.Command, _ []string) error {
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				answer := verifyAnswer{Problems: status.Problems}
				for _, m := range status.Migrations {
					if m.State == tldwdb.StateApplied || m.State == tldwdb.StateBaseline || m.State == tldwdb.StateSnapshot {
						answer.Compared++
					}
				}
				if len(status.Problems) > 0 {
					err = fmt.Errorf("%w: %w", errUnhealthy, &tldwdb.HistoryError{Problems: status.Problems})
				}
				return answer, err
			}, looking)
		},
	})
}

// versionAnswer is the version of the program, and of what it was built from.
type versionAnswer struct {
	Version string `json:"version"` // of tldwdb
	Commit  string `json:"commit"`  // empty where the program was built without version control
	Go      string `json:"go"`
	System  string `json:"system"`
}

func (v versionAnswer) text(p *printer) {
	line := "tldwdb " + v.Version
	if v.Commit != "" {
		line += " (" + v.Commit + ")"
	}
	p.linef("%s, %s, %s", line, v.Go, v.System)
}

func (a *app) versionCommand(root *cobra.Command) {
	a.add(root, command{
		use: "version [flags]", group: groupLook, short: "Show the version of tldwdb",
		long:    `Shows the version of tldwdb that this program was built with. The version of the database is in 'status'.`,
		example: `tldwdb version`,
		run: func(cmd *cobra.Command, _ []string) error {
			v := versionAnswer{Version: tldwdb.Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Commit = s.Value[:min(len(s.Value), 12)]
					}
				}
			}
			return a.answer(cmd, v, nil)
		},
	})
}
