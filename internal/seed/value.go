package seed

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/portable"
)

// form is a value as a file says it: a plain one, or how to come by it.
type form struct {
	line    int
	kind    formKind
	plain   portable.Input
	ref     reference     // formRef
	name    string        // formEnv: of the variable; formFile: of the file
	other   *node         // formEnv: the default; nil for none
	ago     time.Duration // formNow
	random  string        // formRandom: what kind
	choices []*node       // formRandom: one of these
	low     int64         // formRandom
	high    int64
	length  int
}

type formKind uint8

const (
	formPlain formKind = iota
	formRef
	formEnv
	formNow
	formRandom
	formFile
)

// once reports whether the value is another one each time that it is asked for, or need
// not be what is there: it counts for a new row only.
func (f *form) once() bool { return f.kind == formNow || f.kind == formRandom }

// reference is another row, and its column; empty: the one that the foreign key leads to.
type reference struct{ table, row, column string }

// The first word of each form, with the others that it takes.
var formKeys = map[string][]string{
	"ref": nil, "env": {"default"}, "now": nil, "random": {"min", "max", "length"}, "file": nil, "base64": nil, "json": nil,
}

// formNames are they in the order of the guide.
var formNames = []string{"ref", "env", "now", "random", "file", "base64", "json"}

// kindsOfRandom are what a random value may be.
var kindsOfRandom = []string{"int", "uuid", "hex", "name", "email", "text"}

func readForm(n *node) (*form, error) {
	f := &form{line: n.line, plain: n.input}
	switch n.kind {
	case scalar:
		return f, nil
	case sequence:
		return nil, faultf(n.line, "a list is written as {json: [...]}")
	}
	var what *pair
	for i, p := range n.pairs {
		if _, ok := formKeys[p.name]; ok {
			what = &n.pairs[i]
			break
		}
	}
	if what == nil {
		unknown := ""
		if len(n.pairs) > 0 {
			unknown = n.pairs[0].name
		}
		return nil, faultf(n.line, "unknown form of a value {%s: ...}: there are %s%s", unknown, strings.Join(formNames, ", "), nearest(unknown, formNames))
	}
	for _, p := range n.pairs {
		if p.name != what.name && !slices.Contains(formKeys[what.name], p.name) {
			return nil, faultf(p.line, "%s does not go with %s", p.name, what.name)
		}
	}
	return f, f.read(n, what)
}

func (f *form) read(n *node, what *pair) error {
	text, ok := what.value.text()
	wordless := what.name == "json" || what.name == "random" || what.name == "now" && what.value.isNull()
	if !ok && !wordless {
		return faultf(what.line, "%s is followed by a word", what.name)
	}
	switch what.name {
	case "ref":
		f.kind = formRef
		return f.readRef(what.line, text)
	case "env":
		f.kind, f.name, f.other = formEnv, text, n.get("default")
		if f.other != nil && f.other.kind != scalar {
			return faultf(what.line, "the default is a plain value")
		}
	case "now":
		f.kind = formNow
		var err error
		if f.ago, err = span(text); err != nil {
			return faultf(what.line, "now: %s", err)
		}
	case "file":
		f.kind, f.name = formFile, text
	case "base64":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return faultf(what.line, "it is no base64")
		}
		f.plain = bytesInput(data)
	case "json":
		data, err := what.value.appendJSON(nil)
		if err != nil {
			return err
		}
		f.plain = portable.Input{Kind: portable.KindJSON, Text: data}
	case "random":
		return f.readRandom(n, what)
	}
	return nil
}

func (f *form) readRef(line int, text string) error {
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return faultf(line, "a reference is table.row or table.row.column, not %q", text)
	}
	f.ref = reference{table: parts[0], row: parts[1]}
	if len(parts) == 3 {
		f.ref.column = parts[2]
	}
	return nil
}

// span reads how far away from now it is: nothing, 0, -3d, +1h30m, -2w.
func span(text string) (time.Duration, error) {
	rest := strings.TrimPrefix(text, "+")
	negative := strings.HasPrefix(rest, "-")
	rest = strings.TrimPrefix(rest, "-")
	if rest == "" || rest == "0" {
		return 0, nil
	}
	var sum time.Duration
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		unit := time.Duration(0)
		if digits < len(rest) {
			unit = map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}[rest[digits]]
		}
		if err != nil || unit == 0 || n > int64(100*366*24*time.Hour/unit) {
			return 0, fmt.Errorf("%q is no span of time within a hundred years, such as -3d or 1h30m (w, d, h, m, s)", text)
		}
		sum += time.Duration(n) * unit
		rest = rest[digits+1:]
	}
	if negative {
		sum = -sum
	}
	return sum, nil
}

func (f *form) readRandom(n *node, what *pair) error {
	f.kind = formRandom
	if what.value.kind == sequence {
		for _, item := range what.value.list {
			if item.kind != scalar {
				return faultf(item.line, "random chooses between plain values")
			}
		}
		if f.choices = what.value.list; len(f.choices) == 0 {
			return faultf(what.line, "random has nothing to choose from")
		}
	} else {
		f.random, _ = what.value.text()
		if !slices.Contains(kindsOfRandom, f.random) {
			return faultf(what.line, "unknown random %s: there are %s, and a list to choose from%s", f.random, strings.Join(kindsOfRandom, ", "), nearest(f.random, kindsOfRandom))
		}
	}
	f.low, f.high, f.length = 0, 1_000_000, 16
	for _, p := range n.pairs {
		if p.name == what.name {
			continue
		}
		text, _ := p.value.text()
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return faultf(p.line, "%s is a whole number", p.name)
		}
		fits := f.random == "int"
		switch p.name {
		case "min":
			f.low = number
		case "max":
			f.high = number
		case "length":
			fits = f.random == "hex" || f.random == "text"
			if f.length = int(number); number < 1 || number > 1<<20 {
				return faultf(p.line, "length is from 1 to %d", 1<<20)
			}
		}
		if !fits {
			return faultf(p.line, "%s does not go with random %s", p.name, cmp.Or(f.random, "and a list to choose from"))
		}
	}
	if f.high < f.low || f.high-f.low < 0 {
		return faultf(what.line, "max is less than min")
	}
	return nil
}

// longestFile is the largest file that becomes a value.
const longestFile = 32 << 20

// value is what a form means for a row. References are no matter of it.
func (f *form) value(w World, fsys fs.FS, r *Row, column string) (portable.Input, error) {
	switch f.kind {
	case formEnv:
		return f.fromEnv(w)
	case formNow:
		return portable.Input{Kind: portable.KindTimestampTZ, Text: w.Now.UTC().Add(f.ago).AppendFormat(nil, "2006-01-02 15:04:05+00")}, nil
	case formFile:
		name := path.Join(path.Dir(r.table.File), f.name)
		if !fs.ValidPath(name) {
			return portable.Input{}, fmt.Errorf("the file %s is outside of the seeds", f.name)
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return portable.Input{}, fmt.Errorf("the file %s cannot be read: %s", name, plain(err))
		}
		if len(data) > longestFile {
			return portable.Input{}, fmt.Errorf("the file %s is larger than %d MiB", name, longestFile>>20)
		}
		in := bytesInput(data)
		in.Raw = data
		return in, nil
	case formRandom:
		return f.made(r, column), nil
	}
	return f.plain, nil
}

// fromEnv reads a variable. Its value stands in no error.
func (f *form) fromEnv(w World) (portable.Input, error) {
	value, err := w.Secret(f.name)
	if err != nil {
		return portable.Input{}, err
	}
	if value != "" {
		return portable.Input{Kind: portable.KindText, Text: []byte(value)}, nil
	}
	if f.other != nil {
		return f.other.input, nil
	}
	return portable.Input{}, errUnset{f.name}
}

// errUnset is a variable that is not there.
type errUnset struct{ name string }

func (e errUnset) Error() string {
	return fmt.Sprintf("the variable %s is not set, and there is no default", e.name)
}

// made is the same at every run: it depends on the table, the row and the column alone.
func (f *form) made(r *Row, column string) portable.Input {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", r.table.Name, r.label(), column))
	source := rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16]))) //nolint:gosec // it is to be foreseeable
	text := func(s string) portable.Input { return portable.Input{Kind: portable.KindText, Text: []byte(s)} }
	switch {
	case f.choices != nil:
		return f.choices[source.IntN(len(f.choices))].input
	case f.random == "int":
		n := f.low
		if f.high-f.low < 1<<62 {
			n += source.Int64N(f.high - f.low + 1)
		}
		return portable.Input{Kind: portable.KindInt, Text: strconv.AppendInt(nil, n, 10)}
	case f.random == "uuid":
		b := sum[16:]
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		return text(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	case f.random == "hex":
		b := make([]byte, (f.length+1)/2)
		for i := range b {
			b[i] = byte(source.UintN(256))
		}
		return text(hex.EncodeToString(b)[:f.length])
	case f.random == "name":
		return text(madeName(source))
	case f.random == "email":
		return text(fmt.Sprintf("%s.%x@example.com", strings.ToLower(strings.ReplaceAll(madeName(source), " ", ".")), sum[16:20]))
	}
	words := make([]string, f.length)
	for i := range words {
		words[i] = someWords[source.IntN(len(someWords))]
	}
	return text(strings.Join(words, " "))
}

var (
	firstNames = strings.Fields("Ada Alan Barbara Charles Donald Edith Frances Grace Hedy Ivan John Katherine Linus Margaret Niklaus Olga Peter Radia Sophie Tim")
	lastNames  = strings.Fields("Allen Booth Carter Dahl Evans Fisher Garcia Hopper Iverson Jensen Knuth Lamport Moreau Nygaard Okafor Perlman Quist Ritchie Stone Tanaka")
	someWords  = strings.Fields("amber bridge cloud delta ember field garden harbour island juniper kettle ladder meadow needle orchard paper quarry river silver timber under valley willow yellow zephyr")
)

func madeName(source *rand.Rand) string {
	return firstNames[source.IntN(len(firstNames))] + " " + lastNames[source.IntN(len(lastNames))]
}
