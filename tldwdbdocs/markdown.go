package tldwdbdocs

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DiagramTables is how many tables a diagram draws with all of their columns. Of a
// larger schema it has the columns of keys, without which nobody would find anything.
const DiagramTables = 40

// Markdown writes the schema as a document of GitHub's Markdown: a diagram, each table
// with its columns and what belongs to it, and everything else by its kind. The same
// schema gives the same bytes, so that a copy in a repository changes with the schema
// alone. The errors are w's.
func (s *Schema) Markdown(w io.Writer, title string) error {
	d := &document{bufio.NewWriter(w)}
	d.linef("# %s\n", inline(cmp.Or(title, "Schema")))
	from := "What the migrations make"
	if s.Live {
		from = "What is in the database"
	}
	if n := len(s.Migrations); n > 0 {
		d.linef("%s (%s), up to %s. Written by `tldwdb docs`.\n", from, s.Engine, code(s.Migrations[n-1]))
	} else {
		d.linef("%s (%s). Written by `tldwdb docs`.\n", from, s.Engine)
	}
	if len(s.Tables) == 0 && len(s.Objects) == 0 {
		d.linef("There is nothing in it.\n")
		return d.Flush()
	}
	if len(s.Tables) > 0 {
		d.linef("```mermaid")
		d.diagram(s)
		d.linef("```\n")
		d.linef("| Table | Columns | Made by | Changed by | |\n|---|---|---|---|---|")
		for i := range s.Tables {
			t := &s.Tables[i]
			d.linef("| [%s](#%s) | %d | %s | %s | %s |", cell(t.Name), s.anchor(i), len(t.Columns), codeOr(t.Made), codeOr(t.Changed), cell(t.Comment))
		}
		d.linef("")
		for i := range s.Tables {
			d.linef("<a id=\"%s\"></a>\n", s.anchor(i))
			d.table(&s.Tables[i])
		}
	}
	kind := ""
	for _, o := range s.Objects {
		if o.Kind != kind {
			kind = o.Kind
			d.linef("## %s\n", inline(heading(kind)))
		}
		d.object("###", o)
	}
	return d.Flush()
}

// Mermaid writes the diagram alone, for whoever draws it elsewhere.
func (s *Schema) Mermaid(w io.Writer) error {
	d := &document{bufio.NewWriter(w)}
	d.diagram(s)
	return d.Flush()
}

// anchor is where a table stands. What a name becomes in a heading is each reader's own;
// a number is not.
func (s *Schema) anchor(i int) string { return fmt.Sprintf("table-%d", i+1) }

type document struct{ *bufio.Writer }

func (d *document) linef(format string, args ...any) {
	_, _ = fmt.Fprintf(d.Writer, format+"\n", args...) // Flush returns the error
}

func (d *document) table(t *Table) {
	d.linef("## %s\n", inline(t.Name))
	if t.Comment != "" {
		d.linef("%s\n", inline(t.Comment))
	}
	d.origin(t.Origin)
	if len(t.Columns) > 0 {
		d.linef("| Column | Type | | Default | Key | Made by | Changed by | |\n|---|---|---|---|---|---|---|---|")
		for _, c := range t.Columns {
			null := "null"
			if c.NotNull || slices.Contains(t.primary(), c.Name) {
				null = ""
			}
			about := cell(c.Comment)
			if c.Extra != "" {
				about = strings.TrimSpace(codeCell(c.Extra) + " " + about)
			}
			d.linef("| %s | %s | %s | %s | %s | %s | %s | %s |", codeCell(c.Name), codeOr(c.Type), null, codeOr(c.Default),
				strings.Join(t.roles(c.Name), ", "), codeOr(c.Made), codeOr(c.Changed), about)
		}
		d.linef("")
	}
	for _, k := range t.Keys {
		what := "Unique"
		if k.Primary {
			what = "Primary key"
		}
		d.linef("- %s: %s%s", what, code(strings.Join(k.Columns, ", ")), aside(k.Name, k.Extra))
	}
	for _, f := range t.ForeignKeys {
		to := f.Table
		if len(f.References) > 0 {
			to += " (" + strings.Join(f.References, ", ") + ")"
		}
		d.linef("- Refers: %s to %s%s", code(strings.Join(f.Columns, ", ")), code(to), aside(f.Name, f.Extra))
	}
	for _, r := range t.Rules {
		d.linef("- %s", code(r))
	}
	if len(t.Keys)+len(t.ForeignKeys)+len(t.Rules) > 0 {
		d.linef("")
	}
	for _, o := range t.Objects {
		d.object("###", o)
	}
}

func (d *document) object(level string, o Object) {
	d.linef("%s %s %s\n", level, inline(o.Kind), inline(o.Name))
	if o.Comment != "" {
		d.linef("%s\n", inline(o.Comment))
	}
	d.origin(o.Origin)
	if o.Text != "" {
		fence := "```"
		for strings.Contains(o.Text, fence) {
			fence += "`"
		}
		d.linef("%ssql\n%s\n%s\n", fence, o.Text, fence)
	}
}

func (d *document) origin(o Origin) {
	switch {
	case o.Made == "":
	case o.Changed == "":
		d.linef("Made by %s.\n", code(o.Made))
	default:
		d.linef("Made by %s, changed by %s.\n", code(o.Made), code(o.Changed))
	}
}

// primary are the columns of the primary key.
func (t *Table) primary() []string {
	for _, k := range t.Keys {
		if k.Primary {
			return k.Columns
		}
	}
	return nil
}

// roles are PK, FK and UK, as diagrams have them.
func (t *Table) roles(column string) (list []string) {
	if slices.Contains(t.primary(), column) {
		list = append(list, "PK")
	}
	if slices.ContainsFunc(t.ForeignKeys, func(f ForeignKey) bool { return slices.Contains(f.Columns, column) }) {
		list = append(list, "FK")
	}
	if slices.ContainsFunc(t.Keys, func(k Key) bool { return !k.Primary && slices.Contains(k.Columns, column) }) {
		list = append(list, "UK")
	}
	return list
}

func (d *document) diagram(s *Schema) {
	d.linef("erDiagram")
	all := len(s.Tables) <= DiagramTables
	for i := range s.Tables {
		t := &s.Tables[i]
		d.linef("    %s {", entity(t.Name))
		for _, c := range t.Columns {
			roles := t.roles(c.Name)
			if !all && len(roles) == 0 {
				continue
			}
			line := attribute(cmp.Or(c.Type, "any")) + " " + attribute(c.Name)
			if len(roles) > 0 {
				line += " " + strings.Join(roles, ",")
			}
			if c.Comment != "" {
				line += ` "` + text(c.Comment) + `"`
			}
			d.linef("        %s", line)
		}
		d.linef("    }")
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		for _, f := range t.ForeignKeys {
			// How many rows refer to one, and whether each has to.
			many, one := "}o", "||"
			if slices.ContainsFunc(t.Keys, func(k Key) bool {
				return len(k.Columns) == len(f.Columns) && !slices.ContainsFunc(f.Columns, func(c string) bool { return !slices.Contains(k.Columns, c) })
			}) {
				many = "|o"
			}
			if slices.ContainsFunc(t.Columns, func(c Column) bool {
				return slices.Contains(f.Columns, c.Name) && !c.NotNull && !slices.Contains(t.primary(), c.Name)
			}) {
				one = "o|"
			}
			d.linef("    %s %s--%s %s : \"%s\"", entity(t.Name), many, one, entity(f.Table), text(strings.Join(f.Columns, ", ")))
		}
	}
}

// entity is a table's name in a diagram, in quotes: without them it may have few signs.
func entity(name string) string { return `"` + text(name) + `"` }

// text is what may stand between double quotes there.
func text(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\' || r == '%' || r == '`' || unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)), " ")
}

// attribute is a column's type or name in a diagram: letters, digits, and few signs.
// The letters beyond ASCII are those that Mermaid knows since version 11. A word that is
// a key's mark, in whichever letters, would be read as one.
func attribute(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '(' || r == ')' || r == '[' || r == ']' || r == '-' || r == '_' || r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			return r
		case r >= 0xC0 && r <= 0xFFFF && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)):
			return r
		}
		return '_'
	}, s)
	first, _ := utf8.DecodeRuneInString(s)
	word := s
	if i := strings.IndexAny(s, "()[]-"); i >= 0 {
		word = s[:i]
	}
	if !unicode.IsLetter(first) || strings.EqualFold(word, "PK") || strings.EqualFold(word, "FK") || strings.EqualFold(word, "UK") {
		s = "_" + s
	}
	return s
}

// aside is what is known of a constraint besides its columns.
func aside(name, extra string) (s string) {
	if extra != "" {
		s = " " + code(extra)
	}
	if name != "" {
		s += " (" + code(name) + ")"
	}
	return s
}

func heading(kind string) string {
	switch {
	case kind == "":
		return kind
	case strings.HasSuffix(kind, "y"):
		kind = strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "x"):
		kind += "es"
	default:
		kind += "s"
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// code is a text as it stands, in a line.
func code(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	ticks := "`"
	for strings.Contains(s, ticks) {
		ticks += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// codeCell is code in a cell of a table, which a bar would end even there.
func codeCell(s string) string { return strings.ReplaceAll(code(s), "|", `\|`) }

func codeOr(s string) string {
	if s == "" {
		return ""
	}
	return codeCell(s)
}

// inline is text that means nothing to Markdown and HTML.
func inline(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_[]#~!", r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(inline(s), "|", `\|`) }
