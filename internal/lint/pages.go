package lint

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tldw/tldwdb/tldwdblint"
)

// About is what is written about a rule, for lists and for tools that show findings.
type About struct {
	ID       string              `json:"id"`
	Severity tldwdblint.Severity `json:"severity"` // off for one that has to be asked for
	Dialects []string            `json:"dialects"`
	Servers  string              `json:"servers"` // which of them, in words
	Title    string              `json:"title"`
	Breaks   string              `json:"breaks"`  // what is locked, breaks or is lost
	Instead  string              `json:"instead"` // how the same is done safely
	Page     string              `json:"page"`
}

// Rules lists the rules of this module, by ID.
func Rules() []About {
	list := make([]About, len(all))
	for i, r := range all {
		list[i] = About{ID: r.id, Severity: r.severity, Dialects: r.dialects(), Servers: r.servers(), Title: r.title, Breaks: r.breaks, Instead: r.instead, Page: page(r.id)}
		if r.optIn {
			list[i].Severity = tldwdblint.SeverityOff
		}
	}
	return list
}

func (r *rule) dialects() []string {
	if len(r.on) == 0 {
		return []string{sqlite, postgres, mysql, mariadb}
	}
	list := make([]string, len(r.on))
	for i, o := range r.on {
		list[i] = o.dialect
	}
	return list
}

// products are the dialects' names for people.
var products = map[string]string{sqlite: "SQLite", postgres: "PostgreSQL", mysql: "MySQL", mariadb: "MariaDB"}

// servers says for people which servers a rule is about.
func (r *rule) servers() string {
	if len(r.on) == 0 {
		return "all"
	}
	list := make([]string, len(r.on))
	for i, o := range r.on {
		list[i] = products[o.dialect]
		switch {
		case o.since != "" && o.until != "":
			list[i] += " from " + o.since + " and before " + o.until
		case o.since != "":
			list[i] += " " + o.since + " and later"
		case o.until != "":
			list[i] += " before " + o.until
		}
	}
	return strings.Join(list, ", ")
}

// markdown is the page of a rule. examples holds testdata/lint.
func (r *rule) markdown(examples fs.FS) (string, error) {
	var b strings.Builder
	severity := string(r.severity)
	if r.optIn {
		severity += ", when it is asked for"
	}
	fmt.Fprintf(&b, "# %s: %s\n\n%s · %s\n\n%s\n\n", r.id, r.title, severity, r.servers(), fill(r.breaks))
	for _, part := range []struct{ title, glob string }{{"Found here", "bad*.sql"}, {"Instead", "good*.sql"}} {
		fmt.Fprintf(&b, "## %s\n\n", part.title)
		if part.title == "Instead" {
			fmt.Fprintf(&b, "%s\n\n", fill(r.instead))
		}
		names, err := fs.Glob(examples, path.Join("*", r.id, part.glob))
		if err != nil {
			return "", err
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		for _, name := range names {
			text, err := fs.ReadFile(examples, name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "```sql\n%s```\n\n", shown(string(text)))
		}
	}
	if len(r.see) > 0 {
		b.WriteString("See " + strings.Join(r.see, ", ") + ".\n\n")
	}
	fmt.Fprintf(&b, "Where it does not matter: `-- tldwdb: assured %s reason` above the statement. [All rules](README.md).\n", r.id)
	return b.String(), nil
}

// shown is an example without what only the tests read of it.
func shown(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if slices.ContainsFunc([]string{"-- target:", "-- on:", "-- ask:", "-- server:"}, func(mark string) bool { return strings.HasPrefix(trimmed, mark) }) || trimmed == "-- down" {
			continue
		}
		line, _, marked := strings.Cut(line, "-- expect:")
		if marked {
			line = strings.TrimRight(line, " ") + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// fill breaks a paragraph into lines.
func fill(text string) string {
	const width = 120
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
