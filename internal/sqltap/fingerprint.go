package sqltap

import (
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

const (
	fingerprintInput  = 8 << 10 // bytes of a statement that are looked at
	fingerprintLength = 300     // bytes of a fingerprint, about
	verbLength        = 20      // no keyword is longer
	hidden            = "?"
	cut               = "…"
)

// Fingerprint is a statement's text without its literals and comments: for a log,
// in which no value may stand. Lists of values are written as one.
//
// What is a literal depends on settings of the session that nobody here knows.
// The text is therefore read under each of them, and where they do not agree only
// the leading keyword is told. So it is for a text that no server would take: a
// value that a program has quoted wrongly stands in it as words. Names in double
// quotes are hidden where an engine may take them for text, as MySQL and SQLite do.
func Fingerprint(dialect sqlscan.Dialect, text string) string {
	short := len(text) > fingerprintInput
	if short {
		text = text[:fingerprintInput]
	}
	var first string
	for i, o := range readings(dialect) {
		f, ok := fingerprint(text, o, short)
		if i == 0 {
			first = f
		}
		if !ok || f != first {
			return verb(first)
		}
	}
	return first
}

// readings are the ways in which a server may read a text.
func readings(d sqlscan.Dialect) []sqlscan.Options {
	switch d {
	case sqlscan.Postgres:
		return []sqlscan.Options{{Dialect: d}, {Dialect: d, StandardStringsOff: true}}
	case sqlscan.MySQL:
		var all []sqlscan.Options
		for _, mariaDB := range []bool{false, true} {
			for _, backslash := range []bool{false, true} {
				for _, ansi := range []bool{false, true} {
					all = append(all, sqlscan.Options{Dialect: d, MariaDB: mariaDB, NoBackslashEscapes: backslash, ANSIQuotes: ansi})
				}
			}
		}
		return all
	}
	return []sqlscan.Options{{Dialect: d}}
}

// verb is the leading keyword, if the fingerprint begins with one.
func verb(fingerprint string) string {
	word, _, _ := strings.Cut(fingerprint, " ")
	if word == "" || len(word) > verbLength {
		return cut
	}
	for _, r := range word {
		if r < 'A' || r > 'Z' && r < 'a' || r > 'z' {
			return cut
		}
	}
	return word + " " + cut
}

// fingerprint reads the text in one way. ok is false where it makes no sense so.
func fingerprint(text string, o sqlscan.Options, short bool) (result string, ok bool) {
	var list []string
	ok = true
	literal := 0 // where the last literal ended
	for t := range sqlscan.Tokens(text, o) {
		word := t.Text
		switch t.Kind {
		case sqlscan.String:
			word, literal = hidden, t.Offset+len(t.Text)
		case sqlscan.Number, sqlscan.Param:
			word = hidden
		case sqlscan.QuotedIdent:
			if word[0] == '"' && o.Dialect != sqlscan.Postgres {
				word, literal = hidden, t.Offset+len(t.Text)
			}
		case sqlscan.Word:
			ok = ok && (literal == 0 || t.Offset > literal)
		case sqlscan.Op:
			ok = ok && word != `\`
		case sqlscan.Invalid:
			word, ok = cut, ok && short
		}
		list = fold(append(list, word))
	}
	if short && len(list) > 0 {
		list[len(list)-1] = cut // the text was cut inside of it
	}
	var b strings.Builder
	for i, word := range list {
		if b.Len()+len(word) > fingerprintLength {
			b.WriteString(" " + cut)
			break
		}
		if i > 0 && spaced(list[i-1], word) {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String(), ok
}

// fold makes one of the values of a list, and of the groups of a list of rows.
func fold(list []string) []string {
	n := len(list)
	ends := func(want ...string) bool {
		if n < len(want) {
			return false
		}
		for i, w := range want {
			if list[n-len(want)+i] != w {
				return false
			}
		}
		return true
	}
	switch {
	case ends(hidden, ",", hidden):
		return list[:n-2]
	case ends("(", hidden, ")", ",", "(", hidden, ")"):
		return list[:n-4]
	}
	return list
}

// spaced says whether a blank stands between two tokens.
func spaced(before, word string) bool {
	return word != "," && word != ")" && word != "." && word != ";" && before != "(" && before != "."
}
