package sqlscan

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf8"
)

// TokenKind says what a Token is.
type TokenKind uint8

// The kinds of token. Quotes and prefixes belong to the token: E'it\'s' is one String, `a` one QuotedIdent.
const (
	Word        TokenKind = iota + 1 // a keyword or a name without quotes
	QuotedIdent                      // "a", `a` or [a], whichever the dialect has, and U&"a"
	String                           // 'a' with any prefix (E, B, X, N, U&), "a" in MySQL, $tag$a$tag$ in PostgreSQL
	Number                           // 1, 1.5e-3, 0x1F
	Param                            // $1 in PostgreSQL, ? in MySQL, ? ?1 :a @a #a $a::b(c) in SQLite
	Op                               // an operator or one mark of punctuation; the semicolon too
	Comment                          // -- a, # a, /* a */; in MySQL also the marks around the code in /*!50001 a */
	Invalid                          // the rest of a text whose last construct is not terminated, or that is not SQL
)

// Kinds that only the scanner sees.
const (
	kindSpace      TokenKind = iota + 32
	kindOpen                 // the mark that begins a MySQL comment with code in it
	kindClose                // the */ that ends it
	kindInner                // a semicolon in such a comment
	kindTerminator           // the semicolon, or what DELIMITER made of it
	kindMore                 // the window ends before the token does
)

// String returns the kind's name for messages and golden files.
func (k TokenKind) String() string {
	switch k {
	case Word:
		return "word"
	case QuotedIdent:
		return "quoted identifier"
	case String:
		return "string"
	case Number:
		return "number"
	case Param:
		return "parameter"
	case Op:
		return "operator"
	case Comment:
		return "comment"
	case Invalid:
		return "invalid"
	}
	return "internal"
}

// Token is one word, literal, operator or comment of a statement.
type Token struct {
	Kind   TokenKind
	Text   string // as it stands in the input, quotes included
	Offset int    // byte offset in the text given to Tokens
}

// Is reports whether the token is the given keyword, written without quotes in any case.
func (t Token) Is(keyword string) bool {
	return t.Kind == Word && strings.EqualFold(t.Text, keyword)
}

// Name returns the identifier that a Word or QuotedIdent stands for: without its quotes, doubled quotes made
// single, PostgreSQL's U&"\0441" decoded with the default escape character, and a Word folded to lower case
// for PostgreSQL, which alone does so. With MySQL's usual sql_mode a "name" is a String and not an
// identifier. Any other token's text is returned as it is.
func (t Token) Name(d Dialect) string {
	switch t.Kind {
	case Word:
		if d == Postgres {
			return lowerASCII(t.Text)
		}
	case QuotedIdent:
		text := t.Text
		escaped := d == Postgres && text[0] != '"'
		if escaped {
			text = text[2:]
		}
		quote := text[len(text)-1:]
		name := text[1 : len(text)-1]
		if quote != "]" {
			name = strings.ReplaceAll(name, quote+quote, quote)
		}
		if escaped {
			name = decodeUnicode(name)
		}
		return name
	}
	return t.Text
}

// Tokens yields the tokens of text without blanks, and without comments unless o.Comments is set. The code in MySQL's
// /*!50001 … */ comes as ordinary tokens. DELIMITER and other client commands have no meaning here: give it
// a Statement's Text. When a construct is not terminated the last token is Invalid and holds the rest.
func Tokens(text string, o Options) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		l := newLexer(o)
		l.window, l.eof = []byte(text), true
		p := 0
		if strings.HasPrefix(text, bom) {
			p = len(bom)
		}
		for p < len(text) {
			kind, end := l.next(p)
			switch kind {
			case kindSpace:
				p = end
				continue
			case Comment, kindOpen, kindClose:
				if !o.Comments {
					p = end
					continue
				}
				kind = Comment
			case kindTerminator, kindInner:
				kind = Op
			}
			if !yield(Token{Kind: kind, Text: text[p:end], Offset: p}) {
				return
			}
			p = end
		}
	}
}

// bom is the byte-order mark that some editors put before UTF-8 text.
const bom = "\uFEFF"

// class sorts bytes by what they can begin. One table per dialect is what the dialects' tokens differ in.
type class uint8

const (
	classOp    class = iota // an operator of one or more bytes, or a byte that means nothing
	classPunct              // ( ) , [ ] { }: always alone
	classSpace
	classWord
	classDigit
	classDot    // . or .5
	classQuote  // '
	classDouble // "
	classTick   // `
	classSquare // [ in SQLite
	classDash   // - or -- comment
	classSlash  // / or /* comment
	classHash   // # comment in MySQL
	classStar   // * or the end of /*! code */
	classDollar // $ in PostgreSQL
	classParam  // ? : @ # $ where they begin a parameter
	classSemi
	classBackslash
)

// inWord says which bytes may follow in a word, the same in all dialects; what may begin one differs ($ in MySQL).
var inWord = func() (t [256]bool) {
	for c := range t {
		t[c] = isLetter(byte(c)) || isDigit(byte(c)) || c == '$'
	}
	return t
}()

var classes = func() (tables [MySQL + 1][256]class) {
	for d := SQLite; d <= MySQL; d++ {
		t := &tables[d]
		for c := range t {
			switch b := byte(c); {
			case isLetter(b):
				t[c] = classWord
			case isDigit(b):
				t[c] = classDigit
			case strings.IndexByte(" \t\n\r\f", b) >= 0:
				t[c] = classSpace
			case strings.IndexByte("(),[]{}", b) >= 0:
				t[c] = classPunct
			}
		}
		t['.'], t['\''], t['"'], t['-'], t['/'], t[';'] = classDot, classQuote, classDouble, classDash, classSlash, classSemi
	}
	lite, pg, my := &tables[SQLite], &tables[Postgres], &tables[MySQL]
	lite['`'], lite['['] = classTick, classSquare
	lite['?'], lite[':'], lite['@'], lite['#'], lite['$'] = classParam, classParam, classParam, classParam, classParam
	pg['\v'], pg['$'], pg['\\'] = classSpace, classDollar, classBackslash
	my['\v'], my['`'], my['#'], my['*'] = classSpace, classTick, classHash, classStar
	my['$'], my['?'], my['\\'] = classWord, classParam, classBackslash
	return tables
}()

// inert says which bytes Scanner.skipInert may pass over. In MySQL a digit may begin a name; PostgreSQL's
// parentheses are counted.
var inert = func() (tables [MySQL + 1][256]inertness) {
	for d := SQLite; d <= MySQL; d++ {
		for c := range tables[d] {
			switch k := classes[d][c]; {
			case k == classSpace:
				tables[d][c] = inertBlank
			case k == classWord && c < utf8.RuneSelf, // a byte-order mark is none
				k == classDigit && d == MySQL: // it may begin a name
				tables[d][c] = inertWord
			case c == ',' || c == '=' && d != Postgres,
				k == classPunct && d != Postgres,
				k == classDigit:
				tables[d][c] = inertToken
			}
		}
	}
	return tables
}()

type inertness uint8

const (
	notInert inertness = iota
	inertBlank
	inertToken
	inertWord
)

// isLetter reports whether c may begin a word in every dialect. All bytes of a character beyond ASCII may.
func isLetter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
}

// lexer cuts a window of the input into tokens. It keeps no position and no partial token: when a token may go on
// beyond the window it answers kindMore and is asked again with a larger one. The window doubles each time,
// so that this costs no more than twice the input, and needs no state for being in the middle of anything.
type lexer struct {
	opts    Options
	classes *[256]class
	window  []byte
	eof     bool   // nothing follows the window
	escapes bool   // a backslash escapes in '…' without a prefix
	ansi    bool   // MySQL: "…" is an identifier
	inCode  bool   // MySQL: inside /*! … */
	delim   []byte // MySQL: what the DELIMITER command set; nil is the semicolon
	msg     string // why a token is Invalid
}

func newLexer(o Options) lexer {
	if o.Dialect < SQLite || o.Dialect > MySQL {
		// A zero Options still must not panic; the caller reads the text of unknown dialect as SQLite, which has the
		// fewest special forms.
		o.Dialect = SQLite
	}
	l := lexer{opts: o, classes: &classes[o.Dialect], ansi: o.ANSIQuotes}
	switch o.Dialect {
	case MySQL:
		l.escapes = !o.NoBackslashEscapes
	case Postgres:
		l.escapes = o.StandardStringsOff
	}
	return l
}

// next returns the kind and the end of the token that begins at p, which must lie inside the window.
func (l *lexer) next(p int) (TokenKind, int) {
	w := l.window
	if l.delim != nil {
		if end, kind := l.delimiterAt(p); kind != 0 {
			return kind, end
		}
	}
	c := w[p]
	switch l.classes[c] {
	case classSpace:
		p++
		for p < len(w) && l.classes[w[p]] == classSpace {
			p++
		}
		return kindSpace, p
	case classWord:
		return l.word(p)
	case classDigit:
		return l.number(p)
	case classPunct:
		return Op, p + 1
	case classSemi:
		switch {
		case l.inCode:
			return kindInner, p + 1
		case l.delim != nil:
			return Op, p + 1
		}
		return kindTerminator, p + 1
	case classQuote:
		return l.quoted(String, p, p, '\'', l.escapes)
	case classDouble:
		if l.opts.Dialect == MySQL && !l.ansi {
			return l.quoted(String, p, p, '"', l.escapes)
		}
		return l.quoted(QuotedIdent, p, p, '"', false)
	case classTick:
		return l.quoted(QuotedIdent, p, p, '`', false)
	case classSquare:
		if i := bytes.IndexByte(w[p:], ']'); i >= 0 {
			return QuotedIdent, p + i + 1
		}
		return l.unterminated("quoted identifier")
	}
	// What is left needs to see one or two bytes more.
	if p+2 >= len(w) && !l.eof {
		return kindMore, p
	}
	switch l.classes[c] {
	case classDot:
		if isDigit(l.at(p + 1)) {
			return l.number(p)
		}
	case classDash:
		if l.at(p+1) == '-' && (l.opts.Dialect != MySQL || mysqlDashComment(w, p)) {
			return l.lineComment(p)
		}
	case classHash:
		return l.lineComment(p)
	case classSlash:
		if l.at(p+1) == '*' {
			switch l.opts.Dialect {
			case Postgres:
				return l.postgresComment(p)
			case MySQL:
				return l.mysqlComment(p)
			}
			return l.sqliteComment(p)
		}
	case classStar:
		if l.inCode && l.at(p+1) == '/' {
			l.inCode = false
			return kindClose, p + 2
		}
	case classDollar:
		return l.postgresDollar(p)
	case classParam:
		if l.opts.Dialect == SQLite {
			return l.sqliteParam(p)
		}
		return Param, p + 1
	case classBackslash:
		return l.backslash(p)
	}
	return l.operator(p)
}

// at returns the byte at p, 0 beyond the end of the input.
func (l *lexer) at(p int) byte {
	if p < len(l.window) {
		return l.window[p]
	}
	return 0
}

func (l *lexer) invalid(msg string) (TokenKind, int) {
	l.msg = msg
	return Invalid, len(l.window)
}

// unterminated answers for a construct whose end is not in the window: there may be more, or it is a fault.
func (l *lexer) unterminated(what string) (TokenKind, int) {
	if !l.eof {
		return kindMore, 0
	}
	return l.invalid("unterminated " + what)
}

func (l *lexer) lineComment(p int) (TokenKind, int) {
	if i := bytes.IndexByte(l.window[p:], '\n'); i >= 0 {
		// PostgreSQL ends the comment at a carriage return as well (scan.l: non_newline is [^\n\r]).
		if l.opts.Dialect == Postgres {
			if r := bytes.IndexByte(l.window[p:p+i], '\r'); r >= 0 {
				i = r
			}
		}
		return Comment, p + i
	}
	if !l.eof {
		return kindMore, p
	}
	if l.opts.Dialect == Postgres {
		if r := bytes.IndexByte(l.window[p:], '\r'); r >= 0 {
			return Comment, p + r
		}
	}
	return Comment, len(l.window)
}

// word reads a name or keyword, and the literals that begin with a letter.
func (l *lexer) word(p int) (TokenKind, int) {
	w := l.window
	e := p + 1
	for e < len(w) && inWord[w[e]] {
		e++
	}
	if e+1 >= len(w) && !l.eof {
		return kindMore, p
	}
	switch {
	case e-p == 1:
		switch l.opts.Dialect {
		case Postgres:
			if kind, end := l.postgresPrefixed(p); kind != 0 {
				return kind, end
			}
		case MySQL:
			if l.at(e) == '\'' {
				switch w[p] | 0x20 {
				case 'n':
					return l.quoted(String, p, e, '\'', l.escapes)
				case 'x', 'b':
					return l.quoted(String, p, e, '\'', false)
				}
			}
		case SQLite:
			if l.at(e) == '\'' && w[p]|0x20 == 'x' {
				return l.quoted(String, p, e, '\'', false)
			}
		}
	case l.opts.Dialect == SQLite && e-p >= 3 && w[p] == bom[0] && bytes.HasPrefix(w[p:], []byte(bom)):
		// tokenize.c, CC_BOM: a byte-order mark that begins a token is a blank, wherever it stands.
		return kindSpace, p + len(bom)
	}
	if l.delim != nil {
		e = l.delimiterIn(p, e)
	}
	return Word, e
}

// number reads digits with a fraction and an exponent. What follows directly is the next token, except in
// MySQL where a name may begin with a digit.
func (l *lexer) number(p int) (TokenKind, int) {
	w := l.window
	e := p
	digits := func() {
		for e < len(w) && (isDigit(w[e]) || w[e] == '_' && l.opts.Dialect != MySQL) {
			e++
		}
	}
	if w[p] == '0' && l.at(p+1)|0x20 == 'x' {
		for e++; e < len(w) && inWord[w[e]]; e++ {
		}
	} else {
		digits()
		if l.at(e) == '.' && l.at(e+1) != '.' {
			e++
			digits()
		}
		if l.at(e)|0x20 == 'e' {
			sign := l.at(e + 1)
			if isDigit(sign) || (sign == '+' || sign == '-') && isDigit(l.at(e+2)) {
				e += 2
				digits()
			}
		}
	}
	if e+2 >= len(w) && !l.eof {
		return kindMore, p
	}
	kind := Number
	if l.opts.Dialect == MySQL {
		for ; e < len(w) && inWord[w[e]]; e++ {
			kind = Word
		}
		if e == len(w) && !l.eof {
			return kindMore, p
		}
		if l.delim != nil {
			e = l.delimiterIn(p, e)
		}
	}
	return kind, e
}

// longRun is after how many ordinary bytes in a row bytes.IndexByte is quicker than a look at each.
const longRun = 4

// quoted reads a token of the given kind that begins at p and whose opening quote stands at q. A doubled quote stands
// for itself; with escapes a backslash takes the meaning of the byte after it.
func (l *lexer) quoted(kind TokenKind, p, q int, quote byte, escapes bool) (TokenKind, int) {
	w := l.window
	end := 0 // no quote stands between i and here
	for i, run := q+1, 0; i < len(w); {
		switch c := w[i]; {
		case c == quote:
			if i+1 == len(w) && !l.eof {
				return kindMore, p
			}
			if l.at(i+1) != quote {
				return kind, i + 1
			}
			i, run = i+2, 0
		case c == '\\' && escapes:
			i, run = i+2, 0
		case run < longRun:
			i, run = i+1, run+1
		default:
			if end < i {
				end = len(w)
				if n := bytes.IndexByte(w[i:], quote); n >= 0 {
					end = i + n
				}
			}
			next := end
			if escapes {
				if n := bytes.IndexByte(w[i:end], '\\'); n >= 0 {
					next = i + n
				}
			}
			i, run = next, 0
		}
	}
	if kind == QuotedIdent {
		return l.unterminated("quoted identifier")
	}
	return l.unterminated("quoted string")
}

// operators of more than one byte, apart from PostgreSQL's, which has a rule instead of a list.
func (l *lexer) operator(p int) (TokenKind, int) {
	w := l.window
	if l.opts.Dialect == Postgres {
		return l.postgresOperator(p)
	}
	for n := min(3, len(w)-p); n > 1; n-- {
		switch string(w[p : p+n]) {
		case "->>", "<=>", "<=", ">=", "<>", "!=", "==", "||", "&&", "<<", ">>", "->", ":=", "..":
			return Op, p + n
		}
	}
	return Op, p + 1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// keyword writes w in upper case into the given array, for a switch without allocation. What is longer than any
// keyword of interest becomes "".
func keyword(buf *[16]byte, w []byte) []byte {
	if len(w) > len(buf) {
		return nil
	}
	for i, c := range w {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:len(w)]
}
