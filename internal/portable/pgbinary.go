package portable

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"time"
)

// Values in PostgreSQL's binary form, which the server reads faster than text, times above
// all. Only the usual forms of a value have an encoder here: of any other one the server
// is to be the judge, and gets it as text.

// errNoBinary means that a value has no binary form here: the rows are to be sent as text.
var errNoBinary = errors.New("a value without a binary form")

// pgEncoder writes a value, in its form in an archive, as the server receives it.
type pgEncoder func(dst, data []byte) ([]byte, error)

// pgEncoders are those of the columns; nil where one has none.
func pgEncoders(columns []Column) []pgEncoder {
	list := make([]pgEncoder, len(columns))
	for i := range columns {
		if list[i] = columns[i].pgEncoder(); list[i] == nil {
			return nil
		}
	}
	return list
}

func (c *Column) pgEncoder() pgEncoder {
	switch c.Kind {
	case KindBool:
		return pgBool
	case KindInt:
		if !c.limits.unsigned { // else it is an oid, which nobody seeds
			return pgInt(c.limits.bits)
		}
	case KindFloat32:
		return pgFloat(32)
	case KindFloat64:
		return pgFloat(64)
	case KindDecimal:
		return pgNumeric
	case KindText, KindChar:
		if !c.limits.textOnly {
			return pgAsIs
		}
	case KindBytes:
		return pgBytea
	case KindDate:
		return pgDate
	case KindTime:
		return pgTime
	case KindTimestamp, KindTimestampTZ:
		return pgTimestamp(c.Kind)
	case KindJSON:
		if c.limits.jsonb {
			return func(dst, data []byte) ([]byte, error) { return append(append(dst, 1), data...), nil } // 1 is the form's version
		}
		return pgAsIs
	case KindUUID:
		return pgUUID
	}
	return nil
}

func pgAsIs(dst, data []byte) ([]byte, error) { return append(dst, data...), nil }

func pgBool(dst, data []byte) ([]byte, error) { return append(dst, byte(b2i(data[0] == 't'))), nil }

func pgInt(bits int) pgEncoder {
	return func(dst, data []byte) ([]byte, error) {
		n, err := strconv.ParseInt(string(data), 10, bits)
		if err != nil {
			return dst, errNoBinary
		}
		switch bits {
		case 16:
			return binary.BigEndian.AppendUint16(dst, uint16(n)), nil //nolint:gosec // its bits are meant
		case 32:
			return binary.BigEndian.AppendUint32(dst, uint32(n)), nil //nolint:gosec // likewise
		}
		return binary.BigEndian.AppendUint64(dst, uint64(n)), nil //nolint:gosec // likewise
	}
}

func pgFloat(bits int) pgEncoder {
	return func(dst, data []byte) ([]byte, error) {
		f, err := strconv.ParseFloat(string(data), bits)
		if err != nil {
			return dst, errNoBinary
		}
		if bits == 32 {
			return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(f))), nil
		}
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(f)), nil
	}
}

// pgNumeric writes a decimal: how many digits to the base of 10,000, the weight of the first one, the
// sign, how many decimal digits are behind the point, and the digits.
func pgNumeric(dst, data []byte) ([]byte, error) {
	const longest = 1000 // decimal digits of which a person would write so many down
	if string(data) == "NaN" {
		return append(dst, 0, 0, 0, 0, 0xc0, 0, 0, 0), nil
	}
	sign := uint16(0)
	if len(data) > 0 && data[0] == '-' {
		sign, data = 0x4000, data[1:]
	}
	point := len(data)
	for i, c := range data {
		switch {
		case c == '.' && point == len(data):
			point = i
		case c < '0' || c > '9':
			return dst, errNoBinary // infinite, or with an exponent
		}
	}
	whole, fraction := data[:point], data[min(point+1, len(data)):]
	if len(whole) == 0 || len(data) > longest {
		return dst, errNoBinary
	}
	head := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	groups := (len(whole) + 3) / 4
	weight, count := groups-1, 0
	digit := func(n int) { // zeros at either end are left out
		if count == 0 && n == 0 {
			weight--
			return
		}
		dst, count = binary.BigEndian.AppendUint16(dst, uint16(n)), count+1 //nolint:gosec // below 10,000
	}
	for part := whole; len(part) > 0; {
		k := (len(part)-1)%4 + 1
		digit(decimals(part[:k]))
		part = part[k:]
	}
	for part := fraction; len(part) > 0; {
		k := min(4, len(part))
		n := decimals(part[:k])
		for range 4 - k {
			n *= 10
		}
		digit(n)
		part = part[k:]
	}
	for count > 0 && dst[len(dst)-1] == 0 && dst[len(dst)-2] == 0 {
		dst, count = dst[:len(dst)-2], count-1
	}
	if count == 0 {
		weight, sign = 0, 0
	}
	for i, n := range []uint16{uint16(count), uint16(weight), sign, uint16(len(fraction))} { //nolint:gosec // within longest; a weight may be negative
		binary.BigEndian.PutUint16(dst[head+2*i:], n)
	}
	return dst, nil
}

// decimals is what a few digits mean.
func decimals(digits []byte) (n int) {
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

func pgBytea(dst, data []byte) ([]byte, error) {
	if len(data) < 2 || data[0] != '\\' || data[1] != 'x' {
		return dst, errNoBinary
	}
	out, err := hex.AppendDecode(dst, data[2:])
	if err != nil {
		return dst, errNoBinary
	}
	return out, nil
}

func pgUUID(dst, data []byte) ([]byte, error) {
	if len(data) != 36 {
		return dst, errNoBinary
	}
	start := len(dst)
	for _, part := range [][]byte{data[:8], data[9:13], data[14:18], data[19:23], data[24:]} {
		var err error
		if dst, err = hex.AppendDecode(dst, part); err != nil {
			return dst[:start], errNoBinary
		}
	}
	return dst, nil
}

// The server counts days, and microseconds, from the first of January 2000.
const pgEpoch = 946684800 // in seconds

// pgDays reads a date of four digits of a year.
func pgDays(data []byte) (days int64, ok bool) {
	text := string(data)
	if len(text) != 10 || !digits(text, 0, 4) || text[4] != '-' || !digits(text, 5, 2) || text[7] != '-' || !digits(text, 8, 2) {
		return 0, false
	}
	year, month, day := decimals(data[:4]), decimals(data[5:7]), decimals(data[8:])
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return (t.Unix() - pgEpoch) / 86400, year > 0 && t.Month() == time.Month(month) && t.Day() == day
}

// pgMicros reads a time of day.
func pgMicros(data []byte) (micros int64, ok bool) {
	text := string(data)
	if len(text) < 8 || !digits(text, 0, 2) || text[2] != ':' || !digits(text, 3, 2) || text[5] != ':' || !digits(text, 6, 2) {
		return 0, false
	}
	hour, minute, second := decimals(data[:2]), decimals(data[3:5]), decimals(data[6:8])
	fraction := 0
	if rest := data[8:]; len(rest) > 0 {
		if len(rest) > 7 || rest[0] != '.' || !digits(text, 9, len(rest)-1) {
			return 0, false
		}
		fraction = decimals(rest[1:])
		for range 7 - len(rest) {
			fraction *= 10
		}
	}
	return int64((hour*3600+minute*60+second)*1e6 + fraction), hour < 24 && minute < 60 && second < 60
}

// pgInfinity is what stands for the end of all times, and the beginning.
func pgInfinity(data []byte) (atEnd, atBegin bool) {
	return string(data) == "infinity", string(data) == "-infinity"
}

func pgDate(dst, data []byte) ([]byte, error) {
	switch atEnd, atBegin := pgInfinity(data); {
	case atEnd:
		return binary.BigEndian.AppendUint32(dst, math.MaxInt32), nil
	case atBegin:
		return binary.BigEndian.AppendUint32(dst, 1<<31), nil
	}
	days, ok := pgDays(data)
	if !ok {
		return dst, errNoBinary
	}
	return binary.BigEndian.AppendUint32(dst, uint32(days)), nil //nolint:gosec // its bits are meant
}

func pgTime(dst, data []byte) ([]byte, error) {
	micros, ok := pgMicros(data)
	if !ok {
		return dst, errNoBinary
	}
	return binary.BigEndian.AppendUint64(dst, uint64(micros)), nil //nolint:gosec // it is not negative
}

func pgTimestamp(k Kind) pgEncoder {
	zone := 0
	if k == KindTimestampTZ {
		zone = len("+00")
	}
	return func(dst, data []byte) ([]byte, error) {
		switch atEnd, atBegin := pgInfinity(data); {
		case atEnd:
			return binary.BigEndian.AppendUint64(dst, math.MaxInt64), nil
		case atBegin:
			return binary.BigEndian.AppendUint64(dst, 1<<63), nil
		}
		if !plainTime(k, data) {
			return dst, errNoBinary
		}
		days, isDate := pgDays(data[:10])
		micros, isDay := pgMicros(data[11 : len(data)-zone])
		if !isDate || !isDay {
			return dst, errNoBinary
		}
		return binary.BigEndian.AppendUint64(dst, uint64(days*86400e6+micros)), nil //nolint:gosec // its bits are meant
	}
}

// What a COPY in binary begins with: a mark, no flags, and no extension of the header.
const pgCopyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// appendBinaryRow writes a row: how many values, and each behind its length. Where a value
// has no binary form, what is returned is dst.
func appendBinaryRow(dst []byte, encoders []pgEncoder, row []value) ([]byte, error) {
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row))) //nolint:gosec // a table has 1,600 columns at most
	for i, v := range row {
		dst = append(dst, 0xff, 0xff, 0xff, 0xff) // NULL
		if v.null {
			continue
		}
		at := len(dst)
		var err error
		if dst, err = encoders[i](dst, v.data); err != nil {
			return dst[:start], err
		}
		binary.BigEndian.PutUint32(dst[at-4:], uint32(len(dst)-at)) //nolint:gosec // no value is so long
	}
	return dst, nil
}

// pgCopyEnd is the row with -1 values.
const pgCopyEnd = "\xff\xff"
