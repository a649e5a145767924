package tldwdbcli

import (
	"strings"
	"testing"
)

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cell  string
		width int
		want  string
	}{
		{"pending", 7, "pending"}, {"pending", 6, "pendi…"}, {"pending", 1, "…"}, {"pending", 0, "…"},
		{"\x1b[33mpending\x1b[0m", 7, "\x1b[33mpending\x1b[0m"}, {"\x1b[33mpending\x1b[0m", 4, "pen…"}, {"größe", 4, "grö…"},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"cafe\u0301 au lait", 6, "cafe\u0301 …"}, {"🚀🚀", 3, "🚀…"},
	} {
		if got := cut(c.cell, c.width); got != c.want {
			t.Errorf("%q in %d columns is %q, want %q", c.cell, c.width, got, c.want)
		}
	}
}

// A table fits into the terminal, as far as its columns can give way.
func TestTableFits(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := &printer{w: &b, width: 40}
	table := p.table("MIGRATION", "STATE")
	table.row(strings.Repeat("long", 20), "pending")
	table.end()
	for line := range strings.Lines(b.String()) {
		if got := visible(strings.TrimRight(line, "\n")); got > 40 {
			t.Errorf("%d columns: %q", got, line)
		}
	}
	if !strings.Contains(b.String(), "…  pending") {
		t.Errorf("nothing was cut:\n%s", b.String())
	}
}

// Columns stand under each other in every script that a terminal shows.
func TestTableAligns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"users": 5, "größe": 5, "ユーザー": 8, "ﾕｰｻﾞｰ": 5, "用户": 4, "사용자": 6, "cafe\u0301": 4, "🚀": 2, "a\u200db": 2, "\x1b[1mусер\x1b[0m": 4} {
		if got := visible(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	var b strings.Builder
	table := (&printer{w: &b}).table("MIGRATION", "STATE")
	for _, name := range []string{"0001_users", "0002_ユーザー", "0003_🚀"} {
		table.row(name, "pending")
	}
	table.end()
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, "\n")
		if before, _, found := strings.Cut(line, "pending"); found && visible(before) != len("0002_xxxxxxxx  ") {
			t.Errorf("it is not aligned:\n%s", b.String())
		}
	}
}
