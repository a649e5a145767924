package tldwdbcli

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
)

// library parses what the commands are made from: the files of the root and of
// internal/dialect, without their tests.
func library(t *testing.T) []*ast.File {
	t.Helper()
	var list []*ast.File
	for _, pattern := range []string{"../*.go", "../internal/dialect/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, file)
		}
	}
	return list
}

// texts are the string literals in a part of a program.
func texts(node ast.Node) (list []string) {
	ast.Inspect(node, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

// A record is picked out by its text, which the library must still have.
func TestToldRecordsAreLogged(t *testing.T) {
	t.Parallel()
	logged := map[string]bool{}
	for _, file := range library(t) {
		for _, text := range texts(file) {
			logged[text] = true
		}
	}
	for _, message := range told {
		if !logged[message] {
			t.Errorf("nothing logs %q", message)
		}
	}
}

// Every kind of error that the library tells apart has a word in JSON.
func TestEveryKindOfErrorHasAWord(t *testing.T) {
	t.Parallel()
	words := map[string]bool{}
	for _, k := range errorKinds {
		if words[k.word] {
			t.Errorf("%q stands for two kinds", k.word)
		}
		words[k.word] = true
	}
	count := 0
	for _, file := range library(t) {
		if file.Name.Name != "tldwdb" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Err") {
				return true
			}
			count++
			word := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(strings.TrimPrefix(spec.Names[0].Name, "Err"), "${1}_$2"))
			if !words[word] {
				t.Errorf("%s has no word: %q is expected", spec.Names[0].Name, word)
			}
			return true
		})
	}
	if count < 15 {
		t.Errorf("found %d kinds of error", count)
	}
}

// Advice names commands and flags, not what a Go program would call.
func TestHintsAreInCommands(t *testing.T) {
	t.Parallel()
	inGo := regexp.MustCompile(`\bDB\.\w+|\bFix[A-Z]\w*|\w+Request\.\w+|Verification\.\w+|Config\.\w+`)
	count := 0
	for _, file := range library(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, ok := call.Fun.(*ast.Ident)
			if !ok || name.Name != "withHint" && name.Name != "hinted" {
				return true
			}
			for _, arg := range call.Args[1:] { // Config.URL beside a pool is for Attach, which no command calls
				for _, advice := range texts(arg) {
					count++
					advice = strings.ReplaceAll(advice, "Version: %d", "Version: 3")
					shown := inWords(advice)
					if found := inGo.FindString(shown); found != "" && found != "Config.URL" {
						t.Errorf("%q names %s", shown, found)
					}
				}
			}
			return true
		})
	}
	if count < 20 {
		t.Errorf("found %d hints", count)
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitDone}, {errors.New("x"), ExitFailed}, {usagef("x"), ExitUsage}, {&toldError{usagef("x")}, ExitUsage},
		{tldwdb.ErrPending, ExitUnhealthy}, {&tldwdb.HistoryError{}, ExitUnhealthy}, {&tldwdb.SchemaError{}, ExitUnhealthy}, {errUnhealthy, ExitUnhealthy},
		{tldwdb.ErrLockTimeout, ExitLocked}, {tldwdb.ErrProtected, ExitFailed},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestTracedTable: who waits, and for how long, is said once.
func TestTracedTable(t *testing.T) {
	t.Parallel()
	sized := &tldwdb.TraceSize{Rows: 7, Bytes: 1 << 20}
	for want, table := range map[string]tldwdb.TracedTable{
		"INSTANT EXCLUSIVE, reads and writes wait for a moment":                                        {Lock: "EXCLUSIVE", Blocks: "reads and writes", Algorithm: "INSTANT"},
		"INSTANT EXCLUSIVE, reads and writes wait for a moment; 7 rows, 1.0 MiB":                       {Lock: "EXCLUSIVE", Blocks: "reads and writes", Algorithm: "INSTANT", Size: sized},
		"INPLACE, LOCK=NONE, nobody waits":                                                             {Lock: "NONE", Algorithm: "INPLACE"},
		"ACCESS EXCLUSIVE, reads and writes wait; 7 rows, 1.0 MiB; reads and writes wait for a moment": {Lock: "ACCESS EXCLUSIVE", Blocks: "reads and writes", Size: sized},
		"SHARE UPDATE EXCLUSIVE, only schema changes wait":                                             {Lock: "SHARE UPDATE EXCLUSIVE", Blocks: "schema changes"},
	} {
		if got := strings.Join(tracedTable(table), "; "); got != want {
			t.Errorf("%q, and not %q", got, want)
		}
	}
}
