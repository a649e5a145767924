package tldwdb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const monitoring = "docs/monitoring"

// TestAlerts: Prometheus's own tool takes the rules, each of them fires on the series that it
// is for and on no other, and each is explained.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules := readFile(t, filepath.Join(monitoring, "alerts.yml"))
	tests, err := filepath.Glob(filepath.Join(monitoring, "*_test.yml"))
	if err != nil || len(tests) == 0 {
		t.Fatal("no tests of the rules", err)
	}
	var tried, explained []string
	for _, file := range tests {
		tried = append(tried, submatches(`(?m)^\s+alertname: (\w+)$`, readFile(t, file))...)
	}
	for _, line := range submatches(`(?m)^\| (Tldwdb[\w, ]+) \|`, readFile(t, filepath.Join(monitoring, "README.md"))) {
		explained = append(explained, strings.Split(line, ", ")...)
	}
	alerts := submatches(`(?m)^\s+- alert: (\w+)$`, rules)
	for _, list := range []struct {
		what string
		got  []string
	}{{"tried", tried}, {"explained", explained}} {
		slices.Sort(list.got)
		if want := slices.Sorted(slices.Values(alerts)); !slices.Equal(list.got, want) {
			t.Errorf("%s are\n%v\nand the alerts are\n%v", list.what, list.got, want)
		}
	}
	if testing.Short() {
		t.Skip("the rules are tried for days of series")
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not there (Debian's package prometheus)")
	}
	for i, file := range tests {
		tests[i] = filepath.Base(file)
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, append([]string{"test", "rules"}, tests...)} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// submatches are what the first group of the expression matches.
func submatches(expression, text string) (list []string) {
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}
