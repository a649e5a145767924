package dump

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file finds the servers' programs. There may be several of one name: those of
// other versions, and on Debian a mysqldump that is MariaDB's.

// release is the series of a server or program: PostgreSQL counts by its first
// number, MySQL and MariaDB by the first two.
type release struct{ major, minor int }

func (r release) compare(o release) int {
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor))
}

func (r release) String() string {
	if r.minor < 0 {
		return strconv.Itoa(r.major)
	}
	return fmt.Sprintf("%d.%d", r.major, r.minor)
}

// tool is a program that is there.
type tool struct {
	path    string
	says    string // its --version
	release release
}

// String is the program with its version, and without its folder.
func (t tool) String() string { return fmt.Sprintf("%s %s", baseName(t.path), t.release) }

func baseName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".exe") }

// product is a maker of programs.
type product struct {
	name    string         // PostgreSQL, MySQL or MariaDB
	folders []string       // patterns of folders beside the PATH
	version *regexp.Regexp // of what --version says of a program of this product
	not     *regexp.Regexp // and of another; nil: there is none
	install func(release) string
}

var postgresProduct = product{
	name: "PostgreSQL",
	folders: []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin", "/opt/homebrew/opt/libpq/bin",
		"/usr/local/opt/postgresql@*/bin", "/usr/local/opt/libpq/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin", `C:\Program Files\PostgreSQL\*\bin`,
	},
	version: regexp.MustCompile(`\(PostgreSQL\) (\d+)()`),
	install: func(r release) string {
		return fmt.Sprintf("install postgresql-client-%s (Debian, Ubuntu; with the PGDG repository), postgresql%s (RHEL, PGDG), postgresql%s-client (Alpine) or postgresql@%s (Homebrew)", r, r, r, r)
	},
}

var mariaDBProduct = product{
	name:    "MariaDB",
	folders: []string{"/usr/local/mysql/bin", "/opt/homebrew/opt/mariadb*/bin", "/usr/local/opt/mariadb*/bin", `C:\Program Files\MariaDB *\bin`},
	version: regexp.MustCompile(`(\d+)\.(\d+)\.\d+-MariaDB`),
	install: func(r release) string {
		return fmt.Sprintf("install mariadb-client (Debian, Ubuntu, Alpine), mariadb (RHEL) or mariadb (Homebrew) of series %s or newer", r)
	},
}

var mysqlProduct = product{
	name:    "MySQL",
	folders: []string{"/usr/local/mysql/bin", "/opt/homebrew/opt/mysql*/bin", "/usr/local/opt/mysql*/bin", `C:\Program Files\MySQL\MySQL Server *\bin`},
	version: regexp.MustCompile(`(?:Distrib|Ver) (\d+)\.(\d+)\.\d+`),
	not:     regexp.MustCompile(`MariaDB`),
	install: func(r release) string {
		return fmt.Sprintf("install Oracle's mysql-client (Ubuntu), mysql-community-client (RHEL and Debian, repo.mysql.com) or mysql-client (Homebrew) of series %s or newer", r)
	},
}

// asking bounds one call of --version.
const asking = 20 * time.Second

// find lists the programs of one name, or of several that mean the same, and goes no
// further than to one of the wanted release. Where dir is given it looks there only.
func (p product) find(ctx context.Context, dir string, wanted release, names ...string) (tools, others []tool) {
	dirs := []string{dir}
	if dir == "" {
		dirs = nil
		for _, pattern := range p.folders {
			found, _ := filepath.Glob(pattern) // the patterns are well-formed
			dirs = append(dirs, found...)
		}
		dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	}
	var seen []os.FileInfo
	for _, name := range names {
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		for _, dir := range dirs {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil || !filepath.IsAbs(path) || info.IsDir() || slices.ContainsFunc(seen, func(o os.FileInfo) bool { return os.SameFile(o, info) && o.Name() == info.Name() }) {
				continue
			}
			seen = append(seen, info)
			limited, cancel := context.WithTimeout(ctx, asking)
			var out excerpt
			_, err = program{path: path, args: []string{"--version"}, env: environment(nil), stdout: &out}.run(limited)
			cancel()
			if err != nil {
				continue // it cannot be used
			}
			t := tool{path: path, says: firstLine(out.head)}
			m := p.version.FindStringSubmatch(t.says)
			if m == nil || p.not != nil && p.not.MatchString(t.says) {
				others = append(others, t)
				continue
			}
			t.release.major, _ = strconv.Atoi(m[1])
			t.release.minor = -1
			if m[2] != "" {
				t.release.minor, _ = strconv.Atoi(m[2])
			}
			tools = append(tools, t)
			if t.release == wanted {
				return tools, nil
			}
		}
	}
	return tools, others
}

// choose takes the program of the wanted release, or else the oldest of those that
// are newer: what a program writes is made for servers of its own age.
func choose(tools []tool, wanted release) (tool, bool) {
	var best tool
	found := false
	for _, t := range tools {
		if t.release.compare(wanted) >= 0 && (!found || t.release.compare(best.release) < 0) {
			best, found = t, true
		}
	}
	return best, found
}

const withoutProgram = "; a portable backup needs no program"

// missing is the error for a program that is not there, or is not the right one.
func (p product) missing(server, name, dir string, wanted release, tools, others []tool) error {
	where := "PATH or the usual folders"
	if dir != "" {
		where = dir
	}
	hint := p.install(wanted) + withoutProgram
	switch {
	case len(tools) > 0:
		var list []string
		for _, t := range tools {
			list = append(list, t.release.String())
		}
		return refuse(hint, "%s of %s %s or newer is needed for this server, %s; in %s there is %s", name, p.name, wanted, server, where, strings.Join(slices.Compact(list), ", "))
	case len(others) > 0:
		return refuse(hint, "the server is %s, and needs %s's own %s; in %s there is another product's: %s", server, p.name, name, where, others[0].says)
	}
	return refuse(hint, "the server is %s, and there is no %s in %s", server, name, where)
}
