package tldwdb_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestModelNamesTheCode: a model is worth as much as its likeness to the code.
// Each function that docs/model/README.md gives for a step is in its file, each step
// is in the model, and each check that it describes is run.
func TestModelNamesTheCode(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("docs", "model", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme, model, check := read("README.md"), read("boot.pml"), read("check")
	functions := declared(t, ".", filepath.Join("internal", "dialect"))
	quoted := regexp.MustCompile("`([^`]+)`")

	about, table, found := strings.Cut(readme, "## Which code each step is")
	if !found {
		t.Fatal("docs/model/README.md has no table of steps and functions")
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.HasPrefix(cells[1], "-") || strings.Contains(line, "| code |") {
			continue
		}
		rows++
		for _, step := range quoted.FindAllStringSubmatch(cells[1], -1) {
			name := strings.TrimPrefix(step[1], "goto ")
			if !regexp.MustCompile(`(?m)^(inline|proctype) ` + name + `\(|^` + name + `:`).MatchString(model) {
				t.Errorf("boot.pml has no step %q", name)
			}
		}
		for place := range strings.SplitSeq(cells[2], ";") {
			names := quoted.FindAllStringSubmatch(place, -1)
			if len(names) < 2 {
				t.Errorf("no file with a function is named for: %s", strings.TrimSpace(cells[1]))
				continue
			}
			for _, name := range names[1:] {
				if file := names[0][1]; !functions[file][name[1]] {
					t.Errorf("docs/model/README.md names %s in %s, and it is not there", name[1], file)
				}
			}
		}
	}
	if rows < 10 {
		t.Errorf("the table of steps and functions has %d rows", rows)
	}

	for _, line := range regexp.MustCompile(`(?m)^(?:holds|fails twice \w+|fails stuck \w+) (\S+) "([^"]*)"$`).FindAllStringSubmatch(check, -1) {
		if !strings.Contains(about, "`"+line[1]+"`") {
			t.Errorf("docs/model/README.md does not say what the check %s is", line[1])
		}
		for macro := range strings.FieldsSeq(line[2]) {
			if !regexp.MustCompile(`(defined\(|#ifn?def )` + macro + `\b`).MatchString(model) {
				t.Errorf("the check %s sets %s, which boot.pml does not know", line[1], macro)
			}
		}
	}
}

// declared lists the functions and methods of the packages in dirs by file, tests
// excepted. internal/ is left out of a file's path.
func declared(t *testing.T, dirs ...string) map[string]map[string]bool {
	t.Helper()
	names := map[string]map[string]bool{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimPrefix(filepath.ToSlash(file), "internal/")
			names[path] = map[string]bool{}
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					names[path][qualified(f)] = true
				}
			}
		}
	}
	return names
}

// qualified is a function's name, with the type that it is a method of.
func qualified(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
