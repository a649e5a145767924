package dialect

import (
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// head is the beginning of a statement, read word by word: enough to tell what
// a statement is and what it is about, without a grammar.
type head struct {
	tokens []sqlscan.Token
	opts   sqlscan.Options
}

// headLength bounds how much of a statement is looked at. The object that a
// statement is about stands within it; a list of columns or rows may not.
const headLength = 64

func headOf(text string, opts sqlscan.Options) head {
	h := head{opts: opts}
	for t := range sqlscan.Tokens(text, opts) {
		if t.Kind == sqlscan.Comment {
			continue
		}
		h.tokens = append(h.tokens, t)
		if len(h.tokens) == headLength {
			break
		}
	}
	return h
}

// word is the i-th token in upper case when it is an unquoted word, and empty
// otherwise.
func (h head) word(i int) string {
	if i < 0 || i >= len(h.tokens) || h.tokens[i].Kind != sqlscan.Word {
		return ""
	}
	return strings.ToUpper(h.tokens[i].Text)
}

// punct reports whether the i-th token is the given mark.
func (h head) punct(i int, mark string) bool {
	return i >= 0 && i < len(h.tokens) && h.tokens[i].Kind == sqlscan.Op && h.tokens[i].Text == mark
}

// is reports whether the statement goes on with the given words at token i.
func (h head) is(i int, words ...string) bool {
	for k, w := range words {
		if h.word(i+k) != w {
			return false
		}
	}
	return true
}

// contains reports whether an unquoted word stands anywhere in the head.
func (h head) contains(word string) bool {
	for i := range h.tokens {
		if h.word(i) == word {
			return true
		}
	}
	return false
}

// skip passes over each of the given sequences of words in turn, where it is
// there.
func (h head) skip(i int, sequences ...string) int {
	for _, sequence := range sequences {
		if words := strings.Fields(sequence); h.is(i, words...) {
			i += len(words)
		}
	}
	return i
}

// name is the i-th token as the engine reads it, or empty where it is no name.
func (h head) name(i int) string {
	n, _, _ := h.nameAt(i)
	return n.object
}

// name is an object's name, with what stands before the dot.
type name struct {
	schema, object string
}

// nameAt reads a possibly qualified name at token i, as the engine would store
// it, and returns the index of the token behind it.
func (h head) nameAt(i int) (name, int, bool) {
	part := func(i int) (string, bool) {
		if i >= len(h.tokens) || h.tokens[i].Kind != sqlscan.Word && h.tokens[i].Kind != sqlscan.QuotedIdent {
			return "", false
		}
		return h.tokens[i].Name(h.opts.Dialect), true
	}
	first, ok := part(i)
	if !ok {
		return name{}, i, false
	}
	i++
	if !h.punct(i, ".") {
		return name{object: first}, i, true
	}
	second, ok := part(i + 1)
	if !ok {
		return name{}, i, false
	}
	return name{schema: first, object: second}, i + 2, true
}
