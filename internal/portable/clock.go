package portable

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Times come as PostgreSQL and MySQL write them, and from SQLite in any of the
// forms that Go's driver for it reads: text with or without a zone, with a T or a
// blank, or seconds or milliseconds since 1970. Without a zone it is UTC, as that
// driver has it.

// moment is a date, a time of day, or both. Years are not bound to those of
// package time's text forms: PostgreSQL has BC, MySQL the year 0.
type moment struct {
	special         string // infinity or -infinity
	hasDate, hasDay bool   // hasDay: a time of day
	date            string // 2026-11-23; more digits of the year where it has them
	bc              bool
	day             string // 10:46:00; the hours of MySQL's TIME may have a sign and three digits
	fraction        string // without zeros at its end
	zone            int    // seconds east
	zoned           bool
}

func digits(s string, from, n int) bool {
	if len(s) < from+n {
		return false
	}
	for i := from; i < from+n; i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parseMoment reads any of the forms above.
func parseMoment(text string) (m moment, ok bool) {
	switch text {
	case "infinity", "-infinity":
		return moment{special: text}, true
	}
	if rest, found := strings.CutSuffix(text, " BC"); found {
		m.bc, text = true, rest
	}
	year := 0
	for year < len(text) && text[year] >= '0' && text[year] <= '9' {
		year++
	}
	if year >= 4 && len(text) >= year+6 && text[year] == '-' && digits(text, year+1, 2) && text[year+3] == '-' && digits(text, year+4, 2) {
		m.hasDate, m.date = true, text[:year+6]
		text = text[year+6:]
		if text == "" {
			return m, true
		}
		if text[0] != ' ' && text[0] != 'T' {
			return m, false
		}
		text = text[1:]
	}
	start := 0
	if !m.hasDate && strings.HasPrefix(text, "-") {
		start = 1
	}
	hours := start
	for hours < len(text) && text[hours] >= '0' && text[hours] <= '9' {
		hours++
	}
	if hours-start < 2 || hours-start > 3 || len(text) < hours+3 || text[hours] != ':' || !digits(text, hours+1, 2) {
		return m, false
	}
	end := hours + 3
	m.hasDay, m.day = true, text[:end]
	if len(text) >= end+3 && text[end] == ':' && digits(text, end+1, 2) {
		end += 3
		m.day = text[:end]
	} else {
		m.day += ":00"
	}
	text = text[end:]
	if strings.HasPrefix(text, ".") {
		n := 1
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		m.fraction = strings.TrimRight(text[1:n], "0")
		text = text[n:]
	}
	if text == "" {
		return m, true
	}
	m.zone, ok = parseZone(text)
	m.zoned = true
	return m, ok
}

// parseZone reads Z, +02, +02:00, +0200 and PostgreSQL's +00:19:32, in seconds.
func parseZone(text string) (seconds int, ok bool) {
	if text == "Z" || text == " UTC" {
		return 0, true
	}
	if text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	plain := strings.ReplaceAll(text[1:], ":", "")
	if len(plain) != 2 && len(plain) != 4 && len(plain) != 6 || !digits(plain, 0, len(plain)) {
		return 0, false
	}
	n, _ := strconv.Atoi((plain + "0000")[:6]) // they are digits
	seconds = n/10000*3600 + n/100%100*60 + n%100
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// utc moves a moment with a zone to UTC.
func (m moment) utc() (moment, bool) {
	if !m.zoned || m.zone == 0 || m.special != "" {
		return m, true
	}
	if !m.hasDate || m.bc || len(m.date) != 10 {
		return m, false // no engine writes such a one with a zone when its session is in UTC
	}
	t, err := time.Parse("2006-01-02 15:04:05", m.date+" "+m.day)
	if err != nil {
		return m, false
	}
	t = t.Add(-time.Duration(m.zone) * time.Second)
	if t.Year() < 0 || t.Year() > 9999 {
		return m, false
	}
	m.date, m.day, m.zone = t.Format("2006-01-02"), t.Format("15:04:05"), 0
	return m, true
}

// round leaves a number of digits of the fraction of a second: half of the last one, and
// more, counts as one, as PostgreSQL and MySQL have it. It is not ok where the next second
// is in no calendar.
func (m moment) round(keep int) (_ moment, ok bool) {
	if len(m.fraction) <= keep {
		return m, true
	}
	fraction, carry := []byte(m.fraction[:keep]), m.fraction[keep] >= '5'
	for i := keep - 1; carry && i >= 0; i-- {
		if carry = fraction[i] == '9'; carry {
			fraction[i] = '0'
		} else {
			fraction[i]++
		}
	}
	m.fraction = strings.TrimRight(string(fraction), "0")
	if !carry {
		return m, true
	}
	date := "2000-01-01" // of a time of day
	if m.hasDate {
		date = m.date
	}
	t, err := time.Parse("2006-01-02 15:04:05", date+" "+m.day)
	if err != nil || m.bc {
		return m, false
	}
	t = t.Add(time.Second)
	m.day = t.Format("15:04:05")
	switch {
	case m.hasDate:
		m.date = t.Format("2006-01-02")
	case m.day == "00:00:00":
		m.day = "24:00:00"
	}
	return m, t.Year() < 10000
}

// momentOf reads a value of any kind.
func momentOf(from Kind, data []byte) (moment, bool) {
	switch from {
	case KindInt: // as Go's driver for SQLite reads a number in a column of times
		n, err := strconv.ParseInt(string(data), 10, 64)
		if err != nil {
			return moment{}, false
		}
		t := time.Unix(n, 0)
		if n > 1e12 || n < -1e12 {
			t = time.UnixMilli(n)
		}
		t = t.UTC()
		if t.Year() < 0 || t.Year() > 9999 {
			return moment{}, false
		}
		return parseMoment(t.Format("2006-01-02 15:04:05.999"))
	case KindText, KindChar, KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		m, ok := parseMoment(string(data))
		if !ok {
			return m, false
		}
		return m.utc()
	}
	return moment{}, false
}

// append writes a moment as kind k.
func (m moment) append(dst []byte, k Kind) ([]byte, bool) {
	if m.special != "" {
		return append(dst, m.special...), k != KindTime
	}
	noon := m.day == "" || m.day == "00:00:00" && m.fraction == ""
	switch k {
	case KindDate:
		if !m.hasDate || !noon {
			return dst, false
		}
		dst = append(dst, m.date...)
	case KindTime:
		if m.hasDate || !m.hasDay || m.zoned {
			return dst, false
		}
		dst = appendDay(dst, m)
	default:
		if !m.hasDate {
			return dst, false
		}
		dst = append(append(dst, m.date...), ' ')
		dst = appendDay(dst, m)
		if k == KindTimestampTZ {
			dst = append(dst, "+00"...)
		}
	}
	if m.bc {
		dst = append(dst, " BC"...)
	}
	return dst, true
}

func appendDay(dst []byte, m moment) []byte {
	if m.day == "" {
		return append(dst, "00:00:00"...)
	}
	dst = append(dst, m.day...)
	if m.fraction != "" {
		dst = append(append(dst, '.'), m.fraction...)
	}
	return dst
}

func toTime(dst []byte, from, to Kind, data []byte) ([]byte, error) {
	m, ok := momentOf(from, data)
	if !ok {
		return dst, refusef("it is no %s that can be read", to)
	}
	out, ok := m.append(dst, to)
	if !ok {
		return dst, refusef("it is more than a %s, or less", to)
	}
	return out, nil
}

// canonicalTime writes a time in UTC, without zeros at the end of its fraction and
// without a zone.
func canonicalTime(dst []byte, k Kind, data []byte) []byte {
	if plainTime(k, data) {
		if k == KindTimestampTZ {
			data = data[:len(data)-3]
		}
		return append(dst, data...)
	}
	if k == KindTimestampTZ {
		k = KindTimestamp
	}
	if m, ok := momentOf(k, data); ok {
		if out, ok := m.append(dst, k); ok {
			return out
		}
	}
	return append(dst, data...)
}

// plainTime reports whether a value is in the form of PostgreSQL already, which
// most are: a year of four digits, no zone but UTC, no zero at the end of a
// fraction.
func plainTime(k Kind, data []byte) bool {
	if k != KindTimestamp && k != KindTimestampTZ {
		return false
	}
	if k == KindTimestampTZ {
		var ok bool
		if data, ok = bytes.CutSuffix(data, []byte("+00")); !ok {
			return false
		}
	}
	if len(data) < 19 || data[4] != '-' || data[7] != '-' || data[10] != ' ' || data[13] != ':' || data[16] != ':' {
		return false
	}
	for i, c := range data {
		switch i {
		case 4, 7, 10, 13, 16:
		case 19:
			if c != '.' || len(data) == 20 || data[len(data)-1] == '0' {
				return false
			}
		default:
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	return true
}
