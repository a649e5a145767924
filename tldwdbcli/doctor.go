package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// doctorCheck is one thing that doctor has looked at.
type doctorCheck struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warning or failed
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // what to do about it
}

// The states of a check.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
)

type doctorAnswer struct {
	Healthy   bool              `json:"healthy"` // no check has failed
	Checks    []doctorCheck     `json:"checks"`
	Diagnosis *tldwdb.Diagnosis `json:"diagnosis"` // null when the database was not reached
}

func (d *doctorAnswer) add(name, state, hint, format string, args ...any) {
	d.Checks = append(d.Checks, doctorCheck{Name: name, State: state, Detail: fmt.Sprintf(format, args...), Hint: hint})
	if state == checkFailed {
		d.Healthy = false
	}
}

// failed adds a check that ended in an error.
func (d *doctorAnswer) failed(name string, err error) {
	d.add(name, checkFailed, hint(err), "%s", err)
}

func (d *doctorAnswer) text(p *printer) {
	t := p.table("CHECK", "STATE", "DETAIL")
	colors := map[string]string{checkOK: colorGreen, checkWarning: colorYellow, checkFailed: colorRed}
	for _, c := range d.Checks {
		t.row(c.Name, p.paint(colors[c.State], c.State), oneLine(c.Detail, 400))
	}
	t.end()
	for _, c := range d.Checks {
		if c.Hint != "" {
			p.linef("%s %s: %s", p.paint(colorYellow, "hint:"), c.Name, c.Hint)
		}
	}
}

// The limits from which doctor speaks up.
const (
	clockTolerance = 2 * time.Second
	slowRoundTrip  = 100 * time.Millisecond
	littleSpace    = 1 << 30
)

func (a *app) doctorCommand(root *cobra.Command) {
	a.add(root, command{
		use: "doctor [flags]", group: groupLook, short: "Look for what could keep a migration from running",
		long: `
Looks at all that a migration needs: settings, files, whether the server is
reached, its version, the kind of migration lock and why, a pooler in between,
missing rights, the clock, room on the disk, what is pending and what needs a
decision. It writes nothing, takes no lock, and ends with exit code 3 when
something is wrong.`,
		example: `
tldwdb doctor
tldwdb doctor --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			answer := &doctorAnswer{Healthy: true}
			a.examineFiles(answer, s)
			// It is there or it is not: doctor is no init container.
			alone := func(cfg *tldwdb.Config) { cfg.ConnectWait = -1 }
			_, err = a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				return nil, examine(ctx, answer, db)
			}, []func(*tldwdb.Config){alone, looking})
			switch {
			case errors.As(err, new(*usageError)): // --timeout
				return err
			case err != nil:
				answer.failed("connection", err)
			}
			if !answer.Healthy {
				return a.answer(cmd, answer, errUnhealthy)
			}
			return a.answer(cmd, answer, nil)
		},
	})
}

func (a *app) examineFiles(answer *doctorAnswer, s *settings) {
	cfg, err := s.config.Effective()
	if err != nil {
		answer.failed("settings", err)
		return
	}
	from := "no settings file"
	if s.file != "" {
		from = s.file
	}
	answer.add("settings", checkOK, "", "%s, %s", cfg.Environment, from)
	u, err := s.url()
	if err != nil {
		answer.failed("settings", err)
		return
	}
	files, err := tldwdb.Files(s.config, u.Dialect)
	switch {
	case err != nil:
		answer.failed("files", err)
	case len(files) == 0:
		answer.add("files", checkWarning, "name a folder with --dir", "there are no migrations")
	default:
		answer.add("files", checkOK, "", "%s for %s", plural(len(files), "migration"), u.Dialect)
	}
}

// examine looks at what can be seen only from the server. Its error says that
// even that could not be seen.
func examine(ctx context.Context, answer *doctorAnswer, db *tldwdb.DB) error {
	d, err := db.Diagnose(ctx)
	if d == nil {
		return err
	}
	answer.Diagnosis = d
	state := checkOK
	if d.RoundTrip > slowRoundTrip {
		state = checkWarning
	}
	answer.add("connection", state, "", "%s, database %s, a round trip takes %s", d.Server, d.Database, took(d.RoundTrip))
	if err != nil {
		answer.failed("lock", err)
		return nil
	}
	answer.add("lock", checkOK, "", "%s", d.Lock)
	if d.Pooler {
		answer.add("pooler", checkWarning, "set TLDWDB_MIGRATE_URL to a direct connection if there is one, and TLDWDB_POOLER for the application's pool",
			"a pooler shares its connections among several clients")
	}
	if d.ReadOnly {
		answer.add("writes", checkFailed, "point the URL at the primary, or set TLDWDB_MIGRATE_URL to it", "the server takes no writes")
	}
	if len(d.Missing) > 0 {
		answer.add("rights", checkFailed, "grant them, or set TLDWDB_MIGRATE_URL to an account that has them", "this account lacks %s", strings.Join(d.Missing, ", "))
	} else {
		answer.add("rights", checkOK, "", "this account may migrate, as far as can be told")
	}
	off := d.Clock.Abs()
	switch {
	case off > clockTolerance+d.RoundTrip:
		answer.add("clock", checkWarning, "look at the time service of both", "the server's clock is %s off this one", took(off.Round(time.Millisecond)))
	default:
		answer.add("clock", checkOK, "", "the server's clock and this one agree")
	}
	if d.Free >= 0 {
		state, hint := checkOK, ""
		if d.Free < max(littleSpace, d.Size) {
			state, hint = checkWarning, "a table that is rebuilt needs its own size again, and the write-ahead log as much"
		}
		answer.add("disk", state, hint, "%s free, the database has %s", size(d.Free), size(d.Size))
	}
	examineHistory(ctx, answer, db)
	return nil
}

func examineHistory(ctx context.Context, answer *doctorAnswer, db *tldwdb.DB) {
	status, err := db.Status(ctx)
	if err != nil {
		answer.failed("history", err)
		return
	}
	switch err := db.Check(ctx); {
	case errors.Is(err, tldwdb.ErrPending):
		answer.add("history", checkWarning, "run 'up'", "version %d, %s pending", status.Current, plural(status.Pending, "migration"))
	case err != nil:
		answer.failed("history", err)
	default:
		answer.add("history", checkOK, "", "version %d, nothing pending", status.Current)
	}
	findings, err := db.Repair(ctx)
	if err != nil {
		answer.failed("decisions", err)
		return
	}
	for _, f := range findings {
		if f.Automatic {
			answer.add("decisions", checkWarning, "the next 'up' deals with it", "%s: %s", f.Migration, f.Problem)
		} else {
			answer.add("decisions", checkFailed, "'repair' shows what is known, and the ways out", "%s: %s", f.Migration, f.Problem)
		}
	}
}

// size is a number of bytes as people say it.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, names := float64(bytes), []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	for i, name := range names {
		if value /= unit; value < unit || i == len(names)-1 {
			return fmt.Sprintf("%.1f %s", value, name)
		}
	}
	return ""
}
