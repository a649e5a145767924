package deploytest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

// program is the command line, as a container has it.
type program struct {
	path string
	dir  string // the working directory, with a database of its own
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tldwdb")
	command(t.Context(), t, root, nil, "go", "build", "-o", path, "./cmd/tldwdb")
	return path
}

// run starts the command line with a container's arguments and settings, on a SQLite file in the place
// of its server, and returns the exit code.
func (p program) run(t *testing.T, c container, args ...string) int {
	t.Helper()
	url := "sqlite:///" + filepath.ToSlash(filepath.Join(p.dir, "tldw.db"))
	mounted := filepath.Join(p.dir, "url")
	if err := os.WriteFile(mounted, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{}
	for name, value := range c.env {
		switch name {
		case "DATABASE_URL":
			value = url
		case "DATABASE_URL_FILE":
			value = mounted
		case "TLDWDB_PASSWORD_FILE":
			continue // a file has no password
		}
		env = append(env, name+"="+value)
	}
	cmd := exec.CommandContext(t.Context(), p.path, args...)
	cmd.Dir, cmd.Env = p.dir, env
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Logf("%s: tldwdb %s: exit code %d\n%s", c.name, strings.Join(args, " "), exit.ExitCode(), out)
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: tldwdb %s: %v\n%s", c.name, strings.Join(args, " "), err, out)
	}
	return 0
}

// Every command of a manifest is run, in the order in which its containers would get to it: what
// migrates before what waits.
func TestKubernetesCommandsRun(t *testing.T) {
	t.Parallel()
	path := build(t)
	for _, variant := range variants {
		tldwdb := program{path, t.TempDir()}
		var steps []container
		for _, p := range pods(render(t, variant)) {
			for _, c := range p.containers(t) {
				if c.image != "tldwdb" {
					continue
				}
				if p.kind == "Job" {
					steps = slices.Insert(steps, 0, c)
				} else {
					steps = append(steps, c)
				}
			}
		}
		if len(steps) == 0 && variant != "at-boot" {
			t.Errorf("%s: nothing migrates", variant)
		}
		for _, c := range steps {
			if code := tldwdb.run(t, c, c.args...); code != 0 {
				t.Errorf("%s %s: the exit code is %d", variant, c.name, code)
			}
		}
		if len(steps) > 0 {
			if code := tldwdb.run(t, steps[0], "check"); code != 0 {
				t.Errorf("%s: after all steps migrations are pending", variant)
			}
		}
	}
}

// The Job gives up at once on wrong usage, and on nothing that may be better at the next try.
func TestKubernetesJobKnowsTheExitCodes(t *testing.T) {
	t.Parallel()
	tldwdb := program{build(t), t.TempDir()}
	var final []int32
	var c container
	for _, obj := range render(t, "job") {
		if j, ok := obj.(*batchv1.Job); ok {
			c = pod{"Job", j.Spec.Template}.containers(t)[0]
			for _, rule := range j.Spec.PodFailurePolicy.Rules {
				if rule.Action == batchv1.PodFailurePolicyActionFailJob && rule.OnExitCodes != nil {
					final = append(final, rule.OnExitCodes.Values...)
				}
			}
		}
	}
	usage := tldwdb.run(t, c, append(slices.Clone(c.args), "--no-such-flag")...)
	if !slices.Equal(final, []int32{int32(usage)}) || usage == 0 {
		t.Errorf("the Job is given up after the exit codes %v, and wrong usage is %d", final, usage)
	}
	if code := tldwdb.run(t, c, "check"); code == 0 || code == usage {
		t.Errorf("with migrations pending the exit code is %d", code)
	}
}

func TestComposeCommandsRun(t *testing.T) {
	t.Parallel()
	tldwdb := program{build(t), t.TempDir()}
	s := compose(t).Services["migrate"]
	c := container{name: s.Name, args: s.Command, env: map[string]string{}}
	for name, value := range s.Environment {
		c.env[name] = *value
	}
	if code := tldwdb.run(t, c, c.args...); code != 0 {
		t.Errorf("%v: the exit code is %d", c.args, code)
	}
	// What the documents tell the reader to type.
	typed := regexp.MustCompile(`(?m)^docker (?:compose run --rm migrate|run .* tldwdb(?:-nocgo)?) ([^#\n]+)`)
	for _, doc := range []string{"/compose/README.md", "/docker/README.md"} {
		lines := typed.FindAllStringSubmatch(read(t, examples+doc), -1)
		if len(lines) == 0 {
			t.Errorf("%s has no command of tldwdb", doc)
		}
		for _, m := range lines {
			if code := tldwdb.run(t, c, strings.Fields(m[1])...); code != 0 {
				t.Errorf("%s: %s: the exit code is %d", doc, m[0], code)
			}
		}
	}
}

// The image for migrations of one's own is the command line with a folder.
func TestDockerReadmeEntryPoint(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile(`(?m)^ENTRYPOINT \["/tldwdb", "(--\S+)", "/migrations"\]$`).FindStringSubmatch(read(t, examples+"/docker/README.md"))
	if m == nil {
		t.Fatal("README.md has no ENTRYPOINT for migrations of one's own")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"0001_create_note.up.sql": "CREATE TABLE note (id integer);\n", "0001_create_note.down.sql": "DROP TABLE note;\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tldwdb := program{build(t), t.TempDir()}
	c := container{name: "README.md", env: map[string]string{"DATABASE_URL": ""}}
	if code := tldwdb.run(t, c, m[1], folder, "up"); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	if code := tldwdb.run(t, c, m[1], folder, "check"); code != 0 {
		t.Errorf("check: the exit code is %d", code)
	}
	if code := tldwdb.run(t, c, "check"); code == 0 {
		t.Error("without the folder the same is pending: it was not the folder's migrations that ran")
	}
}
