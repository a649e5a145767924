package sqlscan_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// dialects are the folders of testdata, and how their files are read.
var dialects = map[string]sqlscan.Options{
	"sqlite":   {Dialect: sqlscan.SQLite},
	"postgres": {Dialect: sqlscan.Postgres},
	"mysql":    {Dialect: sqlscan.MySQL},
	"mariadb":  {Dialect: sqlscan.MySQL, MariaDB: true},
	"ansi":     {Dialect: sqlscan.MySQL, ANSIQuotes: true, NoBackslashEscapes: true},
}

// TestGolden compares how each testdata file is cut with the golden file beside it.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, opts := range dialects {
		files, err := filepath.Glob(filepath.Join("testdata", name, "*.sql"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Errorf("no files for %s", name)
		}
		for _, file := range files {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
				t.Parallel()
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				got := describe(bytes.NewReader(text), opts)
				if whole := describe(iotest.OneByteReader(bytes.NewReader(text)), opts); whole != got {
					t.Errorf("read byte by byte it is cut otherwise:\n%s", whole)
				}
				golden := strings.TrimSuffix(file, ".sql") + ".golden"
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

// describe writes each statement under a line "-- line:column offset verb".
func describe(r io.Reader, o sqlscan.Options) string {
	var b strings.Builder
	for st, err := range sqlscan.All(r, o) {
		if err != nil {
			fmt.Fprintf(&b, "-- error %v\n", err)
			break
		}
		fmt.Fprintf(&b, "-- %d:%d %d %s\n%s\n", st.Line, st.Column, st.Offset, st.Verb, st.Text)
		if st.CopyIn {
			fmt.Fprintf(&b, "-- data\n%s", st.Data)
		}
	}
	return b.String()
}

func split(t *testing.T, text string, o sqlscan.Options) []string {
	t.Helper()
	list, err := sqlscan.Split(text, o)
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	var texts []string
	for _, st := range list {
		texts = append(texts, st.Text)
	}
	return texts
}

// TestErrors has one text for each fault, and the whole message.
func TestErrors(t *testing.T) {
	t.Parallel()
	lite, pg, my := dialects["sqlite"], dialects["postgres"], dialects["mysql"]
	for _, c := range []struct {
		opts sqlscan.Options
		text string
		want string
	}{
		{lite, "SELECT 1;\n-- é\n  SELECT 'é', 'x", "3:15: unterminated quoted string"},
		{lite, "SELECT \"x", "1:8: unterminated quoted identifier"},
		{lite, "SELECT [x", "1:8: unterminated quoted identifier"},
		{lite, "SELECT `x``", "1:8: unterminated quoted identifier"},
		{lite, "SELECT 1;\n.tables\n", "2:1: sqlite3 shell command .tables is not SQL"},
		{lite, "CREATE TRIGGER t AFTER INSERT ON x BEGIN\nSELECT CASE 1 WHEN 1 THEN 2 END;\nSELECT 1;", "1:36: unterminated trigger body: BEGIN without END after a semicolon"},
		{lite, "SELECT 'a\xff'", "1:10: invalid UTF-8"},
		{lite, "SELECT 1; -- \xff", "1:14: invalid UTF-8"},
		{lite, "SELECT é, \x00", "1:11: NUL byte"},
		{lite, "SELECT 1 /\xc3", "1:11: invalid UTF-8"},
		{pg, "SELECT E'a\\'", "1:8: unterminated quoted string"},
		{pg, "SELECT $a$ $b$", "1:8: unterminated dollar-quoted string $a$"},
		{pg, "\n/* /* */", "2:1: unterminated comment"},
		{pg, "SELECT (1;\nSELECT 2;", "1:8: unterminated parenthesis"},
		{pg, "SELECT 1;\n\\connect other\n", "2:1: psql command \\connect is not SQL"},
		{pg, "SELECT 1 \\gset x_\n", "1:10: psql command \\gset is not SQL"},
		{pg, "COPY t FROM STDIN;\n1\n", "1:1: unterminated COPY data: no line with \\. alone"},
		{pg, "SELECT 1; COPY t FROM STDIN", "1:11: COPY FROM STDIN without data: no line with \\. alone"},
		{pg, "COPY t FROM STDIN; SELECT 1;\n1\n\\.\n", "1:20: only a comment may follow COPY FROM STDIN on its line: its data begins on the next"},
		{pg, "COPY t FROM STDIN;\n1\xff\n\\.\n", "2:2: invalid UTF-8"},
		{pg, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "1:33: unterminated routine body: BEGIN ATOMIC without END"},
		{my, "SELECT 'it\\'s", "1:8: unterminated quoted string"},
		{my, "SELECT 1 /* x", "1:10: unterminated comment"},
		{my, "/*!50001 SELECT 1;\nSELECT 2;", "1:1: unterminated comment"},
		{my, "SELECT 1\\G\n", "1:9: mysql client command \\G is not SQL"},
		{my, "\\. file.sql\n", "1:1: mysql client command \\. is not SQL"},
		{my, "source file.sql\n", "1:1: mysql client command source is not SQL"},
		{my, "DELIMITER\nSELECT 1", "1:1: DELIMITER must be followed by a delimiter"},
		{my, "DELIMITER \\\\\n", "1:1: DELIMITER must not contain a backslash"},
		{my, "CREATE PROCEDURE p()\nBEGIN IF 1 THEN SELECT 1; END IF;", "2:1: unterminated body: BEGIN without END"},
		{my, "INSERT INTO t VALUES ('caf\xe9')", "1:27: invalid UTF-8"},
		{my, "INSERT INTO t VALUES (_binary '\xe9', '\xe9')", "1:37: invalid UTF-8"},
	} {
		_, err := sqlscan.Split(c.text, c.opts)
		var fault *sqlscan.Error
		if !errors.As(err, &fault) || fault.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
		s := sqlscan.NewSmall(iotest.OneByteReader(strings.NewReader(c.text)), c.opts, 4)
		for err = nil; err == nil; {
			_, err = s.Next()
		}
		if err.Error() != c.want {
			t.Errorf("%q from a reader: got %v, want %s", c.text, err, c.want)
		}
		if _, again := s.Next(); !errors.Is(again, err) {
			t.Errorf("%q: the next call returns %v and not the same error", c.text, again)
		}
	}
}

// TestReaderError hands on what the reader says, wherever it says it.
func TestReaderError(t *testing.T) {
	t.Parallel()
	text := "SELECT 'a'; COPY t FROM STDIN;\n1\n\\.\nSELECT E'x' || $$y$$; \\restrict x"
	for n := range len(text) {
		r := io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(io.ErrClosedPipe))
		var last error
		for _, err := range sqlscan.All(r, dialects["postgres"]) {
			last = err
		}
		if !errors.Is(last, io.ErrClosedPipe) {
			t.Errorf("after %d bytes: %v", n, last)
		}
	}
}

// TestUnknownDialect is an error and no panic.
func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlscan.Dialect{0, sqlscan.MySQL + 1} {
		if _, err := sqlscan.Split("SELECT 1", sqlscan.Options{Dialect: d}); err == nil {
			t.Errorf("dialect %d is accepted", d)
		}
		for range sqlscan.Tokens("SELECT 'x", sqlscan.Options{Dialect: d}) {
		}
	}
}

// repeated reads a text n times over.
type repeated struct {
	text string
	n    int
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.rest = r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestMemory reads forty megabytes of small statements and comments: no more than the first window is ever held. After a
// large statement it is some multiple of that statement.
func TestMemory(t *testing.T) {
	t.Parallel()
	const window = 64 << 10
	for _, dialect := range []string{"sqlite", "postgres", "mysql"} {
		text := string(generated(dialect))
		s := sqlscan.New(&repeated{text: text, n: 10}, dialects[dialect])
		n := 0
		st, err := s.Next()
		for ; err == nil; st, err = s.Next() {
			n++
			if st.Line < n {
				t.Fatalf("statement %d on line %d", n, st.Line)
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if s.Window() != window {
			t.Errorf("%s: the window grew to %d bytes", dialect, s.Window())
		}
		large := "SELECT '" + strings.Repeat("x", 10<<20) + "';"
		s = sqlscan.New(&repeated{text: large, n: 3}, dialects[dialect])
		for err = nil; err == nil; {
			if st, err = s.Next(); err == nil && len(st.Text) != len(large)-1 {
				t.Errorf("%s: a statement of %d bytes", dialect, len(st.Text))
			}
		}
		if s.Window() > 4*len(large) {
			t.Errorf("%s: a window of %d bytes for %d", dialect, s.Window(), len(large))
		}
	}
}

// TestNested has ten thousand nested comments, parentheses and blocks.
func TestNested(t *testing.T) {
	t.Parallel()
	const n = 10_000
	for _, c := range []struct{ dialect, text, want string }{
		{"postgres", strings.Repeat("/*", n) + "';" + strings.Repeat("*/", n) + "SELECT 1", "SELECT 1"},
		{"postgres", "SELECT " + strings.Repeat("(", n) + ";" + strings.Repeat(")", n) + ";", "SELECT " + strings.Repeat("(", n) + ";" + strings.Repeat(")", n)},
		{"mysql", "CREATE PROCEDURE p()" + strings.Repeat(" BEGIN", n) + strings.Repeat(" END;", n), "CREATE PROCEDURE p()" + strings.Repeat(" BEGIN", n) + strings.Repeat(" END;", n-1) + " END"},
	} {
		if got := split(t, c.text, dialects[c.dialect]); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %.80q", c.dialect, got)
		}
	}
}
