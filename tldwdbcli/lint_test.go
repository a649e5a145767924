package tldwdbcli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// TestSARIF holds what SARIF 2.1.0 asks of a log, and what GitHub's code scanning asks beyond that: a rule for each result,
// by index and by name, places that begin at 1 and end behind their beginning, and URIs without a leading slash.
func TestSARIF(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("-- tldwdb: irreversible no\nCREATE TABLE a (id int PRIMARY KEY, v bigint, n text);")},
		"0002_b.up.sql": {Data: []byte("-- ä\nALTER TABLE a\n\tADD CONSTRAINT v CHECK (v > 0),\n\tALTER n\n\tSET NOT NULL;")},
	}
	own := tldwdblint.Rule{ID: "ACME1", Title: "own", Kinds: []string{"ALTER TABLE"}, Check: func(_ *tldwdblint.Statement, report func(tldwdblint.Finding)) {
		report(tldwdblint.Finding{Message: "own", Severity: tldwdblint.SeverityError})
	}}
	var out, log bytes.Buffer
	root := New(Options{
		Config:    tldwdb.Config{URL: "postgres://u@127.0.0.1/x", Migrations: fsys, Lint: tldwdblint.Config{Rules: []tldwdblint.Rule{own}}},
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if code := Run(t.Context(), root, []string{"lint", "--sarif", "--severity", "PG312=warning"}, &out, &log); code != ExitUnhealthy {
		t.Fatalf("the command ended with %d: %s", code, &log)
	}
	var sarif sarifLog
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&sarif); err != nil {
		t.Fatal(err)
	}
	if sarif.Version != "2.1.0" || !strings.HasPrefix(sarif.Schema, "https://") || len(sarif.Runs) != 1 || sarif.Runs[0].Tool.Driver.Name == "" {
		t.Fatalf("the head is %+v", sarif)
	}
	run := sarif.Runs[0]
	var found []string
	for _, r := range run.Results {
		found = append(found, r.RuleID)
		if r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("the rule of %s is not in its place", r.RuleID)
		}
		if !slices.Contains([]string{"error", "warning", "note"}, r.Level) || r.Message.Text == "" || len(r.Locations) != 1 {
			t.Errorf("%+v", r)
		}
		place := r.Locations[0].Physical
		region := place.Region
		if strings.HasPrefix(place.Artifact.URI, "/") || region.StartLine < 1 || region.StartColumn < 1 {
			t.Errorf("%+v", place)
		}
		if region.EndLine > 0 && (region.EndLine < region.StartLine || region.EndLine == region.StartLine && region.EndColumn <= region.StartColumn) {
			t.Errorf("%s ends before it begins: %+v", r.RuleID, region)
		}
		if r.RuleID == "PG204" && (region.StartLine != 4 || region.StartColumn != 2 || region.EndLine != 5 || region.EndColumn != 14) {
			t.Errorf("PG204 is at %+v", region)
		}
	}
	slices.Sort(found)
	if want := []string{"ACME1", "GN102", "PG202", "PG204", "PG312"}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID != "ACME1" && (r.Full == nil || r.Help == nil || r.HelpURI == "") {
			t.Errorf("the rule %s is not described", r.ID)
		}
	}
}

// Code scanning finds a file by its path from the working directory on.
func TestFoldersFromHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"here/migrations", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	here, other := filepath.Join(dir, "here"), filepath.Join(dir, "other")
	if got := below(here, filepath.Join(here, "migrations")); got != "migrations" {
		t.Errorf("a folder below is %q", got)
	}
	if got := below(here, here); got != "." {
		t.Errorf("the folder itself is %q", got)
	}
	if got := below(here, other); got != other {
		t.Errorf("a folder beside is %q", got)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(here, link); err != nil {
		t.Skip(err) // not on every system
	}
	if got := below(here, filepath.Join(link, "migrations")); got != "migrations" {
		t.Errorf("a folder by way of a link is %q", got)
	}
}
