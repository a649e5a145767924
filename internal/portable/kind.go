package portable

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Kind is what a column holds, whatever the engine calls it.
type Kind string

// The kinds of columns, each with the form of its values in an archive. It is that
// of PostgreSQL's COPY under fixed settings.
const (
	KindBool        Kind = "bool"        // t, f
	KindInt         Kind = "int"         // digits, up to 64 bits with or without a sign
	KindFloat32     Kind = "float32"     // the shortest digits that mean the same; NaN, Infinity, -Infinity
	KindFloat64     Kind = "float64"     // likewise
	KindDecimal     Kind = "decimal"     // digits as the engine writes them
	KindText        Kind = "text"        // as it is
	KindChar        Kind = "char"        // text for whose meaning blanks at the end do not count
	KindBytes       Kind = "bytes"       // \x and hexadecimal digits
	KindDate        Kind = "date"        // 2026-11-23
	KindTime        Kind = "time"        // 10:46:00.123456
	KindTimestamp   Kind = "timestamp"   // 2026-11-23 10:46:00.123456
	KindTimestampTZ Kind = "timestamptz" // 2026-11-23 10:46:00.123456+00
	KindJSON        Kind = "json"        // as the engine writes it
	KindUUID        Kind = "uuid"        // with hyphens, in lower case
	KindAny         Kind = "any"         // SQLite's columns without a type: each value has a tag
	KindOther       Kind = "other"       // as the engine writes it: arrays, intervals, ranges, …
)

// The tags of values that are stored in another way than their column's kind says,
// which SQLite allows.
const (
	tagInt   = 'I'
	tagFloat = 'R'
	tagText  = 'S'
	tagBytes = 'B'
)

// value is one value of a row. data is valid until the next row.
type value struct {
	null bool
	raw  bool // data are the bytes themselves, and not their digits
	tag  byte // 0: of its column's kind
	data []byte
}

// size is how long the value's form in an archive is, without what is escaped.
func (v value) size() int {
	if v.raw {
		return 2 + 2*len(v.data)
	}
	return len(v.data)
}

// text is the value's form in an archive before anything is escaped. What has to be
// made for that stands behind dst.
func (v value) text(dst []byte) []byte {
	if !v.raw {
		return v.data
	}
	return hex.AppendEncode(append(dst, `\x`...), v.data)
}

// pieces hands that form out in parts, for which a big value is not copied.
func (v value) pieces(f func([]byte) error) error {
	if !v.raw {
		for data := v.data; len(data) > 0; {
			part := data[:min(len(data), big)]
			data = data[len(part):]
			if err := f(part); err != nil {
				return err
			}
		}
		return nil
	}
	room := make([]byte, 0, big)
	if err := f([]byte(`\x`)); err != nil {
		return err
	}
	for data := v.data; len(data) > 0; {
		part := data[:min(len(data), big/2)]
		data = data[len(part):]
		if err := f(hex.AppendEncode(room, part)); err != nil {
			return err
		}
	}
	return nil
}

// kind is what a value of a column of kind k is.
func (v value) kind(k Kind) Kind {
	switch v.tag {
	case tagInt:
		return KindInt
	case tagFloat:
		return KindFloat64
	case tagText:
		return KindText
	case tagBytes:
		return KindBytes
	}
	return k
}

// wellFormed reports whether a value of an archive, in a column of kind k, has the form
// that all who take it apart count on: what the archive's digest says comes later.
func (v value) wellFormed(k Kind) bool {
	if v.null || v.raw {
		return true
	}
	switch v.kind(k) {
	case KindBool:
		return string(v.data) == "t" || string(v.data) == "f"
	case KindBytes:
		return len(v.data)%2 == 0 && bytes.HasPrefix(v.data, []byte(`\x`))
	}
	return true
}

// A refusal says why a column cannot hold a value.
type refusal string

func (r refusal) Error() string { return string(r) }

func refusef(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// family groups kinds whose values can be told from each other's text alone.
func (k Kind) isTime() bool {
	return k == KindDate || k == KindTime || k == KindTimestamp || k == KindTimestampTZ
}

func (k Kind) isNumber() bool {
	return k == KindInt || k == KindFloat32 || k == KindFloat64 || k == KindDecimal
}

func (k Kind) isText() bool { return k == KindText || k == KindChar }

// common is the kind as which the values of two columns are compared: the one that
// says more. ok is false for two that have nothing to do with each other.
func common(a, b Kind) (Kind, bool) {
	if a == b {
		return a, true
	}
	for _, p := range [][2]Kind{{a, b}, {b, a}} {
		x, y := p[0], p[1]
		switch {
		case y == KindAny:
			return x, true
		case x == KindBool && (y == KindInt || y.isText()):
			return KindBool, true
		case x == KindFloat32 && y.isNumber(), x == KindFloat64 && (y == KindInt || y == KindDecimal), x == KindDecimal && y == KindInt, x.isNumber() && y.isText():
			return x, true
		case x == KindTimestamp && y == KindTimestampTZ, x == KindTimestamp && y == KindDate, x == KindTimestampTZ && y == KindDate:
			return KindTimestamp, true
		case x.isTime() && y.isText(), x == KindJSON && y.isText(), x == KindUUID && (y.isText() || y == KindBytes), x == KindChar && y == KindText:
			return x, true
		case x == KindBytes && y.isText():
			return KindBytes, true
		case x == KindOther && y.isText():
			return y, true
		case x == KindOther && y == KindJSON:
			return KindJSON, true
		}
	}
	return "", false
}

// convert writes a value of kind from as one of kind to, behind dst. It never
// changes what the value means: what cannot be said in the other kind is a
// refusal.
func convert(dst []byte, from, to Kind, data []byte) ([]byte, error) {
	if from == to {
		return append(dst, data...), nil
	}
	switch to {
	case KindBool:
		return toBool(dst, from, data)
	case KindInt:
		return toInt(dst, from, data)
	case KindFloat32, KindFloat64:
		return toFloat(dst, from, to, data)
	case KindDecimal:
		switch {
		case from.isNumber():
			return append(dst, data...), nil
		case from.isText():
			if _, err := parseNumber(data); err == nil {
				return append(dst, data...), nil
			}
			return dst, refusal("it is text and no number")
		case from == KindBool:
			return toInt(dst, from, data)
		}
	case KindText, KindChar, KindOther:
		return toText(dst, from, data)
	case KindBytes:
		switch from {
		case KindText, KindChar, KindOther, KindJSON:
			return hex.AppendEncode(append(dst, `\x`...), data), nil
		case KindUUID:
			return append(append(dst, `\x`...), bytes.ReplaceAll(data, []byte("-"), nil)...), nil
		}
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		return toTime(dst, from, to, data)
	case KindJSON:
		if from.isText() || from == KindOther {
			if !json.Valid(data) {
				return dst, refusal("it is no JSON")
			}
			return append(dst, data...), nil
		}
		if from.isNumber() && json.Valid(data) {
			return append(dst, data...), nil
		}
	case KindUUID:
		return toUUID(dst, from, data)
	}
	return dst, refusef("a value of kind %s is no %s", from, to)
}

func toBool(dst []byte, from Kind, data []byte) ([]byte, error) {
	switch text := string(data); {
	case from == KindInt && text == "1", from.isText() && (text == "1" || text == "t" || text == "true"):
		return append(dst, 't'), nil
	case from == KindInt && text == "0", from.isText() && (text == "0" || text == "f" || text == "false"):
		return append(dst, 'f'), nil
	}
	return dst, refusal("it is neither true nor false, 1 nor 0")
}

func toInt(dst []byte, from Kind, data []byte) ([]byte, error) {
	switch {
	case from == KindBool:
		return append(dst, "01"[b2i(data[0] == 't')]), nil
	case from.isText() || from.isNumber():
		n, err := parseNumber(data)
		if err != nil || n.special != "" {
			return dst, refusal("it is no whole number")
		}
		if n.exponent < 0 || n.exponent > 19 {
			return dst, refusal("it is no whole number of 64 bits")
		}
		if n.negative {
			dst = append(dst, '-')
		}
		dst = append(dst, n.digits...)
		for range n.exponent {
			dst = append(dst, '0')
		}
		return dst, nil
	}
	return dst, refusef("a value of kind %s is no whole number", from)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func toFloat(dst []byte, from, to Kind, data []byte) ([]byte, error) {
	if !from.isNumber() && !from.isText() {
		return dst, refusef("a value of kind %s is no number", from)
	}
	if from == KindFloat32 { // every one is a float64 of the same digits
		return append(dst, data...), nil
	}
	bits := 64
	if to == KindFloat32 {
		bits = 32
	}
	n, err := parseNumber(data)
	if err != nil {
		return dst, refusal("it is text and no number")
	}
	if n.special != "" {
		return append(dst, n.special...), nil
	}
	f, err := strconv.ParseFloat(string(data), bits)
	if err != nil {
		return dst, refusef("it is too large for a number of %d bits", bits)
	}
	text := strconv.AppendFloat(nil, f, 'g', -1, bits)
	back, err := parseNumber(text)
	if err != nil || !back.equal(n) {
		wide, wideErr := strconv.ParseFloat(string(data), 64)
		if from != KindFloat64 || wideErr != nil || wide != f {
			return dst, refusef("it has more digits than a number of %d bits keeps", bits)
		}
	}
	return append(dst, text...), nil
}

func toText(dst []byte, from Kind, data []byte) ([]byte, error) {
	switch from {
	case KindBytes:
		return dst, refusal("bytes are no text")
	case KindBool:
		if data[0] == 't' {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	}
	return append(dst, data...), nil
}

func toUUID(dst []byte, from Kind, data []byte) ([]byte, error) {
	digits := data
	switch {
	case from == KindBytes:
		digits = data[2:]
	case from.isText():
		digits = bytes.ToLower(data)
		if len(digits) == 36 {
			if digits[8] != '-' || digits[13] != '-' || digits[18] != '-' || digits[23] != '-' {
				return dst, refusal("it is no UUID")
			}
			digits = slices.Concat(digits[:8], digits[9:13], digits[14:18], digits[19:23], digits[24:])
		}
	default:
		return dst, refusef("a value of kind %s is no UUID", from)
	}
	if _, err := hex.Decode(make([]byte, 16), digits[:min(len(digits), 32)]); err != nil || len(digits) != 32 {
		return dst, refusal("it is no UUID")
	}
	return fmt.Appendf(dst, "%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]), nil
}

// number is a decimal number in its one form: digits without zeros at either end,
// times ten to the exponent.
type number struct {
	negative bool
	digits   string // "0" for zero
	exponent int
	special  string // NaN, Infinity or -Infinity
}

func (n number) equal(o number) bool { return n == o }

var errNoNumber = errors.New("no number")

// parseNumber reads a number as engines and JSON write it.
func parseNumber(text []byte) (n number, err error) {
	rest := text
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		n.negative = rest[0] == '-'
		rest = rest[1:]
	}
	switch string(rest) {
	case "NaN", "nan":
		return number{special: "NaN"}, nil
	case "Infinity", "Inf", "inf":
		if n.negative {
			return number{special: "-Infinity"}, nil
		}
		return number{special: "Infinity"}, nil
	}
	digits := make([]byte, 0, 40)
	seen, point := 0, false
	i := 0
	for ; i < len(rest); i++ {
		c := rest[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen++
		if point {
			n.exponent--
		}
		if c != '0' || len(digits) > 0 {
			digits = append(digits, c)
		}
	}
	if seen == 0 {
		return n, errNoNumber
	}
	if i < len(rest) {
		if rest[i] != 'e' && rest[i] != 'E' {
			return n, errNoNumber
		}
		e, err := strconv.ParseInt(string(rest[i+1:]), 10, 32)
		if err != nil {
			return n, errNoNumber
		}
		n.exponent += int(e)
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		n.exponent++
	}
	if len(digits) == 0 {
		return number{digits: "0"}, nil
	}
	n.digits = string(digits)
	return n, nil
}

func (n number) append(dst []byte) []byte {
	if n.special != "" {
		return append(dst, n.special...)
	}
	if n.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, n.digits...)
	if n.exponent != 0 {
		dst = strconv.AppendInt(append(dst, 'e'), int64(n.exponent), 10)
	}
	return dst
}

// canonical writes a value of kind k in the form that its digest is taken of,
// behind dst: two values that mean the same have the same form on all engines.
// What is not a value of that kind at all stays as it is.
func canonical(dst []byte, k Kind, data []byte) []byte {
	switch k {
	case KindFloat32, KindFloat64:
		bits := 64
		if k == KindFloat32 {
			bits = 32
		}
		f, err := strconv.ParseFloat(string(data), bits)
		switch {
		case err != nil:
		case math.IsNaN(f):
			return append(dst, "NaN"...)
		case math.IsInf(f, 0):
			return append(dst, "+-"[b2i(f < 0)])
		default:
			if f == 0 {
				f = 0 // SQLite does not keep the sign of a zero
			}
			return strconv.AppendFloat(dst, f, 'e', -1, bits)
		}
	case KindDecimal:
		if n, err := parseNumber(data); err == nil {
			return n.append(dst)
		}
	case KindChar:
		return append(dst, bytes.TrimRight(data, " ")...)
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		return canonicalTime(dst, k, data)
	case KindJSON:
		if out, err := canonicalJSON(dst, data); err == nil {
			return out
		}
	case KindUUID:
		if out, err := toUUID(dst, KindText, data); err == nil {
			return out
		}
	}
	return append(dst, data...)
}

// isCanonical reports whether a value's form in the archive is the canonical one
// whatever it is.
func (k Kind) isCanonical() bool {
	switch k {
	case KindBool, KindInt, KindText, KindBytes, KindOther, KindAny:
		return true
	}
	return false
}

// canonicalJSON sorts keys, and writes numbers and strings in one way. Of a key
// that is there twice the last one counts, as it does for the engines that parse
// JSON when it is stored.
func canonicalJSON(dst, data []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return dst, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return dst, errors.New("more than one value")
	}
	return appendJSON(dst, v), nil
}

func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		dst = append(dst, '{')
		for i, key := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, key), ':')
			dst = appendJSON(dst, v[key])
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, item)
		}
		return append(dst, ']')
	case string:
		return appendJSONString(dst, v)
	case json.Number:
		n, err := parseNumber([]byte(v))
		if err != nil { // an exponent beyond 32 bits
			return append(dst, v...)
		}
		return n.append(dst)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// badText says why an engine that keeps text, and not bytes, cannot hold data, or
// is empty. nul says that it holds NUL.
func badText(data []byte, nul bool) string {
	if !nul && bytes.IndexByte(data, 0) >= 0 {
		return "it has a NUL character, which this engine's text cannot hold"
	}
	if !utf8.Valid(data) {
		return "it is not UTF-8"
	}
	return ""
}
