package portable

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What is written as a line is what is read from it, whatever is in it; and what is
// no line is an error and no panic.
func FuzzRow(f *testing.F) {
	f.Add([]byte("plain"), []byte(`back\slash`), []byte("tab\tnew\nline\r"), byte(0))
	f.Add([]byte(`\N`), []byte(`\.`), []byte{0, 0xff, '\b', '\f', '\v'}, byte(tagText))
	f.Add([]byte(`\x00ff`), []byte(``), []byte(`\`), byte(tagBytes))
	f.Fuzz(func(t *testing.T, a, b, c []byte, tag byte) {
		if tag != tagInt && tag != tagFloat && tag != tagText && tag != tagBytes {
			tag = 0
		}
		row := []value{{data: a}, {null: true}, {data: b, tag: tag}, {data: c}}
		line := appendRow(nil, row)
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("a line in the middle of %q", line)
		}
		var r rowReader
		got, err := r.split(line[:len(line)-1], len(row))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for i, v := range got {
			if v.null != row[i].null || v.tag != row[i].tag || !bytes.Equal(v.data, row[i].data) {
				t.Errorf("value %d is %q (%c), want %q (%c)", i, v.data, v.tag, row[i].data, row[i].tag)
			}
		}
		if values, err := r.split(a, 3); err == nil && len(values) != 3 {
			t.Errorf("%q has %d values", a, len(values))
		}
	})
}

// A row that is longer than the buffer is read as a short one is, and has the same
// digest.
func FuzzLongRow(f *testing.F) {
	f.Add([]byte("plain"), []byte(`back\slash`), []byte("tab\tnew\nline\r"), byte(0))
	f.Add([]byte(`\N`), bytes.Repeat([]byte("\\\t"), big), []byte{0, 0xff}, byte(tagText))
	f.Add([]byte{}, []byte(``), bytes.Repeat([]byte{'\\', 7}, big), byte(tagBytes))
	f.Fuzz(func(t *testing.T, a, b, c []byte, tag byte) {
		if tag != tagInt && tag != tagFloat && tag != tagText {
			tag = 0
		}
		columns := []Column{{Kind: KindText}, {Kind: KindText}, {Kind: KindAny}, {Kind: KindAny}, {Kind: KindBytes}}
		row := []value{{data: a}, {null: true}, {data: b, tag: tag}, {data: c, tag: tagBytes, raw: true}, {data: c, raw: true}}
		var line []byte
		if _, err := writeRow(nil, row, func(part []byte) error { line = append(line, part...); return nil }); err != nil {
			t.Fatal(err)
		}
		if short := appendRow(nil, row); !bytes.Equal(line, short) {
			t.Fatalf("in parts the row is %q, and as a whole %q", line, short)
		}
		var short, long rowReader
		want, err := short.split(line[:len(line)-1], len(row))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		in := newReader(nil)
		in.in = bufio.NewReaderSize(bytes.NewReader(append(line, `rest`...)), 16)
		got, err := long.long(&fields{r: in}, columns)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for i := range got {
			if got[i].null != want[i].null || got[i].tag != want[i].tag || !bytes.Equal(got[i].text(nil), want[i].data) {
				t.Errorf("value %d is %q (%c), want %q (%c)", i, got[i].text(nil), got[i].tag, want[i].data, want[i].tag)
			}
		}
		one, other, kinds := newDigest(), newDigest(), newCanon(columns)
		kinds.add(one, got)
		kinds.add(other, want)
		if one.String() != other.String() {
			t.Errorf("%q has two digests", line)
		}
		if rest, err := in.in.Peek(4); err != nil || string(rest) != "rest" {
			t.Errorf("behind the row stands %q: %v", rest, err)
		}
		// Whatever is cut off, it is an error and no panic.
		in.in = bufio.NewReaderSize(bytes.NewReader(line[:len(line)/2]), 16)
		if _, err := long.long(&fields{r: in}, columns); err == nil {
			t.Errorf("half of %q is a row", line)
		}
	})
}

// The canonical form is the same for everything that means the same, and reading a
// moment never panics.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2026-11-23 10:46:00.5+02", "infinity", "0044-03-15 BC", "-838:59:59", "2026-11-23T10:46:00Z", "-", "00:", "12345-01-01", "2026-11-23 10:46+00:19:32"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range []Kind{KindDate, KindTime, KindTimestamp, KindTimestampTZ} {
			once := canonical(nil, k, []byte(s))
			if twice := canonical(nil, k, once); !bytes.Equal(once, twice) {
				t.Errorf("%s of %q: %q, and of that %q", k, s, once, twice)
			}
			c := Column{Kind: k, limits: limits{years: [2]int{0, 9999}, timeDigits: 7, dayHours: true, noZeroDate: true}}
			_ = c.check(value{data: []byte(s)}) // it must not panic
		}
	})
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind Kind
		same []string
	}{
		{KindDecimal, []string{"1.50", "1.5", "01.5", "15e-1", "+1.500"}},
		{KindDecimal, []string{"0", "-0", "0.000", "0e9"}},
		{KindDecimal, []string{"100", "1e2", "100.0"}},
		{KindFloat64, []string{"0.1", "1e-1", "0.1000"}},
		{KindFloat64, []string{"-0", "0", "0.0"}},
		{KindChar, []string{"ab", "ab   "}},
		{KindDate, []string{"2026-11-23", "2026-11-23 00:00:00", "2026-11-23 00:00:00+00:00", "2026-11-23T00:00:00Z"}},
		{KindTime, []string{"10:46:00", "10:46", "10:46:00.000"}},
		{KindTimestamp, []string{"2026-11-23 10:46:00.5", "2026-11-23T10:46:00.500Z", "2026-11-23 12:46:00.5+02:00", "2026-11-23 11:46:00.50+0100"}},
		{KindTimestampTZ, []string{"2026-11-23 10:46:00", "2026-11-23 10:46:00+00", "2026-11-23 05:46:00-05"}},
		{KindJSON, []string{`{"a":[1.0,null,"é/"],"b":1e2}`, `{"b": 100, "a": [1, null, "\u00e9\/"]}`}},
		{KindUUID, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"}},
	} {
		want := canonical(nil, c.kind, []byte(c.same[0]))
		for _, s := range c.same[1:] {
			if got := canonical(nil, c.kind, []byte(s)); !bytes.Equal(got, want) {
				t.Errorf("%s %s is %q, and %s is %q", c.kind, s, got, c.same[0], want)
			}
		}
	}
	for kind, two := range map[Kind][2]string{
		KindDecimal: {"1.5", "-1.5"}, KindJSON: {`"1"`, `1`}, KindText: {"a", "a "}, KindTimestamp: {"2026-11-23 10:46:00", "2026-11-23 10:46:01"},
	} {
		if bytes.Equal(canonical(nil, kind, []byte(two[0])), canonical(nil, kind, []byte(two[1]))) {
			t.Errorf("%s: %s and %s are the same", kind, two[0], two[1])
		}
	}
}

// Values never lose anything on their way: what does not fit is refused, with the
// reason.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from   Kind
		to     Column
		data   string
		reason string // empty: it fits
	}{
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 16}}, "32767", ""},
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 16}}, "32768", "out of range for a number of 16 bits"},
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 16}}, "-32769", "out of range"},
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 64}}, "18446744073709551615", "out of range"},
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 64, unsigned: true}}, "18446744073709551615", ""},
		{KindInt, Column{Kind: KindInt, limits: limits{bits: 8, unsigned: true}}, "-1", "out of range"},
		{KindInt, Column{Kind: KindBool}, "1", ""},
		{KindInt, Column{Kind: KindBool}, "2", "neither true nor false"},
		{KindText, Column{Kind: KindInt, limits: limits{bits: 32}}, "12", ""},
		{KindText, Column{Kind: KindInt, limits: limits{bits: 32}}, "12 apples", "no whole number"},
		{KindDecimal, Column{Kind: KindInt, limits: limits{bits: 32}}, "12.00", ""},
		{KindDecimal, Column{Kind: KindInt, limits: limits{bits: 32}}, "12.5", "no whole number"},
		{KindDecimal, Column{Kind: KindFloat64}, "0.1", ""},
		{KindDecimal, Column{Kind: KindFloat64}, "0.12345678901234567891", "more digits"},
		{KindInt, Column{Kind: KindFloat64}, "9007199254740993", "more digits"},
		{KindFloat64, Column{Kind: KindFloat32}, "0.123456789", "more digits"},
		{KindFloat64, Column{Kind: KindFloat32}, "1e300", "too large"},
		{KindFloat64, Column{Kind: KindFloat32}, "0.25", ""},
		{KindFloat64, Column{Kind: KindFloat64, limits: limits{noSpecial: true}}, "NaN", "NaN"},
		{KindFloat64, Column{Kind: KindFloat64, limits: limits{noSpecial: true}}, "-Infinity", "infinite"},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{precision: 5, scale: 2, hasScale: true}}, "999.99", ""},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{precision: 5, scale: 2, hasScale: true}}, "1.500", ""},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{precision: 5, scale: 2, hasScale: true}}, "1.505", "3 digits behind the point"},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{precision: 5, scale: 2, hasScale: true}}, "1000", "4 digits before the point"},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{double: true}}, "0.5", ""},
		{KindDecimal, Column{Kind: KindDecimal, limits: limits{double: true}}, "1234567890.1234567891", "declared as TEXT"},
		{KindText, Column{Kind: KindText, limits: limits{chars: 3}}, "é😀x", ""},
		{KindText, Column{Kind: KindText, limits: limits{chars: 3}}, "four", "4 characters"},
		{KindText, Column{Kind: KindText, limits: limits{bytes: 3}}, "éé", "4 bytes"},
		{KindText, Column{Kind: KindText, limits: limits{noNUL: true}}, "a\x00b", "NUL"},
		{KindText, Column{Kind: KindText}, "a\xff", "not UTF-8"},
		{KindText, Column{Kind: KindText, limits: limits{lastRune: 0xffff}}, "😀", "U+1F600"},
		{KindText, Column{Kind: KindJSON}, "{", "no JSON"},
		{KindJSON, Column{Kind: KindJSON, limits: limits{jsonb: true}}, `"\u0000"`, "NUL"},
		{KindJSON, Column{Kind: KindJSON, limits: limits{jsonDouble: true}}, `[1.5, 18446744073709551615]`, ""},
		{KindJSON, Column{Kind: KindJSON, limits: limits{jsonDouble: true}}, `[123456789012345678901234567890]`, "more digits"},
		{KindText, Column{Kind: KindUUID}, "no", "no UUID"},
		{KindBytes, Column{Kind: KindUUID}, `\xa0eebc999c0b4ef8bb6d6bb9bd380a11`, ""},
		{KindBytes, Column{Kind: KindText}, `\x00`, "bytes are no text"},
		{KindBytes, Column{Kind: KindBytes, limits: limits{bytes: 1}}, `\x0001`, "2 bytes"},
		{KindTimestamp, Column{Kind: KindDate}, "2026-11-23 00:00:00", ""},
		{KindTimestamp, Column{Kind: KindDate}, "2026-11-23 10:46:00", "more than a date"},
		{KindTimestamp, Column{Kind: KindTimestamp, limits: limits{timeDigits: 1}}, "2026-11-23 10:46:00.5", "1 digits of a fraction"},
		{KindTimestamp, Column{Kind: KindTimestamp, limits: limits{noZeroDate: true}}, "0000-00-00 00:00:00", "zero date"},
		{KindTimestamp, Column{Kind: KindTimestamp, limits: limits{noSpecial: true}}, "infinity", "infinite"},
		{KindDate, Column{Kind: KindDate, limits: limits{years: [2]int{0, 9999}}}, "0044-03-15 BC", "year"},
		{KindDate, Column{Kind: KindDate, limits: limits{years: [2]int{0, 9999}}}, "12026-01-01", "year"},
		{KindTimestampTZ, Column{Kind: KindTimestampTZ, limits: limits{years: [2]int{1970, 2038}}}, "1969-12-31 23:59:59+00", "year"},
		{KindTime, Column{Kind: KindTime, limits: limits{dayHours: true}}, "838:59:59", "no time of day"},
		{KindTime, Column{Kind: KindTime, limits: limits{dayHours: true}}, "-01:00:00", "no time of day"},
		{KindText, Column{Kind: KindTimestamp}, "yesterday", "no timestamp"},
	} {
		m := &mapping{from: &Table{Columns: []Column{{Name: "c", Kind: c.from}}}, to: &Table{}, insert: []int{0}}
		m.columns = []pair{{from: &m.from.Columns[0], to: &c.to}}
		_, err := newFeeder(m, nowhere{}).convert(0, value{data: []byte(c.data)})
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s %q does not go into %s: %v", c.from, c.data, c.to.Kind, err)
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s %q into %s: %v, want %q", c.from, c.data, c.to.Kind, err, c.reason)
		case err != nil && !errors.As(err, new(refusal)):
			t.Errorf("%v is a %T", err, err)
		}
	}
	if err := (&Column{NotNull: true}).check(value{null: true}); err == nil {
		t.Error("NULL goes into a column that is NOT NULL")
	}
}
