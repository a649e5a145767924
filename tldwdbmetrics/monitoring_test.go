package tldwdbmetrics_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tldw/tldwdb"
)

const monitoring = "../docs/monitoring"

// TestMonitoring: what the alerts and the dashboard ask for is what there is, names,
// labels and, as far as they are fixed, values. A metric that is renamed fails here,
// and not at night.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	known := map[string][]string{} // labels, by the metric's name
	for _, line := range strings.Split(strings.TrimSpace(read(t, "testdata/metrics.golden")), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		kind, labels, _ := strings.Cut(rest, " ")
		known[name] = strings.FieldsFunc(labels, func(r rune) bool { return r == ',' })
		if kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[name+part] = append([]string{"le"}, known[name]...)
			}
		}
	}
	classes := []string{""}
	for _, c := range tldwdb.ErrorClasses() {
		classes = append(classes, string(c))
	}
	values := map[string][]string{
		"error_type": classes,
		"state":      {"applied", "pending", "half_applied", "failed"},
		"status":     {string(tldwdb.CheckPass), string(tldwdb.CheckWarn), string(tldwdb.CheckFail)},
		"result":     {"ok", "error"},
		"check":      {tldwdb.CheckConnection, tldwdb.CheckWriteAccess},
		"operation":  {"query", "exec", "commit", "rollback", tldwdb.OperationRun, tldwdb.OperationBackup, tldwdb.OperationVerify},
		"form":       {"stored", "content"},
	}
	metric := regexp.MustCompile(`\b((?:tldwdb|go_sql|db_client)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	asked := map[string]bool{}
	for where, expression := range expressions(t) {
		for _, m := range metric.FindAllStringSubmatch(expression, -1) {
			labels, is := known[m[1]]
			if !is {
				t.Errorf("%s asks for %s, which there is not", where, m[1])
			}
			asked[m[1]] = true
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if l[1] == "job" || l[1] == "instance" {
					continue // Prometheus's own
				}
				if !slices.Contains(labels, l[1]) {
					t.Errorf("%s: %s has no label %s", where, m[1], l[1])
				}
				for _, value := range strings.Split(l[3], "|") {
					if fixed := values[l[1]]; fixed != nil && !slices.Contains(fixed, value) {
						t.Errorf("%s: %s of %s is never %q", where, l[1], m[1], value)
					}
				}
			}
		}
	}
	if len(asked) < 20 {
		t.Errorf("only %v are asked for", slices.Sorted(maps.Keys(asked)))
	}
}

// expressions are what the rules and the dashboard ask Prometheus, by where.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Record, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(monitoring, "alerts.yml"))), &rules); err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			found["alerts.yml, "+r.Alert+r.Record] = regexp.MustCompile(`\w+:[\w:]+`).ReplaceAllString(r.Expr, "recorded")
		}
	}
	var board struct {
		Title      string
		Annotation struct{ List []struct{ Expr string } } `json:"annotations"`
		Templating struct{ List []struct{ Definition string } }
		Panels     []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(monitoring, "dashboard.json"))), &board); err != nil {
		t.Fatal(err)
	}
	for _, a := range board.Annotation.List {
		found["dashboard.json, annotations"] += a.Expr + "\n"
	}
	for _, v := range board.Templating.List {
		found["dashboard.json, variables"] += v.Definition + "\n"
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			found["dashboard.json, "+p.Title] += target.Expr + "\n"
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlerts: Prometheus's own tool takes the rules, each of them fires on the series that it
// is for and on no other, and each is explained.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules := read(t, filepath.Join(monitoring, "alerts.yml"))
	tests, err := filepath.Glob(filepath.Join(monitoring, "*_test.yml"))
	if err != nil || len(tests) == 0 {
		t.Fatal("no tests of the rules", err)
	}
	var tried, explained []string
	for _, file := range tests {
		tried = append(tried, submatches(`(?m)^\s+alertname: (\w+)$`, read(t, file))...)
	}
	for _, line := range submatches(`(?m)^\| (Tldwdb[\w, ]+) \|`, read(t, filepath.Join(monitoring, "README.md"))) {
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

// submatches are what the first group of the expression matches.
func submatches(expression, text string) (list []string) {
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}
