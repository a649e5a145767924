package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

type healthAnswer struct{ *tldwdb.Health }

func (h healthAnswer) text(p *printer) {
	colors := map[tldwdb.CheckStatus]string{tldwdb.CheckPass: colorGreen, tldwdb.CheckWarn: colorYellow, tldwdb.CheckFail: colorRed}
	t := p.table("CHECK", "STATUS", "OBSERVED", "DETAIL")
	for _, c := range h.Checks {
		name, detail := c.Name, c.Output
		if c.Subject != "" {
			name += " " + c.Subject
		}
		for _, word := range []string{string(c.Class), c.Method} {
			if word != "" && detail != "" {
				detail = word + ": " + detail
			} else if word != "" {
				detail = word
			}
		}
		t.row(name, p.paint(colors[c.Status], string(c.Status)), observed(c), oneLine(detail, 400))
	}
	t.end()
	switch {
	case h.Status != tldwdb.StatusHealthy:
		p.linef("%s %s", p.paint(colorRed, "unhealthy:"), h.Error)
	case h.Degraded:
		p.linef("%s %s", p.paint(colorYellow, "healthy, but:"), h.Error)
	default:
		p.linef("%s %s", p.paint(colorGreen, "healthy:"), "every check passes")
	}
}

// observed is what a check saw, as people say it.
func observed(c tldwdb.Check) string {
	switch c.Unit {
	case "":
		return "-"
	case "bytes":
		return size(int64(c.Observed))
	case "ms":
		return took(time.Duration(c.Observed * float64(time.Millisecond)))
	case "s":
		return took(time.Duration(c.Observed * float64(time.Second)))
	case "ratio":
		return fmt.Sprintf("%.0f %%", 100*c.Observed)
	}
	return strconv.FormatFloat(c.Observed, 'f', 0, 64) + " " + c.Unit
}

// unreached are the classes of an error that is an answer: there is a database, and
// it cannot be used.
var unreached = []tldwdb.ErrorClass{"unreachable", "timeout", "too_many_connections", "auth", "tls", "permission", "missing_database", "storage"}

func (a *app) healthCommand(root *cobra.Command) {
	a.add(root, command{
		use: "health [flags]", group: groupLook, short: "Say whether the database can serve this program",
		long: `
Asks what /health/database of a service asks: whether the database answers, the
schema is current, tables are there (TLDWDB_HEALTH_TABLES), a row can be written
(and is rolled back), how many rows there are (TLDWDB_HEALTH_COUNTS), size, disk,
replication, certificates. Ends with exit code 0 when every check
passes or only warns, and with 3 when one fails.`,
		example: `
tldwdb health
tldwdb health --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			var h tldwdb.Health
			// It is there or it is not: a probe is no init container.
			alone := func(cfg *tldwdb.Config) { cfg.ConnectWait, cfg.Logger = -1, nil } // what the log would say is the answer
			_, err = a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				h = db.Health(ctx)
				return nil, ctx.Err()
			}, []func(*tldwdb.Config){alone, looking})
			class := tldwdb.ClassOf(err)
			switch {
			case errors.As(err, new(*usageError)), err != nil && !slices.Contains(unreached, class):
				return err
			case err != nil:
				h = tldwdb.Health{Status: tldwdb.StatusUnhealthy, Class: class, Error: "the database cannot be opened", Time: time.Now(),
					Checks: []tldwdb.Check{{Name: tldwdb.CheckConnection, Status: tldwdb.CheckFail, Class: class, Output: err.Error(), Time: time.Now()}}}
			}
			if h.Status != tldwdb.StatusHealthy {
				return a.answer(cmd, healthAnswer{&h}, errUnhealthy)
			}
			return a.answer(cmd, healthAnswer{&h}, nil)
		},
	})
}
