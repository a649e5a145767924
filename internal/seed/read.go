package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The dialects whose folders may be in that of a set.
var dialects = []string{"sqlite", "postgres", "mysql"}

// Read parses the folder of a set. Files in a folder of the dialect's name inside of it
// go before those of the same name. The error is that of the file system; faults of the
// files are problems.
func Read(fsys fs.FS, dir, name, dialect string) (*Set, []Problem, error) {
	set := &Set{Name: name}
	folder := path.Join(dir, name)
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]string{}
	var problems []Problem
	for _, e := range entries {
		switch {
		case e.IsDir():
		case isSeed(e.Name()):
			files[e.Name()] = path.Join(folder, e.Name())
		case !strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(e.Name(), "_") && slices.Contains([]string{".yml", ".yaml", ".json", ".csv", ".sql"}, strings.ToLower(path.Ext(e.Name()))):
			problems = append(problems, Problem{File: path.Join(folder, e.Name()), Msg: "a file of rows ends in .yaml, .json or .csv, one of statements in .sql"})
		}
	}
	own, err := fs.ReadDir(fsys, path.Join(folder, dialect))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, e := range own {
		if !e.IsDir() && isSeed(e.Name()) {
			files[e.Name()] = path.Join(folder, dialect, e.Name())
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	used := map[string]bool{} // files that others name are no seeds of their own
	for _, name := range names {
		f, err := readFile(fsys, files[name])
		switch line, ok := errors.AsType[*lineError](err); {
		case ok:
			problems = append(problems, Problem{File: files[name], Line: line.line, Msg: line.msg})
		case err != nil:
			problems = append(problems, Problem{File: files[name], Msg: err.Error()})
		default:
			if f.Once && !f.Script {
				f.Checksum = f.sum(fsys)
			}
			set.Files = append(set.Files, f)
			if path.Ext(name) != ".csv" {
				for _, t := range f.Tables {
					used[t.CSV] = true
				}
			}
		}
	}
	set.Files = slices.DeleteFunc(set.Files, func(f *File) bool { return path.Ext(f.Path) == ".csv" && used[f.Path] })
	return set, problems, nil
}

// sum is the checksum of a file of rows with that of the files which it names.
func (f *File) sum(fsys fs.FS) string {
	h := sha256.New()
	add := func(name string) {
		file, err := fsys.Open(name)
		if err == nil {
			_, err = io.Copy(h, file)
			err = errors.Join(err, file.Close())
		}
		// Whoever wants its rows tells that it cannot be read; until then it is another one.
		_, _ = fmt.Fprintf(h, "\n%q %t\n", name, err == nil)
	}
	named := false
	for _, t := range f.Tables {
		if t.CSV != "" {
			add(t.CSV)
			named = true
		}
		for _, r := range t.Rows {
			for _, field := range r.fields {
				if field.value.kind == formFile {
					add(path.Join(path.Dir(f.Path), field.value.name))
					named = true
				}
			}
		}
	}
	if !named {
		return f.Checksum
	}
	_, _ = io.WriteString(h, f.Checksum)
	return hex.EncodeToString(h.Sum(nil))
}

func isSeed(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return false
	}
	return slices.Contains([]string{".yaml", ".json", ".csv", ".sql"}, path.Ext(name))
}

var ordinal = regexp.MustCompile(`^[0-9]+[_-]`)

func readFile(fsys fs.FS, name string) (*File, error) {
	f := &File{Path: name}
	base := path.Base(name)
	ext := path.Ext(base)
	if ext == ".csv" { // may be large, and is read when its rows are wanted
		table := ordinal.ReplaceAllString(strings.TrimSuffix(base, ext), "")
		f.Tables = []*Table{{File: name, Line: 1, Name: table, CSV: name}}
		return f, nil
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, errors.New("it cannot be read: " + plain(err))
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	sum := sha256.Sum256(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	f.Checksum = hex.EncodeToString(sum[:])
	var root *node
	switch ext {
	case ".sql":
		f.SQL, f.Script = string(text), true
		f.Once, err = directives(f.SQL, "--")
		return f, err
	case ".yaml":
		if f.Once, err = directives(string(text), "#"); err == nil {
			root, err = parseYAML(text)
		}
	case ".json":
		root, err = parseJSON(text)
	}
	if err != nil || root == nil || root.isNull() {
		return f, err
	}
	if root.kind != mapping {
		return nil, faultf(root.line, "the file is to be a mapping of tables: users: [{name: ann}]")
	}
	for _, p := range root.pairs {
		if p.name == "once" && p.value.kind == scalar { // and no table of that name
			if f.Once, err = truth(p); err != nil {
				return nil, err
			}
			continue
		}
		t, err := readTable(name, p)
		if err != nil {
			return nil, err
		}
		f.Tables = append(f.Tables, t)
	}
	return f, nil
}

// plain is an error of the file system without the path, which stands before it.
func plain(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// directives reads the comments before the first line of another kind.
func directives(text, comment string) (once bool, err error) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		rest, ok := strings.CutPrefix(l, comment)
		if !ok {
			break
		}
		word, ok := strings.CutPrefix(strings.TrimSpace(rest), "tldwdb:")
		if !ok {
			continue
		}
		if strings.TrimSpace(word) != "once" {
			return false, faultf(line, "unknown directive %q: a seed has once", strings.TrimSpace(word))
		}
		once = true
	}
	return once, nil
}

func truth(p pair) (bool, error) {
	if text, ok := p.value.text(); ok {
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	}
	return false, faultf(p.line, "%s is true or false", p.name)
}

// The keys of a table in its long form.
var tableKeys = []string{"key", "update", "rows", "csv"}

func readTable(file string, p pair) (*Table, error) {
	t := &Table{File: file, Line: p.line, Name: p.name, keyLine: p.line}
	rows := p.value
	if isLong(p.value) {
		rows = nil
		for _, k := range p.value.pairs {
			switch k.name {
			case "key":
				var err error
				if t.Key, err = words(k); err != nil {
					return nil, err
				}
				t.keyLine = k.line
			case "update":
				if k.value.kind == scalar {
					var err error
					if t.Update, err = truth(k); err != nil {
						return nil, faultf(k.line, "update is true, false or a list of columns")
					}
					continue
				}
				only, err := words(k)
				if err != nil {
					return nil, err
				}
				t.Update, t.Only = true, only
			case "rows":
				rows = k.value
			case "csv":
				name, ok := k.value.text()
				if !ok {
					return nil, faultf(k.line, "csv is the name of a file")
				}
				if t.CSV = path.Join(path.Dir(file), name); !fs.ValidPath(t.CSV) {
					return nil, faultf(k.line, "the file %s is outside of the seeds", name)
				}
			default:
				return nil, faultf(k.line, "unknown key %s of table %s: a table has %s%s", k.name, t.Name, strings.Join(tableKeys, ", "), nearest(k.name, tableKeys))
			}
		}
		if rows != nil && t.CSV != "" {
			return nil, faultf(p.line, "table %s has both rows and csv", t.Name)
		}
	}
	if rows == nil || rows.isNull() {
		return t, nil
	}
	switch rows.kind {
	case sequence:
		for _, item := range rows.list {
			if err := t.row("", item.line, item); err != nil {
				return nil, err
			}
		}
	case mapping:
		for _, r := range rows.pairs {
			if r.value.kind != mapping && !isLong(p.value) && slices.Contains(tableKeys, r.name) {
				return nil, faultf(r.line, "table %s has %s, and neither rows nor csv", t.Name, r.name)
			}
			if err := t.row(r.name, r.line, r.value); err != nil {
				return nil, err
			}
		}
	default:
		return nil, faultf(rows.line, "table %s is to be a list of rows, or a mapping of their names", t.Name)
	}
	return t, nil
}

// isLong reports whether a table is written with its keys.
func isLong(n *node) bool { return n.kind == mapping && (n.get("rows") != nil || n.get("csv") != nil) }

func words(p pair) ([]string, error) {
	if text, ok := p.value.text(); ok {
		return []string{text}, nil
	}
	var list []string
	for _, item := range p.value.list {
		text, ok := item.text()
		if !ok {
			return nil, faultf(item.line, "%s is a list of columns", p.name)
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		return nil, faultf(p.line, "%s is a list of columns", p.name)
	}
	return list, nil
}

func (t *Table) row(name string, line int, n *node) error {
	if n.kind != mapping {
		return faultf(line, "table %s: a row is a mapping of columns to values", t.Name)
	}
	r := &Row{Line: line, Name: name, table: t, at: len(t.Rows)}
	if name != "" && strings.Contains(name, ".") {
		return faultf(line, "table %s: the name of a row has no dot: %s", t.Name, name)
	}
	for _, p := range n.pairs {
		value, err := readForm(p.value)
		if err != nil {
			if line, ok := errors.AsType[*lineError](err); ok {
				return faultf(line.line, "table %s, row %s, column %s: %s", t.Name, r.label(), p.name, line.msg)
			}
			return err
		}
		r.fields = append(r.fields, field{p.name, p.line, value})
	}
	if len(r.fields) == 0 {
		return faultf(line, "table %s: a row without a column", t.Name)
	}
	t.Rows = append(t.Rows, r)
	return nil
}

// Sets lists the folders that there are.
func Sets(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("reading the seeds: %w", err)
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(dialects, e.Name()) {
			list = append(list, e.Name())
		}
	}
	return list, nil
}
