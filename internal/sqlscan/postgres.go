package sqlscan

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// What is PostgreSQL's own. Sources: src/backend/parser/scan.l (tokens), src/fe_utils/psqlscan.l (where psql ends a statement,
// BEGIN ATOMIC), src/bin/psql/copy.c (COPY data), each as of version 15 to 18.

// postgresPrefixed reads a literal that begins with one letter, or U&. It answers 0 when the letter at p is a word.
func (l *lexer) postgresPrefixed(p int) (TokenKind, int) {
	switch l.at(p + 1) {
	case '\'':
		switch l.window[p] | 0x20 {
		case 'e':
			return l.postgresEscaped(p)
		case 'b', 'x':
			return l.quoted(String, p, p+1, '\'', false)
		case 'n':
			return l.quoted(String, p, p+1, '\'', l.escapes)
		}
	case '&':
		if l.window[p]|0x20 != 'u' {
			break
		}
		if p+2 >= len(l.window) && !l.eof {
			return kindMore, p
		}
		switch l.at(p + 2) {
		case '\'':
			return l.quoted(String, p, p+2, '\'', false)
		case '"':
			return l.quoted(QuotedIdent, p, p+2, '"', false)
		}
	}
	return 0, 0
}

// postgresEscaped reads E'…' and the segments that go on with it: after a newline a further '…' belongs to the same
// literal, backslashes included (scan.l: quotecontinue).
func (l *lexer) postgresEscaped(p int) (TokenKind, int) {
	q := p + 1
	for {
		kind, end := l.quoted(String, p, q, '\'', true)
		if kind != String {
			return kind, end
		}
		newline := false
		q = end
	blanks:
		for q < len(l.window) {
			switch c := l.window[q]; {
			case c == '\n' || c == '\r':
				newline = true
				q++
			case l.classes[c] == classSpace:
				q++
			case c == '-' && l.at(q+1) == '-':
				kind, e := l.lineComment(q)
				if kind == kindMore {
					return kind, e
				}
				q = e
			default:
				break blanks
			}
		}
		if q+1 >= len(l.window) && !l.eof {
			return kindMore, p
		}
		if !newline || l.at(q) != '\'' {
			return String, end
		}
	}
}

// postgresDollar reads $1, $$…$$ and $tag$…$tag$. A dollar inside a word never comes here: it belongs to the word.
func (l *lexer) postgresDollar(p int) (TokenKind, int) {
	w := l.window
	e := p + 1
	if isDigit(l.at(e)) {
		for e < len(w) && isDigit(w[e]) {
			e++
		}
		if e == len(w) && !l.eof {
			return kindMore, p
		}
		return Param, e
	}
	for e < len(w) && w[e] != '$' && inWord[w[e]] {
		e++
	}
	if e == len(w) && !l.eof {
		return kindMore, p
	}
	if l.at(e) != '$' {
		return Op, p + 1
	}
	tag := w[p : e+1]
	if i := bytes.Index(w[e+1:], tag); i >= 0 {
		return String, e + 1 + i + len(tag)
	}
	return l.unterminated("dollar-quoted string " + string(tag))
}

// postgresComment reads /* … */, which nests.
func (l *lexer) postgresComment(p int) (TokenKind, int) {
	w := l.window
	for i, depth := p+2, 1; ; {
		n := bytes.IndexByte(w[i:], '/')
		if n < 0 {
			return l.unterminated("comment")
		}
		slash := i + n
		switch {
		case n > 0 && w[slash-1] == '*':
			if depth--; depth == 0 {
				return Comment, slash + 1
			}
			i = slash + 1
		case l.at(slash+1) == '*':
			depth++
			i = slash + 2
		default:
			i = slash + 1
		}
	}
}

// postgresOperator reads the longest run of operator characters that holds no comment. A trailing + or - is not part
// of it unless one of ~!@#^&|`?% is (so that a=-1 is three tokens).
func (l *lexer) postgresOperator(p int) (TokenKind, int) {
	const chars, special = "~!@#^&|`?+-*/%<>=", "~!@#^&|`?%"
	w := l.window
	e := p
	for e < len(w) && strings.IndexByte(chars, w[e]) >= 0 {
		if e > p && e+1 < len(w) && (w[e] == '-' && w[e+1] == '-' || w[e] == '/' && w[e+1] == '*') {
			break
		}
		e++
	}
	if e+1 >= len(w) && !l.eof {
		return kindMore, p
	}
	if e > p+1 && !bytes.ContainsAny(w[p:e], special) {
		for e > p+1 && (w[e-1] == '+' || w[e-1] == '-') {
			e--
		}
	}
	if e == p {
		e++
		switch {
		case w[p] == ':' && (l.at(e) == ':' || l.at(e) == '='), w[p] == '.' && l.at(e) == '.':
			e++
		}
	}
	return Op, e
}

// decodeUnicode resolves \0041, \+000041 and \\ in the name of a U&"…" identifier, a character beyond 16 bits also as a pair of
// surrogates. What is not well formed stays as it is: the server refuses it anyway.
func decodeUnicode(s string) string {
	var b strings.Builder
	for s != "" {
		r, n := unicodeEscape(s)
		if utf16.IsSurrogate(r) {
			low, m := unicodeEscape(s[n:])
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				n, m = 0, 0
			}
			n += m
		}
		if n == 0 {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// unicodeEscape returns the character of the escape that s begins with, and its length; 0 if there is none.
func unicodeEscape(s string) (rune, int) {
	skip, end := 1, 5
	switch {
	case strings.HasPrefix(s, `\\`):
		return '\\', 2
	case strings.HasPrefix(s, `\+`):
		skip, end = 2, 8
	case !strings.HasPrefix(s, `\`):
		return 0, 0
	}
	if end > len(s) {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[skip:end], 16, 32)
	if err != nil || v > utf8.MaxRune {
		return 0, 0
	}
	return rune(v), end
}

// postgresBody finds the two forms that change where a statement ends: the body of a routine in standard SQL, BEGIN ATOMIC … END,
// and COPY … FROM STDIN. Parentheses, which hide semicolons in CREATE RULE, are counted by the Scanner.
type postgresBody struct {
	state   postgresState
	last    string // the keyword before, "" if it was none
	depth   int    // 1 in BEGIN ATOMIC, one more in each CASE
	begin   int    // where the last BEGIN stands
	copying bool
}

type postgresState uint8

const (
	postgresFirst   postgresState = iota // before the first word
	postgresCreate                       // after CREATE [OR REPLACE]
	postgresRoutine                      // in CREATE FUNCTION or PROCEDURE
	postgresCopy                         // in COPY
)

func (b *postgresBody) token(s *Scanner, kind TokenKind, text []byte, offset int) {
	last := b.last
	b.last = ""
	if kind != Word {
		if kind == Op && string(text) == "." {
			b.last = "."
		}
		if b.state == postgresFirst {
			s.watch = false
		}
		return
	}
	word := internKeyword(keyword(&s.keyword, text))
	b.last = word
	switch b.state {
	case postgresFirst:
		switch word {
		case "CREATE":
			b.state = postgresCreate
		case "COPY":
			b.state = postgresCopy
		default:
			s.watch = false
		}
	case postgresCreate:
		switch word {
		case "OR", "REPLACE":
		case "FUNCTION", "PROCEDURE":
			b.state = postgresRoutine
		default:
			s.watch = false
		}
	case postgresCopy:
		// gram.y takes STDOUT for STDIN here.
		if s.parens == 0 && last == "FROM" {
			b.copying = word == "STDIN" || word == "STDOUT"
			s.watch = false
		}
	case postgresRoutine:
		switch {
		case last == "." || last == "AS":
			// END and CASE are reserved, and so keywords everywhere but here.
		case b.depth == 0 && word == "BEGIN":
			b.begin = offset
		case b.depth == 0 && word == "ATOMIC" && last == "BEGIN" && s.parens == 0:
			b.depth = 1
		case b.depth > 0 && word == "CASE":
			b.depth++
		case b.depth > 0 && word == "END":
			b.depth--
		}
	}
}

// internKeyword makes a string of w without allocation if it is one that postgresBody compares.
func internKeyword(w []byte) string {
	switch string(w) {
	case "CREATE":
		return "CREATE"
	case "COPY":
		return "COPY"
	case "OR":
		return "OR"
	case "REPLACE":
		return "REPLACE"
	case "FUNCTION":
		return "FUNCTION"
	case "PROCEDURE":
		return "PROCEDURE"
	case "FROM":
		return "FROM"
	case "STDIN":
		return "STDIN"
	case "STDOUT":
		return "STDOUT"
	case "AS":
		return "AS"
	case "BEGIN":
		return "BEGIN"
	case "ATOMIC":
		return "ATOMIC"
	case "CASE":
		return "CASE"
	case "END":
		return "END"
	}
	return ""
}

func (b *postgresBody) reset() { *b = postgresBody{} }

func (b *postgresBody) terminator() bool { return b.depth == 0 }

func (b *postgresBody) unterminated() (int, string) {
	if b.depth > 0 {
		return b.begin, "unterminated routine body: BEGIN ATOMIC without END"
	}
	return 0, ""
}

// postgresSetting follows SET standard_conforming_strings: after it the server reads '…' differently, and so must we.
func (s *Scanner) postgresSetting(text string) {
	const name = "standard_conforming_strings"
	if len(text) > 200 || !strings.Contains(lowerASCII(text), name) {
		return
	}
	var words []string
	for t := range Tokens(text, s.lex.opts) {
		words = append(words, strings.Trim(t.Name(Postgres), "'"))
	}
	if len(words) > 0 && (words[0] == "set" || words[0] == "reset") {
		words = words[1:]
	}
	if len(words) > 0 && (words[0] == "session" || words[0] == "local") {
		words = words[1:]
	}
	switch {
	case len(words) == 0 || words[0] != name:
	case len(words) == 1: // RESET
		s.lex.escapes = s.lex.opts.StandardStringsOff
	default:
		switch strings.ToLower(words[len(words)-1]) {
		case "off", "false", "no", "0", "of", "f", "n":
			s.lex.escapes = true
		case "default":
			s.lex.escapes = s.lex.opts.StandardStringsOff
		default:
			s.lex.escapes = false
		}
	}
}

// copyData takes the lines that follow COPY … FROM STDIN, up to \. alone on a line. The rest of the statement's own line must be blank
// or a comment: psql runs what stands there after the data, which no reader of the file would expect.
func (s *Scanner) copyData(st *Statement) (string, error) {
	at := func(msg string) (string, error) {
		if s.err != nil {
			return "", s.err
		}
		return "", &Error{Offset: st.Offset, Line: st.Line, Column: st.Column, Msg: msg}
	}
	line, ok := s.restOfLine(s.pos)
	if rest := bytes.TrimSpace(line); len(rest) > 0 && !bytes.HasPrefix(rest, []byte("--")) {
		return "", s.errorAt(s.pos+bytes.Index(line, rest), "only a comment may follow COPY FROM STDIN on its line: its data begins on the next")
	}
	if !ok {
		return at(`COPY FROM STDIN without data: no line with \. alone`)
	}
	s.pos += len(line) + 1
	begin := s.pos
	for ok {
		if line, ok = s.restOfLine(s.pos); s.err != nil {
			return "", s.err
		}
		next := s.pos + len(line)
		if ok {
			next++
		}
		if string(bytes.TrimSuffix(line, []byte("\r"))) == `\.` {
			data := s.text(begin, s.pos)
			s.pos = next
			return data, s.check(s.pos)
		}
		s.pos = next
	}
	return at(`unterminated COPY data: no line with \. alone`)
}

// psqlCommand handles a backslash where a statement may begin. pg_dump frames its output in \restrict and \unrestrict, which only tell
// psql to run no other command in between.
func (s *Scanner) psqlCommand() error {
	line, _ := s.restOfLine(s.pos)
	switch name := commandWord(line); name {
	case `\restrict`, `\unrestrict`:
		s.pos += len(line)
		return nil
	default:
		return s.errorAt(s.pos, "psql command "+name+" is not SQL")
	}
}

// backslash answers for one outside quotes. Only MySQL knows such a token: \N, a NULL.
func (l *lexer) backslash(p int) (TokenKind, int) {
	if l.opts.Dialect == MySQL && l.at(p+1) == 'N' {
		return Word, p + 2
	}
	line := l.window[p:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	} else if !l.eof && len(line) < 64 {
		return kindMore, p
	}
	client := "psql"
	if l.opts.Dialect == MySQL {
		client = "mysql client"
	}
	return l.invalid(client + " command " + commandWord(line) + " is not SQL")
}

// commandWord returns the first word of a client command for a message: short, and never more than one character after a
// backslash unless letters follow.
func commandWord(line []byte) string {
	e := 0
	for e < len(line) && e < 24 && line[e] > ' ' && line[e] < utf8.RuneSelf && line[e] != ';' {
		e++
	}
	if e == 1 && len(line) > 1 {
		_, n := utf8.DecodeRune(line[1:])
		e += n
	}
	return string(line[:e])
}
