package sqlscan

import "io"

// NewSmall is New with a first window of the given size, at least 4 for a byte-order mark, so that the window ends
// everywhere in short texts too.
func NewSmall(r io.Reader, o Options, window int) *Scanner {
	s := New(r, o)
	s.size = window
	return s
}

// Window returns how much of the input a Scanner holds at most at a time.
func (s *Scanner) Window() int { return cap(s.lex.window) }
