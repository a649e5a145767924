package sqlscan

import (
	"errors"
	"io"
	"strings"
)

// Splitter is [Split] and [Tokens] in one pass, for those who have many texts and look at most of their tokens. It uses its memory
// again: what it returns is valid until the next text. It must not be used from two goroutines at once.
type Splitter struct {
	opts       Options
	enough     func(verb string) int
	scanner    Scanner
	window     []byte
	statements []Statement
	ends       []int // behind the tokens of each statement
}

// NewSplitter returns a Splitter. enough says how many tokens are wanted of a statement with this verb, and -1 for all of them; those
// of an INSERT of many rows are passed over faster than they are collected. Nil is all of all.
func NewSplitter(o Options, enough func(verb string) int) *Splitter {
	if enough == nil {
		enough = func(string) int { return -1 }
	}
	return &Splitter{opts: o, enough: enough}
}

// Split returns the statements of text. On an error, which is an *Error, it also returns those before the fault.
func (p *Splitter) Split(text string) ([]Statement, error) {
	p.window = append(p.window[:0], text...)
	body, binary, tokens := p.scanner.body, p.scanner.binary, p.scanner.tokens
	p.scanner = newScanner(p.opts, body)
	s := &p.scanner
	s.collect, s.binary, s.tokens = p.enough, binary[:0], tokens[:0]
	s.whole(text, p.window)
	p.statements, p.ends = p.statements[:0], p.ends[:0]
	for {
		p.statements = append(p.statements, Statement{})
		st := &p.statements[len(p.statements)-1]
		begin := len(s.tokens)
		err := s.err
		s.wanted, s.asked = -1, false
		if err == nil {
			err = s.scan(st)
		}
		if err != nil {
			p.statements = p.statements[:len(p.statements)-1]
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return p.statements, err
		}
		// A semicolon in front of a client's delimiter is none of the statement's.
		for n := len(s.tokens); n > begin && s.tokens[n-1].Offset >= len(st.Text); n-- {
			s.tokens = s.tokens[:n-1]
		}
		p.ends = append(p.ends, len(s.tokens))
	}
}

// Tokens returns the tokens of statement i, as [Tokens] yields them: without comments. Their offsets are in its Text.
func (p *Splitter) Tokens(i int) []Token {
	begin := 0
	if i > 0 {
		begin = p.ends[i-1]
	}
	return p.scanner.tokens[begin:p.ends[i]:p.ends[i]]
}

// token collects the one at s.pos. The first one decides how many there are to be.
func (s *Scanner) token(st *Statement, kind TokenKind, end int) {
	switch kind {
	case kindOpen, kindClose:
		return
	case kindTerminator, kindInner:
		kind = Op
	}
	text := s.source[s.pos-s.base : end-s.base]
	if !s.asked {
		s.asked = true
		verb := ""
		if kind == Word {
			if verb = s.verb; text != verb {
				verb = strings.ToUpper(text)
			}
		}
		s.wanted = s.collect(verb)
	}
	if s.wanted != 0 {
		s.wanted--
		s.tokens = append(s.tokens, Token{Kind: kind, Text: text, Offset: s.pos - st.Offset})
	}
}

// collectPlain collects tokens that matter to nobody else, as skipInert passes over them: a turn of the loop in scan costs more.
// It returns the new end of what is significant.
func (s *Scanner) collectPlain(st *Statement, end int) int {
	w, dialect := s.lex.window, s.lex.opts.Dialect
	for s.wanted != 0 && s.pos < len(w) {
		switch s.lex.classes[w[s.pos]] {
		case classSemi, classDash, classSlash, classHash, classStar, classBackslash:
			return end // perhaps an end, or a comment, of which the lexer must be asked once
		}
		kind, next := s.lex.next(s.pos)
		switch kind {
		case kindSpace:
		case String:
			if dialect == MySQL {
				return end // its bytes may be anything
			}
			fallthrough
		case Word, QuotedIdent, Number, Param, Op:
			if kind == Op && dialect == Postgres {
				s.countParens(w[s.pos:next])
			}
			s.token(st, kind, next)
			end = next
		default:
			return end
		}
		s.pos = next
	}
	return end
}
