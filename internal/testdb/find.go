package testdb

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// flavour tells the two servers of the MySQL family apart by what they say of themselves.
func flavour(version string) Engine {
	if strings.Contains(strings.ToLower(version), "mariadb") {
		return MariaDB
	}
	return MySQL
}

// findPostgres returns the folder that has both initdb and postgres. Debian keeps them out of the
// PATH, in a folder per major version, of which the newest is taken.
func findPostgres() (string, error) {
	var dirs []string
	for _, program := range []string{"initdb", "postgres"} {
		if p, err := exec.LookPath(program); err == nil {
			dirs = append(dirs, filepath.Dir(p))
			// A link to one program says where the others are.
			if p, err = filepath.EvalSymlinks(p); err == nil {
				dirs = append(dirs, filepath.Dir(p))
			}
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the patterns are constants and well-formed
		slices.SortFunc(found, func(a, b string) int { return majorOf(b) - majorOf(a) })
		dirs = append(dirs, found...)
	}
	for _, d := range dirs {
		if isFile(filepath.Join(d, "initdb")) && isFile(filepath.Join(d, "postgres")) {
			return d, nil
		}
	}
	return "", &MissingError{
		Engine: Postgres,
		Looked: "initdb and postgres in PATH, /usr/lib/postgresql or Homebrew's folders",
		Get:    "run `make test`, which installs Debian's postgresql where it may, or install PostgreSQL",
	}
}

// majorOf reads the version out of a folder such as /usr/lib/postgresql/15/bin.
func majorOf(dir string) int {
	parent := filepath.Base(filepath.Dir(dir))
	major, _ := strconv.Atoi(strings.TrimLeft(parent, "abcdefghijklmnopqrstuvwxyz@-"))
	return major
}

// mysqldVariable names the server program of Oracle MySQL where it is in no usual place. It may be
// a script that ends with exec of the program and hands its arguments on: one that was unpacked
// and not installed needs more of them, or another loader.
const mysqldVariable = "TLDWDB_TEST_MYSQLD"

// findMySQL returns the server program of MariaDB or of Oracle's MySQL. Both may be called
// mysqld (Debian links that name to MariaDB), so each candidate is asked who it is.
func findMySQL(ctx context.Context, e Engine) (string, error) {
	names := []string{"mariadbd", "mysqld"}
	if e == MySQL {
		if program := os.Getenv(mysqldVariable); program != "" {
			version, err := exec.CommandContext(ctx, program, "--no-defaults", "--version").Output()
			if is := flavour(string(version)); err != nil || is != e { // who names one does not want another
				return "", fmt.Errorf("%s=%s is not the server of Oracle MySQL: %w", mysqldVariable, program, cmp.Or(err, fmt.Errorf("it says %q", version)))
			}
			return program, nil
		}
		names = []string{"mysqld"}
	}
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/usr/libexec") {
			program := filepath.Join(dir, name)
			if !filepath.IsAbs(program) || !isFile(program) {
				continue
			}
			version, err := exec.CommandContext(ctx, program, "--no-defaults", "--version").Output()
			if err == nil && flavour(string(version)) == e {
				return program, nil
			}
		}
	}
	missing := &MissingError{
		Engine: e,
		Looked: "mariadbd (or a mysqld that is MariaDB) in PATH or /usr/sbin",
		Get:    "run `make test`, which installs Debian's mariadb-server where it may, or install MariaDB",
	}
	if e == MySQL {
		missing.Looked = "mysqld of Oracle MySQL in PATH or /usr/sbin"
		missing.Get = "install MySQL's own package (Debian's stable suite has none), set " + mysqldVariable + " to the server program"
	}
	return "", missing
}

// findBeside returns a program that belongs to another one: in its folder, in the bin folder
// beside its sbin folder, or in the PATH.
func findBeside(program, name string) (string, error) {
	dir := filepath.Dir(program)
	for _, d := range []string{dir, filepath.Join(filepath.Dir(dir), "bin")} {
		if p := filepath.Join(d, name); isFile(p) {
			return p, nil
		}
	}
	return exec.LookPath(name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
