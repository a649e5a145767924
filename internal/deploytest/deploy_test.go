// Package deploytest holds the tests of what is in examples for deploying: manifests for Kubernetes, a
// Compose file, a Dockerfile. They are a module of their own because they are judged by the code of
// those who will read them, the API server of Kubernetes, Compose and BuildKit, and nobody who uses
// tldwdb shall get that into a go.sum. docs/decisions/0002-dependencies.md has the reasons.
package deploytest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
)

// root is the checkout, and examples its folder of that name.
const (
	root     = "../.."
	examples = root + "/examples"
)

// user is who the programs run as: the same number in the images and in the manifests, because the
// folder of the data and the mounted secrets belong to it.
const user = 65532

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// container is what the tests want to know of a container, whatever describes it.
type container struct {
	name  string
	image string // without its tag
	args  []string
	env   map[string]string
	files map[string]string // what is mounted: the path of each file, and what it is of
}

// secretURL stands for the content of a mounted file. Its password must not be seen in an error.
const (
	password  = "n0t-f0r-the-l0g"
	secretURL = "postgres://tldw:" + password + "@db.example.com/tldw?sslmode=verify-full"
)

// checkSettings asks tldwdb what it makes of the container's environment. A variable that nobody reads
// is a mistyped one, and a secret in the text of a manifest is one that everybody can see.
func checkSettings(t *testing.T, c container) {
	t.Helper()
	var asked []string
	dir := t.TempDir()
	cfg, err := tldwdb.ConfigFromLookup(func(name string) (string, bool) {
		asked = append(asked, name)
		value, ok := c.env[name]
		if !ok || !strings.HasSuffix(name, "_FILE") {
			return value, ok
		}
		if c.files[value] == "" {
			t.Errorf("%s: %s is %s, and nothing is mounted there", c.name, name, value)
		}
		content := secretURL
		if name == "TLDWDB_PASSWORD_FILE" {
			content = password
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file, true
	})
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	for name, value := range c.env {
		if !slices.Contains(asked, name) {
			t.Errorf("%s: %s is no variable of tldwdb", c.name, name)
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				t.Errorf("%s: %s has a password in it", c.name, name)
			}
		}
	}
	for path, of := range c.files {
		if !slices.Contains(values(c.env), path) {
			t.Errorf("%s: %s of %s is mounted, and no variable names it", c.name, path, of)
		}
	}
	if cfg.URL == "" || cfg.Environment != tldwdb.Production {
		t.Errorf("%s: the environment is %q and has the URL %q", c.name, cfg.Environment, cfg.URL)
	}
}

func values(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// command runs a program to its end.
func command(ctx context.Context, t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
