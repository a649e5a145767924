package tldwdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/foreign"
)

// foreignVersions makes a history from words: "3" is a version, "≤3" one that
// stands for all before it, "'3" one whose digits are no number.
func foreignVersions(words string) (list []foreign.Version) {
	for _, w := range strings.Fields(words) {
		text, upTo := strings.CutPrefix(w, "≤")
		text, label := strings.CutPrefix(text, "'")
		list = append(list, foreign.Version{Version: text, UpTo: upTo, Label: label, Full: "file::" + text + "::bob"})
	}
	return list
}

func TestMatchForeign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		ours     string
		theirs   string
		versions map[string]int64
		mapped   string // ours
		unknown  string // theirs
		kind     error
		says     string
	}{
		{name: "the same numbers", ours: "1 2 3 R:v", theirs: "1 2", mapped: "1 2"},
		{name: "in any order", ours: "1 2 3", theirs: "2 1", mapped: "1 2"},
		{name: "all of them", ours: "1 2 3", theirs: "0001_a.sql 2_b 3", mapped: "1 2 3"},
		{name: "nothing applied", ours: "1 2", theirs: ""},
		{name: "a gap", ours: "1 2 3", theirs: "1 3", kind: ErrNotMapped, says: "0002_m is not applied there, and version 3 is"},
		{name: "the first is missing", ours: "1 2 3", theirs: "2 3", kind: ErrNotMapped, says: "0001_m is not applied there, and version 3 is"},
		{name: "a gap that the caller says is none", ours: "1 2 3", theirs: "1 3", versions: map[string]int64{"3": 3}, mapped: "1 2 3"},
		{name: "one that nobody has a file for, before ours", ours: "1 3", theirs: "1 2 3", mapped: "1 3", unknown: "2"},
		{name: "one that nobody has a file for, behind ours", ours: "1 2", theirs: "1 2 3", kind: ErrNotMapped, says: "3 is applied, and no file of ours has that version"},
		{name: "the same, and the caller says that it is nothing", ours: "1 2", theirs: "1 2 3", versions: map[string]int64{"3": 0}, mapped: "1 2"},
		{name: "the same, and the caller says what it is", ours: "1 2", theirs: "1 2 3", versions: map[string]int64{"3": 2}, mapped: "1 2", unknown: "1 2"},
		{name: "ours begin with all of theirs in one", ours: "5 6", theirs: "1 2 3 4 5", mapped: "5", unknown: "1 2 3 4"},

		{name: "a version that stands for all", ours: "1 2 3 4", theirs: "≤3", mapped: "1 2 3"},
		{name: "the same, without a file", ours: "1 2 4", theirs: "≤3", kind: ErrNotMapped, says: "3 is applied"},
		{name: "the same, behind all files", ours: "1 2", theirs: "≤3", kind: ErrNotMapped, says: "3 is applied"},
		{name: "a baseline and what came after it", ours: "1 2 11 12 13", theirs: "≤10 11 12", mapped: "1 2 11 12", unknown: "10"},
		{name: "a gap after a baseline", ours: "1 2 11 12 13", theirs: "≤10 12", kind: ErrNotMapped, says: "0011_m is not applied"},

		{name: "a revision without a map", ours: "1 2", theirs: "≤a1b2", kind: ErrNotMapped, says: "a1b2 is applied, and no file of ours has that version"},
		{name: "a revision", ours: "1 2 3", theirs: "≤c", versions: map[string]int64{"a": 1, "b": 2, "c": 2, "d": 3}, mapped: "1 2"},
		{name: "two heads", ours: "1 2 3", theirs: "≤b ≤c", versions: map[string]int64{"a": 1, "b": 2, "c": 3}, mapped: "1 2 3"},
		{name: "two heads, one of them unknown", ours: "1 2 3", theirs: "≤b ≤c", versions: map[string]int64{"b": 2}, kind: ErrNotMapped, says: "c is applied"},

		{name: "names without a map", ours: "1 2", theirs: "'app.0001_a 'auth.0001_b", kind: ErrNotMapped, says: "none of"},
		{name: "names", ours: "1 2 3", theirs: "'app.0001_a 'auth.0001_b 'app.0002_c", versions: map[string]int64{"app.0001_a": 1, "app.0002_c": 2, "app.0003_d": 3}, mapped: "1 2", unknown: "auth.0001_b"},
		{name: "the last name alone", ours: "1 2 3", theirs: "'a 'b 'c", versions: map[string]int64{"c": 3}, mapped: "1 2 3", unknown: "a b"},
		{name: "names with a gap", ours: "1 2 3", theirs: "'a 'c", versions: map[string]int64{"a": 1, "b": 2, "c": 3}, kind: ErrNotMapped, says: "0002_m (b) is not applied there, and version 3 is"},
		{name: "two names for one", ours: "1 2 3", theirs: "'a 'b2 'c", versions: map[string]int64{"a": 1, "b": 2, "b2": 2, "c": 3}, mapped: "1 2 3"},
		{name: "a name that leads nowhere", ours: "1 2", theirs: "'a", versions: map[string]int64{"a": 9}, kind: ErrUnknownVersion, says: "a is said to be version 9"},
		{name: "names after a baseline with a gap", ours: "1 2 3 4", theirs: "≤b 'd", versions: map[string]int64{"b": 2, "c": 3, "d": 4}, kind: ErrNotMapped, says: "0003_m (c)"},
		{name: "names before a baseline", ours: "1 2 3", theirs: "≤b 'd", versions: map[string]int64{"a": 1, "b": 2, "d": 3}, mapped: "1 2 3"},

		{name: "a version 0", ours: "0 1", theirs: "0_init", mapped: "0"},
		{name: "a version 0 by a map", ours: "0 1 2", theirs: "0_init 1_b", versions: map[string]int64{"0_init": 0, "1_b": 1}, mapped: "0 1"},
		{name: "a version 0 that is not applied", ours: "0 1 2", theirs: "1", kind: ErrNotMapped, says: "0000_m is not applied"},
		{name: "a version 0 and nothing applied", ours: "0 1", theirs: ""},

		{name: "counted anew", ours: "1 2 3 4", theirs: "1 1.1 2", versions: map[string]int64{"1": 1, "1.1": 2, "2": 3, "2.1": 4}, mapped: "1 2 3"},
		{name: "counted anew, with a gap", ours: "1 2 3 4", theirs: "1 2", versions: map[string]int64{"1": 1, "1.1": 2, "2": 3}, kind: ErrNotMapped, says: "0002_m (1.1) is not applied"},
		{name: "counted anew, and then theirs went on", ours: "1 2 3 4", theirs: "1 1.1 2 4", versions: map[string]int64{"1": 1, "1.1": 2, "2": 3}, kind: ErrNotMapped, says: "4 is applied, and no file"},
		{name: "a baseline that was counted anew", ours: "1 2 3", theirs: "≤1.5 2", versions: map[string]int64{"1.5": 2, "2": 3}, mapped: "1 2 3"},
		{name: "a baseline without an entry among those counted anew", ours: "1 2 3", theirs: "≤9 2", versions: map[string]int64{"2": 3}, kind: ErrNotMapped, says: "9 is applied"},
		{name: "a dotted version without a map", ours: "1 2", theirs: "1 1.1", kind: ErrNotMapped, says: "1.1 is applied"},
		{name: "a dotted version that is nothing of ours", ours: "1 2", theirs: "1 1.1 2", versions: map[string]int64{"1.1": 0}, mapped: "1 2"},
		{name: "by its full name", ours: "1 2", theirs: "'a", versions: map[string]int64{"file::a::bob": 1, "file::b::bob": 2}, mapped: "1"},
		{name: "by its full name, with a gap", ours: "1 2", theirs: "'b", versions: map[string]int64{"file::a::bob": 1, "file::b::bob": 2}, kind: ErrNotMapped, says: "0001_m (file::a::bob)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src := planSource(c.ours)
			a := &Adoption{}
			mapped, err := a.match(src, foreignVersions(c.theirs), c.versions)
			if c.kind != nil {
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || errors.Is(c.kind, ErrNotMapped) && Hint(err) == "" {
					t.Errorf("%v, hint %q, want %q", err, Hint(err), c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			words := func(ids []ID) string {
				list := make([]string, len(ids))
				for i, id := range ids {
					list[i] = fmt.Sprint(id.Version)
				}
				return strings.Join(list, " ")
			}
			if got := words(idsOf(mapped)); got != c.mapped || words(a.Mapped) != got {
				t.Errorf("mapped %q, want %q", got, c.mapped)
			}
			if got := strings.Join(a.Unknown, " "); got != c.unknown {
				t.Errorf("unknown %q, want %q", got, c.unknown)
			}
			versioned := 0
			for _, m := range src.migrations {
				if !m.id.Repeatable {
					versioned++
				}
			}
			if len(a.Mapped)+len(a.Unapplied) != versioned {
				t.Errorf("mapped %q and unapplied %q are not all", words(a.Mapped), words(a.Unapplied))
			}
		})
	}
}
