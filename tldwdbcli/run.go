package tldwdbcli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/tldw/tldwdb"
)

// This file has the commands that migrate.

func (a *app) migrateCommands(root *cobra.Command) {
	a.upCommand(root)
	a.downCommand(root)
	a.redoCommand(root)
	a.gotoCommand(root)
	a.waitCommand(root)
}

// resultAnswer is what a run did, also one that failed.
type resultAnswer struct {
	*tldwdb.Result
	failed bool
}

// result is the answer for what a run returned.
func result(res *tldwdb.Result, err error) (texter, error) { return resultAnswer{res, err != nil}, err }

func (r resultAnswer) text(p *printer) {
	for _, done := range r.Applied {
		word := p.paint(colorGreen, "applied")
		if done.Direction == tldwdb.DirectionDown {
			word = p.paint(colorYellow, "taken back")
		}
		p.linef("%s %s %s", word, done.Migration, p.faint("in "+took(done.Duration)))
	}
	switch {
	case len(r.Applied) > 0 && r.Waited > time.Second:
		p.linef("the database is at version %d (it was at %d), after waiting %s for the lock", r.After, r.Before, took(r.Waited))
	case len(r.Applied) > 0:
		p.linef("the database is at version %d (it was at %d)", r.After, r.Before)
	case r.Waited > 0 && r.Before != r.After && !r.failed:
		p.linef("another process migrated meanwhile: the database is at version %d (it was at %d)", r.After, r.Before)
	case !r.failed: // the error says it otherwise
		p.linef("nothing to do: the database is at version %d", r.After)
	}
}

// target is what an argument asks for: a version, +n, -n or base.
type target struct {
	request tldwdb.Request
	given   bool
}

// parseTarget reads the argument of up, down, goto and plan.
func parseTarget(text string) (target, error) {
	switch text {
	case "":
		return target{}, nil
	case "base":
		return target{tldwdb.Request{Goal: tldwdb.GoalBase}, true}, nil
	case "head":
		return target{tldwdb.Request{Goal: tldwdb.GoalUp}, true}, nil
	}
	digits, _, _ := strings.Cut(text, "_") // 0003_users is what other answers show
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil:
		return target{}, usagef("%q is no version: write one such as 3 or 0003, +n or -n for so many steps, or base", text)
	case text[0] == '+' && n > 0:
		return target{tldwdb.Request{Goal: tldwdb.GoalUp, Steps: int(n)}, true}, nil
	case text[0] == '-' && n < 0:
		return target{tldwdb.Request{Goal: tldwdb.GoalDown, Steps: int(-n)}, true}, nil
	case text[0] == '+' || text[0] == '-':
		return target{}, usagef("%q is no number of steps: write 1 or more", text)
	}
	return target{tldwdb.Request{Goal: tldwdb.GoalVersion, Version: n}, true}, nil
}

// parseVersion reads a version and nothing else.
func parseVersion(text string) (int64, error) {
	digits, _, _ := strings.Cut(text, "_") // 0003_users is what other answers show

	// Without a sign: +1 is a number of steps.
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, usagef("%q is no version: write one such as 3, 0003 or 0003_users", text)
	}
	return int64(n), nil
}

func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("unexpected argument %q", args[n])
		}
		return nil
	}
}

func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		return atMost(len(names))(cmd, args)
	}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// steps is a number of steps that is written as git writes it: -2, or -n 2.
type steps struct{ digits string }

func (s *steps) bind(f *pflag.FlagSet) {
	f.VarP(s, "steps", "n", "how many migrations (also -1, -2, ...)")
	for d := '0'; d <= '9'; d++ {
		name := "steps-" + string(d)
		f.VarP(digit{s, string(d)}, name, string(d), "")
		f.Lookup(name).NoOptDefVal = "x"
		f.Lookup(name).Hidden = true
	}
}

func (s *steps) Set(text string) error { s.digits = text; return nil }
func (s *steps) String() string        { return s.digits }
func (s *steps) Type() string          { return "int" }

// digit is one digit of -12, which the flags are read as one by one.
type digit struct {
	steps *steps
	value string
}

func (d digit) Set(string) error { d.steps.digits += d.value; return nil }
func (d digit) String() string   { return "" }
func (d digit) Type() string     { return "int" }

// count is the number of steps; 0 when none was given.
func (s *steps) count() (int, error) {
	if s.digits == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s.digits)
	if err != nil || n < 1 {
		return 0, usagef("the number of steps is %q: accepted is 1 or more", s.digits)
	}
	return n, nil
}

func (a *app) upCommand(root *cobra.Command) {
	var plan string
	var dryRun, backup bool
	cmd := a.add(root, command{
		use: "up [V | +n] [flags]", group: groupRun, short: "Apply what is pending",
		long: `
Applies the migrations that are pending: all of them, those up to version V, or
the next n. One process migrates at a time; the others wait for it, at most for
--lock-wait. It never takes anything back.

With --plan it runs exactly what 'plan' has shown under that ID, or says that
files or database have changed since. With --backup it first makes a backup, if
anything is pending, and touches nothing if that fails.`,
		example: `
tldwdb up
tldwdb up --backup
tldwdb up +1
tldwdb up 2
tldwdb up --dry-run`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			to, err := parseTarget(first(args))
			if err != nil {
				return err
			}
			if goal := to.request.Goal; goal == tldwdb.GoalDown || goal == tldwdb.GoalBase {
				return usagef("up takes nothing back: use 'down %s'", args[0])
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				if dryRun {
					return planOf(ctx, db, to.request)
				}
				if plan == "" && to.request.Goal != tldwdb.GoalVersion {
					return result(db.Migrate(ctx, to.request))
				}
				return upAsPlanned(ctx, db, to.request, plan)
			}, func(cfg *tldwdb.Config) {
				if backup {
					cfg.BackupBeforeMigrate = tldwdb.BackupAlways
				}
			})
		},
	})
	cmd.Flags().StringVar(&plan, "plan", "", "`ID` of the plan to run, from 'plan'")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would run, as 'plan' does")
	cmd.Flags().BoolVar(&backup, "backup", false, "make a backup first")
}

// upAsPlanned runs what a plan says: the one that was asked for, or one that was
// looked at for anything that it would take back.
func upAsPlanned(ctx context.Context, db *tldwdb.DB, req tldwdb.Request, id string) (texter, error) {
	return asPlanned(ctx, db, req, id, func(step tldwdb.PlanStep) error {
		if step.Direction == tldwdb.DirectionDown {
			return usagef("version %d is below what is applied, and up takes nothing back: use 'goto %d'", req.Version, req.Version)
		}
		return nil
	})
}

// downTo goes down to a version, and never up to it.
func downTo(ctx context.Context, db *tldwdb.DB, req tldwdb.Request) (texter, error) {
	return asPlanned(ctx, db, req, "", func(step tldwdb.PlanStep) error {
		if step.Direction == tldwdb.DirectionUp && !step.Migration.Repeatable {
			return usagef("version %d is above what is applied, and down applies nothing: use 'goto %d'", req.Version, req.Version)
		}
		return nil
	})
}

// planTries is how often a plan is made anew because another process was quicker to
// migrate. Each time that one has got something done.
const planTries = 10

// asPlanned runs the plan with an ID, or with none the plan of the moment, of which
// no step may be refused.
func asPlanned(ctx context.Context, db *tldwdb.DB, req tldwdb.Request, id string, refuse func(tldwdb.PlanStep) error) (texter, error) {
	for try := 1; ; try++ {
		plan, err := db.Plan(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, step := range plan.Steps {
			if err := refuse(step); err != nil {
				return nil, err
			}
		}
		if id != "" && plan.ID != id {
			plan = &tldwdb.Plan{ID: id, Request: req}
		}
		res, err := db.Apply(ctx, plan)
		if id == "" && errors.Is(err, tldwdb.ErrPlanChanged) && try < planTries && ctx.Err() == nil {
			continue
		}
		return result(res, err)
	}
}

func (a *app) downCommand(root *cobra.Command) {
	var n steps
	cmd := a.add(root, command{
		use: "down [-n | V | base] [flags]", group: groupRun, short: "Take migrations back",
		long: `
Takes back the newest migration, the newest n, those above version V, or all of
them (base). What the database has kept of a migration is used, so that a program
can take back what only a newer one knew.

On a database that is stamped as production it asks for the database's name;
scripts give it as --yes-on.`,
		example: `
tldwdb down
tldwdb down -2
tldwdb down 1
tldwdb down base`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			count, err := n.count()
			if err != nil {
				return err
			}
			to, err := parseTarget(first(args))
			switch {
			case err != nil:
				return err
			case to.given && count > 0:
				return usagef("%s and -%d say different things: give one of them", args[0], count)
			case to.given && to.request.Goal == tldwdb.GoalUp:
				return usagef("down applies nothing: use 'up %s'", args[0])
			case !to.given:
				to.request = tldwdb.Request{Goal: tldwdb.GoalDown, Steps: count}
			}
			return a.destructive(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				if to.request.Goal == tldwdb.GoalVersion {
					return downTo(ctx, db, to.request)
				}
				return result(db.Migrate(ctx, to.request))
			}, withoutMaking)
		},
	})
	n.bind(cmd.Flags())
}

func (a *app) redoCommand(root *cobra.Command) {
	var n steps
	cmd := a.add(root, command{
		use: "redo [-n] [flags]", group: groupRun, short: "Take the newest migration back and apply it again",
		long: `
Takes the newest migration, or the newest n, back and applies them again: while
writing one. It is protected on production as 'down' is.`,
		example: `
tldwdb redo
tldwdb redo -2`,
		run: func(cmd *cobra.Command, _ []string) error {
			count, err := n.count()
			if err != nil {
				return err
			}
			return a.destructive(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				return result(db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalRedo, Steps: count}))
			}, withoutMaking)
		},
	})
	n.bind(cmd.Flags())
}

func (a *app) gotoCommand(root *cobra.Command) {
	a.add(root, command{
		use: "goto V [flags]", group: groupRun, short: "Go up or down to a version",
		long: `
Applies or takes back migrations until version V is the newest one. Going down is
protected on production as 'down' is.`,
		example: `
tldwdb goto 1
tldwdb goto 0002`,
		args: exactly("the version"),
		run: func(cmd *cobra.Command, args []string) error {
			version, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			return a.destructive(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				return result(db.MigrateTo(ctx, version))
			})
		},
	})
}

// destructive runs what a production database is protected from. A person at a
// terminal is asked for its name.
func (a *app) destructive(cmd *cobra.Command, f func(ctx context.Context, db *tldwdb.DB) (texter, error), edits ...func(*tldwdb.Config)) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	data, err := a.onDB(cmd, s.config, f, edits)
	if errors.Is(err, tldwdb.ErrProtected) && !a.flags.json {
		name, asked := a.ask(cmd, err)
		if asked {
			data, err = a.onDB(cmd, s.config, f, append(edits, func(cfg *tldwdb.Config) { cfg.Confirm = name }))
		}
	}
	if data == nil || errors.Is(err, tldwdb.ErrProtected) {
		return err
	}
	return a.answer(cmd, data, err)
}

// ask reads the name of the database from a person.
func (a *app) ask(cmd *cobra.Command, cause error) (name string, asked bool) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", false
	}
	p := a.printer(cmd.ErrOrStderr())
	p.linef("%s %s", p.paint(colorYellow, "careful:"), cause)
	if _, err := fmt.Fprint(cmd.ErrOrStderr(), "type the name of the database to go on: "); err != nil {
		return "", false
	}
	typed := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			line = ""
		}
		typed <- strings.TrimSpace(line)
	}()
	select { // nothing else ends the reading of a terminal
	case name = <-typed:
		return name, name != ""
	case <-cmd.Context().Done():
		return "", false
	}
}

type waitAnswer struct {
	Current int64 `json:"current"`
	Head    int64 `json:"head"`
}

func (w waitAnswer) text(p *printer) {
	p.linef("ready: the database is at version %d", w.Current)
}

func (a *app) waitCommand(root *cobra.Command) {
	a.add(root, command{
		use: "wait [flags]", group: groupRun, short: "Wait until somebody else has migrated",
		long: `
Waits until nothing is pending, without migrating: for an init container whose
migrations are another job's. It waits at most for --lock-wait, and ends with
exit code 3 when something is pending still.`,
		example: `
tldwdb wait
tldwdb wait --lock-wait 2m`,
		run: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, err := a.context(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			cmd.SetContext(ctx) // one limit for both waits
			began := time.Now()
			if err := a.awaitFile(cmd); err != nil {
				return err
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				if err := db.Wait(ctx); err != nil {
					return nil, err
				}
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				return waitAnswer{status.Current, status.Head}, nil
			}, func(cfg *tldwdb.Config) {
				if effective, err := cfg.Effective(); err == nil { // Open says what is wrong
					cfg.LockWait = max(effective.LockWait-time.Since(began), -1)
				}
			})
		},
	})
}

// fileEvery is the pause between two looks for a file that is not there.
const fileEvery = 100 * time.Millisecond

// awaitFile waits for a SQLite file that somebody else is to make. Opening it would
// make an empty one, with whatever rights this process has.
func (a *app) awaitFile(cmd *cobra.Command) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	cfg, err := s.config.Effective()
	if err != nil {
		return &usageError{err}
	}
	if !missing(cfg.URL) {
		return nil
	}
	ctx, stop := context.WithTimeoutCause(cmd.Context(), max(cfg.LockWait, 0), fmt.Errorf("%w: the database file is not there", tldwdb.ErrPending))
	defer stop()
	if !a.flags.quiet {
		a.printer(cmd.ErrOrStderr()).linef("waiting for the database file, at most %s", max(cfg.LockWait, 0))
	}
	tick := time.NewTicker(fileEvery)
	defer tick.Stop()
	for missing(cfg.URL) {
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); errors.Is(cause, tldwdb.ErrPending) {
				return cause
			}
			return timedOut(ctx, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
