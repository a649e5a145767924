package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
)

// The documents are tested like code. A fenced block says by its info string
// what is done with it:
//
//	go file=PATH    a whole file of the reader's module, example.com/notes
//	go              statements, compiled inside a function
//	sql file=PATH   a migration of that module
//	sh run          run with bash on every engine, in the order of the document
//	sh run=WHAT     run on one engine, or in the situation that a test below makes
//	sql run=WHAT    sent to the server when the document's commands have run
//
// needs=PROGRAM leaves a block out, with a line in the log, where the program
// is not to be had.

// The documents whose code is compiled, in the order in which their files are
// written.
var docFiles = []string{"README.md", "docs/guide/writing-migrations.md", "docs/guide/health.md", "docs/guide/observability.md", "docs/guide/credentials.md", "docs/guide/backup.md", "docs/guide/copy.md", "docs/guide/seeds.md", "docs/guide/lint.md", "docs/guide/trace.md", "docs/guide/diff.md", "docs/guide/snapshots.md", "docs/guide/testing.md", "docs/runbooks/rotating-credentials.md", "docs/runbooks/deployment.md", "docs/runbooks/rollback.md",
	"docs/runbooks/half-applied.md", "docs/runbooks/pooler.md", "docs/runbooks/cluster-and-failover.md", "docs/runbooks/adopting.md", "docs/runbooks/restore-drill.md"}

// docBlock is one fenced block.
type docBlock struct {
	doc   string
	line  int // of its first line of text
	lang  string
	attrs map[string]string
	text  string
}

func (b docBlock) String() string { return fmt.Sprintf("%s:%d", b.doc, b.line) }

// runsOn reports whether the block is to be run in a situation.
func (b docBlock) runsOn(what ...string) bool {
	run, ok := b.attrs["run"]
	return ok && (run == "" || run == "all" || slices.Contains(what, run))
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func docBlocks(t *testing.T, docs ...string) []docBlock {
	t.Helper()
	var blocks []docBlock
	for _, doc := range docs {
		var open *docBlock
		for i, line := range strings.Split(readDoc(t, doc), "\n") {
			info, fence := strings.CutPrefix(line, "```")
			switch {
			case fence && open == nil:
				words := strings.Fields(info)
				open = &docBlock{doc: doc, line: i + 2, attrs: map[string]string{}}
				if len(words) > 0 {
					open.lang = words[0]
				}
				for _, word := range words[min(1, len(words)):] {
					key, value, _ := strings.Cut(word, "=")
					open.attrs[key] = value
				}
			case fence:
				blocks, open = append(blocks, *open), nil
			case open != nil:
				open.text += line + "\n"
			}
		}
		if open != nil {
			t.Fatalf("%s:%d: the block has no end", doc, open.line)
		}
	}
	return blocks
}

// docTable returns the cells of the first table below a heading.
func docTable(t *testing.T, doc, heading string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(readDoc(t, doc), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", doc, heading)
	}
	var rows [][]string
	for line := range strings.SplitSeq(rest, "\n") {
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("%s: no table below %q", doc, heading)
	}
	return rows[2:] // without the head
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// codeIn lists the code spans of a cell.
func codeIn(cell string) []string {
	var list []string
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

// sameSet reports what only one of two lists has.
func sameSet(t *testing.T, what string, documented, actual []string) {
	t.Helper()
	for _, s := range actual {
		if !slices.Contains(documented, s) {
			t.Errorf("%s: the document lacks %q", what, s)
		}
	}
	for _, s := range documented {
		if !slices.Contains(actual, s) {
			t.Errorf("%s: the document has %q, and the source does not", what, s)
		}
	}
}

// writeModule writes the module that the documents describe, with a replace to
// this checkout. It needs no network: the checkout's own requirements are
// enough.
func writeModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	mod := readDoc(t, "go.mod")
	_, requirements, _ := strings.Cut(mod, "\nrequire")
	write(t, dir, "go.mod", "module example.com/notes\n\ngo 1.26.0\n\nrequire github.com/tldw/tldwdb v0.0.0\n\nreplace github.com/tldw/tldwdb => "+strconv.Quote(root)+"\n\nrequire"+requirements)
	write(t, dir, "go.sum", readDoc(t, "go.sum"))
	for _, b := range docBlocks(t, docFiles...) {
		if name := b.attrs["file"]; name != "" {
			write(t, dir, name, b.text)
		}
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goTool runs the go command in the module, which must not reach for a network.
func goTool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// fragmentHead makes a compilable file of a block that has only statements. The
// parameters are the names that the documents use without declaring them.
const fragmentHead = `package fragment

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/notes/migrations"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbcli"
	"github.com/tldw/tldwdb/tldwdblint"
	"github.com/tldw/tldwdb/tldwdbmetrics"
	"github.com/tldw/tldwdb/tldwdbotel"
	"github.com/tldw/tldwdb/tldwdbtest"
)

var (
	_ = migrations.FS
	_ = errors.Is
	_ = os.Exit
	_ = strings.Join
	_ sync.Mutex
	_ time.Time
	_ = tldwdbcli.New
	_ tldwdblint.Config
	_ = prometheus.NewRegistry
	_ = tldwdbmetrics.New
	_ = tldwdbotel.Observe
	_ = tldwdbtest.New
)

func _(ctx context.Context, root *cobra.Command, db *tldwdb.DB, cfg tldwdb.Config, pool *sqlx.DB, logger *slog.Logger, mux *http.ServeMux, madeByFlask bool, hash func(string) string, newToken func(context.Context) (string, error), t *testing.T) error {
//line %s:%d
%s
return nil
}
`

func TestDocsCodeCompilesAndItsTestsPass(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles for a quarter of a minute, and the same for every server")
	}
	dir := writeModule(t)
	fragments := 0
	for i, b := range docBlocks(t, docFiles...) {
		if b.lang != "go" {
			continue
		}
		formatted, err := format.Source([]byte(b.text))
		if err != nil {
			t.Errorf("%s: %v", b, err)
		} else if string(formatted) != b.text {
			t.Errorf("%s: not formatted as gofmt does it:\n%s", b, formatted)
		}
		if b.attrs["file"] == "" {
			fragments++
			write(t, dir, fmt.Sprintf("fragment%d/fragment.go", i), fmt.Sprintf(fragmentHead, filepath.Base(b.doc), b.line, b.text))
		}
	}
	if fragments == 0 {
		t.Error("no statements were found in the documents")
	}
	goTool(t, dir, "build", "./...")
	goTool(t, dir, "test", "./...")
}

var (
	docLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHeading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// anchors lists the fragments that a document's headings can be reached by.
func anchors(text string) []string {
	var list []string
	for _, m := range docHeading.FindAllStringSubmatch(text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		list = append(list, slug)
	}
	return list
}

func TestDocsLinksResolve(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"docs", "examples"} {
		err := filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
			if filepath.Ext(name) == ".md" {
				docs = append(docs, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	links := 0
	for _, doc := range docs {
		doc = filepath.ToSlash(doc)
		for _, m := range docLink.FindAllStringSubmatch(readDoc(t, doc), -1) {
			if strings.Contains(m[1], "://") {
				continue // other people's pages are not looked up
			}
			links++
			target, anchor, _ := strings.Cut(m[1], "#")
			file := doc
			if target != "" {
				file = path.Join(path.Dir(doc), target)
			}
			if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", doc, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readDoc(t, file)), anchor) {
				t.Errorf("%s: the link %s leads to no heading", doc, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no links were found")
	}
}

func TestReadmeHasEveryVariableAndDefault(t *testing.T) {
	t.Parallel()
	var asked []string
	_, err := tldwdb.ConfigFromLookup(func(name string) (string, bool) {
		if !slices.Contains(asked, name) {
			asked = append(asked, name)
		}
		return "", false
	})
	if err != nil {
		t.Fatal(err)
	}
	defaults := configDefaults(t)
	config := reflect.TypeFor[tldwdb.Config]()
	var documented []string
	for _, row := range docTable(t, "README.md", "## Configuration") {
		documented = append(documented, codeIn(row[0])...)
		for _, field := range codeIn(row[1]) {
			if _, ok := config.FieldByName(field); !ok {
				t.Errorf("README.md: Config has no field %s", field)
			}
			if want, ok := defaults[field]; ok && !sameValue(strings.Trim(row[2], "`"), want) {
				t.Errorf("README.md: the default of %s is %s, not %s", field, want, row[2])
			}
			delete(defaults, field)
		}
	}
	sameSet(t, "README.md, variables", documented, asked)
	for field, value := range defaults {
		t.Errorf("README.md lacks the field %s and its default %s", field, value)
	}
	readme := readDoc(t, "README.md")
	for _, field := range reflect.VisibleFields(config) {
		if field.IsExported() && !regexp.MustCompile(`\b`+field.Name+`\b`).MatchString(readme) {
			t.Errorf("README.md does not mention Config.%s", field.Name)
		}
	}
}

// sameValue compares a documented default with the source's: 1h is 1h0m0s.
func sameValue(documented, actual string) bool {
	d, err := time.ParseDuration(documented)
	return documented == actual || err == nil && d.String() == actual
}

// configDefaults reads the constants of config.go: default<Field> = value.
func configDefaults(t *testing.T) map[string]string {
	t.Helper()
	units := map[string]time.Duration{"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var value func(e ast.Expr) string
	value = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(e.Value); err == nil {
				return text
			}
			return e.Value
		case *ast.SelectorExpr:
			return units[e.Sel.Name].String()
		case *ast.BinaryExpr:
			n, err := strconv.Atoi(value(e.X))
			d, errUnit := time.ParseDuration(value(e.Y))
			if err == nil && errUnit == nil {
				return (time.Duration(n) * d).String()
			}
		}
		t.Errorf("config.go: a default that this test cannot read: %T", e)
		return ""
	}
	defaults := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "default") && len(spec.Values) == 1 {
			defaults[strings.TrimPrefix(spec.Names[0].Name, "default")] = value(spec.Values[0])
		}
		return true
	})
	if len(defaults) < 10 {
		t.Errorf("only %d defaults were found in config.go", len(defaults))
	}
	return defaults
}

func TestReadmeHasEveryCallAndError(t *testing.T) {
	t.Parallel()
	var calls []string
	for _, row := range docTable(t, "README.md", "## Calls") {
		for _, call := range codeIn(row[0]) {
			if name, ok := strings.CutPrefix(call, "db."); ok {
				name, _, _ = strings.Cut(name, "(")
				calls = append(calls, name)
			}
		}
	}
	var methods []string
	for m := range reflect.TypeFor[*tldwdb.DB]().Methods() {
		methods = append(methods, m.Name)
	}
	sameSet(t, "README.md, calls", calls, methods)

	var kinds []string
	for _, row := range docTable(t, "README.md", "## Errors and hints") {
		kinds = append(kinds, codeIn(row[0])...)
	}
	sameSet(t, "README.md, errors", kinds, slices.Sorted(maps.Keys(sentinels(t))))
}

// sourceFiles parses the package and what it links, without tests.
func sourceFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			switch filepath.ToSlash(name) {
			case ".git", "cmd", "docs", "examples", "migrations", "testdata", "internal/testdb", "internal/tools", "internal/wiretap":
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files[filepath.ToSlash(name)], err = parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sentinels lists the exported error kinds of the package, with their texts.
func sentinels(t *testing.T) map[string]string {
	t.Helper()
	kinds, below, alias := map[string]string{}, map[string]string{}, map[string]string{} // text by name, text by package and name, package and name by name
	for name, file := range sourceFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Err") {
				return true
			}
			switch value := spec.Values[0].(type) {
			case *ast.CallExpr:
				if text := literals(value.Args[0])[0]; strings.Contains(name, "/") {
					below[file.Name.Name+"."+spec.Names[0].Name] = text
				} else {
					kinds[spec.Names[0].Name] = text
				}
			case *ast.SelectorExpr:
				if from, ok := value.X.(*ast.Ident); ok && !strings.Contains(name, "/") {
					alias[spec.Names[0].Name] = from.Name + "." + value.Sel.Name
				}
			}
			return true
		})
	}
	for name, of := range alias {
		kinds[name] = below[of]
	}
	return kinds
}

// literals lists the string literals below a node, with … for what is filled in.
func literals(n ast.Node) []string {
	var list []string
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				list = append(list, strings.NewReplacer("%s", "…", "%d", "…", "%q", "…").Replace(text))
			}
		}
		return true
	})
	return list
}

func TestRunbookHasEveryLogLine(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, row := range docTable(t, "docs/runbooks/deployment.md", "## What each log line means") {
		for _, message := range codeIn(row[1]) {
			documented = append(documented, row[0]+" "+message)
		}
	}
	var logged []string
	for name, file := range sourceFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				level, message, ok := logCall(call)
				if !ok {
					return true
				}
				texts := messages(t, file, message)
				if len(texts) == 0 {
					t.Errorf("%s: a log message that this test cannot read", name)
				}
				for _, text := range texts {
					logged = append(logged, level+" "+text)
				}
			}
			return true
		})
	}
	if len(logged) < 20 {
		t.Errorf("only %d log lines were found in the source", len(logged))
	}
	sameSet(t, "docs/runbooks/deployment.md, log lines", documented, logged)
}

// logCall recognises a call of a logger's method, by the logger's name.
func logCall(call *ast.CallExpr) (level string, message ast.Expr, ok bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", nil, false
	}
	receiver := ""
	switch x := method.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	if receiver = strings.ToLower(receiver); receiver != "log" && receiver != "logger" {
		return "", nil, false
	}
	name, hasContext := strings.CutSuffix(method.Sel.Name, "Context")
	switch {
	case (name == "LogAttrs" || name == "Log") && len(call.Args) > 2:
		if sel, isLevel := call.Args[1].(*ast.SelectorExpr); isLevel {
			return strings.ToLower(strings.TrimPrefix(sel.Sel.Name, "Level")), call.Args[2], true
		}
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name) && hasContext:
		return strings.ToLower(name), call.Args[1], true
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name):
		return strings.ToLower(name), call.Args[0], true
	}
	return "", nil, false
}

// messages lists what an expression for a log message can be: a literal, the
// literals that the file assigns to a variable, or one of the two forms that
// come from elsewhere.
func messages(t *testing.T, file *ast.File, message ast.Expr) []string {
	t.Helper()
	switch message := message.(type) {
	case *ast.BasicLit:
		return literals(message)
	case *ast.CallExpr: // w.Kind.Error(): the disagreements that do not stop a run
		kinds := sentinels(t)
		return []string{kinds["ErrNewer"], kinds["ErrMissing"], kinds["ErrOutOfOrder"]}
	case *ast.Ident:
		var list []string
		ast.Inspect(file, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok || len(assign.Lhs) != 1 {
				return true
			}
			if target, ok := assign.Lhs[0].(*ast.Ident); ok && target.Name == message.Name {
				list = append(list, literals(assign.Rhs[0])...)
			}
			return true
		})
		if len(list) > 0 {
			return list
		}
		return configWarnings(t) // ranges over Config.warnings
	}
	return nil
}

// configWarnings lists what config.go appends to its warnings.
func configWarnings(t *testing.T) []string {
	t.Helper()
	var list []string
	ast.Inspect(sourceFiles(t)["config.go"], func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		if target, ok := assign.Lhs[0].(*ast.SelectorExpr); ok && target.Sel.Name == "warnings" {
			if call, ok := assign.Rhs[0].(*ast.CallExpr); ok && len(call.Args) == 2 {
				list = append(list, literals(call.Args[1])...)
			}
		}
		return true
	})
	return list
}

// mistake makes one of the errors that the guide explains, on SQLite.
type mistake struct {
	files map[string]string
	after func(ctx context.Context, db *tldwdb.DB, files fstest.MapFS) error // nil: Up
}

const oneNote = "CREATE TABLE note (id integer PRIMARY KEY, title text);"

var mistakes = map[string]mistake{
	"0002_body.sql: which direction is this? call it 0002_body.up.sql":        {files: map[string]string{"0002_body.sql": oneNote}},
	"the name fits none of 0001_name.up.sql, 0001_name.down.sql, R__name.sql": {files: map[string]string{"1.sql": oneNote}},
	"there is no up file for this down file":                                  {files: map[string]string{"0001_note.down.sql": oneNote}},
	"version 2 is taken by 0002_a.up.sql already":                             {files: map[string]string{"0002_a.up.sql": oneNote, "0002_b.up.sql": oneNote}},
	`unknown directive "no-transactions"`:                                     {files: map[string]string{"0001_note.up.sql": "-- tldwdb: no-transactions\n" + oneNote}},
	"a directive must stand before the first statement":                       {files: map[string]string{"0001_note.up.sql": oneNote + "\n-- tldwdb: no-transaction\n"}},
	"COMMIT is not allowed here":                                              {files: map[string]string{"0001_note.up.sql": oneNote + "COMMIT;" + oneNote}},
	"this folder is not read: call it postgres":                               {files: map[string]string{"postgresql/0001_note.up.sql": oneNote}},
	"rows would break a foreign key: item → note (1 rows)":                    {files: map[string]string{"0001_note.up.sql": oneNote + "CREATE TABLE item (note integer REFERENCES note); INSERT INTO note VALUES (1, ''); INSERT INTO item VALUES (1)", "0002_gone.up.sql": "DELETE FROM note"}},
	"table note already exists": {
		files: map[string]string{"0001_note.up.sql": oneNote},
		after: func(ctx context.Context, db *tldwdb.DB, files fstest.MapFS) error {
			if _, err := db.Pool().ExecContext(ctx, "DROP TABLE "+historyTable); err != nil {
				return err
			}
			return anew(ctx, db, files)
		},
	},
	"was changed after it was applied": {
		files: map[string]string{"0001_note.up.sql": oneNote},
		after: func(ctx context.Context, db *tldwdb.DB, files fstest.MapFS) error {
			files["0001_note.up.sql"] = &fstest.MapFile{Data: []byte(oneNote + " -- edited")}
			return anew(ctx, db, files)
		},
	},
	"pending, but version 3 is applied already": {
		files: map[string]string{"0003_note.up.sql": oneNote},
		after: func(ctx context.Context, db *tldwdb.DB, files fstest.MapFS) error {
			files["0002_late.up.sql"] = &fstest.MapFile{Data: []byte("SELECT 1")}
			return anew(ctx, db, files)
		},
	},
	"there is no down script": {
		files: map[string]string{"0001_note.up.sql": oneNote},
		after: func(ctx context.Context, db *tldwdb.DB, _ fstest.MapFS) error {
			_, err := db.Down(ctx, 1)
			return err
		},
	},
}

// serverMistakes are explained in the guide and cannot be made on SQLite, or
// not in a moment: the tests of their engines make them.
var serverMistakes = []string{
	"no lock on the table within",
	"CREATE INDEX CONCURRENTLY needs a name here",
	"CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
	"it is not known whether a statement took effect",
	"Error 1419",
}

// anew opens the same database as another start of the program would, with
// files that have changed.
func anew(ctx context.Context, db *tldwdb.DB, files fstest.MapFS) error {
	again, err := tldwdb.Attach(ctx, db.Pool(), tldwdb.Config{Migrations: files})
	if err != nil {
		return err
	}
	_, err = again.Up(ctx)
	return err
}

func TestGuideMistakesGiveTheErrorsItShows(t *testing.T) {
	t.Parallel()
	const guide = "docs/guide/writing-migrations.md"
	var shown []string
	for _, row := range docTable(t, guide, "## Common mistakes") {
		shown = append(shown, codeIn(row[0])[0])
	}
	sameSet(t, guide+", mistakes", shown, slices.Concat(slices.Collect(maps.Keys(mistakes)), serverMistakes))
	for text, m := range mistakes {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{}
			for name, content := range m.files {
				files[name] = &fstest.MapFile{Data: []byte(content)}
			}
			db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: "sqlite://", Migrations: files})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			_, err = db.Up(t.Context())
			if m.after != nil {
				if err != nil {
					t.Fatal(err)
				}
				err = m.after(t.Context(), db, files)
			}
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the error is\n%v\nand the guide shows\n%s", err, text)
			}
		})
	}
}

// More migrations than the README has, for the runbooks: one to take back, and
// for MySQL one whose last statement leaves no trace.
const (
	addBody     = "ALTER TABLE note ADD COLUMN body text;\n"
	dropBody    = "ALTER TABLE note DROP COLUMN body;\n"
	fillArchive = "CREATE TABLE archive (id integer NOT NULL PRIMARY KEY);\nINSERT INTO archive SELECT id FROM old_archive;\nCALL fill_archive();\n"
)

// buildMigrate builds the runbook's program three times: as it was in the
// release before, as it is, and with a migration that will be trouble.
func buildMigrate(t *testing.T) (current, trouble, changed string) {
	t.Helper()
	dir := writeModule(t)
	bin := t.TempDir()
	build := func(name string) string {
		var script strings.Builder
		for _, b := range docBlocks(t, docFiles...) {
			if b.attrs["run"] == "build" {
				script.WriteString(b.text)
			}
		}
		if script.Len() == 0 {
			t.Fatal("the runbooks do not say how the program is built")
		}
		runScript(t, dir, script.String(), append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off"))
		target := filepath.Join(bin, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "bin", "migrate"), target); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(target)
	}
	current = build("current/migrate-old")
	write(t, dir, "migrations/0002_add_body.up.sql", addBody)
	write(t, dir, "migrations/0002_add_body.down.sql", dropBody)
	build("current/migrate")
	write(t, dir, "migrations/0003_archive.up.sql", fillArchive)
	trouble = build("trouble/migrate")
	write(t, dir, "migrations/0003_archive.up.sql", strings.Replace(fillArchive, "integer", "bigint", 1))
	return current, trouble, build("changed/migrate")
}

// runScript runs bash and shows everything when it fails. The last line may be one
// that has to fail, as in migrate up && exit 1.
func runScript(t *testing.T, dir, script string, env []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script+"\n:")
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// runbookEnv is what an operator's shell has. A path of its own keeps the
// settings of whoever runs the tests out.
func runbookEnv(bin, databaseURL, name string) []string {
	env := []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"DATABASE_URL=" + databaseURL, "DATABASE_NAME=" + name}
	if u, err := url.Parse(databaseURL); err == nil && u.Host != "" {
		password, _ := u.User.Password()
		env = append(env, "DB_HOST="+u.Hostname(), "DB_PORT="+u.Port(), "DB_USER="+u.User.Username(), "MYSQL_PWD="+password)
	}
	return env
}

// serverFor makes a database, where the environment names a server for it.
func serverFor(t *testing.T, e testdb.Engine) *testdb.Database {
	t.Helper()
	if os.Getenv(e.URLVariable()) == "" {
		t.Skipf("%s is not set; make test sets it", e.URLVariable())
	}
	return testdb.New(t, e)
}

func TestRunbookCommandsRun(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the runbooks are written for bash")
	}
	current, trouble, changed := buildMigrate(t)
	for _, doc := range docFiles[2:] {
		for _, e := range testdb.Engines() {
			t.Run(path.Base(doc)+"/"+string(e), func(t *testing.T) {
				t.Parallel()
				runbook(t, doc, e, current)
			})
		}
	}
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run("failed/"+string(e), func(t *testing.T) {
			t.Parallel()
			failedMigration(t, e, trouble)
		})
		t.Run("ambiguous/"+string(e), func(t *testing.T) {
			t.Parallel()
			ambiguousMigration(t, e, trouble)
		})
		t.Run("died/"+string(e), func(t *testing.T) {
			t.Parallel()
			diedMigration(t, e, trouble)
		})
		t.Run("changed/"+string(e), func(t *testing.T) {
			t.Parallel()
			changedMigration(t, e, trouble, changed)
		})
	}
	t.Run("pooler", func(t *testing.T) {
		t.Parallel()
		behindPooler(t, current)
	})
	t.Run("standby", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		env := append(runbookEnv(current, p.replica.URL, p.Name()), "PRIMARY_URL="+p.URL)
		runScript(t, t.TempDir(), situation(t, "standby").text, env)
	})
	t.Run("failover", func(t *testing.T) {
		t.Parallel()
		failedOver(t, current)
	})
}

// runbook runs the commands of one document on one engine, and then its
// queries.
func runbook(t *testing.T, doc string, e testdb.Engine, bin string) {
	dir, databaseURL, name := t.TempDir(), "sqlite:///tldw.db", "tldw.db"
	var db *testdb.Database
	if e != testdb.SQLite {
		db = serverFor(t, e)
		databaseURL, name = db.URL, db.Name()
	}
	situations := []string{string(e)}
	if e != testdb.SQLite {
		situations = append(situations, "server")
	}
	if e == testdb.MySQL || e == testdb.MariaDB {
		situations = append(situations, "mysql")
	}
	var script strings.Builder
	var queries []docBlock
	for _, b := range docBlocks(t, doc) {
		if !b.runsOn(situations...) {
			continue
		}
		if why := lacks(t, b.attrs["needs"], db); why != "" {
			t.Logf("%s is not run: %s", b, why)
			continue
		}
		switch b.lang {
		case "sh":
			fmt.Fprintf(&script, ": %s\n%s", b, b.text)
		case "sql":
			queries = append(queries, b)
		}
	}
	env := runbookEnv(bin, databaseURL, name)
	if program := backupPrograms[e]; program != "" && (e == testdb.MySQL || lacks(t, program, db) != "") { // of that name there may be MariaDB's
		env = append(env, "TLDWDB_BACKUP_METHOD=portable")
	}
	runScript(t, dir, script.String(), env)
	for _, q := range queries {
		if db == nil {
			continue // the shell's own tests have read the same file
		}
		if err := query(t, db, q.text); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// backupPrograms make backups of servers.
var backupPrograms = map[testdb.Engine]string{testdb.Postgres: "pg_dump", testdb.MariaDB: "mariadb-dump", testdb.MySQL: "mysqldump"}

// lacks says why a block that needs a program cannot be run.
func lacks(t *testing.T, program string, db *testdb.Database) string {
	t.Helper()
	if program == "" {
		return ""
	}
	if _, err := exec.LookPath(program); err != nil {
		return program + " is not there"
	}
	if db == nil || db.Engine != testdb.Postgres {
		return ""
	}
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		return err.Error()
	}
	var server int
	if err := db.AdminDB(t).QueryRowContext(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&server); err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`\d+`).FindString(string(out)); m != "" {
		if client, err := strconv.Atoi(m); err == nil && client < server {
			return fmt.Sprintf("%s is of version %d, the server of %d", program, client, server)
		}
	}
	return ""
}

// query runs a query to its end.
func query(t *testing.T, db *testdb.Database, text string) (err error) {
	t.Helper()
	rows, err := db.AdminDB(t).QueryContext(t.Context(), text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() { // what it finds is the operator's business
	}
	return rows.Err()
}

// situation returns the one block that is run in a situation.
func situation(t *testing.T, what string) docBlock {
	t.Helper()
	for _, b := range docBlocks(t, docFiles...) {
		if b.attrs["run"] == what {
			return b
		}
	}
	t.Fatalf("no runbook has a block with run=%s", what)
	return docBlock{}
}

// operator splits a block at the line that begins with a word, which is the part
// of a person.
func operator(t *testing.T, b docBlock, word string) (before, after string) {
	t.Helper()
	before, after, ok := strings.Cut(b.text, "\n"+word)
	if !ok {
		t.Fatalf("%s: no line begins with %s", b, word)
	}
	_, after, _ = strings.Cut(after, "\n")
	return before, after
}

// failedMigration runs what the runbook says about a migration that the server
// refused half-way.
func failedMigration(t *testing.T, e testdb.Engine, bin string) {
	db := serverFor(t, e)
	env := runbookEnv(bin, db.URL, db.Name())
	b := situation(t, "failed")
	before, after := operator(t, b, "mend")
	out := runScript(t, t.TempDir(), before, env)
	for _, want := range []string{"1 of 3 statements", "no decision is needed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s: the output has no %s:\n%s", b, want, out)
		}
	}
	if _, err := db.AdminDB(t).ExecContext(t.Context(), "CREATE TABLE old_archive (id integer); CREATE PROCEDURE fill_archive() INSERT INTO archive VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	runScript(t, t.TempDir(), after, env)
}

// changedMigration runs what the runbook says about a half-applied migration whose
// file is another one now.
func changedMigration(t *testing.T, e testdb.Engine, bin, changed string) {
	db := serverFor(t, e)
	runScript(t, t.TempDir(), "migrate up && exit 1", runbookEnv(bin, db.URL, db.Name()))
	b := situation(t, "changed")
	before, after := operator(t, b, "finish")
	env := runbookEnv(changed, db.URL, db.Name())
	if out := runScript(t, t.TempDir(), before, env); !strings.Contains(out, tldwdb.ErrHalfApplied.Error()) {
		t.Errorf("%s: the output has no %q:\n%s", b, tldwdb.ErrHalfApplied, out)
	}
	runScript(t, t.TempDir(), after, env)
}

// diedMigration kills a migration while its statement waits, and then runs what the
// runbook says.
func diedMigration(t *testing.T, e testdb.Engine, bin string) {
	db := serverFor(t, e)
	admin := db.AdminDB(t)
	execute(t, admin, "CREATE TABLE old_archive (id integer); CREATE PROCEDURE fill_archive() DO 0")
	holder, err := admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "LOCK TABLES old_archive WRITE"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "migrate"), "up")
	cmd.Env = runbookEnv(bin, db.URL, db.Name())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitServer(t, db, blocked, true)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the signal is what it reports
	if _, err := holder.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if out := runScript(t, t.TempDir(), situation(t, "died").text, cmd.Env); !strings.Contains(out, "resuming an interrupted migration") {
		t.Errorf("nothing was resumed:\n%s", out)
	}
}

// behindPooler runs what the runbook says about a pooler, and about a lock that
// somebody left on one of its connections.
func behindPooler(t *testing.T, bin string) {
	for _, pooler := range testdb.Extra(t, "PGBOUNCER") {
		db := testdb.New(t, testdb.Postgres)
		through := db.Through(t, pooler)
		env := append(runbookEnv(bin, through, db.Name()), "DIRECT_URL="+db.URL)
		var script strings.Builder
		for _, b := range docBlocks(t, "docs/runbooks/pooler.md") {
			if b.runsOn("pooler") {
				fmt.Fprintf(&script, ": %s\n%s", b, b.text)
			}
		}
		runScript(t, t.TempDir(), script.String(), env)
		leak := *db
		leak.URL = through
		if _, err := leak.AdminDB(t).ExecContext(t.Context(), "SELECT pg_advisory_lock(1)"); err != nil {
			t.Fatal(err)
		}
		b := situation(t, "leaked")
		if why := lacks(t, b.attrs["needs"], db); why != "" {
			t.Skipf("%s is not run: %s", b, why)
		}
		runScript(t, t.TempDir(), b.text, env)
	}
}

// failedOver kills the primary in the middle of a run, and then does what the
// runbook says.
func failedOver(t *testing.T, bin string) {
	p := newPair(t)
	proxy, through := wiretap.Through(t, p.URL)
	var kill sync.Once
	proxy.Tell(func(statement string) {
		if strings.Contains(statement, "ADD COLUMN body") {
			kill.Do(func() {
				if err := p.primary.Kill(); err != nil {
					t.Error(err)
				}
			})
		}
	})
	before, after := operator(t, situation(t, "failover"), "promote")
	env := append(runbookEnv(bin, through, p.Name()), "BOTH_URL="+p.both(t))
	runScript(t, t.TempDir(), before, env)
	p.Move(t, p.standby.URL)
	p.promote(t)
	runScript(t, t.TempDir(), after, env)
}

// ambiguousMigration kills a migration in the middle of a CALL and then runs
// what the runbook says.
func ambiguousMigration(t *testing.T, e testdb.Engine, bin string) {
	db := serverFor(t, e)
	admin := db.AdminDB(t)
	env := runbookEnv(bin, db.URL, db.Name())
	if _, err := admin.ExecContext(t.Context(), "CREATE TABLE old_archive (id integer); CREATE PROCEDURE fill_archive() DO SLEEP(2)"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "migrate"), "up")
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// Some servers show the call, others the statement inside the procedure.
	inside := "SELECT COUNT(*) FROM " + db.Processlist() + " WHERE db = DATABASE() AND (info LIKE 'CALL fill_archive%' OR info LIKE 'DO SLEEP%')"
	for running := 0; running == 0; {
		select {
		case err := <-ended:
			t.Fatalf("the migration ended before it could be killed: %v\n%s", err, out.String())
		case <-tick.C:
		}
		if err := admin.QueryRowContext(t.Context(), inside).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("the process ended well before it could be killed")
	}
	runScript(t, t.TempDir(), situation(t, "ambiguous").text, env)
}
