package sqlscan_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// contextual matches what makes a statement's text depend on what stood before it: DELIMITER, the settings that change
// how quotes are read, and the header by which a dump is known.
var contextual = regexp.MustCompile(`(?i)delimiter|sql_mode|standard_conforming_strings|dump |sandbox`)

// checkProperties fails the test if text is cut in a way that no text may be cut.
func checkProperties(t *testing.T, text string, o sqlscan.Options) {
	t.Helper()
	list, err := sqlscan.Split(text, o)
	end, line := 0, 1
	for i, st := range list {
		if st.Offset < end || text[st.Offset:st.Offset+len(st.Text)] != st.Text || st.Text == "" {
			t.Fatalf("statement %d at %d is not in the input: %q", i, st.Offset, st.Text)
		}
		// What is left out is nothing but blanks, comments, terminators and commands to a client.
		between := text[end:st.Offset]
		if i > 0 && list[i-1].CopyIn || o.Dialect == sqlscan.Postgres && strings.Contains(between, `\`) {
			between = ""
		}
		if !contextual.MatchString(text) {
			leftOut(t, between, o)
		}
		if want := 1 + strings.Count(text[:st.Offset], "\n"); st.Line != want || st.Line < line {
			t.Fatalf("statement %d is on line %d, not %d", i, st.Line, want)
		}
		line, end = st.Line, st.Offset+len(st.Text)
		if contextual.MatchString(text) || st.CopyIn || o.Dialect == sqlscan.SQLite && strings.HasSuffix(st.Text, "/*") {
			continue
		}
		// The blank keeps a leading dot from being a command of a shell, the semicolon a trailing -- from being a comment.
		again, err := sqlscan.Split(" "+st.Text+";", o)
		if err != nil || len(again) != 1 || again[0].Text != st.Text || again[0].Verb != st.Verb {
			t.Fatalf("cut again %q is %+v (%v)", st.Text, again, err)
		}
	}
	if err == nil && !contextual.MatchString(text) && (len(list) == 0 || !list[len(list)-1].CopyIn) && o.Dialect != sqlscan.Postgres {
		leftOut(t, text[end:], o)
	}
	checkSplitter(t, text, o, list, err)
	for window := 4; window < 16; window += 5 {
		var slow []sqlscan.Statement
		s := sqlscan.NewSmall(strings.NewReader(text), o, window)
		st, slowErr := s.Next()
		for ; slowErr == nil; st, slowErr = s.Next() {
			slow = append(slow, st)
		}
		if errors.Is(slowErr, io.EOF) {
			slowErr = nil
		}
		if fmt.Sprint(slow, slowErr) != fmt.Sprint(list, err) {
			t.Fatalf("through a window of %d it is cut as\n%+v %v\nand at once as\n%+v %v", window, slow, slowErr, list, err)
		}
	}
	offset := 0
	for token := range sqlscan.Tokens(text, o) {
		if token.Offset < offset || token.Text == "" || text[token.Offset:token.Offset+len(token.Text)] != token.Text {
			t.Fatalf("token %q is not at %d", token.Text, token.Offset)
		}
		offset = token.Offset + len(token.Text)
		_ = token.Name(o.Dialect)
	}
}

// checkSplitter fails the test if a Splitter cuts text otherwise than Split and Tokens do.
func checkSplitter(t *testing.T, text string, o sqlscan.Options, list []sqlscan.Statement, want error) {
	t.Helper()
	for _, most := range []int{-1, 3} {
		p := sqlscan.NewSplitter(o, func(string) int { return most })
		for _, first := range []string{"SELECT 1; '", text} { // it is used again, whatever became of it
			if _, err := p.Split(first); (err != nil) != (first != text || want != nil) {
				t.Fatalf("of %q a Splitter says %v", first, err)
			}
		}
		again, err := p.Split(text)
		if fmt.Sprint(again, err) != fmt.Sprint(list, want) {
			t.Fatalf("a Splitter cuts it as\n%+v %v\nand Split as\n%+v %v", again, err, list, want)
		}
		for i := range again {
			if contextual.MatchString(text) || strings.HasPrefix(list[i].Text, "\uFEFF") {
				break
			}
			var tokens []sqlscan.Token
			for token := range sqlscan.Tokens(text[list[i].Offset:], o) { // what follows decides what a -- at the end is
				if token.Offset >= len(list[i].Text) || len(tokens) == most {
					break
				}
				tokens = append(tokens, token)
			}
			if got := p.Tokens(i); !slices.Equal(got, tokens) {
				t.Fatalf("the tokens of %q are\n%+v\nand of a Splitter\n%+v", list[i].Text, tokens, got)
			}
		}
	}
}

func leftOut(t *testing.T, text string, o sqlscan.Options) {
	t.Helper()
	for token := range sqlscan.Tokens(text, o) {
		if token.Text != ";" && !strings.HasPrefix(token.Text, "/*") {
			t.Fatalf("%q is lost in %q", token.Text, text)
		}
	}
}

// TestProperties checks every file of testdata in every dialect: what is text in one is a trap in another.
func TestProperties(t *testing.T) {
	t.Parallel()
	for name, text := range corpus(t) {
		for dialect, opts := range dialects {
			t.Run(dialect+"/"+name, func(t *testing.T) {
				t.Parallel()
				checkProperties(t, text, opts)
			})
		}
	}
}

func corpus(tb testing.TB) map[string]string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*/*.sql")
	if err != nil {
		tb.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		texts[filepath.ToSlash(file)] = string(text)
	}
	return texts
}

func fuzz(f *testing.F, names ...string) {
	for _, text := range corpus(f) {
		if len(text) < 2000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range names {
			checkProperties(t, text, dialects[name])
		}
	})
}

func FuzzSQLite(f *testing.F)   { fuzz(f, "sqlite") }
func FuzzPostgres(f *testing.F) { fuzz(f, "postgres") }
func FuzzMySQL(f *testing.F)    { fuzz(f, "mysql", "mariadb", "ansi") }
