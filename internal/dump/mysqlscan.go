package dump

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// dumpScanner reads what mysqldump and mariadb-dump write, as it goes by: it counts
// the rows of each table, takes their digests, and notes what is made. It is a
// [io.Writer] and never fails.
//
// It knows what the client program knows of SQL: quotes, comments and delimiters, so
// that an INSERT in the text of a routine is not taken for one of the dump.
type dumpScanner struct {
	digests bool
	// mend changes what it reads, on its way to another database, where that would not
	// do: see code. Of the part with the events it leaves blanks, and keeps the text.
	mend bool
	// onTable is called when the rows of another table begin.
	onTable func(name string)
	// onStatement is called with the line of every statement that has begun, and
	// what it begins with.
	onStatement func(line int, head string)

	tables  map[string]*scanned
	objects map[mysqlObject]bool
	events  []byte // of a dump that is mended

	state     scanState
	carry     []byte // what scan has left
	head      []byte // of the statement, without the marks of comments
	first     int    // the line that it begins in
	line      int
	delimiter string
	mended    bool // this statement
	holding   bool // what is read is of the events
	literal   bool // a backslash is a backslash: the sql_mode of a routine
	name      []byte
	table     *scanned
	depth     int
	row       int64 // bytes of the row so far
	hash      hash.Hash
	tail      []byte // the last bytes of all
}

// scanned is what is known of one table.
type scanned struct {
	rows      int64
	longest   int64  // bytes of a row
	high, low uint64 // sum of the rows' hashes
}

// mysqlObject is what a dump makes.
type mysqlObject struct{ kind, name string } // kind in lower case

type scanState uint8

const (
	inCode scanState = iota
	inSingle
	inDouble
	inBack
	inLine      // comment to the end of the line
	inBlock     // comment to its mark
	inVersion   // the number at the beginning of a comment for some versions
	inDelimiter // the client's DELIMITER command
	inName      // of the table that rows are inserted into
	inNameEnd
	inColumns // between the name and VALUES
	inColumn
	betweenRows
	inRow
	inText // of a row
	inEscape
)

// headLength is enough of a statement to know what it makes.
const headLength = 1 << 10

// insertInto begins every statement with rows.
const insertInto = "INSERT INTO `"

// completed is in the last line of a dump that is whole.
const completed = "-- Dump completed"

func newDumpScanner(digests bool) *dumpScanner {
	return &dumpScanner{
		digests: digests, tables: map[string]*scanned{}, objects: map[mysqlObject]bool{}, delimiter: ";", line: 1, hash: sha256.New(),
	}
}

// whole reports whether the end of the dump has come.
func (s *dumpScanner) whole() bool { return bytes.Contains(s.tail, []byte(completed)) }

// special are the bytes that end a part of a row that is no text.
var special = func() (t [256]bool) {
	t['\''], t['('], t[')'] = true, true, true
	return t
}()

// Write reads the next part.
func (s *dumpScanner) Write(p []byte) (int, error) {
	n := len(p)
	if len(s.carry) > 0 {
		p = append(s.carry, p...)
		s.carry = nil
	}
	if left := s.scan(p); left > 0 {
		s.carry = bytes.Clone(p[len(p)-left:])
	}
	return n, nil
}

// scan reads the next part but for some bytes at its end, which are to come again
// with those that follow: they mean something only together.
func (s *dumpScanner) scan(p []byte) (left int) {
	counted := 0 // of p, for lines
	begun := 0   // where the row began in p
	held := 0    // where the events began in p
	for i := 0; i < len(p); i++ {
		switch s.state {
		case inRow:
			if i += plain(p[i:]); i == len(p) {
				break
			}
			switch p[i] {
			case '\'':
				s.state = inText
			case '(':
				s.depth++
			default:
				if s.depth--; s.depth == 0 {
					s.endRow(p[begun : i+1])
					s.state = betweenRows
				}
			}
		case inText:
			// A quote within is written as \' or as two, of which the second begins
			// the text anew.
			end := bytes.IndexByte(p[i:], '\'')
			part := p[i:]
			if end >= 0 {
				part = p[i : i+end]
			}
			escape := bytes.IndexByte(part, '\\')
			switch {
			case escape >= 0:
				i += escape
				s.state = inEscape
			case end >= 0:
				i += end
				s.state = inRow
			default:
				i = len(p)
			}
		case inEscape:
			s.state = inText
		case betweenRows:
			switch p[i] {
			case '(':
				s.table.rows++
				s.depth = 1
				begun = i
				s.state = inRow
			case ';':
				s.line += bytes.Count(p[counted:i], newline)
				counted = i
				s.endStatement()
			}
		default:
			if len(s.head) == 0 && s.state == inCode {
				s.line += bytes.Count(p[counted:i], newline)
				counted = i
				s.first = s.line
			}
			holding := s.holding
			next, more := s.step(p, i)
			if holding && !s.holding {
				s.hold(p[held:i])
			} else if s.holding && !holding {
				held = i
			}
			i = next
			if more {
				left = len(p) - i
				p = p[:i] // the loop ends here
			}
		}
	}
	if s.state == inRow || s.state == inText || s.state == inEscape {
		s.add(p[begun:])
	}
	s.line += bytes.Count(p[counted:], newline)
	s.keepTail(p)
	if s.holding {
		s.hold(p[held:])
	}
	return left
}

// hold keeps a part of the events and leaves blanks in its place, so that lines have
// their numbers.
func (s *dumpScanner) hold(part []byte) {
	s.events = append(s.events, part...)
	for i, b := range part {
		if b != '\n' {
			part[i] = ' '
		}
	}
}

var newline = []byte("\n")

func (s *dumpScanner) keepTail(p []byte) {
	const length = 256
	if len(p) >= length {
		s.tail = append(s.tail[:0], p[len(p)-length:]...)
		return
	}
	s.tail = append(s.tail, p...)
	if over := len(s.tail) - length; over > 0 {
		s.tail = append(s.tail[:0], s.tail[over:]...)
	}
}

// plain is the length of what a part of a row begins with that is neither text nor a
// parenthesis: numbers, which are short, and binary values in digits, which are not.
func plain(p []byte) int {
	const short = 48
	for k, b := range p[:min(short, len(p))] {
		if special[b] {
			return k
		}
	}
	if len(p) <= short {
		return len(p)
	}
	end := len(p)
	for _, b := range []byte(")'(") {
		if k := bytes.IndexByte(p[short:end], b); k >= 0 {
			end = short + k
		}
	}
	return end
}

const blank = " \t\r\n"

// ahead is how far step must see to know what a byte is.
const ahead = 4

// step reads what is at i, outside of rows, and returns where the last byte is that
// it has read. more says that what is there cannot be known without the bytes that
// come next.
func (s *dumpScanner) step(p []byte, i int) (last int, more bool) {
	rest := p[i:]
	b := rest[0]
	switch s.state {
	case inCode:
		n, more := s.code(rest)
		return i + n, more
	case inSingle, inDouble, inBack:
		s.keep(b)
		switch {
		case b == '\\' && s.state != inBack && !s.literal:
			if len(rest) == 1 {
				s.head = s.head[:max(0, len(s.head)-1)]
				return i, true
			}
			i++
		case b == quotes[s.state]: // of two, the second begins anew
			s.state = inCode
		}
	case inLine:
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		} else {
			s.state = inCode
		}
		i += end
	case inBlock:
		if len(rest) == 1 {
			return i, true
		}
		if b == '*' && rest[1] == '/' {
			s.state = inCode
			i++
		}
	case inVersion:
		if b < '0' || b > '9' {
			s.state = inCode
			i-- // it is of what follows
		}
	case inDelimiter:
		if b != '\n' {
			s.name = append(s.name, b)
			break
		}
		if d := strings.TrimSpace(string(s.name)); d != "" {
			s.delimiter = d
		}
		s.head, s.state = s.head[:0], inCode
	case inName:
		if b == '`' {
			s.state = inNameEnd
		} else {
			s.name = append(s.name, b)
		}
	case inNameEnd:
		if b == '`' {
			s.name = append(s.name, b)
			s.state = inName
			break
		}
		s.beginRows()
		s.state = inColumns
		i-- // it is of what follows
	case inColumns:
		switch b {
		case '`':
			s.state = inColumn
		case 'V': // VALUES
			s.state = betweenRows
		}
	case inColumn:
		if b == '`' {
			s.state = inColumns
		}
	}
	return i, false
}

var quotes = [...]byte{inSingle: '\'', inDouble: '"', inBack: '`'}

// keep adds to what the statement begins with.
func (s *dumpScanner) keep(b byte) {
	if len(s.head) < headLength {
		s.head = append(s.head, b)
	}
}

// code reads what is neither in quotes nor in a comment. What a comment for some
// versions has in it is code. It is step, counted from the beginning of rest.
func (s *dumpScanner) code(rest []byte) (last int, more bool) {
	b := rest[0]
	if b == ';' && s.mend && s.delimiter != ";" {
		// A trigger or event that was made with a semicolon behind it has that in the
		// dump, inside of its comment. The client has several statements allowed, and
		// the server takes the rest of the comment for the second.
		end := bytes.TrimLeft(rest[1:], blank)
		if after, comment := bytes.CutPrefix(end, []byte("*/")); comment {
			end = bytes.TrimLeft(after, blank)
			if bytes.HasPrefix(end, []byte(s.delimiter)) {
				rest[0], b = ' ', ' '
			}
		}
		if len(end) < ahead {
			return 0, true
		}
	}
	if s.mend && !s.mended && strings.IndexByte(blank, b) < 0 && beginsTrigger(s.head) {
		if !unqualify(rest) {
			return 0, true
		}
		s.mended, b = true, rest[0]
	}
	if b == '/' || b == '*' || b == '-' || b == s.delimiter[0] {
		if len(rest) < max(ahead, len(s.delimiter)) {
			return 0, true
		}
		switch {
		case bytes.HasPrefix(rest, []byte("/*!")):
			s.state = inVersion
			return len("/*!") - 1, false
		case bytes.HasPrefix(rest, []byte("/*M!")):
			s.state = inVersion
			return len("/*M!") - 1, false
		case bytes.HasPrefix(rest, []byte("/*")):
			s.state = inBlock
			return 1, false
		case bytes.HasPrefix(rest, []byte("*/")): // the end of a comment for some versions
			return 1, false
		case bytes.HasPrefix(rest, []byte("--")) && (rest[2] == ' ' || rest[2] == '\t' || rest[2] == '\n' || rest[2] == '\r'):
			if s.mend && rest[2] == ' ' && s.delimiter == ";" && len(s.head) == 0 {
				if len(rest) < len(eventsBegin) && strings.HasPrefix(eventsBegin, string(rest)) {
					return 0, true
				}
				s.holding = bytes.HasPrefix(rest, []byte(eventsBegin))
			}
			s.state = inLine
			return 1, false
		case bytes.HasPrefix(rest, []byte(s.delimiter)):
			n := len(s.delimiter)
			s.endStatement()
			return n - 1, false
		}
	}
	switch b {
	case '#':
		s.state = inLine
		return 0, false
	case '\'':
		s.state = inSingle
	case '"':
		s.state = inDouble
	case '`':
		s.state = inBack
	case ' ', '\t', '\r', '\n':
		if len(s.head) == 0 {
			return 0, false
		}
	}
	s.keep(b)
	switch {
	case b == '`' && s.delimiter == ";" && string(s.head) == insertInto:
		s.name, s.state = s.name[:0], inName
	case b == ' ' && len(s.head) == len("DELIMITER ") && strings.EqualFold(string(s.head), "DELIMITER "):
		s.name, s.state = s.name[:0], inDelimiter
	}
	return 0, false
}

// beginsTrigger reports whether the name of a trigger comes next.
func beginsTrigger(head []byte) bool {
	const word = "TRIGGER"
	head = bytes.TrimRight(head, blank)
	return bytes.HasPrefix(head, []byte("CREATE ")) && bytes.EqualFold(head[max(0, len(head)-len(word)):], []byte(word))
}

// unqualify blanks the name of the database before those of a trigger and of its
// table, up to FOR EACH ROW. MariaDB keeps the statement as it was written: loaded
// elsewhere, it would make the trigger in the database that was dumped. It returns
// false if rest ends before.
func unqualify(rest []byte) bool {
	for i := 0; i < len(rest); {
		begin := i
		switch b := rest[i]; {
		case b == '`' || b == '"':
			for i++; ; i++ {
				if i+1 >= len(rest) {
					return false
				}
				if rest[i] == b {
					if rest[i+1] != b {
						break
					}
					i++
				}
			}
			i++
		case isWord(rune(b)):
			for i < len(rest) && isWord(rune(rest[i])) {
				i++
			}
			if i == len(rest) {
				return false
			}
			if strings.EqualFold(string(rest[begin:i]), "ROW") {
				return true
			}
		default:
			i++
			continue
		}
		dot := i
		for dot < len(rest) && strings.IndexByte(blank, rest[dot]) >= 0 {
			dot++
		}
		if dot == len(rest) {
			return false
		}
		if rest[dot] == '.' {
			i = dot + 1
			for k := begin; k < i; k++ {
				rest[k] = ' '
			}
		}
	}
	return false
}

func (s *dumpScanner) endStatement() {
	head := string(s.head)
	if s.state == betweenRows {
		head = insertInto + string(s.name) + "`"
	}
	if s.onStatement != nil && head != "" {
		s.onStatement(s.first, head)
	}
	if s.state == inCode {
		if o, ok := madeBy(head); ok {
			s.objects[o] = true
		}
		if strings.HasPrefix(strings.ToUpper(head), "SET SQL_MODE") {
			s.literal = strings.Contains(head, "NO_BACKSLASH_ESCAPES")
		}
	}
	s.head, s.state, s.mended = s.head[:0], inCode, false
}

func (s *dumpScanner) beginRows() {
	name := string(s.name)
	s.table = s.tables[name]
	if s.table == nil {
		s.table = &scanned{}
		s.tables[name] = s.table
		if s.onTable != nil {
			s.onTable(name)
		}
	}
}

// add takes a part of a row into its hash.
func (s *dumpScanner) add(part []byte) {
	s.row += int64(len(part))
	if s.digests {
		_, _ = s.hash.Write(part) // never fails, see hash.Hash
	}
}

func (s *dumpScanner) endRow(part []byte) {
	s.add(part)
	s.table.longest = max(s.table.longest, s.row)
	s.row = 0
	if !s.digests {
		return
	}
	var sum [sha256.Size]byte
	s.hash.Sum(sum[:0])
	s.hash.Reset()
	s.table.high += binary.BigEndian.Uint64(sum[:8])
	s.table.low += binary.BigEndian.Uint64(sum[8:16])
}

// digest is of all rows, whatever their order.
func (t scanned) digest() string { return fmt.Sprintf("dump:%016x%016x", t.high, t.low) }

// madeBy reads which object a CREATE statement of a dump makes. Views are made
// twice, at first without a DEFINER and without content, for others to refer to.
// MariaDB gives triggers back as they were written, names without quotes and with
// the database before them included.
func madeBy(head string) (o mysqlObject, ok bool) {
	rest, create := strings.CutPrefix(head, "CREATE ")
	if !create {
		return o, false
	}
	definer := false
	for rest != "" {
		quoted := strings.IndexByte("`\"'", rest[0]) >= 0
		if !quoted && !isWord(rune(rest[0])) {
			rest = rest[1:]
			continue
		}
		var word string
		if quoted {
			word, rest = unquote(rest)
		} else {
			end := strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) })
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		upper := strings.ToUpper(word)
		switch {
		case o.kind != "" && strings.HasPrefix(rest, "."): // the database
		case o.kind == "package" && upper == "BODY" && !quoted:
			o.kind = "package body"
		case o.kind != "" && !quoted && (upper == "IF" || upper == "NOT" || upper == "EXISTS"):
		case o.kind != "":
			o.name = word
			return o, o.kind != "view" || definer
		case quoted:
		case upper == "DEFINER":
			definer = true
		case slices.Contains(makes, upper):
			o.kind = strings.ToLower(word)
		}
	}
	return o, false
}

var makes = []string{"TABLE", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE", "PACKAGE"}

// isWord reports whether a letter can stand in a name without quotes.
func isWord(r rune) bool {
	return r == '_' || r == '$' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= 0x80
}

// unquote reads a name in quotes of any kind, and returns what follows it.
func unquote(text string) (name, after string) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		return b.String(), text[i+1:]
	}
	return b.String(), ""
}
