// Package sqlscan cuts a text of SQL into its statements, exactly where SQLite, PostgreSQL, MySQL and MariaDB themselves (or the
// clients psql and mysql, which do it for their servers) end them.
//
// It exists because nobody else's cut is exact. Splitting at semicolons fails at the first trigger, routine or quoted
// semicolon; sending the whole text fails on MySQL, where a driver sends one statement a packet, and loses the line of a fault
// everywhere. The scanner reads any io.Reader once, in time linear in its length, and holds no more of it than the
// statement at hand.
package sqlscan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// Dialect is the SQL of one family of servers.
type Dialect uint8

// The dialects. MySQL serves MariaDB too.
const (
	SQLite Dialect = iota + 1
	Postgres
	MySQL
)

// Options say how the server will read the text. The dialect is required.
type Options struct {
	Dialect            Dialect
	NoBackslashEscapes bool // MySQL: sql_mode holds NO_BACKSLASH_ESCAPES
	ANSIQuotes         bool // MySQL: sql_mode holds ANSI_QUOTES, so that "x" is an identifier
	MariaDB            bool // MySQL: the server is MariaDB, for which /*M! … */ holds code too, and /*!50700 … */ to /*!99999 … */ does not
	StandardStringsOff bool // PostgreSQL: standard_conforming_strings is off when the text begins
	Comments           bool // Tokens yields comments too; nothing else looks at it
}

// Statement is one statement of the input.
type Statement struct {
	// Text is what to send to the server: from the first significant byte to the last, without the terminator and without the blanks and
	// comments around it. What stands in MySQL's /*! … */ is significant.
	// It may share up to 64 KiB of memory with its neighbours.
	Text   string
	Offset int // byte offset of Text in the input
	Line   int // line of its first byte, from 1
	Column int // column of its first byte, from 1, in characters and not bytes
	// Verb is the leading keyword in upper case: CREATE, INSERT, WITH, BEGIN … It is "" when the statement does not begin with a
	// word. A leading /*!50001 of MySQL is looked through.
	Verb string
	// CopyIn says that this is PostgreSQL's COPY … FROM STDIN, and Data holds the lines after it, up to
	// and without the line \. alone, as they stand in the input.
	CopyIn bool
	Data   string
}

// Error is a text that cannot be cut, and where the construct at fault began.
type Error struct {
	Offset int // in bytes
	Line   int // from 1
	Column int // from 1, in characters
	Msg    string
}

// Error returns "line:column: message".
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Msg) }

// firstWindow is how much is read at once. It holds almost every statement there is, and is small beside the memory
// of any process that opens a database.
const firstWindow = 64 << 10

// Scanner reads statements from an io.Reader. It must not be used from two goroutines at once.
type Scanner struct {
	r   io.Reader
	err error
	// source is the window as a string, from the first statement on that ends in it: most are short, and so they share its
	// memory. It stays empty in a window that had to grow.
	source string
	size   int // of the first window
	lex    lexer
	base   int // offset of the window in the input
	pos    int // offset of the next token
	keep   int // offset of the first byte that is still needed

	checked int // up to here the input is known to be UTF-8 without NUL
	plain   int // up to here it is so because it is ASCII, if this is beyond checked
	// Counted up to settled: the line, and the column of the byte at settled.
	settled, line, column int
	binary                []span // string literals of this statement whose bytes need not be UTF-8, in order

	command byte // a byte c with c|0x20 == command may begin a client's command
	body    body // how a statement's inner semicolons are known, per dialect
	watch   bool // body wants to see this statement's tokens
	wanted  int  // tokens of this statement that are still to be collected; negative for all
	parens  int  // PostgreSQL: open parentheses, in which a semicolon ends nothing
	paren   int  // where the outermost stands
	code    int  // MySQL: where the open /*! stands
	dump    bool // the text is the output of mysqldump or mariadb-dump
	begun   bool // a statement was found
	keyword [16]byte
	verb    string // of the statement before: often this one has the same
	simple  bool   // body was done with that one as soon as it saw the verb

	collect func(verb string) int // of a Splitter
	tokens  []Token               // what it has collected
	asked   bool                  // collect was, about this statement
}

type span struct{ begin, end int }

// body is the part of a dialect that knows statements with semicolons inside.
type body interface {
	// reset begins a new statement.
	reset()
	// token sees a significant token. It clears Scanner.watch as soon as the statement is none of its own.
	token(s *Scanner, kind TokenKind, text []byte, offset int)
	// terminator sees a semicolon and reports whether it ends the statement.
	terminator() bool
	// unterminated names the construct that is still open at the end of the input, and where it began.
	unterminated() (offset int, msg string)
}

// New returns a Scanner that reads from r.
func New(r io.Reader, opts Options) *Scanner {
	s := newScanner(opts, nil)
	s.r = r
	return &s
}

// newScanner uses body, of the same dialect, if there is one.
func newScanner(opts Options, body body) Scanner {
	s := Scanner{size: firstWindow, lex: newLexer(opts), line: 1, column: 1}
	switch s.lex.opts.Dialect {
	case Postgres:
		s.command = '\\' | 0x20
	case MySQL:
		s.command = 'd'
	default:
		s.command = '.'
	}
	if s.body = body; body == nil {
		s.body = newBody(s.lex.opts.Dialect)
	}
	if opts.Dialect != s.lex.opts.Dialect {
		s.err = fmt.Errorf("sqlscan: unknown dialect %d", opts.Dialect)
	}
	return s
}

func newBody(d Dialect) body {
	switch d {
	case Postgres:
		return &postgresBody{}
	case MySQL:
		return &mysqlBody{}
	}
	return &sqliteBody{}
}

// All yields the statements of r, and last the error that ended it, if any.
func All(r io.Reader, o Options) iter.Seq2[Statement, error] {
	return func(yield func(Statement, error) bool) {
		yieldAll(New(r, o), yield)
	}
}

// Split returns the statements of text. On an error, which is an *Error, it also returns those before the fault.
func Split(text string, o Options) ([]Statement, error) {
	s := New(nil, o)
	s.whole(text, []byte(text))
	var list []Statement
	var err error
	yieldAll(s, func(st Statement, e error) bool {
		if err = e; e == nil {
			list = append(list, st)
		}
		return true
	})
	return list, err
}

// whole makes the Scanner read one text, of which window is a copy.
func (s *Scanner) whole(text string, window []byte) {
	s.source, s.lex.window, s.lex.eof = text, window, true
	s.skipBOM()
}

func yieldAll(s *Scanner, yield func(Statement, error) bool) {
	for {
		var st Statement
		if s.err == nil {
			s.err = s.scan(&st)
		}
		if s.err != nil {
			if !errors.Is(s.err, io.EOF) {
				yield(Statement{}, s.err)
			}
			return
		}
		if !yield(st, nil) {
			return
		}
	}
}

// Next returns the next statement, or io.EOF after the last. What is wrong with the text is an *Error; any other error is
// the reader's. After an error every call returns the same.
func (s *Scanner) Next() (Statement, error) {
	if s.err != nil {
		return Statement{}, s.err
	}
	var st Statement
	if err := s.scan(&st); err != nil {
		s.err = err
		return Statement{}, err
	}
	return st, nil
}

// scan is the one loop of all dialects: it takes token after token until one ends the statement, which it writes into st.
func (s *Scanner) scan(st *Statement) error {
	var (
		started bool // there is something significant
		code    bool // there is more than the marks of a MySQL comment
		end     int  // where the last significant token ends
		verb    span
	)
	s.body.reset()
	s.watch, s.parens = true, 0
	s.binary = s.binary[:0]
	dialect := s.lex.opts.Dialect
	for {
		if s.pos-s.base >= len(s.lex.window) {
			if s.fill() {
				continue
			}
			return s.atEnd(st, verb, code, end)
		}
		if !started {
			if inert[dialect][s.lex.window[s.pos-s.base]] == inertBlank {
				s.pos++
				continue
			}
			s.keep = s.pos
			if s.lex.window[s.pos-s.base]|0x20 == s.command {
				if took, err := s.clientCommand(); err != nil || took {
					if err != nil {
						return err
					}
					continue
				}
			}
		}
		p := s.pos - s.base
		kind, e := s.lex.next(p)
		next := s.base + e
		switch kind {
		case kindMore:
			s.fill()
			continue
		case Invalid:
			return s.errorAt(s.pos, s.lex.msg)
		case kindSpace:
			s.pos = next
			continue
		case Comment:
			if dialect == MySQL && !s.begun && !s.dump {
				s.dump = mysqlDump(s.lex.window[p:e])
			}
			s.pos = next
			continue
		case kindTerminator:
			if s.parens > 0 || code && s.lex.delim == nil && !s.body.terminator() {
				break // a semicolon inside the statement
			}
			s.pos = next
			if code {
				return s.finish(st, verb, end)
			}
			started = false
			continue
		}
		text := s.lex.window[p:e]
		if s.lex.delim != nil && kind == Op && text[0] == ';' {
			if s.wanted != 0 && code {
				s.token(st, Op, next)
			}
			s.pos = next // before the delimiter it ends nothing, and at the end of the text it is not needed
			continue
		}
		if !started {
			started = true
			if err := s.settle(s.pos); err != nil {
				return err
			}
			st.Offset, st.Line, st.Column = s.pos, s.line, s.column
		}
		switch kind {
		case kindOpen:
			s.code = s.pos
		case kindClose, kindTerminator:
		case kindInner:
			s.body.terminator()
		default:
			first := !code
			if first {
				code, s.begun = true, true
				if kind == Word {
					verb = span{s.pos, next}
					if string(text) == s.verb {
						s.watch = !s.simple
					} else if dialect == MySQL && mysqlCommand(keyword(&s.keyword, text)) {
						return s.errorAt(s.pos, "mysql client command "+string(text)+" is not SQL")
					}
				}
			}
			if dialect == Postgres && kind == Op {
				s.countParens(text)
			}
			if dialect == MySQL && kind == String && (s.dump || s.introduced(end)) && !utf8.Valid(text) {
				s.binary = append(s.binary, span{s.pos, next})
			}
			if s.watch {
				s.body.token(s, kind, text, s.pos)
				if first && kind == Word {
					s.simple = !s.watch
				}
			}
		}
		if s.wanted != 0 {
			s.token(st, kind, next)
		}
		end = next
		s.pos = next
		if s.lex.delim == nil {
			if s.wanted == 0 {
				s.pos, end = s.skipInert(next, end)
			} else if !s.watch {
				end = s.collectPlain(st, end)
			}
		}
	}
}

// skipInert passes over the bytes at pos that are tokens of their own and matter to nobody, as between the values of a
// long INSERT, and over words once the statement's body has seen enough: most tokens are such, and a turn of the loop in scan costs
// ten times as much. It returns the offset of the first other byte, and the new end of what is significant.
func (s *Scanner) skipInert(pos, end int) (int, int) {
	table := &inert[s.lex.opts.Dialect]
	w := s.lex.window[pos-s.base:]
	for i := 0; i < len(w); i++ {
		switch table[w[i]] {
		case inertToken:
			if s.watch {
				return pos + i, end
			}
			end = pos + i + 1
		case inertWord:
			e := i + 1
			for e < len(w) && inWord[w[e]] {
				e++
			}
			if s.watch || e == len(w) || mayFollowPrefix(w[e]) {
				return pos + i, end
			}
			end, i = pos+e, e-1
		case notInert:
			return pos + i, end
		}
	}
	return s.base + len(s.lex.window), end
}

// mayFollowPrefix reports whether a literal may go on with c after a letter or U&.
func mayFollowPrefix(c byte) bool { return c == '\'' || c == '&' }

// countParens keeps the depth of PostgreSQL's parentheses: psql ends no statement inside them, for the sake of CREATE RULE.
func (s *Scanner) countParens(op []byte) {
	switch op[0] {
	case '(':
		if s.parens == 0 {
			s.paren = s.pos
		}
		s.parens++
	case ')':
		s.parens = max(s.parens-1, 0)
	}
}

// clientCommand handles what is no SQL but a command to a client, where a statement may begin. It reports whether
// there was one that is done with.
func (s *Scanner) clientCommand() (bool, error) {
	c := s.lex.window[s.pos-s.base]
	switch s.lex.opts.Dialect {
	case Postgres:
		if c == '\\' {
			return true, s.psqlCommand()
		}
	case MySQL:
		if c|0x20 == 'd' {
			return s.delimiterCommand()
		}
	case SQLite:
		if c == '.' {
			return false, s.sqliteCommand()
		}
	}
	return false, nil
}

// atEnd ends the last statement, which needs no terminator, or answers io.EOF.
func (s *Scanner) atEnd(st *Statement, verb span, code bool, end int) error {
	if s.err != nil {
		return s.err
	}
	if s.lex.inCode {
		return s.errorAt(s.code, "unterminated comment")
	}
	if !code {
		if err := s.check(s.pos); err != nil {
			return err
		}
		return io.EOF
	}
	if s.lex.delim == nil {
		if offset, msg := s.body.unterminated(); msg != "" {
			return s.errorAt(offset, msg)
		}
	}
	if s.parens > 0 {
		return s.errorAt(s.paren, "unterminated parenthesis")
	}
	return s.finish(st, verb, end)
}

// finish fills in what is known once the statement is complete.
func (s *Scanner) finish(st *Statement, verb span, end int) error {
	st.Text = s.text(st.Offset, end)
	if verb.end > 0 {
		if word := st.Text[verb.begin-st.Offset : verb.end-st.Offset]; word != s.verb {
			s.verb = strings.ToUpper(word)
		}
		st.Verb = s.verb
	}
	// The whole of it is looked at before the server may see a byte of it.
	if err := s.check(s.pos); err != nil {
		return err
	}
	s.keep = s.pos
	switch s.lex.opts.Dialect {
	case Postgres:
		if st.Verb == "SET" || st.Verb == "RESET" {
			s.postgresSetting(st.Text)
		}
		if b, ok := s.body.(*postgresBody); ok && b.copying {
			st.CopyIn = true
			var err error
			if st.Data, err = s.copyData(st); err != nil {
				return err
			}
		}
	case MySQL:
		if st.Verb == "SET" {
			s.mysqlSetting(st.Text)
		}
	}
	return nil
}

// text returns a part of the window as a string.
func (s *Scanner) text(begin, end int) string {
	if s.source == "" && len(s.lex.window) <= firstWindow {
		s.source = string(s.lex.window)
	}
	if s.source != "" {
		return s.source[begin-s.base : end-s.base]
	}
	return string(s.lex.window[begin-s.base : end-s.base])
}

// restOfLine returns what stands from pos to the end of its line, without the newline, and whether there is a newline. It is
// valid until the next call.
func (s *Scanner) restOfLine(pos int) ([]byte, bool) {
	for {
		w := s.lex.window[pos-s.base:]
		if i := bytes.IndexByte(w, '\n'); i >= 0 {
			return w[:i], true
		}
		if !s.fill() {
			return w, false
		}
	}
}

// fill reads more of the input behind the window, after dropping what stands before s.keep. It reports whether it
// read anything; if not, the input is at its end or s.err is set. The window doubles when what must be kept fills half
// of it, so that each byte is moved, and looked at again, a constant number of times.
func (s *Scanner) fill() bool {
	if s.lex.eof || s.err != nil {
		return false
	}
	if err := s.settle(s.keep); err != nil {
		return s.stop(err)
	}
	w := s.lex.window
	kept := copy(w, w[s.keep-s.base:])
	s.base = s.keep
	if size := max(cap(w), s.size); cap(w) == 0 || kept > size/2 {
		if cap(w) > 0 {
			size *= 2
		} else if sized, ok := s.r.(interface{ Len() int }); ok {
			size = min(size, sized.Len()+1) // most files are small, and there may be thousands of them
		}
		w = append(make([]byte, 0, size), w[:kept]...)
	}
	n := kept
	for empty := 0; n < cap(w); {
		m, err := s.r.Read(w[n:cap(w)])
		n += m
		if errors.Is(err, io.EOF) {
			s.lex.eof = true
			break
		}
		if empty++; m > 0 {
			empty = 0
		}
		if err == nil && empty == 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return s.stop(fmt.Errorf("read SQL: %w", err))
		}
	}
	first := s.base == 0 && kept == 0
	s.lex.window, s.source = w[:n], ""
	if first {
		s.skipBOM()
	}
	return n > kept || s.lex.eof
}

// stop makes the Scanner end with err.
func (s *Scanner) stop(err error) bool {
	s.err = err
	s.lex.eof = true
	s.lex.window = s.lex.window[:0]
	s.pos, s.keep = s.base, s.base
	return false
}

func (s *Scanner) skipBOM() {
	if bytes.HasPrefix(s.lex.window, []byte(bom)) {
		s.pos, s.keep, s.checked, s.settled = len(bom), len(bom), len(bom), len(bom)
	}
}

// check makes sure that the input up to the given offset is UTF-8 without NUL.
func (s *Scanner) check(to int) error {
	if to > s.plain {
		s.plain = max(s.plain, s.checked)
		s.plain += plainLength(s.lex.window[s.plain-s.base:])
	}
	if to <= s.plain {
		s.checked = to
		return nil
	}
	part := s.lex.window[s.checked-s.base : to-s.base]
	if i := s.faulty(part); i >= 0 {
		msg := "invalid UTF-8"
		if part[i] == 0 {
			msg = "NUL byte"
		}
		s.count(s.checked + i)
		return &Error{Offset: s.settled, Line: s.line, Column: s.column, Msg: msg}
	}
	s.checked = to
	return nil
}

// plainLength returns how many bytes of text, from its beginning, are ASCII and not NUL. Almost all of what is scanned is, and
// eight bytes at a time are told so at once.
func plainLength(text []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		// Less one, a NUL borrows and has its high bit set as well.
		if v := binary.LittleEndian.Uint64(text[n:]); (v|(v-ones))&highs != 0 {
			break
		}
	}
	for n < len(text) && text[n] != 0 && text[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// settle checks the input up to the given offset and counts its lines and characters.
func (s *Scanner) settle(to int) error {
	if to > s.checked {
		if err := s.check(to); err != nil {
			return err
		}
	}
	s.count(to)
	return nil
}

// count moves line and column to the given offset. It is done at the beginning of a statement only, when most of what
// lies behind is lines to count, which is quick, and little is characters.
func (s *Scanner) count(to int) {
	part := s.lex.window[s.settled-s.base : to-s.base]
	s.settled = to
	if len(part) < 32 { // two searches would take longer
		for _, c := range part {
			if c == '\n' {
				s.line, s.column = s.line+1, 0
			}
			if c&0xC0 != 0x80 { // not the continuation of a character
				s.column++
			}
		}
		return
	}
	if n := bytes.Count(part, newline); n > 0 {
		s.line += n
		s.column = 1
		part = part[bytes.LastIndexByte(part, '\n')+1:]
	}
	for _, c := range part {
		if c&0xC0 != 0x80 {
			s.column++
		}
	}
}

var newline = []byte{'\n'}

// faulty returns the index of the first byte of part, which begins at s.checked, that no text may hold; -1 if there
// is none.
func (s *Scanner) faulty(part []byte) int {
	nul := bytes.IndexByte(part, 0)
	if nul >= 0 {
		part = part[:nul]
	}
	if utf8.Valid(part) {
		return nul
	}
	binary := s.binary
	for i := 0; i < len(part); {
		if len(binary) > 0 && s.checked+i >= binary[0].begin {
			i = max(i, binary[0].end-s.checked)
			binary = binary[1:]
			continue
		}
		r, n := utf8.DecodeRune(part[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return nul
}

// errorAt returns an *Error for what begins at the offset, which lies in the window and not before the statement at hand;
// or the one for a byte before it that no text may hold.
func (s *Scanner) errorAt(offset int, msg string) error {
	if s.err != nil {
		return s.err
	}
	if err := s.settle(offset); err != nil {
		return err
	}
	return &Error{Offset: offset, Line: s.line, Column: s.column, Msg: msg}
}
