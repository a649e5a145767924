package tldwdbcli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// traceAnswer is what migrations did on a scratch database.
type traceAnswer struct{ *tldwdb.Trace }

func (a traceAnswer) text(p *printer) {
	if len(a.Migrations) == 0 {
		p.linef("nothing to trace: no migration is pending")
		return
	}
	for i, m := range a.Migrations {
		if i > 0 {
			p.linef("")
		}
		where, how := m.File, "in a transaction"
		if where == "" {
			where = "written in Go"
		}
		if !m.Transaction {
			how = "statement by statement"
		}
		p.linef("%s", p.paint(colorBold, fmt.Sprintf("-- %s", m.Migration))+p.faint(fmt.Sprintf(" (%s; %s)", where, how)))
		for _, st := range m.Statements {
			p.statement(st)
		}
		if len(m.Lost) > 0 {
			p.linef("%s %s", p.paint(colorYellow, "lost:"), strings.Join(m.Lost, ", "))
		}
		for _, note := range m.Notes {
			p.linef("%s %s", p.paint(colorYellow, "note:"), note)
		}
	}
}

// statement prints what a statement did, in a line for each table.
func (p *printer) statement(st tldwdb.TracedStatement) {
	const longest = 100
	if st.SQL != "" {
		p.linef("%4d  %s", st.Line, oneLine(st.SQL, longest))
	}
	for _, t := range st.Tables {
		if parts := tracedTable(t); len(parts) > 0 {
			color := ""
			switch {
			case t.Rewritten && t.Blocks != "", t.Blocks == "reads and writes" && t.Scanned:
				color = colorRed
			case t.Blocks == "reads and writes", t.Blocks == "writes":
				color = colorYellow
			}
			name := t.Name
			if color != "" {
				name = p.paint(color, name)
			}
			p.linef("      %s: %s", name, strings.Join(parts, "; "))
		}
	}
	for _, note := range st.Notes {
		p.linef("      %s", note)
	}
	if st.OnRows != "" {
		p.linef("      %s %s", p.paint(colorRed, "fails on rows that were made up:"), st.OnRows)
	}
}

// tracedTable is what is to be said about a table; nothing about one that the migration
// has made itself, and one that was only looked at.
func tracedTable(t tldwdb.TracedTable) []string {
	if t.New {
		return nil
	}
	var parts []string
	say := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	how := strings.TrimSpace(t.Algorithm + " " + t.Lock)
	if t.Algorithm != "" && t.Algorithm != "INSTANT" {
		how = t.Algorithm + ", LOCK=" + t.Lock
	}
	if t.Held {
		how = strings.TrimSpace(how + " (held)")
	}
	moment := t.Algorithm == "INSTANT" && !t.Held // for the change of the catalogue alone, however many rows there are
	switch {
	case moment && t.Blocks != "":
		say(true, "%s, %s wait for a moment", how, t.Blocks)
	case t.Blocks == "schema changes":
		say(true, "%s, only %s wait", how, t.Blocks)
	case t.Blocks != "":
		say(true, "%s, %s wait", how, t.Blocks)
	case how != "" && t.Rows > 0 && t.Algorithm == "":
		say(true, "%s, only who wants the same rows waits", how)
	case how != "" && (t.Algorithm != "" || t.Scanned || t.Rewritten):
		say(true, "%s, nobody waits", how)
	}
	say(t.Dropped, "dropped")
	say(t.Rewritten, "written anew with its indexes")
	say(t.Scanned && len(t.Built) == 0, "read from end to end")
	say(len(t.Built) > 0, "builds %s", strings.Join(t.Built, ", "))
	say(t.Rows > 0, "rows are written")
	if t.Size == nil {
		return parts
	}
	if t.Size.Rows >= 0 {
		say(true, "%s, %s", plural(int(t.Size.Rows), "row"), size(t.Size.Bytes))
	} else {
		say(true, "%s", size(t.Size.Bytes))
	}
	say(t.Size.Work[1] >= noTime, "works for %s", about(t.Size.Work))
	switch {
	case t.Blocks == "", moment:
	case t.Size.Blocked[1] >= noTime:
		say(true, "%s wait for %s", t.Blocks, about(t.Size.Blocked))
	default:
		say(true, "%s wait for a moment", t.Blocks)
	}
	return parts
}

// noTime is what nobody waits for.
const noTime = 100 * time.Millisecond

// about is a time that is known within a factor of ten, with one digit.
func about(r [2]time.Duration) string {
	if r[0] < noTime {
		return "up to " + roughly(r[1])
	}
	return "about " + roughly(r[0]) + " to " + roughly(r[1])
}

func roughly(d time.Duration) string {
	seconds := d.Seconds()
	units := []struct {
		name string
		in   float64
	}{{"h", 3600}, {"min", 60}, {"s", 0}}
	i := slices.IndexFunc(units, func(u struct {
		name string
		in   float64
	}) bool {
		return seconds >= 2*u.in
	})
	value := seconds / max(units[i].in, 1)
	oneDigit, _ := strconv.ParseFloat(fmt.Sprintf("%.0e", value), 64) // it is what was written just now
	return fmt.Sprintf("%g%s", oneDigit, units[i].name)
}

func (a *app) traceCommand(root *cobra.Command) {
	var req tldwdb.TraceRequest
	cmd := a.add(root, command{
		use: "trace [V ...] [flags]", group: groupLook, short: "Run what is pending on a scratch database, and watch it",
		long: `
Runs the applied migrations on a scratch database, and then the pending ones, or
those that are named, statement by statement. It says of each what the server
locked, and who waits for that; what it wrote anew, read from end to end or built;
and what is gone in the end. It takes no lock on the database itself, and writes
nothing into it.

Tables that are empty get a few rows that are made up, because a server does less on
empty ones. With --stats the sizes of the real tables are looked up, and the times
are estimated: they are about, and without the time that a statement waits for its
locks. The scratch database is that of 'drift'.`,
		example: `
tldwdb trace
tldwdb trace --stats
tldwdb trace 2 --json`,
		args: cobra.ArbitraryArgs,
		run: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				v, err := parseVersion(arg)
				if err != nil {
					return err
				}
				req.Versions = append(req.Versions, v)
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				found, err := db.Trace(ctx, req)
				if err != nil && len(found.Migrations) == 0 {
					return nil, err
				}
				return traceAnswer{found}, err
			}, looking)
		},
	})
	f := cmd.Flags()
	f.BoolVar(&req.Stats, "stats", false, "estimate times from the sizes of the real tables")
	f.StringVar(&req.ScratchURL, "scratch-url", "", "`URL` of an empty database to run the migrations on")
}
