package convert

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the golden files")

// said are the options of the folders that do not tell everything by themselves.
var said = map[string]Options{
	"flyway/postgres":   {Values: map[string]string{"schema": "public", "default.name": "it''s"}},
	"refinery/app":      {Tool: Refinery},
	"refinery/refused":  {Tool: Refinery},
	"atlas/refused":     {Dialect: "postgres"},
	"flyway/refused":    {Dialect: "postgres"},
	"liquibase/refused": {Dialect: "postgres"},
}

// show writes what came of a folder, for a person to read.
func show(r *Result, err error) string {
	var b strings.Builder
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return "refused\n" + refused.Error() + "\n"
	case err != nil:
		return "error\n" + err.Error() + "\n"
	}
	fmt.Fprintf(&b, "tool %s, dialect %q, renumbered %t\n", r.Tool, r.Dialect, r.Manifest.Renumbered)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	for version, ours := range r.Manifest.Versions {
		fmt.Fprintf(&b, "version %04d is %s\n", ours, version)
	}
	lines := strings.Split(b.String(), "\n")
	slices.Sort(lines[1 : len(lines)-1])
	b.Reset()
	b.WriteString(strings.Join(lines, "\n"))
	for i, f := range r.Files {
		m := r.Manifest.Files[i]
		fmt.Fprintf(&b, "=== %s (%s of %s)\n%s", f.Name, strings.TrimSpace(m.Direction+" "+m.FromVersion), m.From, f.Text)
		if n := len(f.Text); n == 0 || f.Text[n-1] != '\n' {
			b.WriteString("(no newline at the end)\n")
		}
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "testdata", "import")
	folders, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil || len(folders) < 20 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	for _, dir := range folders {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		name := filepath.ToSlash(strings.TrimPrefix(dir, root+string(filepath.Separator)))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Convert(os.DirFS(dir), said[name])
			got := show(r, err)
			if *update {
				if err := os.WriteFile(dir+".golden", []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(dir + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if tool, _, _ := strings.Cut(name, "/"); r != nil && string(r.Tool) != tool {
				t.Errorf("it was taken for %s", r.Tool)
			}
		})
	}
}

// Two files of one number are two migrations to sql-migrate, which knows them by their names.
func TestOneNumberTwice(t *testing.T) {
	t.Parallel()
	r, err := Convert(fstest.MapFS{
		"1_a.sql": {Data: []byte("-- +migrate Up\nSELECT 1;\n")},
		"1_b.sql": {Data: []byte("-- +migrate Up\nSELECT 2;\n")},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Manifest; !m.Renumbered || m.Versions["1_a.sql"] != 1 || m.Versions["1_b.sql"] != 2 {
		t.Errorf("the versions are %v", m.Versions)
	}
}

// one is a folder with one file.
func one(name, text string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(text)}} }

// Bytes that an editor leaves without showing them are in no golden file: git or a checkout could change them.
func TestBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file, text string
		opts             Options
		up, down         string
	}{
		{
			name: "goose reads line by line: CRLF is LF to it, in quotes too", file: "1_a.sql",
			text: "\xef\xbb\xbf-- +goose Up\r\nINSERT INTO a VALUES ('x\r\ny');\r\n-- +goose Down\r\nDELETE FROM a;",
			up:   "INSERT INTO a VALUES ('x\ny');\n", down: "DELETE FROM a;\n",
		},
		{
			name: "dbmate sends what it finds", file: "1_a.sql",
			text: "-- migrate:up\r\nINSERT INTO a VALUES ('x\r\ny');\r\n-- migrate:down\r\nDELETE FROM a;\r\n",
			up:   "INSERT INTO a VALUES ('x\r\ny');\n", down: "DELETE FROM a;\n",
		},
		{
			name: "down may stand before up", file: "1_a.sql",
			text: "-- migrate:down\nDROP TABLE a;\n-- migrate:up\nCREATE TABLE a (x int);\n",
			up:   "CREATE TABLE a (x int);\n", down: "DROP TABLE a;\n",
		},
		{
			name: "a file that is one direction stays as it is", file: "1_a.up.sql",
			text: "\xef\xbb\xbf\n  CREATE TABLE a (x int)\r\n\n ;; -- end",
			up:   "\n  CREATE TABLE a (x int)\r\n\n ;; -- end",
		},
		{
			name: "a mark without a blank, which is no comment to MySQL", file: "1_a.sql", opts: Options{Dialect: "mysql"},
			text: "--+goose Up\nCREATE TABLE a (x int);\n--+goose Down\nDROP TABLE a;\n",
			up:   "CREATE TABLE a (x int);\n", down: "DROP TABLE a;\n",
		},
		{
			name: "a comment without a blank, which is one to goose and none to MySQL", file: "1_a.sql", opts: Options{Dialect: "mysql"},
			text: "-- +goose Up\n--first\nSELECT '\n--text';\n",
			up:   "-- first\nSELECT '\n--text';\n",
		},
		{
			name: "liquibase on MySQL, with a delimiter", file: "a.sql", opts: Options{Dialect: "mysql"},
			text: "--liquibase formatted sql\n/* head\nmore */\n--changeset a:1 endDelimiter:// rollbackEndDelimiter:;\n--comment: so\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\n--rollback DROP PROCEDURE p;\n",
			up:   "DELIMITER //\n-- comment: so\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\nDELIMITER ;\n", down: "DROP PROCEDURE p;\n",
		},
		{
			name: "DELIMITER", file: "V1__a.sql", opts: Options{Dialect: "mysql"},
			text: "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END //\nDELIMITER ;\nSELECT 2;\n",
			up:   "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END //\nDELIMITER ;\nSELECT 2;\n",
		},
		{
			name: "a routine that its mark ends", file: "1_a.sql", opts: Options{Dialect: "mysql"},
			text: "-- +goose Up\n-- +goose StatementBegin\nCREATE PROCEDURE p() BEGIN SELECT 1; END\n-- +goose StatementEnd\n-- +goose StatementBegin\nSELECT 2\n-- +goose StatementEnd\n",
			up:   "CREATE PROCEDURE p() BEGIN SELECT 1; END;\nSELECT 2;\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := Convert(one(c.file, c.text), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for i, f := range r.Files {
				got[r.Manifest.Files[i].Direction] = string(f.Text)
			}
			if got["up"] != c.up || got["down"] != c.down {
				t.Errorf("up %q, want %q\ndown %q, want %q", got["up"], c.up, got["down"], c.down)
			}
		})
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files []string
		opts  Options
		want  string
	}{
		{"an empty folder", nil, Options{}, "there is no .sql file in this folder"},
		{"no tool's names", []string{"schema.sql: SELECT 1;"}, Options{}, "look like no tool's"},
		{"two tools", []string{"1_a.sql:-- +goose Up\nSELECT 1;", "2_b.sql:-- migrate:up\nSELECT 2;"}, Options{}, "dbmate (2_b.sql), goose (1_a.sql)"},
		{"an unknown tool", nil, Options{Tool: "liqui"}, "unknown tool"},
		{"an unknown dialect", nil, Options{Dialect: "oracle"}, "unknown dialect"},
		{"another tool's folder", []string{"1_a.up.sql:SELECT 1;"}, Options{Tool: Flyway}, "no migration of flyway"},
		{"files that only some dialects can read", []string{"1_a.up.sql:SELECT 'a\\';"}, Options{}, "read as mysql:\n1_a.up.sql:1: unterminated"},
		{"files that each dialect reads otherwise", []string{"1_a.sql:-- +goose Up\nSELECT 'a\\';\n-- +goose Down\nSELECT 1; -- '\n"}, Options{}, "that makes a difference: say which"},
		{"a directive of ours that does nothing", []string{"1_a.up.sql:SELECT 1;\n-- tldwdb: no-transaction\n"}, Options{}, "1_a.up.sql:2: a directive of tldwdb"},
		{"pairs and single files", []string{"1_a.up.sql:SELECT 1;", "2_b.sql:SELECT 2;"}, Options{}, "sqlx runs both"},
		{"a folder of ours", []string{"1_a.up.sql:SELECT 1;", "R__v.sql:SELECT 2;"}, Options{}, "tldwdb runs both as they are"},
		{"invalid UTF-8", []string{"1_a.up.sql:SELECT 1;\nSELECT '\xe9';"}, Options{}, "1_a.up.sql:2: invalid UTF-8"},
		{"Alembic before it has written its SQL", []string{"versions/1_a.py:revision = 'abc'\n"}, Options{}, "versions/1_a.py: a revision in Python"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{}
			for _, f := range c.files {
				name, text, _ := strings.Cut(f, ":")
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			r, err := Convert(fsys, c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, show(r, err))
			}
		})
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	r, err := Convert(one("1_a.up.sql", "CREATE TABLE a (x int);\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	for _, dir := range []string{filepath.Join(parent, "new", "deep"), filepath.Join(parent, "empty")} {
		if filepath.Base(dir) == "empty" {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(os.DirFS(parent), filepath.ToSlash(strings.TrimPrefix(dir, parent+string(filepath.Separator))))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(m)
		want, _ := json.Marshal(r.Manifest)
		if string(got) != string(want) {
			t.Errorf("the manifest is %s, want %s", got, want)
		}
		for _, f := range m.Files {
			text, err := os.ReadFile(filepath.Join(dir, f.File))
			if err != nil || sum(text) != f.SHA256 {
				t.Errorf("%s: %v, %s", f.File, err, sum(text))
			}
		}
		if err := r.Write(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("written over: %v", err)
		}
	}
	leftOver(t, parent)
}

// A folder that cannot be written whole is not written at all.
func TestWriteNothing(t *testing.T) {
	t.Parallel()
	r := &Result{Files: []File{{Name: "0001_a.up.sql"}, {Name: filepath.Join("missing", "0002_b.up.sql")}}}
	parent := t.TempDir()
	if err := r.Write(filepath.Join(parent, "out")); err == nil {
		t.Fatal("no error")
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func leftOver(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".tldwdb-import-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
