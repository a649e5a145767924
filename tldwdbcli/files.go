package tldwdbcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// This file has the commands that read and write migration files.

func (a *app) fileCommands(root *cobra.Command) {
	a.newCommand(root)
	a.diffCommand(root)
	a.initCommand(root)
	a.showCommand(root)
	a.editCommand(root)
	a.lintCommand(root)
	a.sqlCommand(root)
	a.docsCommand(root)
	a.renumberCommand(root)
	a.snapshotCommand(root)
	a.squashCommand(root)
	a.importCommand(root)
}

// filesAnswer is what was written.
type filesAnswer struct {
	Files []string `json:"files"`
	Next  string   `json:"next"` // what to do now; may be empty
}

func (f filesAnswer) text(p *printer) {
	for _, name := range f.Files {
		p.linef("%s %s", p.paint(colorGreen, "wrote"), name)
	}
	if f.Next != "" {
		p.linef("%s", f.Next)
	}
}

// dialects are the folders of files for one engine.
var dialects = []string{"sqlite", "postgres", "mysql"}

// checkDialect refuses a --dialect that is none. Servers speak one more than folders have.
func checkDialect(name string) error {
	if name != "mariadb" && !slices.Contains(dialects, name) {
		return usagef("--dialect is %q: accepted are sqlite, postgres, mysql and mariadb", name)
	}
	return nil
}

// folder is the folder on disk that files are written to.
func (a *app) folder() (string, error) {
	s, err := a.settings()
	if err != nil {
		return "", err
	}
	if s.dir == "" {
		return "", usagef("which folder? name it with --dir, %s, or 'dir' in %s; 'init' makes a new one", variableDir, defaultFile)
	}
	return s.dir, nil
}

var (
	migrationName = lazyregexp.New(`^[\pL\pN_]+$`)
	leadingNumber = lazyregexp.New(`^(\d+)[_-]`)
)

// timestampForm is the form of a version that is a point in time, UTC.
const timestampForm = "20060102150405"

// numbering is how the files of a folder are numbered.
type numbering struct {
	last  int64
	width int // digits of the widest version
}

// numberedFile is a file whose name begins with a version.
type numberedFile struct {
	dir, name string
	digits    string
	version   int64
}

// numberedFiles lists the SQL and Go files with a number in a folder and in the
// folders of dialects in it.
func numberedFiles(dir string) ([]numberedFile, error) {
	var list []numberedFile
	for _, sub := range append([]string{"."}, dialects...) {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) && sub != "." {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			ext := filepath.Ext(entry.Name())
			m := leadingNumber.FindStringSubmatch(entry.Name())
			if m == nil || entry.IsDir() || ext != ".sql" && ext != ".go" || snapshotName.MatchString(entry.Name()) {
				continue
			}
			version, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				continue // 'status' says what is wrong with it
			}
			list = append(list, numberedFile{filepath.Join(dir, sub), entry.Name(), m[1], version})
		}
	}
	return list, nil
}

// numberingOf is how the files of a list are numbered.
func numberingOf(list []numberedFile) (n numbering) {
	for _, f := range list {
		n.last, n.width = max(n.last, f.version), max(n.width, len(f.digits))
	}
	return n
}

// format is a version as the files of the folder have it.
func (n numbering) format(version int64) string { return fmt.Sprintf("%0*d", max(n.width, 4), version) }

// next is the version after the last one: a point in time where that is one too.
func (n numbering) next(timestamp, sequence bool, now time.Time) string {
	stamped := n.width >= len(timestampForm)
	if timestamp || stamped && !sequence {
		text := now.UTC().Format(timestampForm)
		if last := strconv.FormatInt(n.last, 10); len(last) > len(text) || len(last) == len(text) && text <= last {
			text = n.format(n.last + 1) // after a clock that was ahead, or this very second
		}
		return text
	}
	return n.format(n.last + 1)
}

func (a *app) newCommand(root *cobra.Command) {
	var byDialect []string
	var goFile, timestamp, sequence, noTransaction, repeatable bool
	cmd := a.add(root, command{
		use: "new NAME [flags]", group: groupFiles, short: "Make the files of a new migration",
		long: `
Makes the two files of a new migration, up and down, in the folder of --dir. The
version goes on as the files there do: a sequence (0003) or a point in time
(20261123093000). --dialect makes a pair for each engine; a migration that reads
the same for all needs none. --go makes a Go file instead.`,
		example: `
tldwdb new add_age --dir migrations
tldwdb new by_email --dialect postgres,mysql --dir migrations
tldwdb new views --repeatable --dir migrations`,
		args: exactly("the name"),
		run: func(cmd *cobra.Command, args []string) error {
			name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.TrimSpace(args[0]))
			switch {
			case !migrationName.MatchString(name):
				return usagef("the name is %q: accepted are letters, digits and _", args[0])
			case timestamp && sequence:
				return usagef("--timestamp and --sequence exclude each other")
			case goFile && (repeatable || noTransaction || len(byDialect) > 0):
				return usagef("--go goes with none of --repeatable, --no-transaction and --dialect: GoMigration has fields for that")
			}
			for _, d := range byDialect {
				if !slices.Contains(dialects, d) {
					return usagef("--dialect is %q: accepted are sqlite, postgres and mysql (for MariaDB too)", d)
				}
			}
			dir, err := a.folder()
			if err != nil {
				return err
			}
			there, err := numberedFiles(dir)
			if err != nil {
				return err
			}
			version := numberingOf(there).next(timestamp, sequence, time.Now())
			files := newFiles(version, name, packageOf(dir), byDialect, goFile, noTransaction, repeatable)
			written, err := writeNew(dir, files)
			if err != nil {
				return err
			}
			answer := filesAnswer{Files: written}
			if goFile {
				answer.Next = fmt.Sprintf("add it to the program: Config.GoMigrations: []tldwdb.GoMigration{%s}", goIdentifier(version, name))
			}
			return a.answer(cmd, answer, nil)
		},
	})
	f := cmd.Flags()
	f.StringSliceVar(&byDialect, "dialect", nil, "`list` of sqlite, postgres, mysql: a pair for each")
	f.BoolVar(&goFile, "go", false, "a migration written in Go")
	f.BoolVar(&repeatable, "repeatable", false, "R__NAME.sql, which runs whenever its text changes")
	f.BoolVar(&noTransaction, "no-transaction", false, "with the directive of that name")
	f.BoolVar(&timestamp, "timestamp", false, "number it by the time, UTC")
	f.BoolVar(&sequence, "sequence", false, "number it after the last one")
}

func goIdentifier(version, name string) string { return "m" + version + name }

var packageClause = lazyregexp.New(`(?m)^package (\w+)`)

// packageOf is the Go package of the files in a folder, or else the folder's name.
func packageOf(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go")) // the pattern is a good one
	for _, file := range files {
		text, err := os.ReadFile(file)
		if m := packageClause.FindSubmatch(text); err == nil && m != nil && !strings.HasSuffix(file, "_test.go") {
			return string(m[1])
		}
	}
	return filepath.Base(dir)
}

// newFiles are the paths and texts of a new migration.
func newFiles(version, name, pkg string, byDialect []string, goFile, noTransaction, repeatable bool) map[string]string {
	if goFile {
		if pkg = strings.NewReplacer("-", "", ".", "").Replace(pkg); !token.IsIdentifier(pkg) {
			pkg = "migrations"
		}
		return map[string]string{version + "_" + name + ".go": fmt.Sprintf(goTemplate, pkg, goIdentifier(version, name), strings.TrimLeft(version, "0"), name)}
	}
	head := ""
	if noTransaction {
		head = "-- tldwdb: no-transaction\n\n"
	}
	pair := map[string]string{
		version + "_" + name + ".up.sql":   head + "-- What the migration does.\n",
		version + "_" + name + ".down.sql": head + "-- What takes it back. If nothing can: remove this file, and give the other one\n-- the directive irreversible, with the reason.\n",
	}
	if repeatable {
		pair = map[string]string{"R__" + name + ".sql": head + "-- Runs after the others whenever this text changes: DROP ... IF EXISTS, CREATE ...\n"}
	}
	if len(byDialect) == 0 {
		return pair
	}
	files := map[string]string{}
	for _, d := range byDialect {
		for file, text := range pair {
			files[path.Join(d, file)] = text
		}
	}
	return files
}

const goTemplate = `package %s

import (
	"context"

	"github.com/tldw/tldwdb"
)

var %s = tldwdb.GoMigration{
	Version: %s,
	Name:    %q,
	Up: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "SELECT 1")
		return err
	},
	Down: func(ctx context.Context, conn tldwdb.Conn) error {
		_, err := conn.ExecContext(ctx, "SELECT 1")
		return err
	},
}
`

// writeNew writes files that must not exist, and none of them when one does.
func writeNew(dir string, files map[string]string) (written []string, err error) {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	defer func() {
		if err != nil {
			for _, name := range written {
				err = errors.Join(err, os.Remove(name))
			}
			written = nil
		}
	}()
	for _, name := range names {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return written, err
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return written, err
		}
		written = append(written, file)
		_, err = f.WriteString(files[name])
		if err := errors.Join(err, f.Close()); err != nil {
			return written, err
		}
	}
	return written, nil
}

func (a *app) initCommand(root *cobra.Command) {
	var pkg string
	cmd := a.add(root, command{
		use: "init [DIR] [flags]", group: groupFiles, short: "Make a folder of migrations that a program embeds",
		long: `
Makes the folder DIR (default: migrations) with an embed.go, so that a program has
the migrations in its binary as the variable FS, and a first migration to fill in.
It overwrites nothing.`,
		example: `
tldwdb init
tldwdb init internal/migrations --package migrations`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			dir := first(args)
			if dir == "" {
				dir = "migrations"
			}
			if pkg == "" {
				pkg = strings.NewReplacer("-", "", ".", "").Replace(filepath.Base(dir))
			}
			if !token.IsIdentifier(pkg) {
				return usagef("%q is no name of a Go package: give one with --package", pkg)
			}
			files := map[string]string{
				"embed.go":            fmt.Sprintf(embedTemplate, pkg),
				"0001_first.up.sql":   "CREATE TABLE example (\n\tid   integer PRIMARY KEY,\n\tname varchar(100) NOT NULL\n);\n",
				"0001_first.down.sql": "DROP TABLE example;\n",
			}
			written, err := writeNew(dir, files)
			if err != nil {
				return err
			}
			return a.answer(cmd, filesAnswer{Files: written, Next: "edit 0001_first, then: " + root.CommandPath() + " up --dir " + dir}, nil)
		},
	})
	cmd.Flags().StringVar(&pkg, "package", "", "`name` of the Go package (default: that of the folder)")
}

const embedTemplate = `// Package %s holds the migrations of the database.
package %[1]s

import "embed"

// FS are the migrations, for tldwdb.Config.Migrations. Folders sqlite, postgres
// and mysql, where there are any, have to be named here too.
//
//go:embed *.sql
var FS embed.FS
`

// showAnswer is one migration: its files, and what the database says about it.
type showAnswer struct {
	tldwdb.File
	Status *tldwdb.MigrationStatus `json:"status"` // null where no database was asked
}

func (s showAnswer) text(p *printer) {
	p.linef("%s", p.paint(colorBold, s.Migration.String()))
	if s.Status != nil {
		line := "state     " + p.state(*s.Status)
		if !s.Status.FinishedAt.IsZero() {
			line += fmt.Sprintf(", %s, took %s, by %s", p.ago(s.Status.FinishedAt), took(s.Status.Duration), s.Status.Actor)
		}
		p.linef("%s", line)
		if s.Status.Error != "" {
			p.linef("error     %s", s.Status.Error)
		}
	}
	switch {
	case s.Go:
		p.linef("written in Go")
	case s.Up == nil:
		p.linef("there is no file for it")
	}
	for _, part := range []struct {
		name string
		text *tldwdb.FileText
	}{{"up", s.Up}, {"down", s.Down}} {
		if part.text == nil {
			continue
		}
		p.linef("")
		p.linef("%s %s", p.paint(colorBold, "-- "+part.name), p.faint(part.text.Path+", sha256 "+part.text.Checksum))
		p.linef("%s", strings.TrimRight(part.text.Text, "\n"))
	}
	if !s.Reversible {
		p.linef("")
		p.linef("it cannot be taken back")
	}
}

func (a *app) showCommand(root *cobra.Command) {
	var offline bool
	cmd := a.add(root, command{
		use: "show V [flags]", group: groupFiles, short: "Show one migration: its text, and where the database has it",
		long: `
Shows the files of one migration, its checksum, and its state in the database.
--offline does not ask the database.`,
		example: `
tldwdb show 1
tldwdb show 0002 --offline`,
		args: exactly("the version"),
		run: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			file, err := s.migration(id)
			missing := errors.Is(err, tldwdb.ErrUnknownVersion) // the database may have it
			if err != nil && !missing {
				return err
			}
			answer := showAnswer{File: file}
			if !offline {
				if _, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
					status, err := db.Status(ctx)
					if err != nil {
						return nil, err
					}
					for _, m := range status.Migrations {
						if same(m.Migration, id) {
							answer.Status, answer.Migration, answer.Reversible = &m, m.Migration, m.Reversible
						}
					}
					return nil, nil
				}, []func(*tldwdb.Config){looking}); err != nil {
					return err
				}
			}
			if missing && answer.Status == nil {
				return err
			}
			return a.answer(cmd, answer, nil)
		},
	})
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the database")
}

// parseID reads a version, or the name of a repeatable migration.
func parseID(text string) (tldwdb.ID, error) {
	if name, ok := strings.CutPrefix(text, "R__"); ok {
		return tldwdb.ID{Name: strings.TrimSuffix(name, ".sql"), Repeatable: true}, nil
	}
	version, err := parseVersion(text)
	return tldwdb.ID{Version: version}, err
}

// same compares what identifies a migration.
func same(x, y tldwdb.ID) bool {
	if x.Repeatable || y.Repeatable {
		return x.Repeatable == y.Repeatable && x.Name == y.Name
	}
	return x.Version == y.Version
}

// migration is one as its files have it. Beside [tldwdb.ErrUnknownVersion] it
// has the ID that was asked for.
func (s *settings) migration(id tldwdb.ID) (tldwdb.File, error) {
	u, err := s.url()
	if err != nil {
		return tldwdb.File{}, err
	}
	files, err := tldwdb.Files(s.config, u.Dialect)
	if err != nil {
		return tldwdb.File{}, err
	}
	for _, f := range files {
		if same(f.Migration, id) {
			return f, nil
		}
	}
	return tldwdb.File{Migration: id}, fmt.Errorf("%w: %s", tldwdb.ErrUnknownVersion, name(id))
}

// url is the database's, also where it is the default one.
func (s *settings) url() (dburl.URL, error) {
	cfg, err := s.config.Effective()
	if err != nil {
		return dburl.URL{}, &usageError{err}
	}
	u, err := dburl.Parse(cfg.URL)
	if err != nil {
		return dburl.URL{}, &usageError{err}
	}
	return u, nil
}

func (a *app) editCommand(root *cobra.Command) {
	var down bool
	cmd := a.add(root, command{
		use: "edit V [flags]", group: groupFiles, short: "Print the path of a migration's file, for an editor",
		long: `
Prints the path of the file of version V in the folder of --dir, and refuses when
the database has applied it: what that did is changed by a new migration. A
migration that stopped half-way is mended in its file.`,
		example: `
tldwdb edit 2 --dir migrations`,
		args: exactly("the version"),
		run: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			dir, err := a.folder()
			if err != nil {
				return err
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				status, err := db.Status(ctx)
				if err != nil {
					return nil, err
				}
				applied := []tldwdb.State{tldwdb.StateApplied, tldwdb.StateBaseline, tldwdb.StateSnapshot, tldwdb.StateUnknown}
				for _, m := range status.Migrations {
					if same(m.Migration, id) && !id.Repeatable && slices.Contains(applied, m.State) {
						return nil, fmt.Errorf("%s is %s in this database: write a new migration that changes what it made", m.Migration, m.State)
					}
				}
				file, err := s.migration(id)
				if err != nil {
					return nil, err
				}
				text := file.Up
				if down {
					text = file.Down
				}
				switch {
				case file.Go:
					return nil, fmt.Errorf("%s is written in Go", file.Migration)
				case text == nil:
					return nil, fmt.Errorf("%s has no file that takes it back", file.Migration)
				}
				return pathAnswer{filepath.Join(dir, filepath.FromSlash(text.Path))}, nil
			})
		},
	})
	cmd.Flags().BoolVar(&down, "down", false, "the file that takes it back")
}

type pathAnswer struct {
	File string `json:"file"`
}

func (a pathAnswer) text(p *printer) { p.linef("%s", a.File) }

// scriptAnswer is a SQL script.
type scriptAnswer struct {
	SQL string `json:"sql"`
}

func (s scriptAnswer) text(p *printer) { p.linef("%s", strings.TrimRight(s.SQL, "\n")) }

func (a *app) sqlCommand(root *cobra.Command) {
	var n steps
	var from int64
	var dialect string
	cmd := a.add(root, command{
		use: "sql [V | +n | -n | base] [flags]", group: groupFiles, short: "Write a SQL script that does the same without tldwdb",
		long: `
Writes a SQL script that a database administrator can run with psql, mysql, mariadb
or sqlite3: with the migration lock, timeouts, transactions, and the rows of the
history, so that afterwards the database is as if 'up' (or 'down', or 'goto') had
run. The script stops when the database is not where it was made for.

Without --from it reads from the database what is applied. With --from V no
database is asked: V is the version that the script begins at, 0 an empty database.`,
		example: `
tldwdb sql
tldwdb sql --from 0 --dialect postgres
tldwdb sql 2 --from 1 --dialect mysql`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			req, err := requestOf(args, &n)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if !cmd.Flags().Changed("from") {
				if dialect != "" {
					return usagef("--dialect needs --from: without it the database says what it is")
				}
				return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
					if err := db.Script(ctx, &b, req); err != nil {
						return nil, err
					}
					return scriptAnswer{b.String()}, nil
				})
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			u, err := s.url()
			switch {
			case err != nil:
				return err
			case dialect == "":
				dialect = u.Dialect
			}
			if err := checkDialect(dialect); err != nil {
				return err
			}
			script := tldwdb.ScriptRequest{From: from, Request: req, Dialect: dialect}
			if u.Dialect == dburl.MySQL {
				script.Database = u.Database
			}
			if err := tldwdb.Script(&b, s.config, script); err != nil {
				return err
			}
			return a.answer(cmd, scriptAnswer{b.String()}, nil)
		},
	})
	n.bind(cmd.Flags())
	cmd.Flags().Int64Var(&from, "from", 0, "the `version` to begin at; no database is asked")
	cmd.Flags().StringVar(&dialect, "dialect", "", "with --from: sqlite, postgres, mysql or mariadb")
}

// renumberAnswer is which files have another name now.
type renumberAnswer struct {
	Renamed []renamed `json:"renamed"`
	DryRun  bool      `json:"dry_run"`
}

type renamed struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (r renumberAnswer) text(p *printer) {
	for _, f := range r.Renamed {
		p.linef("%s → %s", f.From, f.To)
	}
	if r.DryRun {
		p.linef("nothing was renamed (--dry-run)")
	}
}

func (a *app) renumberCommand(root *cobra.Command) {
	var dryRun, offline bool
	cmd := a.add(root, command{
		use: "renumber V [NEW] [flags]", group: groupFiles, short: "Give a migration that is not applied another version",
		long: `
Renames the files of version V to version NEW, or to one above all others: for a
branch whose migration was overtaken by another one. Where both have one number, V
is the whole name. It refuses when the database has applied V; --offline does not
ask it.`,
		example: `
tldwdb renumber 2 --dir migrations --dry-run
tldwdb renumber 0002_add_selected_playlist --dir migrations --dry-run`,
		args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("the version is missing")
			}
			return atMost(2)(nil, args)
		},
		run: func(cmd *cobra.Command, args []string) error {
			dir, err := a.folder()
			if err != nil {
				return err
			}
			version, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			there, err := numberedFiles(dir)
			if err != nil {
				return err
			}
			digits := numberingOf(there).next(false, false, time.Now())
			if len(args) == 2 {
				digits = args[1]
			}
			to, err := parseVersion(digits)
			if err != nil {
				return err
			}
			if len(args) == 2 { // with the zeros that the version before had
				same := slices.DeleteFunc(slices.Clone(there), func(f numberedFile) bool { return f.version != version || len(f.digits) >= len(timestampForm) })
				digits = numberingOf(same).format(to)
			}
			renames, err := renamesOf(there, version, to, digits)
			if err != nil {
				return err
			}
			renames, name, err := meant(renames, args[0])
			if err != nil {
				return err
			}
			if !offline {
				if err := a.refuseApplied(cmd, tldwdb.ID{Version: version, Name: name}); err != nil {
					return err
				}
			}
			answer := renumberAnswer{Renamed: renames, DryRun: dryRun}
			if !dryRun {
				if err := renameAll(renames); err != nil {
					return err
				}
			}
			return a.answer(cmd, answer, nil)
		},
	})
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be renamed")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the database whether it is applied")
}

func (a *app) refuseApplied(cmd *cobra.Command, id tldwdb.ID) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	// The files may have the very fault that is to be mended: two of one version.
	s.config.Migrations, s.config.GoMigrations = nil, nil
	_, err = a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
		status, err := db.Status(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range status.Migrations {
			if same(m.Migration, id) && (id.Name == "" || m.Migration.Name == id.Name) {
				return nil, fmt.Errorf("%s is applied to this database: it keeps its version", m.Migration)
			}
		}
		return nil, nil
	}, []func(*tldwdb.Config){looking})
	return err
}

// renamesOf lists the files of a version and their new names, none of which may
// be there. A Go file says its version itself, and cannot be renumbered by its name.
func renamesOf(files []numberedFile, version, to int64, digits string) ([]renamed, error) {
	var list []renamed
	for _, f := range files {
		path := filepath.Join(f.dir, f.name)
		switch {
		case f.version == to:
			return nil, fmt.Errorf("version %s is there already: %s", digits, path)
		case f.version != version:
		case filepath.Ext(f.name) == ".go":
			return nil, fmt.Errorf("%s is written in Go: its version is a field of its GoMigration", path)
		default:
			list = append(list, renamed{path, filepath.Join(f.dir, digits+strings.TrimPrefix(f.name, f.digits))})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: there is no file of version %d", tldwdb.ErrUnknownVersion, version)
	}
	return list, nil
}

// meant leaves the files of the one migration that V names, as 0003_users, where
// two branches have made one each of that version. The name is empty where there
// is only one: it is a label then.
func meant(list []renamed, asked string) ([]renamed, string, error) {
	label := func(f renamed) string {
		name := strings.TrimSuffix(filepath.Base(f.From), ".sql")
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".up"), ".down")
		return leadingNumber.ReplaceAllString(name, "")
	}
	var names []string
	for _, f := range list {
		if name := label(f); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) < 2 {
		return list, "", nil
	}
	_, name, _ := strings.Cut(asked, "_")
	if !slices.Contains(names, name) {
		digits, _, _ := strings.Cut(asked, "_")
		return nil, "", usagef("which one? Write %s_%s", digits, strings.Join(names, " or "+digits+"_"))
	}
	return slices.DeleteFunc(list, func(f renamed) bool { return label(f) != name }), name, nil
}

// renameAll renames all files, or none.
func renameAll(list []renamed) error {
	for i, f := range list {
		if err := os.Rename(f.From, f.To); err != nil {
			for _, done := range list[:i] {
				err = errors.Join(err, os.Rename(done.To, done.From))
			}
			return err
		}
	}
	return nil
}
