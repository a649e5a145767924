package dialect

import (
	"iter"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Values are what a statement reads from its session and leaves in it. A
// migration that goes on in another session, or a second time in the same one,
// must know which of them are not what they were.
//
// A name stands for one value: a user variable ("@a"), a prepared statement, the
// last key that was generated.
type Values struct {
	Reads  []string
	Writes []string
	// Ends are values that are not there any more.
	Ends []string
	// Fixed says that the statement leaves the same values whenever it runs, if
	// those that it reads are the same.
	Fixed bool
}

// TemporaryValue begins the names of what ends with a session even if nobody
// reads it by name: a statement that is left would mean another table.
const TemporaryValue = "the temporary "

// temporaryMade is the name of the temporary object that a CREATE makes.
func temporaryMade(h head) string {
	i := h.skip(1, "OR REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "RECURSIVE")
	kind := strings.ToLower(h.word(i))
	n, _, _ := h.nameAt(h.skip(i+1, "IF NOT EXISTS"))
	return TemporaryValue + kind + " " + strings.ToLower(n.object)
}

// dropped are the objects that a DROP takes away, in case they are temporary.
func dropped(h head) (names []string) {
	i := h.skip(1, "TEMPORARY")
	kind := strings.ToLower(h.word(i))
	for i = h.skip(i+1, "IF EXISTS"); ; i++ {
		n, next, ok := h.nameAt(i)
		if !ok {
			return names
		}
		names = append(names, TemporaryValue+kind+" "+strings.ToLower(n.object))
		if i = next; !h.punct(i, ",") {
			return names
		}
	}
}

// temporaries notes what a statement makes or drops that ends with its session.
func (v *Values) temporaries(st sqlscan.Statement, class Class, h head) {
	switch {
	case st.Verb == "CREATE" && class == ClassTemporary:
		v.Writes = append(v.Writes, temporaryMade(h))
	case st.Verb == "DROP":
		v.Ends = append(v.Ends, dropped(h)...)
	case class == ClassTemporary: // SELECT INTO TEMP, DECLARE: nothing says so easily where it ends
		v.Writes = append(v.Writes, TemporaryValue+"object")
	}
}

// SettingsValue stands for all settings of a session. Every statement reads it.
const SettingsValue = "the session's settings"

// AnyVariable begins the names of user variables. A statement may set them that
// does not name them: a routine, a trigger.
const AnyVariable = "@"

// What every statement reads as well.
const (
	LocksValue    = "the tables that are locked"
	DatabaseValue = "the default database"
)

// The values that engines keep by themselves.
const (
	lastKey   = "LAST_INSERT_ID()"
	lastCount = "ROW_COUNT()"
	lastFound = "FOUND_ROWS()"
	lastValue = "the last value of a sequence"
)

// codeOf is a whole statement without its comments.
func codeOf(st sqlscan.Statement, opts sqlscan.Options) head {
	h := head{opts: opts}
	for t := range sqlscan.Tokens(st.Text, opts) {
		if t.Kind != sqlscan.Comment {
			h.tokens = append(h.tokens, t)
		}
	}
	return h
}

// outside are the tokens that stand in no brackets, with their indexes.
func (h head) outside() iter.Seq2[int, sqlscan.Token] {
	return func(yield func(int, sqlscan.Token) bool) {
		depth := 0
		for i, t := range h.tokens {
			switch {
			case h.punct(i, "("):
				depth++
			case h.punct(i, ")"):
				depth--
			case depth == 0 && !yield(i, t):
				return
			}
		}
	}
}

// says reports whether the words stand one after the other, and in no brackets.
func (h head) says(words ...string) bool {
	for i := range h.outside() {
		if h.is(i, words...) {
			return true
		}
	}
	return false
}

// calls reports whether token i is the name of one of the functions, called.
func (h head) calls(i int, functions ...string) bool {
	return h.punct(i+1, "(") && slices.Contains(functions, h.word(i))
}

// pure are MySQL's functions whose value follows from their arguments alone.
var pure = map[string]bool{
	"IF": true, "IFNULL": true, "NULLIF": true, "COALESCE": true, "CAST": true, "CONVERT": true, "CONCAT": true, "CONCAT_WS": true,
	"REPLACE": true, "UPPER": true, "LOWER": true, "TRIM": true, "LTRIM": true, "RTRIM": true, "LEFT": true, "RIGHT": true, "SUBSTR": true,
	"SUBSTRING": true, "ABS": true, "GREATEST": true, "LEAST": true, "FIND_IN_SET": true, "IN": true, "VALUES": true, "CHAR": true, "HEX": true, "UNHEX": true,
	"AND": true, "OR": true, "NOT": true, "XOR": true, "CASE": true, "WHEN": true, "THEN": true, "ELSE": true,
}

// clocks are words that stand for another value each time, with or without
// parentheses.
var clocks = map[string]bool{
	"CURRENT_TIMESTAMP": true, "CURRENT_DATE": true, "CURRENT_TIME": true, "LOCALTIME": true, "LOCALTIMESTAMP": true,
	"UTC_DATE": true, "UTC_TIME": true, "UTC_TIMESTAMP": true, "SELECT": true, "TABLE": true,
}

// userVariable is the name of the variable whose @ is token i.
func (h head) userVariable(i int) (string, bool) {
	if !h.punct(i, "@") || i+1 >= len(h.tokens) || h.punct(i+1, "@") {
		return "", false
	}
	t := h.tokens[i]
	if i > 0 { // user@host, and the second half of @@name
		before := h.tokens[i-1]
		if before.Offset+len(before.Text) == t.Offset && (before.Kind != sqlscan.Op || before.Text == "@") {
			return "", false
		}
	}
	return "@" + strings.ToLower(h.tokens[i+1].Name(sqlscan.MySQL)), true
}

// Values follows user variables, the values that the server keeps of the last
// statement, and prepared statements.
func (d *mysqlDialect) Values(st sqlscan.Statement) Values {
	st = d.behindSet(st)
	h := codeOf(st, d.ScanOptions())
	v := Values{Fixed: true}
	into, depth := false, 0
	for i, t := range h.tokens {
		switch {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case t.Is("INTO"):
			into = true
			continue
		case t.Text == "," || t.Text == "@" || h.punct(i-1, "@") && into:
		default:
			into = false
		}
		if variable, is := h.userVariable(i); is {
			switch assigned := h.punct(i+2, ":=") || st.Verb == "SET" && depth == 0 && h.punct(i+2, "=") && (i == 1 || h.punct(i-1, ",")); {
			case st.Verb == "CALL": // it may be an argument that the procedure sets
				v.Reads, v.Writes = append(v.Reads, variable), append(v.Writes, variable)
			case assigned, into:
				v.Writes = append(v.Writes, variable)
			default:
				v.Reads = append(v.Reads, variable)
			}
			continue
		}
		d.known(h, i, &v)
	}
	switch st.Verb {
	case "SET":
		if d.setsMore(h) {
			v.Writes = append(v.Writes, SettingsValue)
		}
		v.Fixed = v.Fixed && !readsServer(h)
		return v
	case "USE":
		v.Writes = append(v.Writes, DatabaseValue)
		return v
	case "LOCK", "UNLOCK":
		v.Writes = append(v.Writes, LocksValue)
		return v
	case "PREPARE":
		v.Writes = append(v.Writes, prepared(h, 1))
		// A text that names variables may set them when it is executed.
		v.Fixed = v.Fixed && !slices.ContainsFunc(h.tokens, func(t sqlscan.Token) bool { return t.Kind == sqlscan.String && strings.Contains(t.Text, "@") })
		return v
	case "HANDLER":
		return handler(h, v)
	case "DEALLOCATE":
		return Values{Ends: []string{prepared(h, 2)}, Fixed: true}
	case "EXECUTE":
		v.Reads = append(v.Reads, prepared(h, 1))
	}
	v.temporaries(st, d.Class(st), h)
	v.Writes = append(v.Writes, lastCount)
	switch st.Verb {
	case "INSERT", "REPLACE", "LOAD", "CALL", "EXECUTE":
		v.Writes = append(v.Writes, lastKey, lastValue)
	case "SELECT", "WITH", "TABLE", "VALUES":
		v.Writes = append(v.Writes, lastFound)
	}
	v.Fixed = false
	return v
}

// known looks whether token i stands for a value that the server keeps.
func (*mysqlDialect) known(h head, i int, v *Values) {
	w := h.word(i)
	system := h.punct(i-1, "@") && h.punct(i-2, "@") || h.punct(i-1, ".") && h.punct(i-3, "@")
	switch {
	case system && (w == "LAST_INSERT_ID" || w == "IDENTITY"):
		v.Reads = append(v.Reads, lastKey)
	case system:
		v.Fixed = v.Fixed && !volatile[strings.ToLower(w)]
	case h.calls(i, "LAST_INSERT_ID"):
		if h.punct(i+2, ")") {
			v.Reads = append(v.Reads, lastKey)
		} else {
			v.Writes = append(v.Writes, lastKey)
		}
	case h.calls(i, "ROW_COUNT"):
		v.Reads = append(v.Reads, lastCount)
	case h.calls(i, "FOUND_ROWS"):
		v.Reads = append(v.Reads, lastFound)
	case h.calls(i, "LASTVAL"), h.is(i, "PREVIOUS", "VALUE"):
		v.Reads = append(v.Reads, lastValue)
	case h.calls(i, "NEXTVAL", "SETVAL"), h.is(i, "NEXT", "VALUE"):
		v.Writes = append(v.Writes, lastValue)
		v.Fixed = false
	case clocks[w], w != "" && h.punct(i+1, "(") && !pure[w]:
		v.Fixed = false
	}
}

// setsMore reports whether a SET is about more than user variables.
func (d *mysqlDialect) setsMore(h head) bool {
	for i := range h.outside() {
		if i == 1 || i > 0 && h.punct(i-1, ",") {
			if _, is := h.userVariable(i); !is {
				return true
			}
		}
	}
	return false
}

// readsServer reports whether a SET computes from the server's own settings, or one
// of them from any: what it sets the server to does not end with the session, so
// that a second run would not read what the first one read.
func readsServer(h head) bool {
	global := func(i int) bool { return h.is(i, "GLOBAL") || h.is(i, "PERSIST") || h.is(i, "PERSIST_ONLY") }
	sets, reads, depth := false, false, 0
	for i := range h.tokens {
		target := i == 1 || depth == 0 && h.punct(i-1, ",")
		switch {
		case h.punct(i, "("):
			depth++
		case h.punct(i, ")"):
			depth--
		case target && (global(i) || h.punct(i, "@") && global(i+2)):
			sets = true
		case !target && h.punct(i, "@") && h.punct(i+1, "@"):
			if global(i + 2) {
				return true
			}
			reads = true
		}
	}
	return sets && reads
}

// prepared is the name of a prepared statement.
func prepared(h head, i int) string {
	n, _, _ := h.nameAt(h.skip(i, "PREPARE"))
	return "PREPARE " + strings.ToLower(n.object)
}

// handler is what HANDLER t OPEN AS h, READ and CLOSE do with the session: what is
// open has the alias, if there is one.
func handler(h head, v Values) Values {
	n, next, _ := h.nameAt(1)
	switch h.word(next) {
	case "OPEN":
		if alias := h.name(h.skip(next+1, "AS")); alias != "" {
			n.object = alias
		}
		v.Writes = append(v.Writes, "HANDLER "+strings.ToLower(n.object))
	case "CLOSE":
		return Values{Ends: []string{"HANDLER " + strings.ToLower(n.object)}, Fixed: true}
	default:
		v.Reads = append(v.Reads, "HANDLER "+strings.ToLower(n.object))
	}
	return v
}

// behindSet is the statement for which MariaDB's SET STATEMENT … FOR sets
// something. Any other statement is returned as it is.
func (d *mysqlDialect) behindSet(st sqlscan.Statement) sqlscan.Statement {
	if st.Verb != "SET" {
		return st
	}
	h := codeOf(st, d.ScanOptions())
	if !h.is(1, "STATEMENT") {
		return st
	}
	for i, t := range h.outside() {
		if t.Is("FOR") && i+1 < len(h.tokens) {
			st.Text, st.Verb = st.Text[h.tokens[i+1].Offset:], h.word(i+1)
			return d.behindSet(st)
		}
	}
	return st
}

// Values follows the values of sequences, and settings that are computed.
func (p *postgres) Values(st sqlscan.Statement) Values {
	h := codeOf(st, p.ScanOptions())
	v := Values{Fixed: p.Class(st) == ClassSession}
	v.temporaries(st, p.Class(st), h)
	for i, t := range h.tokens {
		switch {
		case h.calls(i, "LASTVAL", "CURRVAL"):
			v.Reads = append(v.Reads, lastValue)
		case h.calls(i, "NEXTVAL", "SETVAL"):
			v.Writes = append(v.Writes, lastValue)
		case h.calls(i, "SET_CONFIG"), t.Kind == sqlscan.String && st.Verb == "DO" && strings.Contains(strings.ToUpper(t.Text), "SET_CONFIG"):
			v.Writes = append(v.Writes, SettingsValue)
		}
	}
	switch st.Verb {
	case "SET", "RESET", "DISCARD", "LOAD":
		v.Writes = append(v.Writes, SettingsValue)
	case "PREPARE":
		v.Writes = append(v.Writes, prepared(h, 1))
	case "EXECUTE":
		v.Reads = append(v.Reads, prepared(h, 1))
	case "DEALLOCATE":
		v.Ends = append(v.Ends, prepared(h, 1))
	case "INSERT", "CALL", "DO", "MERGE", "WITH":
		v.Writes = append(v.Writes, lastValue)
	}
	return v
}

// setsLiterally reports whether a SELECT does nothing but set_config with
// literals, as pg_dump writes it.
func setsLiterally(h head) bool {
	found := false
	for i, t := range h.tokens {
		switch {
		case t.Kind == sqlscan.String, t.Kind == sqlscan.Op && strings.Contains("().,;", t.Text):
		case h.calls(i, "SET_CONFIG"):
			found = true
		default:
			switch h.word(i) {
			case "SELECT", "PG_CATALOG", "TRUE", "FALSE":
			default:
				return false
			}
		}
	}
	return found && len(h.tokens) < headLength
}

// Values follows what SQLite keeps of the last change.
func (s *sqlite) Values(st sqlscan.Statement) Values {
	h := codeOf(st, s.ScanOptions())
	v := Values{Fixed: s.Class(st) == ClassSession}
	v.temporaries(st, s.Class(st), h)
	for i := range h.tokens {
		switch {
		case h.calls(i, "LAST_INSERT_ROWID"):
			v.Reads = append(v.Reads, lastKey)
		case h.calls(i, "CHANGES", "TOTAL_CHANGES"):
			v.Reads = append(v.Reads, lastCount)
		}
	}
	switch st.Verb {
	case "PRAGMA", "ATTACH", "DETACH":
		v.Writes = append(v.Writes, SettingsValue)
	case "INSERT", "REPLACE":
		v.Writes = append(v.Writes, lastKey, lastCount)
	case "UPDATE", "DELETE", "WITH":
		v.Writes = append(v.Writes, lastCount)
	}
	return v
}
