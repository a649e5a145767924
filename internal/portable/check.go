package portable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// check says why a column cannot hold a value, which is of the column's kind
// already. The target would refuse it too, in the middle of a batch and without the
// row's name, or would not, and keep something else.
func (c *Column) check(v value) error {
	if v.null {
		if c.NotNull {
			return refusal("it is NULL, and the target's column is NOT NULL")
		}
		return nil
	}
	l := &c.limits
	switch v.kind(c.Kind) {
	case KindInt:
		return l.checkInt(v.data)
	case KindFloat32, KindFloat64:
		switch s := string(v.data); {
		case s == "NaN" && (l.noSpecial || l.noNaN):
			return refusal("it is NaN, which the target cannot hold")
		case l.noSpecial && strings.HasSuffix(s, "Infinity"):
			return refusal("it is infinite, which the target cannot hold")
		}
	case KindDecimal:
		return l.checkDecimal(v.data)
	case KindText, KindChar, KindOther:
		return l.checkText(v.data)
	case KindBytes:
		if n := (v.size() - 2) / 2; l.bytes > 0 && n > l.bytes {
			return refusef("it has %d bytes, and the target's %s has room for %d", n, c.Type, l.bytes)
		}
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		return c.checkTime(v.data)
	case KindJSON:
		return l.checkJSON(v.data)
	}
	return nil
}

func (l *limits) checkInt(data []byte) error {
	if l.bits == 0 {
		return nil
	}
	var fits bool
	if l.unsigned {
		n, err := strconv.ParseUint(string(data), 10, 64)
		fits = err == nil && (l.bits == 64 || n < 1<<l.bits)
	} else {
		n, err := strconv.ParseInt(string(data), 10, 64)
		fits = err == nil && (l.bits == 64 || n < 1<<(l.bits-1) && n >= -1<<(l.bits-1))
	}
	if !fits {
		return refusef("it is out of range for a number of %d bits", l.bits)
	}
	return nil
}

func (l *limits) checkDecimal(data []byte) error {
	n, err := parseNumber(data)
	if err != nil {
		return refusal("it is no number")
	}
	switch {
	case n.special == "NaN" && (l.noSpecial || l.noNaN):
		return refusal("it is NaN, which the target cannot hold")
	case n.special != "":
		if l.noSpecial || l.precision > 0 && n.special != "NaN" {
			return refusal("it is infinite, which the target cannot hold")
		}
		return nil
	case l.double:
		return l.checkDouble(data)
	case !l.hasScale:
		return nil
	case n.digits != "0" && -n.exponent > l.scale:
		return refusef("it has %d digits behind the point, and the target keeps %d", -n.exponent, l.scale)
	case n.digits != "0" && len(n.digits)+n.exponent > l.precision-l.scale:
		return refusef("it has %d digits before the point, and the target has room for %d", len(n.digits)+n.exponent, l.precision-l.scale)
	}
	return nil
}

// checkDouble is for SQLite, which keeps a number with a fraction as a double.
func (l *limits) checkDouble(data []byte) error {
	if _, err := strconv.ParseInt(string(data), 10, 64); err == nil {
		return nil
	}
	if _, err := toFloat(nil, KindDecimal, KindFloat64, data); err != nil {
		return refusal(err.Error() + ": a column that is declared as TEXT keeps all digits")
	}
	return nil
}

func (l *limits) checkText(data []byte) error {
	if bad := badText(data, !l.noNUL); bad != "" {
		return refusal(bad)
	}
	if l.bytes > 0 && len(data) > l.bytes {
		return refusef("it has %d bytes, and the target has room for %d", len(data), l.bytes)
	}
	if l.chars > 0 && len(data) > l.chars {
		if n := utf8.RuneCount(data); n > l.chars {
			return refusef("it has %d characters, and the target has room for %d", n, l.chars)
		}
	}
	if l.lastRune > 0 {
		for _, r := range string(data) {
			if r > l.lastRune {
				return refusef("it has the character %U, which the target's character set does not have", r)
			}
		}
	}
	return nil
}

func (c *Column) checkTime(data []byte) error {
	l := &c.limits
	m, ok := parseMoment(string(data))
	switch {
	case !ok:
		return refusef("it is no %s that can be read", c.Kind)
	case m.special != "":
		if l.noSpecial {
			return refusal("it is infinite, which the target cannot hold")
		}
		return nil
	case l.timeDigits > 0 && len(m.fraction) > l.timeDigits-1:
		return fineTime{len(m.fraction), l.timeDigits - 1}
	case c.Kind == KindTime && (m.hasDate || !m.hasDay):
		return refusal("it is no time of day")
	case l.dayHours && c.Kind == KindTime && (m.day[0] == '-' || m.day[2] != ':' || m.day > "24:00:00"):
		return refusal("it is no time of day")
	case m.hasDate && l.noZeroDate && (strings.HasPrefix(m.date, "0000") || strings.Contains(m.date, "-00")):
		return refusal("it is the zero date, or a part of one, which the target cannot hold")
	case m.hasDate && l.years[1] > 0:
		year, err := strconv.Atoi(m.date[:len(m.date)-6])
		if err != nil || m.bc || year < l.years[0] || year > l.years[1] {
			return refusef("its year is not among those that the target's %s can hold (%d to %d)", c.Type, l.years[0], l.years[1])
		}
	}
	return nil
}

// fineTime is the refusal of a time with more digits of a second than the target keeps.
type fineTime struct{ has, keeps int }

func (t fineTime) Error() string {
	return fmt.Sprintf("it has %d digits of a fraction of a second, and the target keeps %d", t.has, t.keeps)
}

func (t fineTime) Unwrap() error { return refusal(t.Error()) }

func (l *limits) checkJSON(data []byte) error {
	if !json.Valid(data) {
		return refusal("it is no JSON")
	}
	if l.jsonb && hasNUL(data) {
		return refusal("it has a NUL character, which this engine's JSON cannot hold")
	}
	if l.jsonDouble && hasWideNumber(data) {
		return refusal("it has a number of more digits than the target's JSON keeps")
	}
	return nil
}

// hasNUL reports whether JSON has the escape of a NUL character, and not a backslash
// that is one itself before the same digits.
func hasNUL(data []byte) bool {
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 {
			return false
		}
		if data = data[i+1:]; bytes.HasPrefix(data, []byte("u0000")) {
			return true
		}
		data = data[min(1, len(data)):]
	}
}

// hasWideNumber reports whether JSON has a number that MySQL would round: neither a
// whole number of 64 bits nor the nearest text of a double.
func hasWideNumber(data []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return false
		}
		text, ok := token.(json.Number)
		if !ok {
			continue
		}
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			continue
		}
		if _, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			continue
		}
		f, err := strconv.ParseFloat(string(text), 64)
		want, numberErr := parseNumber([]byte(text))
		if err != nil || numberErr != nil || math.IsInf(f, 0) {
			return true
		}
		if got, err := parseNumber(strconv.AppendFloat(nil, f, 'g', -1, 64)); err != nil || got != want {
			return true
		}
	}
}
