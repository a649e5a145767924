package seed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tldw/tldwdb/internal/portable"
)

// Mask is what stands in a file in place of the values of a column.
type Mask struct {
	Table, Column string
	Kind          string // one of MaskKinds
	Text          string // of fixed
}

// MaskKinds are the kinds of masks.
var MaskKinds = []string{"email", "name", "hash", "null", "fixed"}

// ParseMask reads table.column=kind; the text of fixed follows a colon.
func ParseMask(text string) (m Mask, err error) {
	where, what, ok := strings.Cut(text, "=")
	dot := strings.LastIndexByte(where, '.')
	if !ok || dot <= 0 || dot == len(where)-1 {
		return m, fmt.Errorf("%q is no mask: write table.column=kind, as in user.email=email", text)
	}
	m.Table, m.Column = where[:dot], where[dot+1:]
	m.Kind, m.Text, ok = strings.Cut(what, ":")
	if !slices.Contains(MaskKinds, m.Kind) || ok != (m.Kind == "fixed") {
		return m, fmt.Errorf("%q is no kind of mask: there are email, name, hash, null and fixed:TEXT%s", what, nearest(m.Kind, MaskKinds))
	}
	return m, nil
}

// value is what stands for a value: always the same for the same one.
func (m Mask) value(c portable.Cell) portable.Input {
	text := func(s string) portable.Input { return portable.Input{Kind: portable.KindText, Text: []byte(s)} }
	sum := sha256.Sum256([]byte(c.String()))
	source := rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16]))) //nolint:gosec // it is to be foreseeable
	switch m.Kind {
	case "null":
		return portable.Input{Null: true}
	case "fixed":
		return text(m.Text)
	case "name":
		return text(madeName(source))
	case "email":
		return text(fmt.Sprintf("%s.%x@example.com", strings.ToLower(strings.ReplaceAll(madeName(source), " ", ".")), sum[16:22]))
	}
	return text(hex.EncodeToString(sum[:8]))
}

// Dump writes the rows of tables as one file of seeds, each table behind those that its
// foreign keys lead to. Patterns name the tables as [path.Match] has them; none means
// all. Those in skip are left out, whatever patterns say.
func Dump(ctx context.Context, rows *portable.Rows, w io.Writer, patterns, skip []string, masks []Mask) error {
	d := &dumping{rows: rows, out: bufio.NewWriterSize(w, 64<<10), masks: map[*portable.Column]Mask{}}
	wanted, err := d.matching(patterns)
	if err != nil {
		return err
	}
	without, err := d.matching(skip)
	if err != nil {
		return err
	}
	var keyless []string
	for _, t := range rows.Tables() { // in the order in which they can be loaded
		if len(patterns) > 0 && !wanted[t] || without[t] {
			continue
		}
		d.tables = append(d.tables, t)
		if d.keyOf(t) == nil {
			keyless = append(keyless, t.Name)
		}
	}
	if len(keyless) > 0 {
		return &KeylessError{keyless}
	}
	for _, m := range masks {
		t := rows.Table(m.Table)
		if t == nil {
			return fmt.Errorf("the mask %s.%s: there is no such table%s", m.Table, m.Column, nearest(m.Table, d.names()))
		}
		c := t.Column(m.Column)
		if c == nil {
			return fmt.Errorf("the mask %s.%s: there is no such column%s", m.Table, m.Column, nearest(m.Column, columnNames(t)))
		}
		d.masks[c] = m
	}
	for _, t := range d.tables {
		if err := d.table(ctx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return d.out.Flush()
}

// KeylessError names the tables whose rows nobody could tell from each other.
type KeylessError struct{ Tables []string }

// Error names them all.
func (e *KeylessError) Error() string {
	if len(e.Tables) == 1 {
		return fmt.Sprintf("table %s has no unique key by which its rows could be known when they are loaded", e.Tables[0])
	}
	return fmt.Sprintf("tables %s have no unique key by which their rows could be known when they are loaded", strings.Join(e.Tables, ", "))
}

// matching finds the tables that patterns name, each of which names one at least.
func (d *dumping) matching(patterns []string) (map[*portable.Table]bool, error) {
	list := map[*portable.Table]bool{}
	for _, p := range patterns {
		var found bool
		for _, t := range d.rows.Tables() {
			if ok, err := path.Match(strings.ToLower(p), strings.ToLower(t.Name)); err != nil {
				return nil, fmt.Errorf("%q is no pattern: %w", p, err)
			} else if ok || strings.EqualFold(p, t.Name) {
				list[t], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no table %s%s", p, nearest(p, d.names()))
		}
	}
	return list, nil
}

type dumping struct {
	rows   *portable.Rows
	out    *bufio.Writer
	tables []*portable.Table
	masks  map[*portable.Column]Mask
	line   []byte
}

func (d *dumping) names() []string {
	var names []string
	for _, t := range d.rows.Tables() {
		names = append(names, t.Name)
	}
	return names
}

// keyOf is what a table's rows are known by.
func (d *dumping) keyOf(t *portable.Table) []string {
	for _, k := range d.rows.Unique(t) {
		if !slices.ContainsFunc(k, func(name string) bool {
			c := t.Column(name)
			return c == nil || !c.NotNull && !slices.Contains(t.Key, name)
		}) {
			return k
		}
	}
	return nil
}

// named reports whether rows of a table get names: where references go in a circle, they
// are written by name, so that every engine can load them.
func (d *dumping) named(t *portable.Table) bool {
	return slices.Contains(d.tables, t) && len(t.Key) == 1 && t.Column(t.Key[0]).Kind == portable.KindInt && d.rows.Circular(t)
}

// refers finds the table that a column's value is a row's name of.
func (d *dumping) refers(t *portable.Table, c *portable.Column) *portable.Table {
	for _, k := range d.rows.ForeignKeys(t) {
		if len(k.Columns) == 1 && k.Columns[0] == c.Name && k.Table != nil && d.named(k.Table) && d.named(t) && k.To[0] == k.Table.Key[0] {
			return k.Table
		}
	}
	return nil
}

func (d *dumping) table(ctx context.Context, t *portable.Table) error {
	key := d.keyOf(t)
	named := d.named(t)
	begun := false
	return d.rows.ReadAll(ctx, t, func(row []portable.Cell) error {
		if !begun {
			begun = true
			d.line = append(appendString(d.line[:0], t.Name), ":\n  key: ["...)
			for i, name := range key {
				if i > 0 {
					d.line = append(d.line, ", "...)
				}
				d.line = appendString(d.line, name)
			}
			d.line = append(d.line, "]\n  rows:\n"...)
			if _, err := d.out.Write(d.line); err != nil {
				return err
			}
		}
		d.line = append(d.line[:0], "    - {"...)
		if named {
			i := slices.IndexFunc(t.Columns, func(c portable.Column) bool { return c.Name == t.Key[0] })
			d.line = fmt.Appendf(d.line[:0], "    %q: {", row[i].String())
		}
		first := true
		for i := range t.Columns {
			c := &t.Columns[i]
			if c.Generated {
				continue
			}
			if !first {
				d.line = append(d.line, ", "...)
			}
			first = false
			d.line = append(appendString(d.line, c.Name), ": "...)
			mask, masked := d.masks[c]
			if to := d.refers(t, c); to != nil && !masked && !row[i].IsNull() {
				d.line = append(append(d.line, "{ref: "...), appendString(nil, to.Name+"."+row[i].String())...)
				d.line = append(d.line, '}')
				continue
			}
			in := row[i].Input(c)
			if masked && !in.Null {
				in = mask.value(row[i])
				if _, _, err := c.Cell(nil, in); err != nil {
					return fmt.Errorf("the mask %s of column %s: %w", mask.Kind, c.Name, err)
				}
			}
			var err error
			if d.line, err = appendValue(d.line, in); err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		_, err := d.out.Write(append(d.line, "}\n"...))
		return err
	})
}

// appendValue writes a value so that reading the file gives the same.
func appendValue(dst []byte, in portable.Input) ([]byte, error) {
	switch {
	case in.Null:
		return append(dst, "null"...), nil
	case in.Kind == portable.KindBool:
		if in.Text[0] == 't' {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	case in.Kind == portable.KindBytes:
		data, err := hex.DecodeString(string(in.Text[2:]))
		if err != nil {
			return dst, err
		}
		dst = append(dst, `{base64: "`...)
		return append(base64.StdEncoding.AppendEncode(dst, data), `"}`...), nil
	case !utf8.Valid(in.Text):
		return dst, fmt.Errorf("it is text, and no UTF-8")
	case (in.Kind == portable.KindInt || in.Kind == portable.KindDecimal || in.Kind == portable.KindFloat32 || in.Kind == portable.KindFloat64) && json.Valid(in.Text):
		if in.Kind != portable.KindInt && !bytes.ContainsAny(in.Text, ".eE") {
			return append(append(dst, in.Text...), ".0"...), nil
		}
		if bytes.ContainsAny(in.Text, "eE") && !bytes.Contains(in.Text, []byte(".")) { // YAML's exponents want a point
			return appendString(dst, string(in.Text)), nil
		}
		return append(dst, in.Text...), nil
	case in.Kind == portable.KindJSON && plainJSON(in.Text):
		return append(append(append(dst, "{json: "...), in.Text...), '}'), nil
	}
	return appendString(dst, string(in.Text)), nil
}

// plainJSON reports whether JSON is YAML as it stands.
func plainJSON(text []byte) bool {
	for _, r := range string(text) {
		if r == '\\' || r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return false
		}
	}
	return true
}
