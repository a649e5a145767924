package lint

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/lint")

const pagesDir = "../../docs/lint"

// The pages are made from the rules and their examples: `go test ./internal/lint -run Pages -update`.
func TestPages(t *testing.T) {
	t.Parallel()
	want := map[string]string{"README.md": contents()}
	for _, r := range all {
		text, err := r.markdown(os.DirFS(examplesDir))
		if err != nil {
			t.Fatal(err)
		}
		want[r.id+".md"] = text
	}
	if *update {
		if err := os.RemoveAll(pagesDir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(pagesDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(pagesDir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	found, err := os.ReadDir(pagesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range found {
		if _, ok := want[entry.Name()]; !ok {
			t.Errorf("%s is the page of no rule", entry.Name())
		}
	}
	for name, text := range want {
		if is, err := os.ReadFile(filepath.Join(pagesDir, name)); err != nil || string(is) != text {
			t.Errorf("%s is not what the rules say (%v): go test ./internal/lint -run Pages -update", name, err)
		}
	}
}

// Every rule says all that there is to say, and nothing twice.
func TestEveryRuleIsDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, r := range all {
		if r.title == "" || r.breaks == "" || r.instead == "" || !r.severity.Valid() {
			t.Errorf("%s is not described", r.id)
		}
		for _, text := range []string{r.id, r.title} {
			if other := seen[text]; other != "" {
				t.Errorf("%s and %s are both %q", r.id, other, text)
			}
			seen[text] = r.id
		}
		if _, ok := notRules[r.id]; ok {
			t.Errorf("%s is a rule, and in the list of those that are none", r.id)
		}
	}
}

// contents is the list of the rules, and of what is none.
func contents() string {
	var b strings.Builder
	b.WriteString(`# Rules

What ` + "`tldwdb lint`" + ` finds in migrations. How it is run, and what can be set, is in the
[guide](../guide/lint.md). These pages are made from the rules and from the examples in testdata/lint; each
example is judged by the tests, and run on a server.

- **error**: fails, loses data, or leaves something behind that nobody sees.
- **warning**: stops writers or readers for as long as the table is large, or breaks running programs.
- **notice**: worth a thought; nothing breaks.
`)
	for _, group := range []struct{ prefix, title string }{
		{"GN", "All engines"}, {"PG", "PostgreSQL"}, {"MY", "MySQL and MariaDB"}, {"LT", "SQLite"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| rule | severity | servers | what is found |\n|---|---|---|---|\n", group.title)
		for _, r := range all {
			if strings.HasPrefix(r.id, group.prefix) {
				severity := string(r.severity)
				if r.optIn {
					severity = "off, or " + severity
				}
				fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", r.id, r.id, severity, r.servers(), r.title)
			}
		}
	}
	b.WriteString("\n## What is no rule here, and why\n\n| known as | why it is none |\n|---|---|\n")
	for _, id := range noRules {
		fmt.Fprintf(&b, "| %s | %s |\n", id, notRules[id])
	}
	b.WriteString(elsewhere())
	return b.String()
}
