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
