package dump

import (
	"context"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// A scheduler runs events from the moment on in which they are made, in whatever
// database that is: also in one that is there to be looked at and thrown away, and what
// they name together with its database they change in that one. So the events of a dump
// come last, disabled, and run when somebody says that this is their database.

// Asleep are the events of a dump that were made and do not run yet.
type Asleep struct {
	script string
	names  []string // of all, in quotes
	// Enabled are the names of those that are disabled only for now.
	Enabled []string
}

// eventsBegin is the comment before the events of a dump. The next comment with words
// in it is behind them.
const eventsBegin = "-- Dumping events for database"

// eventHead is the statement that makes an event, up to its status. The server writes
// it, in this order; what somebody has chosen stands in quotes, or comes later.
var eventHead = lazyregexp.New("(?m)^/\\*!50106 CREATE\\*/ .*?EVENT (?:IF NOT EXISTS )?`((?:[^`]|``)*)` ON SCHEDULE (?:[^'`]|'(?:[^'\\\\]|\\\\.|'')*')*?ON COMPLETION (?:NOT )?PRESERVE (ENABLE|DISABLE)\\b")

// asleep reads the part of a dump that makes the events made.
func asleep(script string, made map[mysqlObject]bool) (disabled string, a Asleep, err error) {
	a.script = script
	missing := map[string]bool{}
	for o := range made {
		if o.kind == "event" {
			missing[o.name] = true
		}
	}
	var text strings.Builder
	done := 0
	for _, at := range eventHead.FindAllStringSubmatchIndex(script, -1) {
		quoted := script[at[2]:at[3]]
		name := strings.ReplaceAll(quoted, "``", "`")
		if !missing[name] {
			continue // it is of another's text
		}
		delete(missing, name)
		a.names = append(a.names, "`"+quoted+"`")
		if script[at[4]:at[5]] == "ENABLE" {
			text.WriteString(script[done:at[4]])
			text.WriteString("DISABLE")
			done = at[5]
			a.Enabled = append(a.Enabled, name)
		}
	}
	text.WriteString(script[done:])
	for name := range missing {
		return "", a, refuse("load it with the client program into a database of your own, or take a portable backup",
			"the event %s is not where a dump has its events, or is written in a way that is not known here", name)
	}
	slices.Sort(a.Enabled)
	return text.String(), a, nil
}

// Wake makes the events anew, as the dump has them: to alter one would change more of it
// than its status.
func (m *mysql) Wake(ctx context.Context, a Asleep) error {
	if len(a.Enabled) == 0 {
		return nil
	}
	c, err := m.client(ctx)
	if err != nil {
		return err
	}
	defer c.remove()
	return c.run(ctx, strings.NewReader("DROP EVENT IF EXISTS "+strings.Join(a.names, ";\nDROP EVENT IF EXISTS ")+";\n"+a.script), nil)
}

// Wake has nothing to do: PostgreSQL runs nothing by itself.
func (p *postgres) Wake(context.Context, Asleep) error { return nil }

// Awake changes a description of the database to what it is when the events are awake.
func (a Asleep) Awake(c catalog.Catalog) {
	for i, o := range c {
		if o.Kind != "event" || !slices.Contains(a.Enabled, o.Name) {
			continue
		}
		if at := eventStatus.FindStringSubmatchIndex(o.Text); at != nil {
			c[i].Text = o.Text[:at[2]] + "ENABLE" + o.Text[at[3]:]
		}
	}
}

// eventStatus finds the status in what a catalogue says of an event.
var eventStatus = lazyregexp.New("CREATE EVENT `(?:[^`]|``)*` ON SCHEDULE (?:[^'`]|'(?:[^'\\\\]|\\\\.|'')*')*?ON COMPLETION (?:NOT )?PRESERVE (DISABLE)\\b")
