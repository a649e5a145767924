package seed

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tldw/tldwdb/internal/portable"
)

// node is a piece of a YAML or JSON file.
type node struct {
	line  int
	kind  nodeKind
	input portable.Input // of a scalar
	list  []*node
	pairs []pair // of a mapping, in order
}

type pair struct {
	name  string
	line  int
	value *node
}

type nodeKind uint8

const (
	scalar nodeKind = iota
	sequence
	mapping
)

func (n *node) get(name string) *node {
	for _, p := range n.pairs {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

// isNull reports whether there is nothing in it.
func (n *node) isNull() bool { return n.kind == scalar && n.input.Null }

// names are those of a mapping in the making.
type names struct{ seen map[string]struct{} }

// add reports whether the name is a new one. Most mappings are rows, and small: an index
// is made for the others alone.
func (k *names) add(n *node, name string) bool {
	const small = 32
	if len(n.pairs) < small {
		return n.get(name) == nil
	}
	if k.seen == nil {
		k.seen = make(map[string]struct{}, 2*small)
		for _, p := range n.pairs {
			k.seen[p.name] = struct{}{}
		}
	}
	_, there := k.seen[name]
	k.seen[name] = struct{}{}
	return !there
}

// text is the value of a scalar that is to be a word, such as a name.
func (n *node) text() (string, bool) {
	if n.kind != scalar || n.input.Null {
		return "", false
	}
	if n.input.Raw != nil {
		return string(n.input.Raw), true
	}
	return string(n.input.Text), true
}

// lineError is a fault in a line.
type lineError struct {
	line int
	msg  string
}

func (e *lineError) Error() string { return e.msg }

func faultf(line int, format string, args ...any) error {
	return &lineError{line, fmt.Sprintf(format, args...)}
}

// deepest is how deep a file nests. It ends what refers to itself.
const deepest = 50

// parseYAML reads a file of one document. Empty is nil.
func parseYAML(text []byte) (*node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
			return fromYAML(document.Content[0], 0)
		}
		if err == nil {
			return nil, errors.New("there is more than one document in the file")
		}
	}
	return nil, yamlFault(err)
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// yamlFault finds the line in the library's words.
func yamlFault(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits
		return faultf(line, "%s", m[2])
	}
	return errors.New(text)
}

// padded is a whole number that begins with zeros: its sign, and the number.
var padded = regexp.MustCompile(`^([-+]?)0+([0-9]+)$`)

func fromYAML(y *yaml.Node, depth int) (*node, error) {
	if depth > deepest {
		return nil, faultf(y.Line, "it nests deeper than %d levels", deepest)
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return fromYAML(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.kind = sequence
		for _, item := range y.Content {
			child, err := fromYAML(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, child)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = mapping
		var merged []pair
		var taken names
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			child, err := fromYAML(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			if key.ShortTag() == "!!merge" {
				from := []*node{child}
				if child.kind == sequence { // the first one goes before
					from = child.list
				}
				for _, m := range from {
					if m.kind != mapping {
						return nil, faultf(key.Line, "<< takes a mapping, or a list of mappings")
					}
					merged = append(merged, m.pairs...)
				}
				continue
			}
			if key.Kind != yaml.ScalarNode {
				return nil, faultf(key.Line, "a key is to be a word")
			}
			if !taken.add(n, key.Value) {
				return nil, faultf(key.Line, "%s is there twice", key.Value)
			}
			n.pairs = append(n.pairs, pair{key.Value, key.Line, child})
		}
		for _, p := range merged { // what is said here goes before
			if taken.add(n, p.name) {
				n.pairs = append(n.pairs, p)
			}
		}
		return n, nil
	}
	return n, n.scalar(y)
}

// scalar reads a value by YAML's rules, and keeps how it was written.
func (n *node) scalar(y *yaml.Node) error {
	raw := []byte(y.Value)
	n.input = portable.Input{Kind: portable.KindText, Text: raw}
	switch y.ShortTag() {
	case "!!null":
		n.input = portable.Input{Null: true}
	case "!!bool":
		var b bool
		if err := y.Decode(&b); err != nil {
			return faultf(y.Line, "%s is no truth value", y.Value)
		}
		n.input = boolInput(b)
		n.input.Raw = raw
	case "!!int":
		var small int64
		var large uint64
		switch {
		case padded.Match(raw): // 010 is 8 for the library, next to 08 and 10
			n.input = portable.Input{Kind: portable.KindInt, Text: padded.ReplaceAll(raw, []byte("$1$2")), Raw: raw}
		case y.Decode(&small) == nil:
			n.input = portable.Input{Kind: portable.KindInt, Text: strconv.AppendInt(nil, small, 10), Raw: raw}
		case y.Decode(&large) == nil:
			n.input = portable.Input{Kind: portable.KindInt, Text: strconv.AppendUint(nil, large, 10), Raw: raw}
		default:
			n.input = portable.Input{Kind: portable.KindDecimal, Text: raw, Raw: raw}
		}
	case "!!float":
		var f float64
		if err := y.Decode(&f); err != nil {
			return faultf(y.Line, "%s is no number", y.Value)
		}
		n.input = portable.Input{Kind: portable.KindDecimal, Text: bytes.ReplaceAll(raw, []byte("_"), nil), Raw: raw}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			n.input.Kind, n.input.Text = portable.KindFloat64, []byte("NaN")
			if !math.IsNaN(f) {
				n.input.Text = []byte(map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0])
			}
		}
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(y.Value), ""))
		if err != nil {
			return faultf(y.Line, "it is no base64")
		}
		n.input = bytesInput(data)
	}
	return nil
}

func boolInput(b bool) portable.Input {
	return portable.Input{Kind: portable.KindBool, Text: []byte(map[bool]string{true: "t", false: "f"}[b]), Raw: strconv.AppendBool(nil, b)}
}

func bytesInput(data []byte) portable.Input {
	return portable.Input{Kind: portable.KindBytes, Text: hex.AppendEncode([]byte(`\x`), data)}
}

// parseJSON reads a file of one value. It is no YAML: that does not know JSON's pairs of
// surrogates.
func parseJSON(text []byte) (*node, error) {
	j := &jsonReader{text: text, decoder: json.NewDecoder(bytes.NewReader(text)), line: 1}
	j.decoder.UseNumber()
	n, err := j.value(0)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if _, err = j.decoder.Token(); errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil {
			err = errors.New("there is more than one value in the file")
		}
	}
	if line, ok := errors.AsType[*lineError](err); ok {
		return nil, line
	}
	offset := j.decoder.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	return nil, faultf(j.lineAt(offset), "%s", err)
}

type jsonReader struct {
	text    []byte
	decoder *json.Decoder
	line    int
	counted int64
}

// lineAt counts on from the last call.
func (j *jsonReader) lineAt(offset int64) int {
	offset = min(offset, int64(len(j.text)))
	if offset > j.counted {
		j.line += bytes.Count(j.text[j.counted:offset], []byte("\n"))
		j.counted = offset
	}
	return j.line
}

func (j *jsonReader) token() (json.Token, int, error) {
	token, err := j.decoder.Token()
	return token, j.lineAt(j.decoder.InputOffset()), err
}

func (j *jsonReader) value(depth int) (*node, error) {
	token, line, err := j.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: line}
	switch t := token.(type) {
	case nil:
		n.input = portable.Input{Null: true}
	case bool:
		n.input = boolInput(t)
	case string:
		n.input = portable.Input{Kind: portable.KindText, Text: []byte(t)}
	case json.Number:
		raw := []byte(t)
		n.input = portable.Input{Kind: portable.KindDecimal, Text: raw, Raw: raw}
		if !strings.ContainsAny(string(t), ".eE") {
			n.input.Kind = portable.KindInt
		}
	case json.Delim:
		if depth > deepest {
			return nil, faultf(line, "it nests deeper than %d levels", deepest)
		}
		n.kind = sequence
		if t == '{' {
			n.kind = mapping
		}
		var taken names
		for j.decoder.More() {
			var p pair
			if n.kind == mapping {
				key, line, err := j.token()
				if err != nil {
					return nil, err
				}
				p.name, p.line = key.(string), line // the decoder takes nothing else there
				if !taken.add(n, p.name) {
					return nil, faultf(line, "%s is there twice", p.name)
				}
			}
			child, err := j.value(depth + 1)
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return nil, err
			}
			if p.value = child; n.kind == mapping {
				n.pairs = append(n.pairs, p)
			} else {
				n.list = append(n.list, child)
			}
		}
		if _, _, err := j.token(); err != nil { // the bracket
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return n, nil
}

// appendJSON writes a node as JSON.
func (n *node) appendJSON(dst []byte) ([]byte, error) {
	switch n.kind {
	case sequence:
		dst = append(dst, '[')
		for i, item := range n.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = item.appendJSON(dst); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case mapping:
		dst = append(dst, '{')
		for i, p := range n.pairs {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = p.value.appendJSON(append(appendString(dst, p.name), ':')); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	switch in := n.input; {
	case in.Null:
		return append(dst, "null"...), nil
	case in.Kind == portable.KindBool:
		return append(dst, in.Raw...), nil
	case in.Kind == portable.KindInt, in.Kind == portable.KindDecimal && json.Valid(in.Text):
		return append(dst, in.Text...), nil
	case in.Kind == portable.KindText:
		return appendString(dst, string(in.Text)), nil
	}
	return dst, faultf(n.line, "JSON has no such value")
}

// appendString writes text between quotes, as both JSON and YAML read it.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r >= 0xfffe && r <= 0xffff:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
