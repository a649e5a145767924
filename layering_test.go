package tldwdb_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tldw/tldwdb"

// The modules that a program gets with the root package, each with the reason why it is worth its
// place there. A new one is a decision: it ends up in every consumer's binary.
var linked = map[string]string{
	"github.com/jmoiron/sqlx":        "the pool that services work with",
	"github.com/mattn/go-sqlite3":    "driver: SQLite",
	"github.com/jackc/pgx/v5":        "driver: PostgreSQL",
	"github.com/jackc/pgpassfile":    "of pgx: ~/.pgpass",
	"github.com/jackc/pgservicefile": "of pgx: ~/.pg_service.conf",
	"github.com/jackc/puddle/v2":     "of pgx: the pool under its database/sql driver",
	"golang.org/x/sync":              "of puddle: a semaphore",
	"golang.org/x/text":              "of pgx: normal form of passwords in SCRAM; seeds: keys that look alike",
	"github.com/go-sql-driver/mysql": "driver: MySQL and MariaDB",
	"filippo.io/edwards25519":        "of the MySQL driver: MariaDB's ed25519 sign-in",
	"github.com/klauspost/compress":  "backups: zstd",
	"filippo.io/age":                 "backups: encryption",
	"filippo.io/hpke":                "of age: keys that a quantum computer does not open",
	"golang.org/x/crypto":            "of age: ChaCha20-Poly1305, scrypt",
	"go.yaml.in/yaml/v3":             "seeds: files of rows, with the line of each fault",
	"golang.org/x/sys":               "of x/crypto: what the processor can do",
}

// pkg is what is used of an answer of `go list -json`.
type pkg struct {
	ImportPath string
	Doc        string
	Standard   bool
	Deps       []string
	Module     *struct{ Path string }
}

func list(t *testing.T, args ...string) map[string]pkg {
	t.Helper()
	// Go keeps a passed test's result until a file changes that the test has looked at. It does not
	// see what `go list` looks at, so the test looks at every folder itself.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Doc,Standard,Deps,Module"}, args...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// above names what stands on the root package: all else of the module is below it.
func above(path string) bool {
	for _, p := range []string{"cmd", "examples", "tldwdbcli", "tldwdbtest", "tldwdbmetrics", "tldwdbotel", "tldwdbs3"} {
		if path == module+"/"+p || strings.HasPrefix(path, module+"/"+p+"/") {
			return true
		}
	}
	return path == module
}

// Arrows go down only: what is below the root is understood without it.
func TestNothingBelowTheRootImportsIt(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "./...") {
		if above(path) {
			continue
		}
		for _, d := range p.Deps {
			if above(d) {
				t.Errorf("%s depends on %s, which is above it", path, d)
			}
		}
	}
}

// Test helpers create and drop databases and listen on ports: no shipped package may reach them.
func TestTestHelpersAreForTestsOnly(t *testing.T) {
	t.Parallel()
	helpers := []string{module + "/internal/testdb", module + "/internal/wiretap", module + "/internal/faultdb", module + "/tldwdbtest"}
	isHelper := func(path string) bool {
		return slices.ContainsFunc(helpers, func(h string) bool { return path == h || strings.HasPrefix(path, h+"/") })
	}
	for path, p := range list(t, "./...") {
		shipped := path == module+"/tldwdbtest" // to other modules' tests, without our servers
		if isHelper(path) && !shipped {
			continue
		}
		for _, d := range p.Deps {
			if isHelper(d) {
				t.Errorf("%s depends on %s, which is for tests", path, d)
			}
		}
	}
}

// The scanner and the URL parser are pure: they can be read, fuzzed and reused alone.
func TestPurePackagesUseTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	packages := list(t, "-deps", "./...")
	for _, path := range []string{module + "/internal/sqlscan", module + "/internal/dburl"} {
		for _, d := range packages[path].Deps {
			if p := packages[d]; !p.Standard && !strings.HasPrefix(d, path+"/") {
				t.Errorf("%s depends on %s", path, d)
			}
		}
	}
}

func TestTheRootLinksOnlyWhatIsListed(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "-deps", ".") {
		if p.Standard || p.Module == nil || p.Module.Path == module {
			continue
		}
		if linked[p.Module.Path] == "" {
			t.Errorf("the root links %s of %s, which is not listed here", path, p.Module.Path)
		}
	}
}

// Who wants one way of watching does not get the other, and who wants none gets
// neither; a client for object storage is for those who have some.
func TestOnlyWhoWantsThemLinksTheLibraries(t *testing.T) {
	t.Parallel()
	packages := list(t, "-deps", "./...")
	links := func(path, library string) bool {
		if _, ok := packages[path]; !ok {
			t.Fatalf("there is no package %s", path)
		}
		return slices.ContainsFunc(packages[path].Deps, func(d string) bool {
			return packages[d].Module != nil && strings.HasPrefix(packages[d].Module.Path, library)
		})
	}
	const prometheus, otel, otelsql, s3 = "github.com/prometheus/", "go.opentelemetry.io/", "github.com/XSAM/otelsql", "github.com/minio/"
	for path, allowed := range map[string][]string{
		module: nil, module + "/tldwdbcli": nil, module + "/examples/service": nil, module + "/examples/wrapped": nil,
		module + "/tldwdbmetrics": {prometheus}, module + "/tldwdbotel": {otel, otelsql},
		module + "/tldwdbs3": {s3}, module + "/cmd/tldwdb": {s3},
	} {
		for _, library := range []string{prometheus, otel, otelsql, s3} {
			if is, want := links(path, library), slices.Contains(allowed, library); is != want {
				t.Errorf("%s links %s: %v, want %v", path, library, is, want)
			}
		}
	}
	// The SDK is the program's choice.
	if links(module+"/tldwdbotel", "go.opentelemetry.io/otel/sdk") {
		t.Error("tldwdbotel links OpenTelemetry's SDK")
	}
}

// Atlas plans changes of PostgreSQL schemas, for one command. Nobody else is to carry it.
func TestOnlyTheCommandLinksAtlas(t *testing.T) {
	t.Parallel()
	const atlas = "ariga.io/atlas/"
	for path, p := range list(t, "./...") {
		is := slices.ContainsFunc(p.Deps, func(d string) bool { return strings.HasPrefix(d, atlas) })
		if want := path == module+"/cmd/tldwdb"; is != want {
			t.Errorf("%s links Atlas: %v, want %v", path, is, want)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "./...") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", path)
		}
	}
}

// A replace works in this checkout alone, so that what we test is not what others build.
func TestNoReplace(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Replace []any }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces modules: %v", mod.Replace)
	}
}
