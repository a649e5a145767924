package convert

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// folder is another tool's folder as it is on disk, with all below it.
type folder struct {
	files []*input // by path
}

// input is one file of it.
type input struct {
	path string
	name string // the last part of the path
	top  bool   // it lies in the folder itself
	text string // without its byte-order mark
	sum  string // SHA-256 of the bytes on disk
}

func (in *input) sql() bool { return strings.HasSuffix(strings.ToLower(in.name), ".sql") }

// whole is the file as a script.
func (in *input) whole() *script { return &script{input: in, text: in.text} }

// A migration tool's folder has texts in it, and small ones; what is larger is something else, and is known by its name only.
const largestFile = 256 << 20

var bom = []byte("\xef\xbb\xbf")

func readFolder(src fs.FS) (*folder, error) {
	f := &folder{}
	err := fs.WalkDir(src, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir // .git
		case entry.IsDir():
			return nil
		}
		in := &input{path: name, name: entry.Name(), top: !strings.Contains(name, "/")}
		f.files = append(f.files, in)
		if !readable[strings.ToLower(path.Ext(name))] {
			return nil
		}
		info, err := fs.Stat(src, name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return nil // a link to one
		case info.Size() > largestFile:
			return fmt.Errorf("%s: %d bytes are too much for a migration", name, info.Size())
		}
		data, err := fs.ReadFile(src, name)
		in.sum = sum(data)
		in.text = string(bytes.TrimPrefix(data, bom))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the folder of the migrations: %w", err)
	}
	slices.SortFunc(f.files, func(a, b *input) int { return cmp.Compare(a.path, b.path) })
	return f, nil
}

// readable are the endings of the files that are looked into.
var readable = map[string]bool{
	".sql": true, ".conf": true, ".toml": true, ".py": true, ".xml": true, ".yaml": true, ".yml": true, ".json": true,
}

// signs tell a tool by one of its files. Those in a text come before those in names: goose's files have the names of sqlx.
var signs = []struct {
	tool Tool
	text *lazyregexp.Regexp
}{
	{Goose, lazyregexp.New(`(?mi)^[ \t]*--[ \t]*\+goose[ \t]+up\b`)},
	{Dbmate, lazyregexp.New(`(?m)^--[ \t]*migrate:up\b`)},
	{SQLMigrate, lazyregexp.New(`(?m)^-- \+migrate[ \t]+(Up|Down)\b`)},
	{Tern, lazyregexp.New(`(?m)` + regexp.QuoteMeta(ternMark))},
	{Alembic, lazyregexp.New(`(?m)^-- Running (upgrade|downgrade) `)},
	{Liquibase, liquibaseHead},
}

// recognise finds the tool that a folder belongs to.
func (f *folder) recognise() (Tool, error) {
	found := map[Tool]string{}
	for _, in := range f.files {
		if !in.sql() {
			continue
		}
		for _, sign := range signs {
			if sign.text.MatchString(in.text) && found[sign.tool] == "" {
				found[sign.tool] = in.path
			}
		}
	}
	if len(found) > 1 {
		var list []string
		for tool, file := range found {
			list = append(list, fmt.Sprintf("%s (%s)", tool, file))
		}
		slices.Sort(list)
		return "", fmt.Errorf("the folder has files of several tools: %s; say which one runs it", strings.Join(list, ", "))
	}
	for tool := range found {
		return tool, nil
	}
	has := func(test func(*input) bool) bool { return slices.ContainsFunc(f.files, test) }
	pair := func(in *input) bool { return in.top && golangMigrateName.MatchString(in.name) }
	versioned := func(in *input) bool { return flywayVersion.MatchString(in.name) }
	switch {
	case has(pair) && !has(versioned) && has(func(in *input) bool { return flywayRepeats.MatchString(in.name) }):
		return "", errors.New("there are files of golang-migrate's form, and R__ files as Flyway has them: tldwdb runs both as they are; say which tool runs the folder if it is not that")
	case has(func(in *input) bool {
		return in.path == prismaLock || strings.Count(in.path, "/") == 1 && in.name == prismaFile
	}):
		return Prisma, nil
	case has(func(in *input) bool { return flywayName.MatchString(in.name) }):
		return Flyway, nil
	case has(func(in *input) bool { return in.path == atlasSum }):
		return Atlas, nil
	case has(func(in *input) bool { return in.sql() && sqlxNoTransaction.MatchString(in.text) }):
		return SQLx, nil
	case has(func(in *input) bool { return in.top && numberedGo.MatchString(in.name) }):
		return Goose, nil
	}
	single := func(in *input) bool { return in.top && sqlxName.MatchString(in.name) && !pair(in) }
	switch {
	case has(pair) && has(single):
		return "", errors.New("there are files with a direction in their names and files without: sqlx runs both, golang-migrate the first only; say which one runs the folder")
	case has(pair):
		return GolangMigrate, nil
	case has(single):
		return SQLx, nil
	case has(func(in *input) bool { return alembicRevision.MatchString(in.text) }):
		return Alembic, nil
	case has(func(in *input) bool { return in.sql() }):
		return "", errors.New("the files look like no tool's: say which one runs them, one of " + toolNames())
	}
	return "", errors.New("there is no .sql file in this folder")
}

// dialectSigns are words that one engine has and the others do not, or hardly ever.
var dialectSigns = map[string]*lazyregexp.Regexp{
	"postgres": lazyregexp.New(`(?i)\$\$|\$[a-z_]+\$|\b(big|small)?serial\b|\bjsonb\b|\btimestamptz\b|[a-z')]::[a-z]|\bconcurrently\b|\bplpgsql\b|\bcreate extension\b|\bgen_random_uuid\b|\bbytea\b|\busing gin\b|\btext\[\]|\bset search_path\b|\bpg_[a-z]+\b`),
	"mysql":    lazyregexp.New("(?i)`[a-z_]+`|\\bengine *= *[a-z]+|\\bauto_increment\\b|^delimiter\\b|\\bunsigned\\b|\\bcharset\\b|\\bcharacter set\\b"),
	"sqlite":   lazyregexp.New(`(?i)\bautoincrement\b|\bpragma\b|\bwithout rowid\b|\bsqlite_[a-z]+\b`),
}

// dialects returns the dialect that the folder's SQL is in, or all that it can be in.
func (f *folder) dialects(tool Tool) []string {
	if tool == Tern {
		return []string{"postgres"}
	}
	for _, in := range f.files {
		if in.path == prismaLock {
			for dialect, provider := range prismaProviders {
				if provider.MatchString(in.text) {
					return []string{dialect}
				}
			}
		}
	}
	var found []string
	for _, dialect := range dialects {
		if slices.ContainsFunc(f.files, func(in *input) bool { return in.sql() && dialectSigns[dialect].MatchString(in.text) }) {
			found = append(found, dialect)
		}
	}
	if len(found) == 0 {
		return dialects
	}
	return found
}

func nameRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' || r == '.'
}
