package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tldw/tldwdb/internal/testdb"
)

// asCommand makes this test program the command itself, for tests that send
// signals to it.
const asCommand = "TLDWDB_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"tldwdb": main})
}

// The scripts in testdata/any run on every engine, those in testdata/sqlite on
// SQLite. Each has a database of its own in DATABASE_URL.
func TestScripts(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		patterns := []string{"testdata/any/*.txtar"}
		if db.Engine == testdb.SQLite {
			patterns = append(patterns, "testdata/sqlite/*.txtar")
		}
		for _, pattern := range patterns {
			files, err := filepath.Glob(pattern)
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %d files, %v", pattern, len(files), err)
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
					t.Parallel()
					runScript(t, testdb.New(t, db.Engine), file)
				})
			}
		}
	})
}

// hasDump reports whether the pg_dump in PATH is as new as the server.
func hasDump(t *testing.T, db *testdb.Database) (bool, error) {
	var server, program int
	if err := db.AdminDB(t).QueryRowContext(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&server); err != nil {
		return false, err
	}
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--version").Output()
	if err != nil {
		return false, nil //nolint:nilerr // it is not here
	}
	_, err = fmt.Sscanf(string(out), "pg_dump (PostgreSQL) %d", &program)
	return program >= server, err
}

func runScript(t *testing.T, db *testdb.Database, file string) {
	testscript.Run(t, testscript.Params{
		Files:              []string{file},
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DATABASE_URL", db.URL)
			env.Setenv("ENGINE", string(db.Engine))
			env.Setenv("TERM", "dumb")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "pg_dump" {
				return hasDump(t, db)
			}
			return name == string(db.Engine), nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":   exitCode,
			"answer": checkAnswer,
		},
	})
}

// exitCode runs tldwdb and compares the exit code: code N ARGS...
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: code N ARGS...")
	}
	err := ts.Exec("tldwdb", args[1:]...)
	got := "0"
	if err != nil {
		exit, ok := err.(*exec.ExitError) //nolint:errorlint // testscript returns it as it is
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = regexp.MustCompile(`\d+`).FindString(exit.String())
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// checkAnswer runs tldwdb --json, and holds the answer against its schema:
// answer N COMMAND ARGS... The exit code stands in the answer too.
func checkAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: answer N COMMAND ARGS...")
	}
	exitCode(ts, false, append(args, "--json"))
	text := ts.ReadFile("stdout")
	var envelope struct {
		Answer string      `json:"answer"`
		Exit   json.Number `json:"exit"`
	}
	ts.Check(json.Unmarshal([]byte(text), &envelope))
	schema, err := os.ReadFile(filepath.Join(repository, "tldwdbcli", "schema", envelope.Answer+".json"))
	ts.Check(err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(schema)))
	ts.Check(err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	ts.Check(compiler.AddResource("answer.json", document))
	compiled, err := compiler.Compile("answer.json")
	ts.Check(err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	ts.Check(err)
	if err := compiled.Validate(value); err != nil {
		ts.Fatalf("the answer does not fit its schema: %v", err)
	}
	if envelope.Exit.String() != args[0] {
		ts.Fatalf("the answer says exit code %s, want %s", envelope.Exit, args[0])
	}
}

// repository is the top of the checkout. Scripts run in folders of their own.
var repository = func() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		panic(err)
	}
	return dir
}()

// Every command has an example in its help, and every example of every command
// runs: on a SQLite file in a folder that is set up as the examples expect.
func TestExamples(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("links a program, and runs the same on every server")
	}
	program := filepath.Join(t.TempDir(), "tldwdb")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(t *testing.T, dir string, line string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "HOME=" + dir}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	help, err := run(t, t.TempDir(), "tldwdb --help")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)
	var commands []string
	for _, command := range listed.FindAllStringSubmatch(help, -1) {
		if name := command[1]; name != "backup" {
			commands = append(commands, name)
			continue
		}
		help, err := run(t, t.TempDir(), "tldwdb backup --help")
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range listed.FindAllStringSubmatch(help, -1) {
			commands = append(commands, "backup "+command[1])
		}
	}
	if len(commands) < 30 {
		t.Fatalf("found %d commands in\n%s", len(commands), help)
	}
	for _, name := range commands {
		if slices.Contains([]string{"tldwdb", "completion", "help", "backup tldwdb"}, name) { // cobra's own
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			help, err := run(t, t.TempDir(), "tldwdb "+name+" --help")
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(help, "\n") {
				if n := utf8.RuneCountInString(line); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			_, rest, _ := strings.Cut(help, "\nExamples:\n")
			examples, _, _ := strings.Cut(rest, "\n\n")
			lines := strings.FieldsFunc(examples, func(r rune) bool { return r == '\n' })
			if len(lines) == 0 {
				t.Fatalf("no example in\n%s", help)
			}
			for _, line := range lines {
				dir := t.TempDir()
				for _, prepare := range preparations(strings.TrimSpace(line)) {
					if out, err := run(t, dir, prepare); err != nil {
						t.Fatalf("%s: %v\n%s", prepare, err, out)
					}
				}
				if out, err := run(t, dir, line); err != nil {
					t.Errorf("%s: %v\n%s", line, err, out)
				}
			}
		})
	}
}

// preparations bring a folder to where an example makes sense.
func preparations(line string) []string {
	words := strings.Fields(line)
	up, folder := "tldwdb up", "cp -r "+filepath.Join(repository, "migrations", "sqlite")+" migrations"
	switch {
	case words[1] == "diff":
		return []string{folder, "tldwdb up --dir migrations --url sqlite:///other.db", "echo 'CREATE TABLE team (id integer PRIMARY KEY);' >schema.sql",
			"mkdir models", "printf 'package models\\n//tldwdb:table team\\ntype Team struct{ ID int }\\n' >models/models.go"}
	case strings.HasSuffix(line, " restore"):
		return []string{up, "tldwdb backup create", "rm tldw.db*"}
	case words[1] == "backup" && words[2] != "create" && words[2] != "schedule":
		return []string{up, "tldwdb backup create", "tldwdb backup create --dir copies"}
	case strings.Contains(line, "import "):
		return []string{"mkdir -p db/migrations", "printf -- '-- +goose Up\\nCREATE TABLE t (n int);\\n-- +goose Down\\nDROP TABLE t;\\n' > db/migrations/1_t.sql"}
	case strings.Contains(line, "--map "):
		return []string{"sqlite3 tldw.db \"CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('a91b6cd24e07')\""}
	case strings.Contains(line, "db_version"):
		return []string{"sqlite3 tldw.db \"CREATE TABLE db_version (id integer PRIMARY KEY, version_id integer, is_applied integer, tstamp timestamp); INSERT INTO db_version VALUES (1,0,1,0),(2,1,1,0)\""}
	case strings.Contains(line, " adopt "):
		return []string{"sqlite3 tldw.db \"CREATE TABLE schema_migrations (version uint64, dirty bool); INSERT INTO schema_migrations VALUES (1, 0)\""}
	case strings.Contains(line, "--dir seeds"):
		return []string{up, "mkdir -p seeds/common", "printf 'user:\\n  key: username\\n  rows: [{username: a, email: b, google_id: c}]\\n' > seeds/common/user.yaml"}
	case words[1] == "snapshot" && words[len(words)-1] == "--check":
		return []string{folder, strings.TrimSuffix(line, " --check")}
	case strings.Contains(line, "--dir migrations"):
		return []string{folder}
	case words[1] == "baseline":
		return []string{folder, "sqlite3 tldw.db < migrations/0001_create_user.up.sql"}
	case slices.Contains([]string{"up", "init", "new"}, words[1]):
		return nil
	}
	return []string{up}
}
