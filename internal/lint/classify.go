package lint

import (
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file reads what a statement does from its tokens. It is no parser: it knows where the words stand that decide about
// locks, and passes over what it does not know, up to the next comma or the end. A statement that it misreads is
// judged wrongly, never refused.

// stmt is a statement, and what rules of this package see beyond that.
type stmt struct {
	tldwdblint.Statement
	toks []sqlscan.Token
	// order is the statement's place in its file, from 0.
	order int
	rest  int  // index of the first token that was not read
	scans bool // PostgreSQL: an ALTER TABLE that reads or writes every row
	again bool // SQLite: a CREATE TABLE that gives a table that is there another form
}

// reader reads the tokens of one statement.
type reader struct {
	d    sqlscan.Dialect
	src  string
	toks []sqlscan.Token
	p    int
	s    *stmt
	list []tldwdblint.Action // what was read so far, behind those of other statements
}

// end is a token that no statement has.
var end sqlscan.Token

func (r *reader) at(i int) sqlscan.Token {
	if i < len(r.toks) {
		return r.toks[i]
	}
	return end
}

// is reports whether the words stand at the place, without quotes.
func (r *reader) is(words ...string) bool {
	if r.p+len(words) > len(r.toks) {
		return false
	}
	for i, w := range words { // most words are another one, and most of those of another length
		if t := &r.toks[r.p+i]; len(t.Text) != len(w) || !t.Is(w) {
			return false
		}
	}
	return true
}

// take passes over the words if they stand at the place.
func (r *reader) take(words ...string) bool {
	if !r.is(words...) {
		return false
	}
	r.p += len(words)
	return true
}

// takeAny passes over one of several words, and returns it in large letters.
func (r *reader) takeAny(words ...string) string {
	for _, w := range words {
		if r.take(w) {
			return w
		}
	}
	return ""
}

// op reports whether the token at the place is this mark.
func (r *reader) op(mark string) bool {
	return r.p < len(r.toks) && r.toks[r.p].Text == mark && r.toks[r.p].Kind == sqlscan.Op
}

func (r *reader) takeOp(mark string) bool {
	if r.op(mark) {
		r.p++
		return true
	}
	return false
}

func (r *reader) done() bool { return r.p >= len(r.toks) || r.op(";") }

// text is what stands between two tokens: from the first to before the second.
func (r *reader) text(from, to int) string {
	if from >= to || from >= len(r.toks) {
		return ""
	}
	last := r.toks[min(to, len(r.toks))-1]
	return r.src[r.toks[from].Offset : last.Offset+len(last.Text)]
}

// group passes over a token, or over all of a pair of parentheses with what is inside.
func (r *reader) group() {
	depth := 0
	for r.p < len(r.toks) {
		if r.toks[r.p].Kind == sqlscan.Op {
			switch r.toks[r.p].Text {
			case "(":
				depth++
			case ")":
				depth--
			}
		}
		r.p++
		if depth <= 0 {
			return
		}
	}
}

// inside passes over a pair of parentheses and returns the indexes of the tokens between them.
func (r *reader) inside() (from, to int) {
	if !r.op("(") {
		return r.p, r.p
	}
	from = r.p + 1
	r.group()
	return from, r.p - 1
}

// ident is one part of a name. In MySQL a literal may stand for it where a name is wanted; nobody writes that in a migration.
func (r *reader) ident() (string, bool) {
	t := r.at(r.p)
	if t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent || t.Kind == sqlscan.String && r.d == sqlscan.SQLite {
		r.p++
		return t.Name(r.d), true
	}
	return "", false
}

// name reads a name of one, two or three parts.
func (r *reader) name() tldwdblint.Name {
	from := r.p
	var n tldwdblint.Name
	part, ok := r.ident()
	if !ok {
		return n
	}
	n.Name = part
	for r.op(".") {
		r.p++
		part, ok := r.ident()
		if !ok {
			break
		}
		n.Schema, n.Name = n.Name, part
	}
	n.Text = r.text(from, r.p)
	return n
}

// names reads a list of names with commas between them.
func (r *reader) names() []tldwdblint.Name {
	var list []tldwdblint.Name
	for {
		r.take("ONLY")
		n := r.name()
		if n.IsZero() {
			return list
		}
		list = append(list, n)
		if r.op("(") { // of a function
			r.group()
		}
		r.takeOp("*")
		if !r.takeOp(",") {
			return list
		}
	}
}

// columns reads a list of columns in parentheses: their names, "" for an expression.
func (r *reader) columns() []string {
	if !r.op("(") {
		return nil
	}
	from, to := r.inside()
	back := r.p
	defer func() { r.p = back }()
	r.p = from
	var list []string
	for r.p < to {
		name := ""
		if !r.op("(") {
			name, _ = r.ident()
			if r.op("(") { // a prefix's length, or a function
				if t := r.at(r.p + 1); t.Kind != sqlscan.Number {
					name = ""
				}
			}
		}
		list = append(list, name)
		for r.p < to && !r.op(",") {
			r.group()
		}
		r.p++
	}
	return list
}

func (r *reader) ifExists() bool    { return r.take("IF", "EXISTS") }
func (r *reader) ifNotExists() bool { return r.take("IF", "NOT", "EXISTS") }

// classify reads a statement.
func classify(s *stmt, src string, d sqlscan.Dialect) { classifyInto(s, src, d, nil) }

// classifyInto is classify with room for the actions behind those of other statements: they are large, and most files have some.
func classifyInto(s *stmt, src string, d sqlscan.Dialect, room []tldwdblint.Action) []tldwdblint.Action {
	r := reader{d: d, src: src, toks: s.toks, s: s, list: room}
	if len(s.toks) > 0 {
		r.statement()
	}
	if n := len(r.list); n > len(room) {
		s.Actions = r.list[len(room):n:n]
	}
	return r.list
}

// statement reads the whole.
func (r *reader) statement() {
	s, d := r.s, r.d
	if d == sqlscan.MySQL {
		r.take("SET", "STATEMENT") // MariaDB's prefix: SET STATEMENT a=b FOR …
	}
	first := r.at(0)
	if first.Kind != sqlscan.Word {
		r.p++
		s.Kind = "OTHER"
		return
	}
	if r.take("WITH") {
		r.with()
		first = r.at(r.p)
	}
	verb := upper(first.Text)
	r.p++
	switch verb {
	case "CREATE":
		r.create()
	case "ALTER":
		r.alter()
	case "DROP":
		r.drop()
	case "RENAME":
		r.renameTables()
	case "TRUNCATE":
		r.take("TABLE")
		s.Kind = "TRUNCATE"
		s.Names = r.names()
		r.onlyFirst()
		s.Cascade = r.hasWord("CASCADE")
	case "UPDATE":
		s.Kind = "UPDATE"
		r.takeAny("LOW_PRIORITY", "IGNORE", "ONLY")
		if r.take("OR") { // SQLite
			r.p++
		}
		s.Table = r.name()
		s.Name = s.Table
		s.Where = r.hasWord("WHERE") || r.hasWord("LIMIT")
	case "DELETE":
		s.Kind = "DELETE"
		r.takeAny("LOW_PRIORITY", "QUICK", "IGNORE")
		r.take("FROM")
		r.take("ONLY")
		s.Table = r.name()
		s.Name = s.Table
		s.Where = r.hasWord("WHERE") || r.hasWord("LIMIT")
	case "INSERT", "REPLACE":
		s.Kind = verb
		if r.take("OR") {
			r.p++
		}
		r.takeAny("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY")
		r.take("IGNORE")
		r.take("INTO")
		s.Table = r.name()
		s.Name = s.Table
	case "MERGE":
		s.Kind = verb
		r.take("INTO")
		r.take("ONLY")
		s.Table = r.name()
		s.Name = s.Table
	case "COPY":
		s.Kind = verb
		s.Table = r.name()
		s.Name = s.Table
	case "VACUUM", "CLUSTER", "ANALYZE", "REPACK":
		s.Kind = verb
		if r.op("(") {
			r.group()
		}
		for r.takeAny("FULL", "FREEZE", "VERBOSE", "ANALYZE") != "" {
			continue
		}
		s.Table = r.name()
		if r.take("USING") { // of CLUSTER
			r.name()
		}
		s.Name = s.Table
	case "REINDEX":
		s.Kind = verb
		if r.op("(") {
			s.Concurrently = r.hasWordBefore("CONCURRENTLY", ")")
			r.group()
		}
		r.takeAny("INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM")
		s.Concurrently = r.take("CONCURRENTLY") || s.Concurrently
		s.Name = r.name()
	case "REFRESH":
		r.take("MATERIALIZED", "VIEW")
		s.Kind = "REFRESH MATERIALIZED VIEW"
		s.Concurrently = r.take("CONCURRENTLY")
		s.Name = r.name()
	case "LOCK":
		s.Kind = verb
		r.takeAny("TABLE", "TABLES")
		s.Names = r.names()
		r.onlyFirst()
	default:
		s.Kind = verb
	}
	s.rest = r.p
}

// with passes over the queries before the main verb.
func (r *reader) with() {
	r.take("RECURSIVE")
	for r.p < len(r.toks) {
		r.ident()
		if r.op("(") {
			r.group()
		}
		r.take("AS")
		r.take("NOT")
		r.take("MATERIALIZED")
		if !r.op("(") {
			return
		}
		r.group()
		if !r.takeOp(",") {
			return
		}
	}
}

// hasWord reports whether a keyword stands outside parentheses from here on.
func (r *reader) hasWord(word string) bool { return r.hasWordBefore(word, "") }

func (r *reader) hasWordBefore(word, mark string) bool {
	depth := 0
	for _, t := range r.toks[min(r.p, len(r.toks)):] {
		if t.Kind == sqlscan.Op {
			switch t.Text {
			case "(":
				depth++
			case ")":
				depth--
			}
			if mark != "" && t.Text == mark {
				return false
			}
		}
		if (depth == 0 || mark != "") && t.Is(word) {
			return true
		}
	}
	return false
}

// onlyFirst makes the first of several names the statement's own.
func (r *reader) onlyFirst() {
	if len(r.s.Names) > 0 {
		r.s.Name, r.s.Table = r.s.Names[0], r.s.Names[0]
	}
}

// create reads CREATE.
func (r *reader) create() {
	s := r.s
	kind := ""
	for kind == "" && !r.done() {
		switch {
		case r.take("OR", "REPLACE"), r.take("GLOBAL"), r.take("LOCAL"), r.take("UNLOGGED"), r.take("RECURSIVE"), r.take("CONSTRAINT"),
			r.take("VIRTUAL"), r.take("TRUSTED"), r.take("PROCEDURAL"), r.take("AGGREGATE"):
		case r.take("TEMP"), r.take("TEMPORARY"):
			s.Temporary = true
		case r.take("UNIQUE"):
			s.Unique = true
		case r.take("FULLTEXT"), r.take("SPATIAL"), r.take("BITMAP"):
		case r.is("MATERIALIZED", "VIEW"), r.is("FOREIGN", "TABLE"), r.is("EVENT", "TRIGGER"), r.is("ACCESS", "METHOD"), r.is("USER", "MAPPING"):
			kind = upper(r.at(r.p).Text) + " " + upper(r.at(r.p+1).Text)
			r.p += 2
		case r.is("TEXT", "SEARCH"):
			kind = "TEXT SEARCH"
			r.p += 3
		case r.take("DEFINER"), r.take("ALGORITHM"):
			r.takeOp("=")
			for r.group(); r.op("@") || strings.HasPrefix(r.at(r.p).Text, "@"); {
				r.p++
				if r.at(r.p-1).Text == "@" {
					r.p++
				}
			}
		case r.take("SQL", "SECURITY"):
			r.p++
		default:
			kind = upper(r.at(r.p).Text)
			r.p++
		}
	}
	s.Kind = "CREATE " + kind
	s.Concurrently = r.take("CONCURRENTLY")
	s.IfNotExists = r.ifNotExists()
	switch kind {
	case "INDEX":
		if !r.is("ON") || r.at(r.p+1).Is("ON") {
			s.Name = r.name()
		}
		if r.take("USING") {
			r.p++
		}
		if r.take("ON") {
			r.take("ONLY")
			s.Table = r.name()
		}
		if r.take("USING") {
			r.p++
		}
		s.Columns = r.columns()
		s.Where = r.hasWord("WHERE")
	case "TABLE", "FOREIGN TABLE":
		s.Name = r.name()
		s.Table = s.Name
		if r.op("(") && !r.at(r.p+1).Is("LIKE") {
			from, to := r.inside()
			back := r.p
			r.p = from
			for r.p < to {
				r.element(to)
				r.takeOp(",")
			}
			r.p = back
		}
	case "TRIGGER":
		s.Name = r.name()
		if r.until("ON") {
			s.Table = r.name()
		}
	case "POLICY", "RULE":
		s.Name = r.name()
		if r.until("ON") || r.until("TO") {
			s.Table = r.name()
		}
	default:
		s.Name = r.name()
	}
}

// until passes over tokens up to and with a keyword outside parentheses.
func (r *reader) until(word string) bool {
	for back := r.p; ; r.group() {
		if r.done() {
			r.p = back
			return false
		}
		if r.take(word) {
			return true
		}
	}
}

// element reads a column or a constraint of CREATE TABLE, up to the comma or the end of the list.
func (r *reader) element(to int) {
	from := r.p
	var a tldwdblint.Action
	if r.constraint(&a.Constraint) {
		a.Kind = tldwdblint.ActionAddConstraint
		if a.Constraint.Kind == "" {
			a.Kind = tldwdblint.ActionAddIndex
		}
	} else {
		a.Kind = tldwdblint.ActionAddColumn
		r.column(&a.Column, to)
	}
	for r.p < to && !r.op(",") {
		r.group()
	}
	r.add(&a, from, r.p)
}

// add puts an action behind the others.
func (r *reader) add(a *tldwdblint.Action, from, to int) {
	if from >= len(r.toks) {
		return
	}
	a.Text = r.text(from, to)
	a.Offset, a.Length = r.s.Offset+r.toks[from].Offset, len(a.Text)
	r.list = append(r.list, *a)
}

// constraint reads a table constraint, or an index in MySQL's CREATE TABLE and ALTER TABLE. It reports false, and has moved
// nowhere, where none begins.
func (r *reader) constraint(c *tldwdblint.Constraint) bool {
	back := r.p
	if r.take("CONSTRAINT") && !r.is("CHECK") && !r.is("UNIQUE") && !r.is("PRIMARY", "KEY") && !r.is("FOREIGN", "KEY") {
		c.Name = r.name()
	}
	named := r.p > back
	switch {
	case r.take("PRIMARY", "KEY"):
		c.Kind = tldwdblint.ConstraintPrimaryKey
		r.indexWords(c)
	case r.is("UNIQUE") && (named || r.beginsList(1)):
		r.p++
		r.takeAny("KEY", "INDEX")
		c.Kind = tldwdblint.ConstraintUnique
		r.take("NULLS", "NOT", "DISTINCT")
		r.take("NULLS", "DISTINCT")
		r.indexWords(c)
	case r.is("FOREIGN", "KEY"):
		r.p += 2
		c.Kind = tldwdblint.ConstraintForeignKey
		if !r.op("(") && r.d == sqlscan.MySQL {
			r.ifNotExists()
			if n := r.name(); c.Name.IsZero() {
				c.Name = n
			}
		}
		c.Columns = r.columns()
		if r.take("REFERENCES") {
			c.References = r.name()
			c.RefColumns = r.columns()
		}
	case r.is("CHECK") && r.at(r.p+1).Text == "(":
		r.p++
		c.Kind = tldwdblint.ConstraintCheck
		from, to := r.inside()
		c.Check = r.text(from, to)
	case r.is("EXCLUDE") && r.d == sqlscan.Postgres && (named || r.at(r.p+1).Is("USING") || r.at(r.p+1).Text == "("):
		r.p++
		c.Kind = tldwdblint.ConstraintExclude
	case named && r.is("NOT", "NULL"):
		r.p += 2
		c.Kind = tldwdblint.ConstraintNotNull
		if n, ok := r.ident(); ok {
			c.Columns = []string{n}
		}
	case r.d == sqlscan.MySQL && (r.is("INDEX") || r.is("KEY") || r.is("FULLTEXT") || r.is("SPATIAL")) && r.beginsList(1):
		if c.IndexType = r.takeAny("FULLTEXT", "SPATIAL"); c.IndexType != "" {
			r.takeAny("INDEX", "KEY")
		} else {
			r.p++
		}
		r.ifNotExists()
		r.indexWords(c)
	default:
		r.p = back
		*c = tldwdblint.Constraint{}
		return false
	}
	for !r.done() && !r.op(",") && !r.op(")") {
		if r.take("NOT", "VALID") || r.take("NOT", "ENFORCED") {
			c.NotValid = true
			continue
		}
		r.group()
	}
	return true
}

// beginsList reports whether a list of columns, or an index that is used, follows soon: that tells a constraint from a column that
// has a keyword for its name.
func (r *reader) beginsList(from int) bool {
	for i := from; i < from+7; i++ {
		t := r.at(r.p + i)
		switch {
		case t.Kind == sqlscan.Op && t.Text == "(":
			return true
		case t.Kind == sqlscan.Op && t.Text != ".", t.Kind == 0:
			return false
		case t.Is("USING"):
			return true
		}
	}
	return false
}

// indexWords reads the name, the type and the columns of a key, or the index that becomes one.
func (r *reader) indexWords(c *tldwdblint.Constraint) {
	if r.take("USING", "INDEX") {
		if n, ok := r.ident(); ok {
			c.UsingIndex = n
		}
		return
	}
	if !r.op("(") && !r.is("USING") {
		if n := r.name(); c.Name.IsZero() {
			c.Name = n
		}
	}
	if r.take("USING") {
		r.p++
	}
	c.Columns = r.columns()
	if r.take("USING", "INDEX") && !r.is("TABLESPACE") {
		if n, ok := r.ident(); ok {
			c.UsingIndex = n
		}
	}
}

// column reads a column's name, type and constraints, up to a comma or to the index.
func (r *reader) column(c *tldwdblint.Column, to int) {
	from := r.p
	name, ok := r.ident()
	if !ok {
		return
	}
	c.Name, c.Text = name, r.text(from, r.p)
	r.columnRest(c, to)
}

// columnRest reads a column's type and constraints.
func (r *reader) columnRest(c *tldwdblint.Column, to int) {
	c.Type = r.columnType(to)
	for r.p < to && !r.done() && !r.op(",") {
		switch {
		case r.toks[r.p].Kind != sqlscan.Word:
			r.group()
		case r.take("CONSTRAINT"):
			r.p++
		case r.take("NOT", "NULL"):
			c.NotNull = true
		case r.take("PRIMARY", "KEY"), r.take("PRIMARY"):
			c.PrimaryKey = true
		case r.take("UNIQUE"):
			c.Unique = true
			r.take("KEY")
		case r.is("KEY") && r.d == sqlscan.MySQL:
			r.p++
			c.PrimaryKey = true
		case r.take("DEFAULT"):
			c.Default = r.expression(to)
		case r.take("CHECK"):
			f, t := r.inside()
			c.Check = r.text(f, t)
		case r.take("REFERENCES"):
			c.References = r.name()
			c.RefColumns = r.columns()
		case r.take("COLLATE"):
			c.Collate = r.name().Text
		case r.take("GENERATED"):
			r.generated(c)
		case r.is("AS") && r.at(r.p+1).Text == "(":
			r.p++
			f, t := r.inside()
			c.Generated = r.text(f, t)
		case r.take("STORED"), r.take("PERSISTENT"):
			c.Stored = true
		case r.take("AUTO_INCREMENT"):
			c.Identity = true
		case r.take("AUTOINCREMENT"):
			c.AutoIncrement = true
		case r.take("USING"):
			c.Using = r.expression(to)
		default:
			r.group()
		}
	}
}

// generated reads what stands behind GENERATED.
func (r *reader) generated(c *tldwdblint.Column) {
	r.take("ALWAYS")
	r.take("BY", "DEFAULT")
	r.take("ON", "NULL")
	if !r.take("AS") {
		return
	}
	if r.take("IDENTITY") {
		c.Identity = true
		return
	}
	f, t := r.inside()
	c.Generated = r.text(f, t)
}

// afterType are the words that end a column's type or its default.
var afterType = words("CONSTRAINT NOT NULL DEFAULT PRIMARY UNIQUE CHECK REFERENCES COLLATE GENERATED AS STORED VIRTUAL PERSISTENT KEY " +
	"AUTO_INCREMENT AUTOINCREMENT USING COMMENT ON FIRST AFTER DEFERRABLE INITIALLY STORAGE COMPRESSION COLUMN_FORMAT INVISIBLE VISIBLE " +
	"CHARACTER CHARSET REF_SYSTEM_ID OPTIONS ENGINE_ATTRIBUTE WITH")

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}

// columnType reads a type: small letters, one blank between words, none around parentheses.
func (r *reader) columnType(to int) string {
	from := r.p
	for r.p < to && !r.done() && !r.op(",") {
		t := r.at(r.p)
		if t.Kind == sqlscan.Word && afterType[upper(t.Text)] {
			varying := r.p == from && t.Is("CHARACTER")
			zone := t.Is("WITH") && r.at(r.p+1).Is("TIME")
			if !varying && !zone {
				break
			}
		}
		r.group()
	}
	if r.p == from+1 {
		if t := r.toks[from]; t.Kind == sqlscan.Word {
			return strings.ToLower(t.Text)
		}
	}
	var b strings.Builder
	for i := from; i < r.p; i++ {
		t := r.toks[i]
		if i > from && t.Kind != sqlscan.Op && (r.toks[i-1].Kind != sqlscan.Op || r.toks[i-1].Text == ")" || r.toks[i-1].Text == "]") {
			b.WriteByte(' ')
		}
		if t.Kind == sqlscan.Word {
			b.WriteString(strings.ToLower(t.Text))
		} else {
			b.WriteString(t.Text)
		}
	}
	return b.String()
}

// expression reads an expression up to the word that begins the next part of a column, a comma, or the end.
func (r *reader) expression(to int) string {
	from := r.p
	r.group() // whatever it is, it is part of it: DEFAULT NULL
	for r.p < to && !r.done() && !r.op(",") {
		t := r.at(r.p)
		if t.Kind == sqlscan.Word && afterType[upper(t.Text)] && !t.Is("WITH") && !t.Is("AS") {
			// a IS NULL, a IS NOT NULL and NOT a go on; NULL and NOT NULL alone are the column's.
			goesOn := t.Is("NULL") && (r.at(r.p-1).Is("IS") || r.at(r.p-1).Is("NOT")) || t.Is("NOT") && (r.at(r.p-1).Is("IS") || !r.at(r.p+1).Is("NULL"))
			if !goesOn {
				break
			}
		}
		r.group()
	}
	return r.text(from, r.p)
}

// alter reads ALTER.
func (r *reader) alter() {
	s := r.s
	r.takeAny("ONLINE", "OFFLINE", "IGNORE") // MariaDB
	kind := upper(r.at(r.p).Text)
	switch {
	case r.is("MATERIALIZED", "VIEW"), r.is("FOREIGN", "TABLE"), r.is("DEFAULT", "PRIVILEGES"), r.is("EVENT", "TRIGGER"), r.is("LARGE", "OBJECT"):
		kind += " " + upper(r.at(r.p+1).Text)
		r.p++
	}
	r.p++
	s.Kind = "ALTER " + kind
	if kind == "DEFAULT PRIVILEGES" {
		return
	}
	s.IfExists = r.ifExists()
	r.take("ONLY")
	s.Name = r.name()
	switch kind {
	case "TABLE", "FOREIGN TABLE":
		s.Table = s.Name
		r.takeOp("*")
	case "TRIGGER", "POLICY":
		if r.take("ON") {
			s.Table = r.name()
		}
	}
	if r.op("(") { // of a function
		r.group()
	}
	for !r.done() {
		before := r.p
		r.action()
		for !r.done() && !r.op(",") {
			r.group()
		}
		if !r.takeOp(",") && r.p == before {
			r.p++
		}
	}
}

// action reads one part of ALTER.
func (r *reader) action() {
	from := r.p
	to := len(r.toks)
	a := tldwdblint.Action{Kind: tldwdblint.ActionOther}
	switch {
	case r.take("ADD"):
		r.actionAdd(&a)
		if a.Kind == "" { // MySQL's ADD (a int, b int) has been added column by column
			return
		}
	case r.take("DROP"):
		r.actionDrop(&a)
	case r.take("ALTER"), r.take("MODIFY"), r.take("CHANGE"):
		r.actionAlter(&a, upper(r.at(from).Text))
	case r.take("RENAME"):
		r.actionRename(&a)
	case r.take("VALIDATE", "CONSTRAINT"):
		a.Kind = tldwdblint.ActionValidateConstraint
		a.Constraint.Name = r.name()
	case r.take("SET", "SCHEMA"):
		a.Kind, a.NewName = tldwdblint.ActionSetSchema, r.name()
	case r.is("SET", "NOT", "NULL"), r.is("SET", "DEFAULT"), r.is("DROP", "NOT", "NULL"): // of a domain
	case r.take("ATTACH", "PARTITION"):
		a.Kind, a.NewName = tldwdblint.ActionAttachPartition, r.name()
	case r.take("DETACH", "PARTITION"):
		a.Kind, a.NewName = tldwdblint.ActionDetachPartition, r.name()
		a.Concurrently = r.take("CONCURRENTLY")
	default:
		a.Kind = tldwdblint.ActionOption
	}
	for r.p < to && !r.done() && !r.op(",") {
		if r.is("CASCADE") {
			a.Cascade = true
		}
		r.group()
	}
	r.add(&a, from, r.p)
}

func (r *reader) actionAdd(a *tldwdblint.Action) {
	from := r.p - 1
	if r.take("VALUE") {
		a.Kind = tldwdblint.ActionAddValue
		a.IfNotExists = r.ifNotExists()
		a.NewName = tldwdblint.Name{Name: r.at(r.p).Text, Text: r.at(r.p).Text}
		r.p++
		return
	}
	if r.take("PARTITION") || r.d == sqlscan.MySQL && (r.take("SYSTEM", "VERSIONING") || r.take("PERIOD", "FOR")) {
		return
	}
	if r.constraint(&a.Constraint) {
		a.Kind = tldwdblint.ActionAddConstraint
		if a.Constraint.Kind == "" {
			a.Kind = tldwdblint.ActionAddIndex
		}
		return
	}
	r.take("COLUMN")
	a.IfNotExists = r.ifNotExists()
	if r.op("(") { // MySQL: a list of columns
		begin, to := r.inside()
		back := r.p
		r.p = begin
		for r.p < to {
			r.element(to)
			r.takeOp(",")
		}
		r.p = back
		a.Kind = ""
		return
	}
	if r.p == from {
		return
	}
	a.Kind = tldwdblint.ActionAddColumn
	r.column(&a.Column, len(r.toks))
}

func (r *reader) actionDrop(a *tldwdblint.Action) {
	switch {
	case r.take("CONSTRAINT"), r.is("CHECK") && r.d == sqlscan.MySQL && r.take("CHECK"):
		a.Kind = tldwdblint.ActionDropConstraint
		a.IfExists = r.ifExists()
		a.Constraint.Name = r.name()
	case r.take("FOREIGN", "KEY"):
		a.Kind, a.Constraint.Kind = tldwdblint.ActionDropConstraint, tldwdblint.ConstraintForeignKey
		a.IfExists = r.ifExists()
		a.Constraint.Name = r.name()
	case r.take("PRIMARY", "KEY"):
		a.Kind, a.Constraint.Kind = tldwdblint.ActionDropConstraint, tldwdblint.ConstraintPrimaryKey
	case r.d == sqlscan.MySQL && (r.take("INDEX") || r.take("KEY")):
		a.Kind = tldwdblint.ActionDropIndex
		a.IfExists = r.ifExists()
		a.Constraint.Name = r.name()
	case r.take("PARTITION"):
		a.Kind, a.NewName = tldwdblint.ActionDetachPartition, r.name()
	case r.is("NOT", "NULL"), r.is("DEFAULT"): // of a domain
	case r.d == sqlscan.MySQL && (r.take("SYSTEM", "VERSIONING") || r.take("PERIOD", "FOR")):
	default:
		r.take("COLUMN")
		a.Kind = tldwdblint.ActionDropColumn
		a.IfExists = r.ifExists()
		from := r.p
		a.Column.Name, _ = r.ident()
		a.Column.Text = r.text(from, r.p)
	}
}

// actionAlter reads what is done to one column.
func (r *reader) actionAlter(a *tldwdblint.Action, verb string) {
	if r.take("CONSTRAINT") || r.take("CHECK") {
		a.Constraint.Name = r.name()
		return
	}
	if r.take("INDEX") {
		a.Kind = tldwdblint.ActionOption
		return
	}
	r.take("COLUMN")
	a.IfExists = r.ifExists()
	c := &a.Column
	from := r.p
	var ok bool
	if c.Name, ok = r.ident(); !ok {
		return
	}
	c.Text = r.text(from, r.p)
	switch {
	case verb == "CHANGE":
		a.NewName = r.name()
		fallthrough
	case verb == "MODIFY":
		a.Kind = tldwdblint.ActionAlterType
		r.columnRest(c, len(r.toks))
	case r.take("SET", "NOT", "NULL"):
		a.Kind = tldwdblint.ActionSetNotNull
	case r.take("DROP", "NOT", "NULL"):
		a.Kind = tldwdblint.ActionDropNotNull
	case r.take("SET", "DEFAULT"):
		a.Kind = tldwdblint.ActionSetDefault
		c.Default = r.expression(len(r.toks))
	case r.take("DROP", "DEFAULT"):
		a.Kind = tldwdblint.ActionDropDefault
	case r.take("SET", "DATA", "TYPE"), r.take("TYPE"):
		a.Kind = tldwdblint.ActionAlterType
		r.columnRest(c, len(r.toks))
	default:
		a.Kind = tldwdblint.ActionOption
	}
}

func (r *reader) actionRename(a *tldwdblint.Action) {
	old := func() { a.Column.Name, _ = r.ident(); a.Column.Text = r.at(r.p - 1).Text }
	switch {
	case r.take("TO"), r.take("AS"):
		a.Kind = tldwdblint.ActionRenameTable
	case r.take("CONSTRAINT"):
		a.Kind = tldwdblint.ActionRenameConstraint
		a.Constraint.Name = r.name()
	case r.take("VALUE"):
		a.Kind = tldwdblint.ActionRenameValue
		a.Column.Name, a.Column.Text = r.at(r.p).Text, r.at(r.p).Text
		r.p++
	case r.d == sqlscan.MySQL && (r.take("INDEX") || r.take("KEY")):
		a.Kind = tldwdblint.ActionRenameIndex
		a.Constraint.Name = r.name()
	case r.take("ATTRIBUTE"), r.take("COLUMN"):
		a.Kind = tldwdblint.ActionRenameColumn
		a.IfExists = r.ifExists()
		old()
	case r.at(r.p + 1).Is("TO"):
		a.Kind = tldwdblint.ActionRenameColumn
		old()
	default:
		a.Kind = tldwdblint.ActionRenameTable // MySQL: TO may be left out
	}
	r.take("TO")
	if t := r.at(r.p); t.Kind == sqlscan.String {
		a.NewName = tldwdblint.Name{Name: t.Text, Text: t.Text}
		r.p++
		return
	}
	a.NewName = r.name()
}

// drop reads DROP.
func (r *reader) drop() {
	s := r.s
	if r.take("TEMPORARY") {
		s.Temporary = true
	}
	kind := upper(r.at(r.p).Text)
	switch {
	case r.is("MATERIALIZED", "VIEW"), r.is("FOREIGN", "TABLE"), r.is("EVENT", "TRIGGER"), r.is("OWNED", "BY"), r.is("USER", "MAPPING"),
		r.is("ACCESS", "METHOD"), r.is("TEXT", "SEARCH"):
		kind += " " + upper(r.at(r.p+1).Text)
		r.p++
	case r.is("TABLES"):
		kind = "TABLE"
	}
	r.p++
	s.Kind = "DROP " + kind
	s.Concurrently = r.take("CONCURRENTLY")
	s.IfExists = r.ifExists()
	s.Names = r.names()
	r.onlyFirst()
	switch kind {
	case "TABLE", "FOREIGN TABLE":
	default:
		s.Table = tldwdblint.Name{}
	}
	if r.take("ON") {
		s.Table = r.name()
	}
	s.Cascade = r.hasWord("CASCADE")
}

// renameTables reads MySQL's RENAME TABLE a TO b, c TO d.
func (r *reader) renameTables() {
	s := r.s
	kind := r.takeAny("TABLES", "TABLE", "USER")
	if kind == "TABLES" {
		kind = "TABLE"
	}
	s.Kind = "RENAME " + kind
	r.ifExists()
	for !r.done() {
		from := r.p
		old := r.name()
		if s.Name.IsZero() {
			s.Name = old
			s.Table = old
		}
		s.Names = append(s.Names, old)
		if !r.until("TO") {
			return
		}
		r.add(&tldwdblint.Action{Kind: tldwdblint.ActionRenameTable, NewName: r.name()}, from, r.p)
		if !r.takeOp(",") {
			return
		}
	}
}

// upper is strings.ToUpper without the work for what is in large letters already.
func upper(word string) string {
	for i := range len(word) {
		if c := word[i]; c >= 'a' && c <= 'z' || c >= 0x80 {
			return strings.ToUpper(word)
		}
	}
	return word
}
