package deploytest

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/tldw/tldwdb"
)

const dockerfile = examples + "/docker/Dockerfile"

// targets are the images that the Dockerfile is for.
var targets = []string{"service", "tldwdb", "tldwdb-nocgo"}

// emptyImage answers for every base image, so that nothing is asked of a registry.
type emptyImage struct{}

func (emptyImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(ocispecs.Image{Platform: ocispecs.Platform{OS: "linux", Architecture: runtime.GOARCH}})
	return ref, "", config, err
}

// What `docker build --check` says, which is BuildKit's own linter.
func TestDockerfileHasNoWarnings(t *testing.T) {
	t.Parallel()
	text := []byte(read(t, dockerfile))
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{} // where a builder would have the file from
	for _, target := range append(slices.Clone(targets), "") {
		results, err := dockerfile2llb.DockerfileLint(t.Context(), text, dockerfile2llb.ConvertOpt{
			Config:       dockerui.Config{Target: target, LinterConfig: &linter.Config{}},
			MetaResolver: emptyImage{},
			SourceMap:    source,
		})
		if err != nil {
			t.Fatal(err)
		}
		if results.Error != nil {
			t.Errorf("target %q: %s", target, results.Error.Message)
		}
		for _, w := range results.Warnings {
			t.Errorf("target %q: %s: %s", target, w.RuleName, w.Detail)
		}
	}
}

func stages(t *testing.T) map[string]instructions.Stage {
	t.Helper()
	result, err := parser.Parse(strings.NewReader(read(t, dockerfile)))
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := instructions.Parse(result.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]instructions.Stage{}
	for _, s := range list {
		named[s.Name] = s
	}
	return named
}

// image is what the instructions of a target and of the stages below it come to.
type image struct {
	base   string // what the lowest stage is from
	user   string
	entry  []string
	labels []string
	from   []string // the stages that something is copied from
}

func describe(t *testing.T, all map[string]instructions.Stage, target string) image {
	t.Helper()
	s, ok := all[target]
	if !ok {
		return image{base: target}
	}
	i := describe(t, all, s.BaseName)
	for _, c := range s.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			i.user = c.User
		case *instructions.EntrypointCommand:
			i.entry = c.CmdLine
		case *instructions.LabelCommand:
			for _, l := range c.Labels {
				i.labels = append(i.labels, l.Key)
			}
		case *instructions.CopyCommand:
			i.from = append(i.from, c.From)
		}
	}
	return i
}

func TestDockerfileImages(t *testing.T) {
	t.Parallel()
	all := stages(t)
	for _, target := range targets {
		i := describe(t, all, target)
		if i.base != "scratch" {
			t.Errorf("%s is built on %s", target, i.base)
		}
		if want := fmt.Sprintf("%d:%d", user, user); i.user != want {
			t.Errorf("%s runs as %q, and not as %s", target, i.user, want)
		}
		if len(i.entry) != 1 || !path.IsAbs(i.entry[0]) {
			t.Errorf("%s: the entry point is %q", target, i.entry)
		}
		for _, label := range []string{"title", "description", "version", "licenses"} {
			if !slices.Contains(i.labels, "org.opencontainers.image."+label) {
				t.Errorf("%s has no label for its %s", target, label)
			}
		}
		for _, from := range i.from {
			if _, ok := all[from]; !ok {
				t.Errorf("%s copies from %q, which is no stage", target, from)
			}
		}
	}
	// The compiler is pinned to a release, and that is one that go.mod accepts.
	pin := regexp.MustCompile(`(?m)^ARG GO=golang:(\d+\.\d+)\.\d+-`).FindStringSubmatch(read(t, dockerfile))
	needs := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, root+"/go.mod"))
	if pin == nil || needs == nil || pin[1] != needs[1] {
		t.Errorf("the compiler is %q, and go.mod has %q", pin, needs)
	}
}

// sendContext copies what a builder would be sent.
func sendContext(t *testing.T) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, dockerfile+".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil || rel == "." {
			return err
		}
		skip, err := ignored.MatchesOrParentMatches(rel)
		if err != nil {
			return err
		}
		switch {
		case skip && d.IsDir():
			return fs.SkipDir
		case skip || !d.Type().IsRegular() && !d.IsDir():
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(dir, rel), 0o755)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The commands that compile are run as the Dockerfile has them, on what the builder would be sent, and
// the programs must need nothing of the image that they are put into.
func TestDockerfileCompiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("a program of another system is not linked statically")
	}
	for _, tt := range []struct {
		stage, program string
		arch           string   // of the image; the machine's own when empty
		args           []string // with which the program ends well
		want           string   // in what it says
	}{
		{stage: "build-service", program: "service", args: []string{"-help"}, want: "usage: service"},
		{stage: "build", program: "tldwdb", args: []string{"version"}, want: tldwdb.Version},
		{stage: "build-nocgo", program: "tldwdb", args: []string{"version"}, want: tldwdb.Version},
		{stage: "build-nocgo", program: "tldwdb", arch: "arm64"},
	} {
		t.Run(tt.stage+" "+tt.arch, func(t *testing.T) {
			t.Parallel()
			arch := tt.arch
			if arch == "" {
				arch = runtime.GOARCH
			}
			out := t.TempDir()
			compile(t, sendContext(t), tt.stage, out, "TARGETOS=linux", "TARGETARCH="+arch)
			program := filepath.Join(out, tt.program)
			checkStatic(t, program)
			if arch != runtime.GOARCH {
				return // it cannot be run here
			}
			if said := command(t.Context(), t, out, []string{}, program, tt.args...); !strings.Contains(said, tt.want) {
				t.Errorf("%s %v says %q", tt.program, tt.args, said)
			}
		})
	}
}

// compile runs a stage's go build in a folder, with out in the place of /out.
func compile(t *testing.T, dir, stage, out string, env ...string) {
	t.Helper()
	commands := 0
	for _, c := range stages(t)[stage].Commands {
		run, ok := c.(*instructions.RunCommand)
		if !ok || !strings.Contains(run.CmdLine[0], "go build") {
			continue
		}
		commands++
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(run.CmdLine[0], "/out/", out+"/"))
		cmd.Dir = dir
		// Nothing of the machine's own settings for go may be what makes it work.
		cmd.Env = append(os.Environ(), append(env, "GOFLAGS=", "GOWORK=off")...)
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", run.CmdLine[0], err, text)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			t.Errorf("%s: the linker warns:\n%s", run.CmdLine[0], text)
		}
	}
	if commands != 1 {
		t.Fatalf("the stage %s has %d commands that compile", stage, commands)
	}
}

// checkStatic looks for a loader or a library that a program asks for.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s asks for a loader", filepath.Base(program))
		}
	}
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("%s asks for the libraries %q (%v)", filepath.Base(program), libraries, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
