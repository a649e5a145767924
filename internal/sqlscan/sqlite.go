package sqlscan

import "bytes"

// What is SQLite's own. Sources: src/tokenize.c (tokens, CC_BOM, variables, the unterminated comment) and
// src/complete.c, sqlite3_complete, for triggers.

// sqliteComment reads /* … */. At the end of the input SQLite takes an unterminated one for a comment, but a bare /* for two
// operators.
func (l *lexer) sqliteComment(p int) (TokenKind, int) {
	if p+2 == len(l.window) {
		return Op, p + 1
	}
	if i := bytes.Index(l.window[p+2:], []byte("*/")); i >= 0 {
		return Comment, p + 2 + i + 2
	}
	if !l.eof {
		return kindMore, p
	}
	return Comment, len(l.window)
}

// sqliteParam reads ?, ?12, :a, @a, #a and Tcl's $a::b(c).
func (l *lexer) sqliteParam(p int) (TokenKind, int) {
	w := l.window
	e := p + 1
	if w[p] == '?' {
		for e < len(w) && isDigit(w[e]) {
			e++
		}
	} else {
		name := 0
	scan:
		for e < len(w) {
			switch c := w[e]; {
			case inWord[c]:
				e, name = e+1, name+1
			case c == '(' && name > 0:
				i := bytes.IndexAny(w[e:], ") \t\n\r\f")
				switch {
				case i < 0 && !l.eof:
					return kindMore, p
				case i >= 0 && w[e+i] == ')':
					e += i + 1
				}
				break scan
			case c == ':' && e+1 < len(w) && w[e+1] == ':':
				e += 2
			case c == ':' && e+1 == len(w) && !l.eof:
				return kindMore, p
			default:
				break scan
			}
		}
		if name == 0 && e < len(w) {
			return Op, p + 1
		}
	}
	if e == len(w) && !l.eof {
		return kindMore, p
	}
	return Param, e
}

// sqliteCommand refuses the commands of the sqlite3 shell, a dot as the first character of a line.
func (s *Scanner) sqliteCommand() error {
	if err := s.settle(s.pos); err != nil || s.column > 1 {
		return err
	}
	line, _ := s.restOfLine(s.pos)
	return s.errorAt(s.pos, "sqlite3 shell command "+commandWord(line)+" is not SQL")
}

// sqliteBody follows CREATE TRIGGER. Only there do semicolons stand inside a statement, and its body ends at the
// END that comes directly after a semicolon: no statement in it can begin with END, and the END of a CASE
// never stands there. It is what sqlite3_complete does.
type sqliteBody struct {
	words   int
	create  bool
	open    bool
	semi    bool // the previous token was a semicolon of the body
	opening int  // where BEGIN stands
}

func (b *sqliteBody) token(s *Scanner, kind TokenKind, text []byte, offset int) {
	semi := b.semi
	b.semi = false
	if kind != Word {
		if !b.create {
			s.watch = false
		}
		return
	}
	b.words++
	word := keyword(&s.keyword, text)
	switch {
	case b.open:
		if semi && string(word) == "END" {
			b.open = false
			s.watch = false
		}
	case !b.create:
		switch string(word) {
		case "CREATE":
			b.create = true
			b.words = 0
		case "EXPLAIN", "QUERY", "PLAN":
		default:
			s.watch = false
		}
	case b.words == 1:
		switch string(word) {
		case "TEMP", "TEMPORARY":
			b.words = 0
		default:
			s.watch = string(word) == "TRIGGER"
		}
	case string(word) == "BEGIN":
		b.open = true
		b.opening = offset
	}
}

func (b *sqliteBody) reset() { *b = sqliteBody{} }

func (b *sqliteBody) terminator() bool {
	b.semi = b.open
	return !b.open
}

func (b *sqliteBody) unterminated() (int, string) {
	if b.open {
		return b.opening, "unterminated trigger body: BEGIN without END after a semicolon"
	}
	return 0, ""
}
