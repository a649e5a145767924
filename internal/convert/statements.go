package convert

import (
	"errors"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file looks at the statements of a script: a migration of ours runs in one transaction or in none, and says so in its
// first line, while other tools leave that to the file.

// transactionMark is what a statement does to a transaction.
type transactionMark uint8

const (
	noMark     transactionMark = iota
	opensMark                  // BEGIN
	closesMark                 // COMMIT
	otherMark                  // what means more than these: ROLLBACK, SAVEPOINT, an isolation level
)

// plainTransaction are the forms that say nothing but begin and end.
var plainTransaction = map[string]transactionMark{
	"BEGIN": opensMark, "BEGIN WORK": opensMark, "BEGIN TRANSACTION": opensMark, "START TRANSACTION": opensMark,
	"BEGIN DEFERRED": opensMark, "BEGIN DEFERRED TRANSACTION": opensMark, "BEGIN IMMEDIATE": opensMark,
	"BEGIN IMMEDIATE TRANSACTION": opensMark, "BEGIN EXCLUSIVE": opensMark, "BEGIN EXCLUSIVE TRANSACTION": opensMark,
	"COMMIT": closesMark, "COMMIT WORK": closesMark, "COMMIT TRANSACTION": closesMark,
	"END": closesMark, "END WORK": closesMark, "END TRANSACTION": closesMark,
}

var transactionVerbs = []string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}

// transaction tells what a statement does to a transaction.
func (c *converter) transaction(st sqlscan.Statement) transactionMark {
	if !slices.Contains(transactionVerbs, st.Verb) {
		return noMark
	}
	words := c.words(st.Text, 6)
	all := strings.Join(words, " ")
	if mark, ok := plainTransaction[all]; ok {
		return mark
	}
	switch {
	case len(words) > 1 && (st.Verb == "START" || st.Verb == "PREPARE") && words[1] != "TRANSACTION":
		return noMark // START REPLICA, PREPARE a statement
	case strings.HasPrefix(all, "BEGIN NOT ATOMIC"):
		return noMark // MariaDB's block
	}
	return otherMark
}

// words returns the first tokens of a text in upper case, without comments.
func (c *converter) words(text string, limit int) []string {
	var words []string
	for t := range sqlscan.Tokens(text, c.rules) {
		if len(words) == limit {
			break
		}
		words = append(words, strings.ToUpper(t.Text))
	}
	return words
}

// outsideTransactions are the statements that no transaction can hold, so that a file with one of them cannot have run
// in one.
var outsideTransactions = map[string][]*lazyregexp.Regexp{
	"postgres": {
		lazyregexp.New(`^(CREATE|CREATE UNIQUE|DROP) INDEX CONCURRENTLY\b`), lazyregexp.New(`^REINDEX\b.*\bCONCURRENTLY\b`),
		lazyregexp.New(`^VACUUM\b`), lazyregexp.New(`^ALTER SYSTEM\b`), lazyregexp.New(`^(CREATE|DROP) (DATABASE|TABLESPACE)\b`),
	},
	"sqlite": {lazyregexp.New(`^VACUUM\b`)},
}

// needsOwnTransaction are the statements whose effect depends on where a transaction of PostgreSQL ends.
var needsOwnTransaction = []*lazyregexp.Regexp{
	lazyregexp.New(`^ALTER TYPE\b.*\bADD VALUE\b`), lazyregexp.New(`^SET (LOCAL|CONSTRAINTS|TRANSACTION)\b`), lazyregexp.New(`\bON COMMIT (DROP|DELETE)\b`),
}

func matchesAny(list []*lazyregexp.Regexp, text string) bool {
	return slices.ContainsFunc(list, func(r *lazyregexp.Regexp) bool { return r.MatchString(text) })
}

// setsSession reports whether a statement only sets something in its session.
func setsSession(st sqlscan.Statement) bool {
	return st.Verb == "SET" || st.Verb == "RESET" || st.Verb == "PRAGMA"
}

var setsAutocommit = lazyregexp.New(`(?i)\bautocommit\b`)

// transactions is what the statements of a script do to transactions.
type transactions struct {
	marks   []transactionMark
	pairs   int // BEGIN with its COMMIT, and something between them
	strays  int // COMMIT of what the file has not begun: it ends the tool's transaction, and without one it is a warning
	outside int // statements outside of the pairs that are no settings
	alone   int // those that no transaction can hold
	tied    int // the line of the first whose effect depends on where its transaction ends; 0 for none
	dump    bool
}

// one reports whether the script is one transaction, apart from settings around it.
func (t *transactions) one() bool { return t.strays == 0 && t.pairs == 1 && t.outside == 0 }

// closedEarly reports whether all there is to say is a COMMIT at the very end.
func (t *transactions) closedEarly() bool {
	return t.pairs == 0 && t.strays == 1 && t.marks[len(t.marks)-1] == closesMark
}

// survey reads the statements of a script. It returns false when something about them has been reported.
func (c *converter) survey(s *script, statements []sqlscan.Statement) (*transactions, bool) {
	t := &transactions{marks: make([]transactionMark, len(statements))}
	opened, inside := -1, 0 // the BEGIN of the open transaction, and how much stands in it
	end := func() {
		if inside > 0 {
			t.pairs++
		}
		opened, inside = -1, 0
	}
	for i, st := range statements {
		line := s.line(st.Line)
		head := strings.Join(c.words(st.Text, 40), " ")
		t.marks[i] = c.transaction(st)
		switch {
		case st.Verb == "SET" && c.dialect == "mysql" && setsAutocommit.MatchString(st.Text):
			t.dump = true
		case t.marks[i] == otherMark:
			c.problem(s.input.path, line, "%s: a migration here is one transaction or none, and its file does not say more about it", strings.Join(c.words(st.Text, 4), " "))
			return nil, false
		case t.marks[i] == opensMark && opened >= 0:
			c.problem(s.input.path, line, "a transaction begins here, and the one before has not ended")
			return nil, false
		case t.marks[i] == opensMark:
			opened = i
		case t.marks[i] == closesMark && opened >= 0:
			end()
		case t.marks[i] == closesMark && c.dialect == "sqlite": // there it is an error
			c.problem(s.input.path, line, "a transaction ends here that has not begun in this file")
			return nil, false
		case t.marks[i] == closesMark:
			t.strays++
		case opened >= 0:
			inside++
		case !setsSession(st):
			t.outside++
		}
		if matchesAny(outsideTransactions[c.dialect], head) {
			t.alone++
		}
		if t.tied == 0 && c.dialect == "postgres" && matchesAny(needsOwnTransaction, head) {
			t.tied = line
		}
	}
	if opened >= 0 && t.strays > 0 { // the file has ended the tool's transaction, and begins one that the tool will end
		end()
	}
	if opened >= 0 {
		c.problem(s.input.path, s.line(statements[opened].Line), "the transaction that begins here does not end in this file")
		return nil, false
	}
	return t, true
}

// settle brings a script into the form that our files have: readable by our scanner, and either one transaction, whose BEGIN and
// COMMIT are not written, or none, which the file says.
func (c *converter) settle(s *script) {
	statements, err := sqlscan.Split(s.text, c.rules)
	var at *sqlscan.Error
	if errors.As(err, &at) {
		c.problem(s.input.path, s.line(at.Line), "%s", at.Msg)
		return
	}
	c.lateDirectives(s, statements)
	t, ok := c.survey(s, statements)
	if !ok || t.dump { // a dump's COMMITs are known to our runner
		return
	}
	if t.alone > 0 && !s.noTransaction {
		s.noTransaction = true
		c.note(s.input.path, 0, "it has a statement that no transaction can hold, so it runs without one here; %s says so nowhere", c.tool)
	}
	first := 0 // the line of the first mark
	if i := slices.IndexFunc(t.marks, func(m transactionMark) bool { return m != noMark }); i >= 0 {
		first = s.line(statements[i].Line)
	}
	switch {
	case t.pairs == 0 && t.strays == 0: // nothing, or an empty transaction
	case t.closedEarly():
		c.note(s.input.path, first, "a COMMIT at its end was left out: it ended what the file has not begun")
	case t.one():
		s.noTransaction = false // its transaction is all there is
		if t.marks[0] == opensMark && t.marks[len(t.marks)-1] == closesMark {
			return // our runner takes the two for what they are
		}
	case t.tied > 0:
		c.problem(s.input.path, t.tied, "what this does depends on the end of its transaction, and the file has several: split it, with one transaction in each")
		return
	case s.noTransaction && t.pairs > 0:
		c.problem(s.input.path, first, "a transaction inside a file that runs without one: split the file, with one transaction in each")
		return
	case s.noTransaction:
		c.note(s.input.path, first, "its COMMITs were left out: each statement commits by itself here")
	case c.dialect == "mysql":
		c.note(s.input.path, first, "its transactions were left out: here each statement is journaled, and a run that is cut short goes on with the next one")
	default:
		c.note(s.input.path, first, "its transactions become one, with all that stands in the file")
	}
	c.dropMarks(s, statements, t.marks)
}

// dropMarks takes BEGIN and COMMIT out of a script.
func (c *converter) dropMarks(s *script, statements []sqlscan.Statement, marks []transactionMark) {
	drop := make([]bool, len(statements))
	if !slices.ContainsFunc(marks, func(m transactionMark) bool { return m != noMark }) {
		return
	}
	for i := range marks {
		drop[i] = marks[i] != noMark
	}
	removeStatements(s, statements, drop, c.rules)
}

var directiveLine = lazyregexp.New(`(?mi)^[ \t]*--[ \t]*tldwdb[ \t]*:`)

// lateDirectives refuses a comment that our loader would refuse: one that is meant for us and stands where it does nothing.
func (c *converter) lateDirectives(s *script, statements []sqlscan.Statement) {
	found := directiveLine.FindAllStringIndex(s.text, -1)
	if len(found) == 0 || len(statements) == 0 {
		return
	}
	where := c.placesIn(s.text)
	defer where.close()
	for _, at := range found {
		if at[0] > statements[0].Offset && where.begins(at[0]) {
			c.problem(s.input.path, s.line(1+strings.Count(s.text[:at[0]], "\n")), "a directive of tldwdb must stand before the first statement")
		}
	}
}

// removeStatements takes statements out of a script, with the lines that have nothing else.
func removeStatements(s *script, statements []sqlscan.Statement, drop []bool, rules sqlscan.Options) {
	text := s.text
	for i := len(statements) - 1; i >= 0; i-- {
		if !drop[i] {
			continue
		}
		begin := statements[i].Offset
		end := begin + len(statements[i].Text)
		for t := range sqlscan.Tokens(text[end:], rules) { // its semicolon, if it has one
			if t.Text == ";" {
				end += t.Offset + 1
			}
			break
		}
		lineBegin, lineEnd := 1+strings.LastIndexByte(text[:begin], '\n'), len(text)
		if n := strings.IndexByte(text[end:], '\n'); n >= 0 {
			lineEnd = end + n + 1
		}
		if strings.TrimSpace(text[lineBegin:begin]) == "" && strings.TrimSpace(text[end:lineEnd]) == "" {
			begin, end = lineBegin, lineEnd
		}
		if s.lines != nil {
			first := strings.Count(text[:begin], "\n")
			s.lines = slices.Delete(slices.Clone(s.lines), first, min(first+strings.Count(text[begin:end], "\n"), len(s.lines)))
		}
		text = text[:begin] + text[end:]
	}
	s.text = strings.TrimLeft(text, "\n")
	if s.lines != nil {
		s.lines = s.lines[len(s.lines)-min(len(s.lines), strings.Count(s.text, "\n")+1):]
	}
}
