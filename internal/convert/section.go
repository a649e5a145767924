package convert

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file reads the tools that keep both directions in one file, with comments as marks between them.

// markKind is what a mark does.
type markKind uint8

const (
	markUp markKind = iota + 1
	markDown
	markBegin         // of a statement with semicolons in it
	markEnd           // of that
	markNoTransaction // for the whole file
	markNothing       // a mark without an effect
	markFaulty        // one that cannot be understood, or not be converted
)

// mark is a line that is meant for the tool.
type mark struct {
	kind          markKind
	noTransaction bool
	problem       string // of a faulty one
}

// format is how a tool marks the sections of a file.
type format struct {
	mark    func(line string) (mark, bool)
	repeats bool // a direction may have several sections, which follow one another
	strict  bool // what begins must end
	drops   bool // the tool leaves out a line that begins with "-- ", in quotes too
	// The tool takes every line that begins with two dashes for a comment where a statement may begin.
	comments bool
	lf       bool // the tool reads line by line, so that CRLF reaches the server as LF
}

// section collects the lines of one direction.
type section struct {
	text  []byte
	lines []int
	first int // the line of its mark
	began int // where in the text the statement between markBegin and markEnd began; -1 outside of one
}

func (s *section) add(number int, line string) {
	s.text = append(s.text, line...)
	s.lines = append(s.lines, number)
}

// script returns the section as a script without the empty lines around it.
func (s *section) script(in *input, noTransaction bool) *script {
	text, lines := string(s.text), s.lines
	for {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(line) != "" {
			break
		}
		text, lines = rest, lines[1:]
	}
	text = strings.TrimRight(text, " \t\r\n")
	if text != "" {
		text += "\n"
	}
	return &script{input: in, text: text, lines: lines, noTransaction: noTransaction}
}

// ownNoTransaction is a directive of ours: goose's files and dbmate's are read as they are too, and may have it.
var ownNoTransaction = lazyregexp.New(`(?m)^[ \t]*--[ \t]*tldwdb:[ \t]*no-transaction[ \t]*\r?$`)

// sections cuts a file at its marks. It returns nil for a direction that the file does not have, and false when
// something is wrong with it, which has been reported.
func (c *converter) sections(in *input, f format) (up, down *script, ok bool) {
	text := in.text
	if f.lf {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	faults := len(c.problems)
	var (
		head     section // what stands before the first mark
		sections [2]*section
		noTx     [2]bool
		current  *section
	)
	where := c.placesIn(text)
	defer where.close()
	offset := 0
	for number, line := range numbered(text) {
		begin := offset
		offset += len(line)
		m, isMark := f.mark(strings.TrimRight(line, "\r\n"))
		if isMark && !where.begins(begin) {
			c.note(in.path, number, "this looks like a mark of %s, but it stands in quotes or in a comment: it was left as the text it is", c.tool)
			isMark = false
		}
		if !isMark {
			if f.drops && strings.HasPrefix(line, "-- ") && !where.begins(begin) {
				c.note(in.path, number, "this line stands in quotes or in a comment, and %s leaves it out as if it were a comment: so it was left out here", c.tool)
				continue
			}
			if f.comments && where.begins(begin) {
				line = c.comment(line)
			}
			if current == nil {
				head.add(number, line)
			} else {
				current.add(number, line)
			}
			continue
		}
		where.restart(offset)
		switch m.kind {
		case markUp, markDown:
			direction := int(m.kind - markUp)
			if current != nil && current.began >= 0 && f.strict {
				c.problem(in.path, number, "the statement that begins before this mark does not end")
			}
			switch {
			case sections[direction] == nil:
				sections[direction] = &section{first: number, began: -1}
			case !f.repeats:
				c.problem(in.path, number, "a second %s section (the first is in line %d): one file is one migration, split it", []string{"up", "down"}[direction], sections[direction].first)
			default:
				c.terminate(sections[direction], 0)
			}
			current = sections[direction]
			current.began = -1
			noTx[direction] = noTx[direction] || m.noTransaction
		case markBegin:
			switch {
			case current != nil:
				current.began = len(current.text)
			case f.strict:
				c.problem(in.path, number, "this mark stands before the first section")
			}
		case markEnd:
			switch {
			case current != nil && current.began >= 0:
				c.terminate(current, current.began)
				current.began = -1
			case f.strict:
				c.problem(in.path, number, "this mark ends a statement that did not begin")
			}
		case markNoTransaction:
			noTx = [2]bool{true, true}
		case markNothing:
		case markFaulty:
			c.problem(in.path, number, "%s", m.problem)
		}
	}
	if current != nil && current.began >= 0 {
		c.problem(in.path, 0, "a statement that begins with a mark does not end with one")
	}
	c.checkHead(in, &head, sections[0])
	if len(c.problems) > faults {
		return nil, nil, false
	}
	if sections[0] == nil {
		c.problem(in.path, 0, "there is no up section in this file")
		return nil, nil, false
	}
	sections[0].prepend(head.lines, string(head.text))
	up = sections[0].script(in, noTx[0])
	if sections[1] != nil && c.hasCode(string(sections[1].text)) {
		sections[1].prepend(ownDirectives(&head))
		down = sections[1].script(in, noTx[1])
	}
	return up, down, true
}

// prepend puts lines before those of the section.
func (s *section) prepend(lines []int, text string) {
	s.text = append([]byte(text), s.text...)
	s.lines = append(slices.Clone(lines), s.lines...)
}

// ownDirectives returns the lines of a head that are meant for us: they count for both directions.
func ownDirectives(head *section) (lines []int, text string) {
	i := 0
	for _, line := range numbered(string(head.text)) {
		if directiveLine.MatchString(line) {
			lines = append(lines, head.lines[i])
			text += line
		}
		i++
	}
	return lines, text
}

// checkHead refuses a file with statements before its first mark: no tool runs them.
func (c *converter) checkHead(in *input, head, up *section) {
	if up == nil {
		return
	}
	for t := range sqlscan.Tokens(string(head.text), c.rules) {
		line := strings.Count(string(head.text[:t.Offset]), "\n")
		c.problem(in.path, head.lines[line], "this stands before the first section, where %s never runs it: move it behind the mark or take it out", c.tool)
		return
	}
}

// places tells where tokens begin: a mark never stands inside one. It is asked from the beginning to the end of a text, and
// goes through it once.
type places struct {
	text  string
	rules sqlscan.Options
	base  int // the tokens are counted from here
	next  func() (sqlscan.Token, bool)
	stop  func()
	token sqlscan.Token
	more  bool
}

// placesIn begins at the beginning of a text. The caller ends it with close.
func (c *converter) placesIn(text string) *places {
	p := &places{text: text, rules: c.rules}
	p.rules.Comments = true
	p.restart(0)
	return p
}

// restart begins anew behind a mark: what was open before it is open no more.
func (p *places) restart(at int) {
	p.close()
	p.base = at
	p.next, p.stop = iter.Pull(sqlscan.Tokens(p.text[at:], p.rules))
	p.token, p.more = p.next()
}

func (p *places) close() {
	if p.stop != nil {
		p.stop()
	}
}

// begins reports whether a token begins at the offset, or behind the blanks there.
func (p *places) begins(at int) bool {
	at += len(p.text[at:]) - len(strings.TrimLeft(p.text[at:], " \t"))
	for p.more && p.base+p.token.Offset < at {
		p.token, p.more = p.next()
	}
	return p.more && p.base+p.token.Offset == at
}

var tightComment = lazyregexp.New(`^([ \t]*--)([^\s])`)

// comment gives the comment of a line the blank without which it is none to MySQL.
func (c *converter) comment(line string) string {
	if c.rules.Dialect == sqlscan.MySQL {
		return tightComment.ReplaceAllString(line, "$1 $2")
	}
	return line
}

// hasCode reports whether there is anything in a text but comments.
func (c *converter) hasCode(text string) bool {
	for range sqlscan.Tokens(text, c.rules) {
		return true
	}
	return false
}

var delimiterLine = lazyregexp.New(`(?mi)^[ \t]*delimiter[ \t]`)

// terminate makes sure that the last statement of a section ends with a semicolon: the mark behind it, which ended it
// for the tool, is no mark to us.
func (c *converter) terminate(s *section, from int) {
	text := string(s.text[from:])
	if c.rules.Dialect == sqlscan.MySQL && delimiterLine.MatchString(text) {
		return // it says itself what ends its statements
	}
	var last sqlscan.Token
	for t := range sqlscan.Tokens(text, c.rules) {
		last = t
	}
	if last.Kind == 0 || last.Kind == sqlscan.Invalid || last.Kind == sqlscan.Op && last.Text == ";" {
		return
	}
	s.text = slices.Insert(s.text, from+last.Offset+len(last.Text), ';')
}

// numbered yields the lines of a text with their ends, counted from 1.
func numbered(text string) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(text) {
			n++
			if !yield(n, line) {
				return
			}
		}
	}
}

var (
	numberedSQL = lazyregexp.New(`^(\d+)(?:_(.*))?\.sql$`)
	numberedGo  = lazyregexp.New(`^\d+_.*\.go$`)

	gooseLine     = lazyregexp.New(`^[ \t]*--.*\+goose`)
	gooseMark     = lazyregexp.New(`^--[ \t]*\+goose[ \t]+(.*?)[ \t-]*$`)
	dbmateMark    = lazyregexp.New(`^--[ \t]*migrate:(up|down)(?:[ \t]+(.*?))?[ \t]*$`)
	migrateMark   = lazyregexp.New(`^-- \+migrate(.*)$`)
	separateWords = lazyregexp.New(`[ \t]+`)
)

// goose reads NNN_name.sql with -- +goose marks.
func (c *converter) goose() {
	c.numberedFiles(format{strict: true, comments: true, lf: true, mark: func(line string) (mark, bool) {
		if !gooseLine.MatchString(line) {
			return mark{}, false
		}
		m := gooseMark.FindStringSubmatch(line)
		if m == nil {
			return mark{kind: markFaulty, problem: "goose refuses this mark: it begins in the first column, and nothing stands before +goose"}, true
		}
		switch strings.ToLower(separateWords.ReplaceAllString(m[1], " ")) {
		case "up":
			return mark{kind: markUp}, true
		case "down":
			return mark{kind: markDown}, true
		case "statementbegin":
			return mark{kind: markBegin}, true
		case "statementend":
			return mark{kind: markEnd}, true
		case "no transaction":
			return mark{kind: markNoTransaction}, true
		case "envsub off":
			return mark{kind: markNothing}, true
		case "envsub on":
			return mark{kind: markFaulty, problem: "environment variables are not put into migrations here: write the value, or a Go migration"}, true
		}
		return mark{kind: markFaulty, problem: "goose has no mark " + strconv.Quote(m[1])}, true
	}})
	for _, in := range c.folder.files {
		if in.top && numberedGo.MatchString(in.name) && !strings.HasSuffix(in.name, "_test.go") {
			c.problem(in.path, 0, "a migration in Go: write it as one of Config.GoMigrations, and take this file out of the folder")
		}
	}
}

// dbmate reads NNN_name.sql with -- migrate: marks. It runs files in the order of their names.
func (c *converter) dbmate() {
	c.numberedFiles(format{mark: func(line string) (mark, bool) {
		m := dbmateMark.FindStringSubmatch(line)
		if m == nil {
			return mark{}, false
		}
		result := mark{kind: markUp}
		if m[1] == "down" {
			result.kind = markDown
		}
		for _, option := range strings.Fields(m[2]) {
			if option == "transaction:false" {
				result.noTransaction = true
			}
		}
		return result, true
	}})
	slices.SortStableFunc(c.migrations, func(a, b *migration) int { return strings.Compare(a.up.input.name, b.up.input.name) })
}

// numberedFiles reads files that are called after their number, which must be their own.
func (c *converter) numberedFiles(f format) {
	taken := map[string]string{}
	for _, in := range c.folder.files {
		m := numberedSQL.FindStringSubmatch(in.name)
		if m == nil || !in.top {
			continue
		}
		c.used[in.path] = true
		version := plainNumber(m[1])
		if other := taken[version]; other != "" {
			c.problem(in.path, 0, "it has the number of %s", other)
			continue
		}
		taken[version] = in.path
		up, down, ok := c.sections(in, f)
		if !ok {
			continue
		}
		if c.tool == Dbmate {
			version = m[1] // its history keeps the text
		}
		c.migrations = append(c.migrations, &migration{version: version, number: m[1], name: m[2], up: up, down: down})
	}
	c.byNumber()
}

// plainNumber drops the zeros that a number begins with.
func plainNumber(digits string) string {
	if s := strings.TrimLeft(digits, "0"); s != "" {
		return s
	}
	return "0"
}

// compareNumbers compares two numbers of any length.
func compareNumbers(a, b string) int {
	a, b = plainNumber(a), plainNumber(b)
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// byNumber orders the migrations as most tools run them.
func (c *converter) byNumber() {
	slices.SortStableFunc(c.migrations, func(a, b *migration) int { return compareNumbers(a.number, b.number) })
}

// sqlMigrate reads any .sql file with -- +migrate marks. A migration is known by the name of its file; those with a number
// run by it and before the others.
func (c *converter) sqlMigrate() {
	f := format{repeats: true, drops: true, lf: true, mark: func(line string) (mark, bool) {
		m := migrateMark.FindStringSubmatch(line)
		if m == nil {
			return mark{}, false
		}
		words := strings.Fields(m[1])
		if len(words) == 0 {
			return mark{kind: markFaulty, problem: "sql-migrate refuses this mark: it says nothing"}, true
		}
		switch words[0] {
		case "Up":
			return mark{kind: markUp, noTransaction: slices.Contains(words[1:], "notransaction")}, true
		case "Down":
			return mark{kind: markDown, noTransaction: slices.Contains(words[1:], "notransaction")}, true
		case "StatementBegin":
			return mark{kind: markBegin}, true
		case "StatementEnd":
			return mark{kind: markEnd}, true
		}
		return mark{kind: markFaulty, problem: "sql-migrate has no mark " + strconv.Quote(words[0]) + ", and passes over it without a word"}, true
	}}
	for _, in := range c.folder.files {
		if !in.top || !in.sql() {
			continue
		}
		c.used[in.path] = true
		up, down, ok := c.sections(in, f)
		if !ok {
			continue
		}
		name := strings.TrimSuffix(in.name, ".sql")
		digits := leadingDigits(name)
		if rest := strings.TrimLeft(name[len(digits):], "_-"); digits != "" && rest != "" {
			name = rest
		}
		c.migrations = append(c.migrations, &migration{version: in.name, number: digits, name: name, up: up, down: down})
	}
	slices.SortStableFunc(c.migrations, func(a, b *migration) int {
		if (a.number == "") != (b.number == "") {
			return len(b.number) - len(a.number) // one is 0
		}
		if n := compareNumbers(a.number, b.number); n != 0 {
			return n
		}
		return strings.Compare(a.version, b.version)
	})
}

func leadingDigits(name string) string {
	return name[:len(name)-len(strings.TrimLeft(name, "0123456789"))]
}

const ternMark = "---- create above / drop below ----"

var (
	ternName      = lazyregexp.New(`^(\d+)_(.+)\.sql$`)
	ternDisableTx = lazyregexp.New(`(?m)^---- tern: disable-tx ----\r?$`)
)

// tern reads NNN_name.sql, in which a line parts up from down. It puts every file through Go's templates first.
func (c *converter) tern() {
	taken := map[string]string{}
	for _, in := range c.folder.files {
		m := ternName.FindStringSubmatch(in.name)
		if m == nil || !in.top {
			if in.sql() && !in.top {
				c.used[in.path] = true // for templates, and those are refused where they are used
			}
			continue
		}
		c.used[in.path] = true
		if other := taken[plainNumber(m[1])]; other != "" {
			c.problem(in.path, 0, "it has the number of %s", other)
			continue
		}
		taken[plainNumber(m[1])] = in.path
		if at := strings.Index(in.text, "{{"); at >= 0 {
			c.problem(in.path, 1+strings.Count(in.text[:at], "\n"), "a template: write what it comes to")
			continue
		}
		up, down := &section{began: -1}, (*section)(nil)
		target, offset := up, 0
		where := c.placesIn(in.text)
		for number, line := range numbered(in.text) {
			before, after, marked := strings.Cut(line, ternMark)
			begin := offset
			offset += len(line)
			switch {
			case !marked || target == down:
				target.add(number, line)
			case !where.begins(begin + len(before)):
				c.note(in.path, number, "this looks like a mark of tern, but it stands in quotes or in a comment: it was left as the text it is")
				target.add(number, line)
			default:
				up.add(number, before)
				down = &section{began: -1}
				down.add(number, after)
				target = down
			}
		}
		where.close()
		migration := &migration{version: plainNumber(m[1]), number: m[1], name: m[2], up: c.ternScript(up, in)}
		if down != nil && strings.TrimSpace(string(down.text)) != "" {
			migration.down = c.ternScript(down, in)
		}
		c.migrations = append(c.migrations, migration)
	}
	c.byNumber()
}

// ternScript takes the mark for no transaction out of a section.
func (c *converter) ternScript(s *section, in *input) *script {
	marked := ternDisableTx.Match(s.text)
	s.text = ternDisableTx.ReplaceAll(s.text, nil)
	return s.script(in, marked)
}
