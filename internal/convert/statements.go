package convert

import (
	"errors"
	"regexp"
	"slices"
	"strings"

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
var outsideTransactions = map[string][]*regexp.Regexp{
	"postgres": {
		regexp.MustCompile(`^(CREATE|CREATE UNIQUE|DROP) INDEX CONCURRENTLY\b`), regexp.MustCompile(`^REINDEX\b.*\bCONCURRENTLY\b`),
		regexp.MustCompile(`^VACUUM\b`), regexp.MustCompile(`^ALTER SYSTEM\b`), regexp.MustCompile(`^(CREATE|DROP) (DATABASE|TABLESPACE)\b`),
	},
	"sqlite": {regexp.MustCompile(`^VACUUM\b`)},
}

// needsOwnTransaction are the statements whose effect depends on where a transaction of PostgreSQL ends.
var needsOwnTransaction = []*regexp.Regexp{
	regexp.MustCompile(`^ALTER TYPE\b.*\bADD VALUE\b`), regexp.MustCompile(`^SET (LOCAL|CONSTRAINTS|TRANSACTION)\b`), regexp.MustCompile(`\bON COMMIT (DROP|DELETE)\b`),
}

func matchesAny(list []*regexp.Regexp, text string) bool {
	return slices.ContainsFunc(list, func(r *regexp.Regexp) bool { return r.MatchString(text) })
}

// setsSession reports whether a statement only sets something in its session.
func setsSession(st sqlscan.Statement) bool {
	return st.Verb == "SET" || st.Verb == "RESET" || st.Verb == "PRAGMA"
}

var setsAutocommit = regexp.MustCompile(`(?i)\bautocommit\b`)

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
	marks := make([]transactionMark, len(statements))
	var opened, pairs, outside, alone int // outside: statements outside of a transaction that are no settings
	open := false
	for i, st := range statements {
		marks[i] = c.transaction(st)
		head := strings.Join(c.words(st.Text, 40), " ")
		switch {
		case st.Verb == "SET" && c.dialect == "mysql" && setsAutocommit.MatchString(st.Text):
			return // a dump, whose COMMITs our runner knows
		case marks[i] == otherMark:
			c.problem(s.input.path, s.line(st.Line), "%s: a migration here is one transaction or none, and its file does not say more about it", strings.Join(c.words(st.Text, 4), " "))
			return
		case marks[i] == opensMark && open:
			c.problem(s.input.path, s.line(st.Line), "a transaction begins here, and the one before has not ended")
			return
		case marks[i] == opensMark:
			open, opened = true, i
		case marks[i] == closesMark && !open:
			c.problem(s.input.path, s.line(st.Line), "a transaction ends here that has not begun in this file")
			return
		case marks[i] == closesMark:
			open = false
			pairs++
		case !open && !setsSession(st):
			outside++
		}
		if matchesAny(outsideTransactions[c.dialect], head) {
			alone++
		}
	}
	if open {
		c.problem(s.input.path, s.line(statements[opened].Line), "the transaction that begins here does not end in this file")
		return
	}
	if alone > 0 && !s.noTransaction {
		s.noTransaction = true
		c.note(s.input.path, 0, "it has a statement that no transaction can hold, so it runs without one here; %s says so nowhere", c.tool)
	}
	switch {
	case pairs == 0:
		return
	case s.noTransaction && (outside > 0 || pairs > 1):
		c.problem(s.input.path, s.line(statements[opened].Line), "a transaction inside a file that runs without one: split the file, with one transaction in each")
		return
	case s.noTransaction:
		s.noTransaction = false // its one transaction is all there is
	}
	if pairs == 1 && marks[0] == opensMark && marks[len(marks)-1] == closesMark {
		return // our runner takes the two for what they are
	}
	if pairs > 1 || outside > 0 {
		for _, st := range statements {
			if head := strings.Join(c.words(st.Text, 40), " "); c.dialect == "postgres" && matchesAny(needsOwnTransaction, head) {
				c.problem(s.input.path, s.line(st.Line), "what this does depends on the end of its transaction, and the file has several: split it, with one transaction in each")
				return
			}
		}
		c.note(s.input.path, 0, "%s", map[bool]string{
			false: "its transactions become one, with all that stands in the file",
			true:  "its transactions were left out: here each statement is journaled, and a run that is cut short goes on with the next one",
		}[c.dialect == "mysql"])
	}
	drop := make([]bool, len(statements))
	for i := range marks {
		drop[i] = marks[i] != noMark
	}
	removeStatements(s, statements, drop, c.rules)
}

var directiveLine = regexp.MustCompile(`(?mi)^[ \t]*--[ \t]*tldwdb[ \t]*:`)

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
