package sqlscan

import (
	"bytes"
	"regexp"
	"strings"
)

// What is MySQL's and MariaDB's own. Sources: sql/sql_lex.cc of both (tokens, versioned comments), sql/sql_yacc.yy (bodies of
// stored programs), client/mysql.cc (DELIMITER and the client's other commands).

// mysqlDashComment reports whether the -- at p begins a comment: only before a blank, a control character or
// the end. 5--1 is six.
func mysqlDashComment(w []byte, p int) bool {
	return p+2 >= len(w) || w[p+2] <= ' ' || w[p+2] == 0x7f
}

// mysqlComment reads /* … */, or the mark that begins a comment with code in it: /*!, /*!50001, and for MariaDB
// /*M! and /*M!100100.
func (l *lexer) mysqlComment(p int) (TokenKind, int) {
	w := l.window
	if p+12 > len(w) && !l.eof {
		return kindMore, p
	}
	e := p + 2
	maria := l.at(e) == 'M' && l.at(e+1) == '!'
	if code := l.at(e) == '!' || maria && l.opts.MariaDB; !code {
		if i := bytes.Index(w[e:], []byte("*/")); i >= 0 {
			return Comment, e + i + 2
		}
		return l.unterminated("comment")
	}
	e++
	if maria {
		e++
	}
	version, digits := 0, 0
	for digits < 6 && isDigit(l.at(e+digits)) {
		version = version*10 + int(w[e+digits]-'0')
		digits++
	}
	if digits < 5 {
		version, digits = 0, 0
	}
	if l.mysqlFuture(version, maria) {
		return l.mysqlSkipped(e + digits)
	}
	l.inCode = true
	return kindOpen, e + digits
}

// mysqlFuture reports whether no server that we may meet runs the code of a versioned comment: 99999 and 999999 are what
// people write for never (mariadb-dump's first line), MariaDB leaves 50700 to 99999 to MySQL, and MySQL has no
// version 10 that would run MariaDB's.
func (l *lexer) mysqlFuture(version int, maria bool) bool {
	switch {
	case version == 99999 || version >= 990000:
		return true
	case l.opts.MariaDB:
		return !maria && version >= 50700 && version <= 99999
	}
	return version >= 100000
}

// mysqlSkipped finds the end of a versioned comment that is not run. It may hold one level of ordinary comments
// (sql_lex.cc: consume_comment).
func (l *lexer) mysqlSkipped(i int) (TokenKind, int) {
	w := l.window
	for {
		end := bytes.Index(w[i:], []byte("*/"))
		if end < 0 {
			return l.unterminated("comment")
		}
		inner := bytes.Index(w[i:i+end], []byte("/*"))
		if inner < 0 {
			return Comment, i + end + 2
		}
		closing := bytes.Index(w[i+inner+2:], []byte("*/"))
		if closing < 0 {
			return l.unterminated("comment")
		}
		i += inner + 2 + closing + 2
	}
}

// delimiterAt answers for the delimiter in place of the semicolon. The client looks for it at every byte outside quotes and
// comments, before anything else.
func (l *lexer) delimiterAt(p int) (int, TokenKind) {
	w := l.window
	if w[p] != l.delim[0] || l.inCode {
		return 0, 0
	}
	if p+len(l.delim) > len(w) && !l.eof {
		return p, kindMore
	}
	if bytes.HasPrefix(w[p:], l.delim) {
		return p + len(l.delim), kindTerminator
	}
	return 0, 0
}

// delimiterIn shortens a word that holds the delimiter or its beginning: END$$ is END and $$.
func (l *lexer) delimiterIn(p, e int) int {
	end := min(len(l.window), e+len(l.delim)-1)
	if i := bytes.Index(l.window[p:end], l.delim); i > 0 && !l.inCode {
		return p + i
	}
	return e
}

// delimiterCommand handles the client's DELIMITER where a statement may begin. It reports whether there was one.
func (s *Scanner) delimiterCommand() (bool, error) {
	const name = "delimiter"
	for len(s.lex.window)-(s.pos-s.base) <= len(name) && s.fill() {
	}
	w := s.lex.window[s.pos-s.base:]
	if len(w) < len(name) || !strings.EqualFold(string(w[:len(name)]), name) || len(w) > len(name) && inWord[w[len(name)]] {
		return false, s.err
	}
	line, _ := s.restOfLine(s.pos)
	arg := bytes.TrimSpace(line[min(len(name), len(line)):])
	if len(arg) > 0 && (arg[0] == '\'' || arg[0] == '"' || arg[0] == '`') {
		if i := bytes.IndexByte(arg[1:], arg[0]); i >= 0 {
			arg = bytes.TrimSpace(arg[1 : 1+i])
		}
	}
	if i := bytes.IndexAny(arg, " \t"); i >= 0 {
		arg = arg[:i]
	}
	switch {
	case len(arg) == 0:
		return true, s.errorAt(s.pos, "DELIMITER must be followed by a delimiter")
	case bytes.IndexByte(arg, '\\') >= 0:
		return true, s.errorAt(s.pos, "DELIMITER must not contain a backslash")
	}
	s.lex.delim = nil
	if string(arg) != ";" {
		s.lex.delim = bytes.Clone(arg)
	}
	s.pos += len(line)
	return true, nil
}

// mysqlCommand reports whether the word is a command of the mysql client that no SQL statement begins with.
func mysqlCommand(verb []byte) bool {
	switch string(verb) {
	case "SOURCE", "SYSTEM", "TEE", "NOTEE", "PAGER", "NOPAGER", "PROMPT", "REHASH", "EDIT", "EGO", "QUIT", "EXIT", "NOWARNING":
		return true
	}
	return false
}

// introduced reports whether the significant token that ends at the offset is _binary, after which mysqldump writes raw bytes.
func (s *Scanner) introduced(end int) bool {
	const name = "_binary"
	i := end - s.base - len(name)
	w := s.lex.window
	return i > 0 && strings.EqualFold(string(w[i:i+len(name)]), name) && !inWord[w[i-1]]
}

// mysqlDump recognises the output of mysqldump and mariadb-dump by its first comment. The latter writes binary columns as raw bytes
// in plain '…', so that invalid UTF-8 there is no fault; in a file that a person wrote it is one.
func mysqlDump(comment []byte) bool {
	for _, mark := range []string{"/*M!999999\\-", "/*!999999\\-", "-- MariaDB dump ", "-- MySQL dump "} {
		if bytes.HasPrefix(comment, []byte(mark)) {
			return true
		}
	}
	return false
}

// ansiModes are the sql_modes that hold ANSI_QUOTES; all but two are MariaDB's.
var ansiModes = regexp.MustCompile(`ANSI|\b(?:DB2|MAXDB|MSSQL|ORACLE|POSTGRESQL)\b`)

// mysqlSetting follows SET sql_mode = '…', which dumps write around each routine: after it the server reads quotes
// differently. Any other value restores what the options say, as SET sql_mode = @saved does.
func (s *Scanner) mysqlSetting(text string) {
	upper := strings.ToUpper(text)
	if !strings.Contains(upper, "SQL_MODE") {
		return
	}
	o := s.lex.opts
	name, value := false, false
	for t := range Tokens(text, o) {
		switch {
		case t.Is("GLOBAL"):
			return
		case t.Is("SQL_MODE"):
			name, value = true, false
		case name && t.Kind == Op && (t.Text == "=" || t.Text == ":="):
			value = true
		case name && value:
			modes := strings.ToUpper(t.Text)
			if t.Kind == String {
				s.lex.escapes = !strings.Contains(modes, "NO_BACKSLASH_ESCAPES")
				s.lex.ansi = ansiModes.MatchString(modes)
			} else {
				s.lex.escapes = !o.NoBackslashEscapes
				s.lex.ansi = o.ANSIQuotes
			}
			name = false
		default:
			// @old_sql_mode and the like are other variables.
			name = name && t.Kind == Word
		}
	}
}

// mysqlBody follows the statements of a stored program, to know which semicolons end them and which end the program. It needs no
// grammar of expressions, only what can begin at a statement's beginning, and that CASE and END pair up inside one.
type mysqlBody struct {
	state  mysqlState
	object mysqlWord    // what is created: wProcedure, wFunction, wTrigger or wEvent
	begin  int          // where the first BEGIN stands
	blocks []mysqlBlock // the open ones, outermost first
	parens int
	params bool // the parameter list is over

	start   bool // the next token begins a statement
	label   bool // the previous token may have been a label: a colon now begins the statement anew
	declare bool // in DECLARE
	ended   bool // the previous word was END of a block: the word now only repeats its kind or label
	operand bool // the previous token ends an operand: END now ends a CASE; otherwise it is a column's name
	name    bool // the next word is a name, because = @ or . stands before it
	last    mysqlWord
	handler handlerState
}

type mysqlState uint8

const (
	mysqlFirst        mysqlState = iota // before the first word
	mysqlLabel                          // after a first word that may be a label
	mysqlBegin                          // after BEGIN: NOT ATOMIC makes it a block
	mysqlSet                            // after SET: STATEMENT … FOR stands before a whole statement
	mysqlSetStatement                   // after SET STATEMENT
	mysqlCreate                         // after CREATE or ALTER
	mysqlHead                           // between the kind of object and its body
	mysqlInside                         // in the body
)

// handlerState follows DECLARE … HANDLER FOR condition, condition statement.
type handlerState uint8

const (
	noHandler        handlerState = iota
	handlerFor                    // after DECLARE … HANDLER
	handlerCondition              // a condition begins
	handlerValue                  // after SQLSTATE or NOT: the rest of a condition
	handlerNext                   // a comma, or the handler's statement
)

type mysqlBlock struct {
	kind   mysqlWord // wBegin, wIf, wCase (statement), wWhen (CASE expression), wLoop, wRepeat, wUntil (a REPEAT after its UNTIL), wWhile, wFor
	parens int
	offset int  // where it stands, for an error
	await  bool // WHILE and FOR: before DO
}

// mysqlWord names the keywords that matter; wOther is any other word.
type mysqlWord uint8

const (
	wNone mysqlWord = iota
	wOther
	wAlter
	wAs
	wAtomic
	wBegin
	wCase
	wCreate
	wDeclare
	wDo
	wEach
	wElse
	wEnd
	wEvent
	wFor
	wFunction
	wHandler
	wHandlerKind // CONTINUE, EXIT, UNDO
	wIf
	wLoop
	wNot
	wOperator // words after which an operand follows
	wOtherObject
	wProcedure
	wRepeat
	wRow
	wSelect
	wSqlstate
	wStatement // begins a statement that is not compound
	wFollows
	wThen
	wTrigger
	wUntil
	wValue
	wWhen
	wWhile
	wSet
	wCharacter
	wSoname
)

func lookupMySQL(w []byte) mysqlWord {
	switch string(w) {
	case "ALTER":
		return wAlter
	case "AS", "IS":
		return wAs
	case "ATOMIC":
		return wAtomic
	case "BEGIN":
		return wBegin
	case "CASE":
		return wCase
	case "CREATE":
		return wCreate
	case "DECLARE":
		return wDeclare
	case "DO":
		return wDo
	case "EACH":
		return wEach
	case "ELSE":
		return wElse
	case "END":
		return wEnd
	case "EVENT":
		return wEvent
	case "FOLLOWS", "PRECEDES":
		return wFollows
	case "FOR":
		return wFor
	case "FUNCTION":
		return wFunction
	case "HANDLER":
		return wHandler
	case "CONTINUE", "EXIT", "UNDO":
		return wHandlerKind
	case "IF":
		return wIf
	case "LOOP":
		return wLoop
	case "NOT":
		return wNot
	case "AND", "OR", "XOR", "IN", "LIKE", "RLIKE", "REGEXP", "BETWEEN", "DIV", "MOD", "BY", "DISTINCT", "ON",
		"WHERE", "HAVING", "FROM", "ESCAPE", "COLLATE", "ELSEIF", "ELSIF", "ALL", "USING":
		return wOperator
	case "TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE", "TABLESPACE", "LOGFILE", "UNIQUE", "FULLTEXT", "SPATIAL",
		"TEMPORARY", "UNDOFILE", "RESOURCE", "INSTANCE", "ONLINE", "OFFLINE", "IGNORE":
		return wOtherObject
	case "PROCEDURE":
		return wProcedure
	case "REPEAT":
		return wRepeat
	case "ROW":
		return wRow
	case "SELECT":
		return wSelect
	case "SQLSTATE":
		return wSqlstate
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "RETURN", "CALL", "WITH", "EXECUTE", "DROP", "EXPLAIN", "DESCRIBE", "SHOW", "LOAD",
		"TRUNCATE", "RENAME", "GRANT", "REVOKE", "PREPARE", "DEALLOCATE", "VALUES", "SIGNAL", "RESIGNAL", "ANALYZE", "OPTIMIZE":
		return wStatement
	case "THEN":
		return wThen
	case "TRIGGER":
		return wTrigger
	case "UNTIL":
		return wUntil
	case "VALUE":
		return wValue
	case "WHEN":
		return wWhen
	case "WHILE":
		return wWhile
	case "SET":
		return wSet
	case "CHARACTER", "CHAR", "RETURNS":
		return wCharacter
	case "SONAME":
		return wSoname
	}
	return wOther
}

func (b *mysqlBody) token(s *Scanner, kind TokenKind, text []byte, offset int) {
	word, op := wNone, byte(0)
	switch {
	case kind == Word && b.name:
		word = wOther
	case kind == Word:
		word = lookupMySQL(keyword(&s.keyword, text))
	case kind == Op && len(text) == 1:
		op = text[0]
	}
	b.name = op == '@' || op == '.' || op == '=' && b.state == mysqlCreate
	switch b.state {
	case mysqlFirst:
		b.firstToken(s, kind, word, offset)
	case mysqlLabel:
		b.state, b.start = mysqlInside, true
		s.watch = op == ':'
	case mysqlBegin:
		switch word {
		case wNot:
		case wAtomic:
			b.state, b.start = mysqlInside, true
			b.push(wBegin, b.begin)
		default:
			s.watch = false
		}
	case mysqlSet:
		b.state = mysqlSetStatement
		s.watch = kind == Word && strings.EqualFold(string(text), "STATEMENT")
	case mysqlSetStatement:
		if word == wFor {
			b.state = mysqlFirst
		}
	case mysqlCreate:
		switch word {
		case wProcedure, wFunction, wTrigger, wEvent:
			b.state, b.object = mysqlHead, word
		case wOtherObject:
			s.watch = false
		}
	case mysqlHead:
		b.head(s, kind, word, op, offset)
	case mysqlInside:
		b.inside(kind, word, op, offset)
	}
	b.last = word
}

// firstToken decides whether the statement can have a body at all.
func (b *mysqlBody) firstToken(s *Scanner, kind TokenKind, word mysqlWord, offset int) {
	switch word {
	case wCreate, wAlter:
		b.state = mysqlCreate
	case wBegin:
		b.state, b.begin = mysqlBegin, offset
	case wIf, wCase, wLoop, wRepeat, wWhile, wFor:
		// MariaDB runs compound statements outside of stored programs too.
		b.state, b.start = mysqlInside, true
		b.inside(kind, word, 0, offset)
	case wSet:
		b.state = mysqlSet
	case wOther:
		b.state = mysqlLabel
	default:
		b.state = mysqlLabel
		s.watch = kind == QuotedIdent
	}
}

// head looks for where the body begins.
func (b *mysqlBody) head(s *Scanner, kind TokenKind, word mysqlWord, op byte, offset int) {
	switch op {
	case '(':
		b.parens++
	case ')':
		b.parens--
		b.params = b.params || b.parens == 0
	}
	if b.parens > 0 || word == wNone {
		return
	}
	switch b.object {
	case wTrigger:
		if word == wRow && b.last == wEach {
			b.state, b.start = mysqlInside, true
		}
		return
	case wEvent:
		if word == wDo {
			b.state, b.start = mysqlInside, true
		}
		return
	}
	if !b.params {
		return // the routine's name, or a loadable function, which has no parameters and no body
	}
	switch word {
	case wBegin, wIf, wCase, wLoop, wRepeat, wWhile, wFor:
		b.state, b.start = mysqlInside, true
		b.inside(kind, word, op, offset)
	case wSet:
		if b.last == wCharacter {
			return // RETURNS CHAR(1) CHARACTER SET utf8mb4, RETURNS SET('a')
		}
		b.state = mysqlInside
	case wStatement, wSelect, wDo, wCreate, wAlter:
		b.state = mysqlInside
	}
}

// inside follows the body.
func (b *mysqlBody) inside(kind TokenKind, word mysqlWord, op byte, offset int) {
	if b.inHandler(word, op) {
		return
	}
	start, label, operand := b.start, b.label, b.operand
	b.start, b.label = false, false
	b.operand = op == ')' || op == 0 && kind != Op && !wantsOperand(word)
	if b.ended {
		b.ended = false
		if kind == Word || kind == QuotedIdent {
			return
		}
	}
	if b.last == wFollows && b.object == wTrigger && len(b.blocks) == 0 && start {
		b.start = true // the name of the other trigger
		return
	}
	switch {
	case op == '(':
		b.parens++
	case op == ')':
		b.parens--
	case op == ':':
		b.start = label
	case kind == QuotedIdent:
		b.label = start
	case word != wNone && start:
		b.statement(word, offset)
	case word != wNone:
		b.expression(word, operand, offset)
	}
}

// wantsOperand reports whether an operand follows the word, so that END after it is a column's name.
func wantsOperand(word mysqlWord) bool {
	switch word {
	case wOperator, wSelect, wThen, wElse, wWhen, wCase, wNot, wUntil, wAs, wIf, wWhile, wSet, wDo:
		return true
	}
	return false
}

// statement handles the word that a statement begins with.
func (b *mysqlBody) statement(word mysqlWord, offset int) {
	switch word {
	case wBegin, wLoop, wRepeat:
		b.push(word, offset)
		b.start = true
	case wIf, wCase, wWhile, wFor:
		b.push(word, offset)
		b.top().await = word == wWhile || word == wFor
	case wEnd:
		b.pop()
		b.ended = true
	case wUntil:
		if t := b.top(); t != nil && t.kind == wRepeat {
			t.kind = wUntil
		}
	case wElse:
		b.start = true
	case wNot, wAtomic: // BEGIN NOT ATOMIC
		b.start = b.last == wBegin || b.last == wNot
	case wFollows:
		b.start = b.object == wTrigger && len(b.blocks) == 0
	case wDeclare:
		b.declare = true
	default:
		b.label = true
	}
}

// expression handles any other word of a statement.
func (b *mysqlBody) expression(word mysqlWord, operand bool, offset int) {
	t := b.top()
	switch word {
	case wCase:
		b.push(wWhen, offset)
	case wEnd:
		if t != nil && operand && t.parens == b.parens && (t.kind == wWhen || t.kind == wUntil) {
			b.pop()
		}
	case wThen:
		b.start = t != nil && t.kind != wWhen
	case wDo, wLoop:
		if t != nil && t.await && t.parens == b.parens {
			t.await = false
			b.start = true
		}
	case wHandler:
		if b.declare && b.last == wHandlerKind {
			b.handler = handlerFor
		}
	}
}

// inHandler follows the conditions of DECLARE … HANDLER and reports whether the token belongs to them. The one after
// them begins the handler's statement.
func (b *mysqlBody) inHandler(word mysqlWord, op byte) bool {
	switch b.handler {
	case noHandler:
		return false
	case handlerFor:
		b.handler = handlerCondition
	case handlerCondition:
		b.handler = handlerNext
		if word == wSqlstate || word == wNot {
			b.handler = handlerValue
		}
	case handlerValue:
		if word != wValue {
			b.handler = handlerNext
		}
	case handlerNext:
		if op != ',' {
			b.handler, b.start = noHandler, true
			return false
		}
		b.handler = handlerCondition
	}
	return true
}

func (b *mysqlBody) push(kind mysqlWord, offset int) {
	b.blocks = append(b.blocks, mysqlBlock{kind: kind, parens: b.parens, offset: offset})
}

func (b *mysqlBody) pop() {
	if n := len(b.blocks); n > 0 {
		b.blocks = b.blocks[:n-1]
	}
}

func (b *mysqlBody) top() *mysqlBlock {
	if n := len(b.blocks); n > 0 {
		return &b.blocks[n-1]
	}
	return nil
}

func (b *mysqlBody) reset() {
	*b = mysqlBody{blocks: b.blocks[:0]}
}

// terminator handles a semicolon and reports whether it ends the whole statement.
func (b *mysqlBody) terminator() bool {
	if len(b.blocks) == 0 {
		return true
	}
	b.start = true
	b.label, b.declare, b.ended, b.operand, b.name = false, false, false, false, false
	b.handler = noHandler
	b.last = wNone
	return false
}

func (b *mysqlBody) unterminated() (int, string) {
	if len(b.blocks) == 0 {
		return 0, ""
	}
	names := map[mysqlWord]string{wBegin: "BEGIN", wIf: "IF", wCase: "CASE", wWhen: "CASE", wLoop: "LOOP", wRepeat: "REPEAT", wUntil: "REPEAT", wWhile: "WHILE", wFor: "FOR"}
	return b.blocks[0].offset, "unterminated body: " + names[b.blocks[0].kind] + " without END"
}
