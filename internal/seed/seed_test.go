package seed

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tldw/tldwdb/internal/portable"
)

// records reads all of a CSV text; NULL is "∅".
func records(text string) (list [][]string, lines []int, err error) {
	c := newCSV(strings.NewReader(text))
	for {
		if err := c.read(); errors.Is(err, io.EOF) {
			return list, lines, nil
		} else if err != nil {
			return list, lines, err
		}
		row := []string{}
		for i := range c.fields() {
			text, null := c.field(i)
			if null {
				text = []byte("∅")
			}
			row = append(row, string(text))
		}
		list, lines = append(list, row), append(lines, c.line)
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want, fault string }{
		{"a,b\n1,2\n", "[[a b] [1 2]] [1 2]", ""},
		{"a,b\r\n1,2", "[[a b] [1 2]] [1 2]", ""},
		{"\xef\xbb\xbfa\n", "[[a]] [1]", ""},
		{"a,,\"\"\n", "[[a ∅ ]] [1]", ""},
		{",\n", "[[∅ ∅]] [1]", ""},
		{"\n\na\n\nb", "[[a] [b]] [3 5]", ""},
		{"\"a\n\"\"b\"\"\",c\nd,e", "[[a\n\"b\" c] [d e]] [1 3]", ""},
		{"\"a\"b", "[] []", "something follows a closing quote"},
		{"a\"b", "[] []", "a quote inside of a field that does not begin with one"},
		{"a\n\"b\nc", "[[a]] [1]", "a quote that begins here is not closed"},
	} {
		list, lines, err := records(test.text)
		if got := fmt.Sprint(list, lines); got != test.want {
			t.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
		if (err == nil) != (test.fault == "") || err != nil && err.Error() != test.fault {
			t.Errorf("%q: %v, want %q", test.text, err, test.fault)
		}
	}
	long := strings.Repeat("x", 200_000) // longer than the buffer
	if list, _, err := records("a\n\"" + long + "\"\n" + long); err != nil || len(list) != 3 || list[1][0] != long || list[2][0] != long {
		t.Errorf("long rows: %d, %v", len(list), err)
	}
}

// FuzzCSV: what the standard library takes, we read in the same way, but for what is
// nothing.
func FuzzCSV(f *testing.F) {
	for _, text := range []string{"a,b\n1,\"2\n\"\n", "\"\",,\n", "a\r\nb", "\"a\"\"\"", "a,\"b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := records(text)
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		want, wantErr := r.ReadAll()
		if wantErr != nil || strings.Contains(text, "\r") || strings.Contains(text, "∅") || strings.HasPrefix(text, "\xef\xbb\xbf") {
			return // the library has rules of its own for a lone \r
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, row := range list {
			for i := range row {
				if row[i] == "∅" {
					row[i] = ""
				}
			}
		}
		if !slices.EqualFunc(list, want, slices.Equal[[]string]) {
			t.Errorf("%q: %q, want %q", text, list, want)
		}
	})
}

// describe writes a node with its lines.
func describe(n *node) string {
	if n == nil {
		return "nothing"
	}
	switch n.kind {
	case sequence:
		var list []string
		for _, item := range n.list {
			list = append(list, describe(item))
		}
		return "[" + strings.Join(list, " ") + "]"
	case mapping:
		var list []string
		for _, p := range n.pairs {
			list = append(list, fmt.Sprintf("%s@%d:%s", p.name, p.line, describe(p.value)))
		}
		return "{" + strings.Join(list, " ") + "}"
	}
	if n.input.Null {
		return "null"
	}
	return fmt.Sprintf("%s(%s)", n.input.Kind, n.input.Text)
}

func TestNodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ yaml, want string }{
		{"a: 1\nb: [x, '1', 1.50, true, ~]", "{a@1:int(1) b@2:[text(x) text(1) decimal(1.50) bool(t) null]}"},
		{"a: 0x1F\nb: 18446744073709551615\nc: .inf\nd: 2026-11-23\ne: no", "{a@1:int(31) b@2:int(18446744073709551615) c@3:float64(Infinity) d@4:text(2026-11-23) e@5:text(no)}"},
		{"d: &d {x: 1, y: 2}\ne: {<<: *d, y: 3}", "{d@1:{x@1:int(1) y@1:int(2)} e@2:{y@2:int(3) x@1:int(1)}}"},
		{"a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b]}", "{a@1:{x@1:int(1)} b@2:{x@2:int(2) y@2:int(3)} c@3:{x@1:int(1) y@2:int(3)}}"},
		{"a: {\n<<: 5}", "fault in line 2: << takes a mapping, or a list of mappings"},
		{"a: [010, 08, -007, 00, 0o10, 0]", "{a@1:[int(10) decimal(08) int(-7) int(0) int(8) int(0)]}"},
		{"a: !!binary AAE=", `{a@1:bytes(\x0001)}`},
		{"# nothing", "nothing"},
		{"a: 1\na: 2", "fault in line 2: a is there twice"},
		{"a: *b", "fault in line 0: unknown anchor 'b' referenced"},
		{"--- 1\n--- 2", "fault in line 0: there is more than one document in the file"},
		{"a: &a [*a]", "fault in line 1: it nests deeper than 50 levels"},
	} {
		check(t, test.yaml, test.want, parseYAML)
	}
	for _, test := range []struct{ json, want string }{
		{"{\"a\": 1,\n\"b\": [\"\\ud83d\\ude00\", 1.5, true, null, {}]}", "{a@1:int(1) b@2:[text(😀) decimal(1.5) bool(t) null {}]}"},
		{"", "nothing"},
		{"{\"a\": 1,\n\"a\": 2}", "fault in line 2: a is there twice"},
		{"{\n\"a\": 1\n", "fault in line 2: unexpected EOF"},
		{"{}\n{}", "fault in line 2: there is more than one value in the file"},
		{strings.Repeat("[", 100), "fault in line 1: it nests deeper than 50 levels"},
	} {
		check(t, test.json, test.want, parseJSON)
	}
}

// TestManyNames: of a large mapping too every name is seen.
func TestManyNames(t *testing.T) {
	t.Parallel()
	for _, twice := range []int{0, 31, 32, 33, 99} {
		var yaml, json strings.Builder
		for i := range 100 {
			fmt.Fprintf(&yaml, "r%d: 1\n", i)
			fmt.Fprintf(&json, "\"r%d\": 1,\n", i)
		}
		fmt.Fprintf(&yaml, "r%d: 1\n", twice)
		fmt.Fprintf(&json, "\"r%d\": 1", twice)
		want := fmt.Sprintf("r%d is there twice", twice)
		if _, err := parseYAML([]byte(yaml.String())); err == nil || err.Error() != want {
			t.Errorf("YAML: %v, want %s", err, want)
		}
		if _, err := parseJSON([]byte("{" + json.String() + "}")); err == nil || err.Error() != want {
			t.Errorf("JSON: %v, want %s", err, want)
		}
	}
}

func check(t *testing.T, text, want string, parse func([]byte) (*node, error)) {
	t.Helper()
	n, err := parse([]byte(text))
	got := describe(n)
	if err != nil {
		line := 0
		if e, ok := errors.AsType[*lineError](err); ok {
			line = e.line
		}
		got = fmt.Sprintf("fault in line %d: %s", line, err)
	}
	if got != want {
		t.Errorf("%q: %s, want %s", text, got, want)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{now: -3d}":                       "2026-11-20 12:00:00+00",
		"{now: +1w2h}":                     "2026-11-30 14:00:00+00",
		"{now: }":                          "2026-11-23 12:00:00+00",
		"{now: soon}":                      `now: "soon" is no span of time within a hundred years, such as -3d or 1h30m (w, d, h, m, s)`,
		"{now: 99999999w}":                 `now: "99999999w" is no span of time within a hundred years, such as -3d or 1h30m (w, d, h, m, s)`,
		"{json: {b: [1, 1.50], a: x}}":     `{"b":[1,1.50],"a":"x"}`,
		"{base64: '!'}":                    "it is no base64",
		"{ref: user}":                      `a reference is table.row or table.row.column, not "user"`,
		"{env: X, default: [1]}":           "the default is a plain value",
		"{env: X, defaults: 1}":            "defaults does not go with env",
		"{env: NAME}":                      "value of NAME",
		"{env: UNSET}":                     "the variable UNSET is not set, and there is no default",
		"{env: UNSET, default: 5}":         "5",
		"[1]":                              "a list is written as {json: [...]}",
		"{random: int, min: 3, max: 3}":    "3",
		"{random: int, min: 3, max: 2}":    "max is less than min",
		"{random: hex, min: 3}":            "min does not go with random hex",
		"{random: [red], min: 3}":          "min does not go with random and a list to choose from",
		"{random: [only]}":                 "only",
		"{random: []}":                     "random has nothing to choose from",
		"{random: uid}":                    "unknown random uid: there are int, uuid, hex, name, email, text, and a list to choose from; did you mean uuid?",
		"{random: int, min: x}":            "min is a whole number",
		"{random: text, length: 99999999}": "length is from 1 to 1048576",
		"{file: a.txt}":                    "content",
		"{file: ../../a.txt}":              "the file ../../a.txt is outside of the seeds",
	} {
		w := World{Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Secret: func(name string) (string, error) {
			return map[string]string{"NAME": "value of NAME"}[name], nil
		}}
		n, err := parseYAML([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := ""
		var in portable.Input
		f, err := readForm(n)
		if err == nil {
			in, err = f.value(w, fstest.MapFS{"common/a.txt": {Data: []byte("content")}}, &Row{table: &Table{Name: "t", File: "common/t.yaml"}}, "c")
		}
		switch {
		case err != nil:
			got = err.Error()
		case in.Kind == portable.KindBytes:
			got = string(in.Raw)
		default:
			got = string(in.Text)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestStringsAreYAML: what a dump writes between quotes is what both readers read.
func TestStringsAreYAML(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for r := rune(0); r < 0x3100; r++ {
		all.WriteRune(r)
	}
	for _, text := range []string{all.String(), "😀\U0010ffff", "\ufeff\ufffe\uffff\ufffd", "", " ", "null", "- a: b # c"} {
		quoted := appendString(nil, text)
		for name, parse := range map[string]func([]byte) (*node, error){"YAML": parseYAML, "JSON": parseJSON} {
			n, err := parse(quoted)
			if err != nil || n == nil || string(n.input.Text) != text {
				t.Errorf("%s: %.40q is read as %v, %v", name, text, describe(n), err)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"username", "email", "id"}
	for name, want := range map[string]string{"emial": "; did you mean email?", "USERNAM": "; did you mean username?", "x": "", "password": "", "di": ""} {
		if got := nearest(name, known); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
