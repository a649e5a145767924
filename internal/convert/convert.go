// Package convert turns the migration files of other tools into ours.
//
// It loses nothing that is executed: what cannot be said in our files is a problem with its file and line, and then there
// is no result at all. Nothing is run and no database is asked. What a tool would do with a file is taken from that tool:
// where its lines end a section, in which order its versions run, which files it passes over.
package convert

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Tool is a migration tool whose files can be read.
type Tool string

// The tools.
const (
	Alembic       Tool = "alembic"        // the output of alembic upgrade --sql and alembic downgrade --sql
	Atlas         Tool = "atlas"          // a folder with atlas.sum
	Dbmate        Tool = "dbmate"         // -- migrate:up and -- migrate:down
	Flyway        Tool = "flyway"         // V1__name.sql, U1__name.sql, R__name.sql, in any depth
	GolangMigrate Tool = "golang-migrate" // 1_name.up.sql and 1_name.down.sql
	Goose         Tool = "goose"          // -- +goose Up and -- +goose Down
	Liquibase     Tool = "liquibase"      // formatted SQL: --changeset author:id
	Prisma        Tool = "prisma"         // a folder with migration.sql for each migration
	Refinery      Tool = "refinery"       // V1__name.sql and U1__name.sql, both of which are ways up
	SQLMigrate    Tool = "sql-migrate"    // -- +migrate Up and -- +migrate Down
	SQLx          Tool = "sqlx"           // 1_name.sql, or 1_name.up.sql and 1_name.down.sql
	Tern          Tool = "tern"           // ---- create above / drop below ----
)

// readers say how each tool's folder is read.
var readers = map[Tool]func(*converter){
	Alembic:       (*converter).alembic,
	Atlas:         (*converter).atlas,
	Dbmate:        (*converter).dbmate,
	Flyway:        (*converter).flyway,
	GolangMigrate: (*converter).golangMigrate,
	Goose:         (*converter).goose,
	Liquibase:     (*converter).liquibase,
	Prisma:        (*converter).prisma,
	Refinery:      (*converter).refinery,
	SQLMigrate:    (*converter).sqlMigrate,
	SQLx:          (*converter).sqlx,
	Tern:          (*converter).tern,
}

// Tools returns the tools whose files can be read, by name.
func Tools() []Tool {
	list := make([]Tool, 0, len(readers))
	for tool := range readers {
		list = append(list, tool)
	}
	slices.Sort(list)
	return list
}

// The dialects of [Options.Dialect], in the order in which they are tried.
var dialects = []string{"postgres", "mysql", "sqlite"}

var scanRules = map[string]sqlscan.Dialect{"postgres": sqlscan.Postgres, "mysql": sqlscan.MySQL, "sqlite": sqlscan.SQLite}

// Options say what is known about a folder. The zero value is a folder that tells it all by itself.
type Options struct {
	Tool    Tool   // who reads the folder now; empty: recognised by its files
	Dialect string // sqlite, postgres or mysql (MariaDB too); empty: recognised by its SQL
	// Values are put in place of Flyway's ${name}, as Flyway does it: everywhere, in quotes too. A name of Flyway's own
	// is written with its prefix: flyway:defaultSchema.
	Values map[string]string
}

// Result is a folder of ours, not yet written.
type Result struct {
	Tool     Tool
	Dialect  string // whose rules the SQL was read by; empty when it reads the same by all
	Files    []File // by name
	Manifest Manifest
	Notes    []Finding // what a person should know about the conversion, by file and line
}

// File is one of our files.
type File struct {
	Name string // 0001_name.up.sql, 0001_name.down.sql or R__name.sql
	Text []byte
	From []string // the files that it was made of, by name
}

// Finding is a place in the folder and what is to be said about it.
type Finding struct {
	File string `json:"file"`           // path inside the folder
	Line int    `json:"line,omitempty"` // from 1; 0 for the file as a whole
	Msg  string `json:"message"`
}

// String returns "file:line: message".
func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Msg
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Msg)
}

// Error is a folder that cannot be converted: everything that stands in the way, by file and line.
type Error struct {
	Tool     Tool
	Problems []Finding
}

// Error returns the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Convert reads the folder of another tool. What cannot be converted is an *[Error] with all that stands in the way; another
// error says that the folder could not be read, or that it is not clear by which tool or rules.
func Convert(src fs.FS, opts Options) (*Result, error) {
	if opts.Dialect != "" && scanRules[opts.Dialect] == 0 {
		return nil, fmt.Errorf("unknown dialect %q: known are %s", opts.Dialect, strings.Join(dialects, ", "))
	}
	if opts.Tool != "" && readers[opts.Tool] == nil {
		return nil, fmt.Errorf("unknown tool %q: known are %s", opts.Tool, toolNames())
	}
	folder, err := readFolder(src)
	if err != nil {
		return nil, err
	}
	tool := opts.Tool
	if tool == "" {
		if tool, err = folder.recognise(); err != nil {
			return nil, err
		}
	}
	return byDialect(folder, tool, opts)
}

// byDialect converts by the rules of the one dialect that the folder is in. Where its SQL does not tell, all rules must come
// to the same.
func byDialect(folder *folder, tool Tool, opts Options) (*Result, error) {
	candidates := []string{opts.Dialect}
	if opts.Dialect == "" {
		candidates = folder.dialects(tool)
	}
	var first *Result
	var failed []string
	for _, dialect := range candidates {
		c := &converter{tool: tool, dialect: dialect, folder: folder, values: opts.Values, rules: sqlscan.Options{Dialect: scanRules[dialect]}}
		result, err := c.convert()
		switch {
		case len(candidates) == 1:
			return result, err
		case err != nil:
			failed = append(failed, fmt.Sprintf("read as %s:\n%v", dialect, err))
			if len(failed) == len(candidates) {
				return nil, err
			}
		case first == nil:
			first = result
		case !sameFiles(first.Files, result.Files):
			return nil, fmt.Errorf("the files do not tell whether they are for %s or %s, and that makes a difference: say which", first.Dialect, dialect)
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("the files do not tell which dialect they are in, and not every one will do: say which\n%s", strings.Join(failed, "\n"))
	}
	first.Dialect, first.Manifest.Dialect = "", ""
	return first, nil
}

func sameFiles(a, b []File) bool {
	return slices.EqualFunc(a, b, func(x, y File) bool { return x.Name == y.Name && string(x.Text) == string(y.Text) })
}

func toolNames() string {
	var names []string
	for _, tool := range Tools() {
		names = append(names, string(tool))
	}
	return strings.Join(names, ", ")
}

// converter holds one conversion: what is read, what has been understood and what has been found.
type converter struct {
	tool    Tool
	dialect string
	rules   sqlscan.Options
	folder  *folder
	values  map[string]string

	used       map[string]bool // files that have been dealt with, by path
	migrations []*migration    // in the order in which the tool runs them
	problems   []Finding
	notes      []Finding
}

// migration is one version of the other tool, or one repeatable file.
type migration struct {
	version    string // as the tool's history has it
	number     string // the digits that can be our version; empty when there are none
	name       string
	repeatable bool
	up, down   *script
}

// script is one direction of a migration: all of a file or a part of it.
type script struct {
	input         *input
	text          string
	lines         []int // the line in the file of each line of text; nil: all of the file
	noTransaction bool
}

// line returns where in the file a line of the script stands.
func (s *script) line(n int) int {
	if s.lines == nil {
		return n
	}
	if n < 1 || n > len(s.lines) {
		return 0
	}
	return s.lines[n-1]
}

func (c *converter) problem(file string, line int, format string, args ...any) {
	c.problems = append(c.problems, Finding{File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

func (c *converter) note(file string, line int, format string, args ...any) {
	c.notes = append(c.notes, Finding{File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

func (c *converter) convert() (*Result, error) {
	c.used = map[string]bool{}
	readers[c.tool](c)
	for _, in := range c.folder.files {
		if in.sql() && !c.used[in.path] {
			c.note(in.path, 0, "%s does not run this file, so it was not imported", c.tool)
		}
	}
	if len(c.migrations) == 0 && len(c.problems) == 0 {
		return nil, fmt.Errorf("there is no migration of %s in this folder", c.tool)
	}
	for _, m := range c.migrations {
		for _, s := range []*script{m.up, m.down} {
			if s != nil {
				c.settle(s)
			}
		}
	}
	result := c.number()
	byPlace := func(a, b Finding) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) }
	slices.SortStableFunc(c.problems, byPlace)
	slices.SortStableFunc(c.notes, byPlace)
	if len(c.problems) > 0 {
		return nil, &Error{Tool: c.tool, Problems: c.problems}
	}
	result.Notes = c.notes
	return result, nil
}

// number gives every migration its version and writes the files. Versions stay as they are when they can: when all of them
// fit into 64 bits and run in the order of their numbers. Otherwise all are counted anew, because a mixture would lose
// the order.
func (c *converter) number() *Result {
	versions, kept := c.keptVersions()
	if !kept {
		versions = nil
		next := int64(0)
		for _, m := range c.migrations {
			if !m.repeatable {
				next++
			}
			versions = append(versions, next)
		}
		c.note(".", 0, "not every version is a number of 64 bits above the one that %s runs before it: they were counted anew, from 1 to %d (%s has the map)", c.tool, next, ManifestName)
	}
	r := &Result{Tool: c.tool, Dialect: c.dialect, Manifest: Manifest{
		Format: manifestFormat, Tool: c.tool, Dialect: c.dialect, Renumbered: !kept, Versions: map[string]int64{},
	}}
	taken := map[string]string{}
	for i, m := range c.migrations {
		base := "R__" + fileName(m.name)
		version := int64(0)
		if !m.repeatable {
			version = versions[i]
			base = fmt.Sprintf("%04d_%s", version, fileName(m.name))
			r.Manifest.Versions[m.version] = version
		}
		if m.repeatable {
			c.add(r, taken, m, m.up, "", base+".sql", 0)
			continue
		}
		c.add(r, taken, m, m.up, "up", base+".up.sql", version)
		if m.down != nil {
			c.add(r, taken, m, m.down, "down", base+".down.sql", version)
		}
	}
	slices.SortFunc(r.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Manifest.Files, func(a, b ManifestFile) int { return cmp.Compare(a.File, b.File) })
	return r
}

// add writes one script into a file of ours.
func (c *converter) add(r *Result, taken map[string]string, m *migration, s *script, direction, name string, version int64) {
	key := strings.ToLower(name) // some file systems take two names for one
	if other, ok := taken[key]; ok {
		c.problem(s.input.path, 0, "it would be called %s here, as %s would", name, other)
		return
	}
	taken[key] = s.input.path
	text := []byte(s.text)
	if s.noTransaction && !ownNoTransaction.MatchString(s.text) {
		text = append([]byte("-- tldwdb: no-transaction\n"), text...)
	}
	r.Files = append(r.Files, File{Name: name, Text: text, From: []string{s.input.path}})
	r.Manifest.Files = append(r.Manifest.Files, ManifestFile{
		From: s.input.path, FromSHA256: s.input.sum, FromVersion: m.version, Direction: direction,
		File: name, SHA256: sum(text), Version: version,
	})
}

// keptVersions returns the versions as they are, if they can stay.
func (c *converter) keptVersions() ([]int64, bool) {
	list := make([]int64, len(c.migrations))
	last := int64(-1)
	for i, m := range c.migrations {
		if m.repeatable {
			continue
		}
		v, err := strconv.ParseInt(m.number, 10, 64)
		if err != nil || v <= last {
			return nil, false
		}
		list[i], last = v, v
	}
	return list, true
}

// longestFileName keeps a name below what file systems take, with its version and its ending.
const longestFileName = 180

// fileName makes of a description what can stand in the name of a file on every system.
func fileName(name string) string {
	var b strings.Builder
	for _, r := range name {
		if !nameRune(r) {
			r = '_'
		}
		if b.Len()+len(string(r)) > longestFileName {
			break
		}
		b.WriteRune(r)
	}
	if strings.Trim(b.String(), "._-") == "" {
		return "migration"
	}
	return b.String()
}
