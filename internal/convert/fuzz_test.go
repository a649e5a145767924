package convert

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// transactionWords may be left out, and a semicolon may be put in.
var transactionWords = []string{"BEGIN", "START", "TRANSACTION", "COMMIT", "END", "WORK", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", ";"}

var tightDashes = regexp.MustCompile(`--\S`)

// code is all of a text that is no comment, in the order of the alphabet.
func code(text string, rules sqlscan.Options) []string {
	var list []string
	for t := range sqlscan.Tokens(text, rules) {
		if !slices.Contains(transactionWords, strings.ToUpper(t.Text)) {
			list = append(list, t.Text)
		}
	}
	slices.Sort(list)
	return list
}

// Whatever stands in a file: either it is refused, or all of its code is in ours, and our scanner can read it there.
func FuzzNothingIsLost(f *testing.F) {
	for _, body := range []string{
		"CREATE TABLE a (x int);\n-- +goose Down\nDROP TABLE a;",
		"SELECT '\n-- +goose Down\n';\n-- +goose StatementBegin\nSELECT $$;\n-- +goose Down\n$$\n-- +goose StatementEnd\n-- +goose Down\nSELECT 2",
		"/*\n-- migrate:down\n*/ SELECT 1;\n-- migrate:down transaction:false\nSELECT 2;",
		"BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n-- +migrate Down\nSELECT 3;\n-- +migrate Up\nSELECT 4;",
		"-- +goose StatementBegin\nCREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END -- so\n-- +goose StatementEnd\nSELECT `a`;",
		"PRAGMA foreign_keys=OFF;BEGIN;SELECT 1;COMMIT;", "COMMIT;", "'", "\r\n;;\r\n", "{{", "---- create above / drop below ----\nSELECT 1",
	} {
		for tool := range 4 {
			f.Add(uint8(tool), uint8(tool%3), body)
		}
	}
	f.Fuzz(func(t *testing.T, which, engine uint8, body string) {
		tool := []Tool{Goose, Dbmate, Tern, GolangMigrate}[which%4]
		head := map[Tool]string{Goose: "-- +goose Up\n", Dbmate: "-- migrate:up\n"}[tool]
		name := map[Tool]string{GolangMigrate: "1_a.up.sql"}[tool]
		if name == "" {
			name = "1_a.sql"
		}
		dialect := dialects[engine%3]
		rules := sqlscan.Options{Dialect: scanRules[dialect]}
		if dialect == "mysql" && (tool == Tern || tightDashes.MatchString(body) || strings.Contains(strings.ToLower(body), "delimiter")) {
			return // what is a comment to the tool and none to the server, and text that tokens say nothing about
		}
		if strings.Count(body, ternMark) != strings.Count(body, ternMark+"\n") {
			return // tern goes on behind its mark, in what is a comment to the server
		}
		r, err := Convert(one(name, head+body), Options{Tool: tool, Dialect: dialect})
		if err != nil {
			if refused, ok := errors.AsType[*Error](err); !ok || len(refused.Problems) == 0 {
				t.Fatalf("neither converted nor refused: %v", err)
			}
			return
		}
		var all strings.Builder
		for _, file := range r.Files {
			all.Write(file.Text)
			all.WriteString("\n")
			if _, err := sqlscan.Split(string(file.Text), rules); err != nil {
				t.Errorf("%s cannot be read: %v\n%s", file.Name, err, file.Text)
			}
		}
		text := head + body + "\n" // SQLite takes /* at the very end for no comment
		if tool == Goose {
			text = strings.ReplaceAll(text, "\r\n", "\n")
		}
		want, got := code(text, rules), code(all.String(), rules)
		if !slices.Equal(got, want) {
			t.Errorf("the code is %q, want %q\n%s", got, want, all.String())
		}
	})
}
